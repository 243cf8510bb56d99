"""`srvp-world evaluate`: an agent's return in reality beside the one that it dreams of."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import RESULTS, Verb, nothing_kept, world_file
from srvp_world.errors import ConfigError


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    add("world", metavar="WORLD", help="world file, or name of a world that ships")
    add("policy", type=Path, metavar="POLICY", help="policy file that was trained in the world")
    add("--episodes", type=int, default=20, help="real, and as many dreamt [%(default)s]")
    add("--seed", type=int, default=10_000, help="of the first episode [%(default)s]")
    add("--workers", type=int, default=2, help="processes side by side [%(default)s]")
    add("--temperature", type=float, default=1.0, help="of the dream [%(default)s]")
    add("--out", type=Path, metavar="FOLDER", help="where to leave results.json [nowhere]")


def _run(args: Namespace, command: str) -> None:
    import numpy as np

    from srvp_world.agents.evaluate import evaluate_in_dream, evaluate_in_reality
    from srvp_world.agents.policy import LatentPolicy
    from srvp_world.checkpoint import load
    from srvp_world.config import to_json
    from srvp_world.results import write_results

    if args.episodes < 1:
        raise ConfigError(f"--episodes must be at least 1, got {args.episodes}")
    world = load(args.world)
    policy = LatentPolicy.load(args.policy, world)
    played = evaluate_in_reality(
        world,
        world_file(args.world),
        args.policy,
        seeds=range(args.seed, args.seed + args.episodes),
        workers=args.workers,
        progress=not args.quiet,
    )
    returns = {
        "real": np.array([result.episode_return for result in played]),
        "dream": evaluate_in_dream(
            world,
            policy,
            episodes=args.episodes,
            seed=args.seed,
            temperature=args.temperature,
        ),
    }
    print("| return | mean | std | episodes |\n|---|---|---|---|")
    for name, values in returns.items():
        print(f"| {name} | {values.mean():.1f} | {values.std():.1f} | {len(values)} |")
    if args.out is None:
        return
    numbers = {
        f"{name}_return": {"mean": values.mean(), "std": values.std(), "each": values}
        for name, values in returns.items()
    }
    protocol = {
        "world": world.fingerprint,
        "pixels": world.pixels and to_json(world.pixels),
        "actions": "the most likely one",
        "dream": "from real episode starts, over an episode as long as the real one",
        "temperature": args.temperature,
        "seeds": f"{args.seed} to {args.seed + args.episodes - 1}",
        "workers": args.workers,
    }
    path = args.out / RESULTS
    write_results(path, numbers, command=command, protocol=protocol, seed=args.seed, device="cpu")


EVALUATE = Verb(
    summary="Play an agent in the real environment and in the dream, side by side.",
    examples=(
        "pendulum agent.safetensors",
        "runs/demo/world.safetensors runs/demo/policies/final.safetensors --episodes 50",
        "world.safetensors agent.safetensors --out runs/evaluation --workers 4",
    ),
    configure=_configure,
    run=_run,
    kept=nothing_kept,
)
