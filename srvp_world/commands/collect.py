"""`srvp-world collect`: record an environment as pixels."""

import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from srvp_world.commands.parser import Parser, json_object
from srvp_world.commands.verb import RESULTS, Verb, world_file
from srvp_world.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from srvp_world.config import PixelConfig
    from srvp_world.envs.policies import PolicyFactory


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    add("env_id", metavar="ENV_ID", help="Gymnasium id; of other packages as module:Name-v0")
    add("--out", type=Path, required=True, metavar="FOLDER", help="data set, new or to go on with")
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--steps", type=int, metavar="N", help="real steps, at most")
    amount.add_argument("--episodes", type=int, metavar="N", help="whole episodes")
    add("--policy", default="smooth-random", help="random, smooth-random or a file [%(default)s]")
    explore = "share of the decisions of a policy file that are random instead [0]"
    add("--explore", type=float, metavar="SHARE", help=explore)
    add("--world", help="of a policy file; it gives the next six where they are left out")
    add("--size", type=int, help="height and width of a frame: 32, 64 or 128 [64]")
    add("--channels", type=int, help="1 for grey, 3 for colour [1]")
    add("--action-repeat", type=int, metavar="N", help="real steps per decision [1]")
    crop = ("TOP", "LEFT", "HEIGHT", "WIDTH")
    add("--crop", type=int, nargs=4, metavar=crop, help="part of the image to keep [all]")
    add("--env-kwargs", metavar="JSON", help="arguments of gym.make, such as '{\"g\": 9.81}'")
    vector = "keep the env's own observation, as a vector beside the frames"
    add("--vector", action="store_true", default=None, help=vector)
    add("--workers", type=int, default=2, help="processes side by side [%(default)s]")
    add("--seed", type=int, default=0, help="of the first episode [%(default)s]")
    bound = "keep about N decisions: delete the oldest episodes, while `train --live` reads [all]"
    add("--max-transitions", type=int, metavar="N", help=bound)


def _run(args: Namespace, command: str) -> None:
    from srvp_world.config import to_json
    from srvp_world.data.info import DESCRIPTION
    from srvp_world.envs.collect import collect
    from srvp_world.results import write_results

    policy, pixels = _policy_and_pixels(args)
    out: Path = args.out
    if any(out.glob("*.safetensors")) and not (out / DESCRIPTION).exists():
        raise OutputError(f"{out} holds files but no data set: choose another folder")
    result = collect(
        pixels,
        out,
        policy,
        steps=args.steps,
        episodes=args.episodes,
        workers=args.workers,
        seed=args.seed,
        max_transitions=args.max_transitions,
        progress=not args.quiet,
    )
    names = ("episodes", "real_steps", "mean_return", "std_return", "seconds")
    numbers = {name: getattr(result, name) for name in names}
    protocol = {"pixels": to_json(pixels), "policy": args.policy, "workers": args.workers}
    protocol |= {} if args.explore is None else {"explore": args.explore}
    write_results(
        out / RESULTS, numbers, command=command, protocol=protocol, seed=args.seed, device="cpu"
    )
    print(
        f"{out}: {result.episodes} episodes, {result.real_steps} real steps, "
        f"mean return {result.mean_return:.1f}, {result.seconds:.1f} s"
    )


def _policy_and_pixels(args: Namespace) -> "tuple[PolicyFactory, PixelConfig]":
    """Find policy and env; a saved policy should see what its world was learnt from."""
    from srvp_world.agents.saved import saved_agent
    from srvp_world.checkpoint import load
    from srvp_world.config import PixelConfig
    from srvp_world.envs.policies import policy_factory

    policy, pixels = Path(args.policy), PixelConfig(env_id=args.env_id)
    factory: PolicyFactory
    if policy.suffix not in (".safetensors", ".json") and not policy.exists():
        factory = policy_factory(args.policy)
        for name in ("world", "explore"):
            if getattr(args, name) is not None:
                raise ConfigError(
                    f"--{name} is for a policy file, {args.policy} is random: leave it out"
                )
    elif args.world is None:
        raise ConfigError(f"policy {args.policy} belongs to a world: give it with --world")
    else:
        world = load(args.world)
        factory = saved_agent(world_file(args.world), policy, explore=args.explore or 0.0)
        if world.action is not None:
            factory(world.action)  # so that its mistakes show before anything is recorded
        if world.pixels is not None and world.pixels.env_id == args.env_id:
            pixels = world.pixels
    given = {
        "frame_size": args.size,
        "channels": args.channels,
        "action_repeat": args.action_repeat,
        "crop": args.crop and tuple(args.crop),
        "vector": args.vector,
        "env_kwargs": json_object("--env-kwargs", args.env_kwargs),
    }
    return factory, replace(pixels, **{n: value for n, value in given.items() if value is not None})


def _kept(args: Namespace, command: str) -> str:
    names = [path.name for path in args.out.glob("*.safetensors")]
    seeds = [int(found[1]) for name in names if (found := re.match(r"seed(\d+)-", name))]
    if not seeds:
        return "no episode was finished; start again with the same command"
    return f"{args.out} keeps {len(names)} files of episodes; go on with --seed {max(seeds) + 1}"


COLLECT = Verb(
    summary="Record episodes of any Gymnasium environment as pixels.",
    examples=(
        "Pendulum-v1 --out data --steps 20000 --action-repeat 2",
        "CartPole-v1 --out data --episodes 100 --policy random --channels 3",
        "CartPole-v1 --out data --steps 1000000 --max-transitions 50000",
        "Pendulum-v1 --out data --episodes 100 --vector",
        "Pendulum-v1 --out data --episodes 10 --policy agent.safetensors --world world.safetensors "
        "--explore 0.3",
    ),
    configure=_configure,
    run=_run,
    kept=_kept,
)
