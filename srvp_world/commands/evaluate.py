"""`srvp-world evaluate`: an agent in reality beside its dream, or predicted videos."""

import argparse
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import RESULTS, Verb, nothing_kept, world_file
from srvp_world.errors import ConfigError, OutputError

AGENT_DEFAULTS = {"episodes": 20, "workers": 2, "temperature": 1.0, "seed": 10_000}
SHARED_FLAGS = ("seed", "temperature")
VIDEO_FLAGS = (
    "videos",
    "samples",
    "conditioning",
    "horizon",
    "substeps",
    "observed_substeps",
    "data",
    "lpips",
    "fvd",
    "batch_size",
    "keep",
    "device",
)


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    parser.usage = f"{parser.prog} WORLD WHAT [options]"
    add = parser.add_argument
    add("world", metavar="WORLD", help="world file, or name of a world that ships")
    add(
        "what",
        metavar="WHAT",
        help="policy file: play the agent; or smmnist, mmnist, kth, human36m, bair, or a folder of "
        "episodes: predict videos",
    )
    add("--out", type=Path, metavar="FOLDER", help="where to leave results [agents: nowhere]")
    add("--seed", type=int, help="of episodes [10000], or of all noise of videos [1]")
    add(
        "--temperature",
        type=float,
        default=argparse.SUPPRESS,
        help="factor of the prior's standard deviation, in dreams and predicted frames; 0 takes "
        "its means [1.0]",
    )
    # Flags that are not given leave no trace, so that those of the other job can be refused.
    add = parser.add_argument_group("agents", argument_default=argparse.SUPPRESS).add_argument
    add("--episodes", type=int, help="real, and as many dreamt [20]")
    add("--workers", type=int, help="processes side by side [2]")
    add = parser.add_argument_group(
        "videos",
        "Defaults are those of the paper's protocol of that name. For a folder they are 5 frames\n"
        "seen and 20 predicted, 100 times, for all of its clips. Results and pictures go to\n"
        "evaluation-WHAT beside the world, unless --out says otherwise.",
        argument_default=argparse.SUPPRESS,
    ).add_argument
    add("--videos", type=int, metavar="N", help="test clips, the first ones")
    add("--samples", type=int, metavar="N", help="futures of each clip")
    add("--conditioning", type=int, metavar="FRAMES", help="frames that the world watches")
    add("--horizon", type=int, metavar="FRAMES", help="frames that it predicts")
    add("--substeps", type=int, help="Euler steps per predicted frame [as trained]")
    add("--observed-substeps", type=int, help="Euler steps per observed frame [as trained]")
    add("--data", type=Path, metavar="FOLDER", help="test clips of kth, human36m and bair")
    weights = "measure it, too: its weights, as `srvp-world data download {}` leaves them [no]"
    add("--lpips", type=Path, metavar="FOLDER", help=weights.format("lpips"))
    add("--fvd", type=Path, metavar="PATH", help=weights.format("i3d"))
    add("--batch-size", type=int, metavar="CLIPS", help="clips that are watched at once [16]")
    add("--keep", type=int, metavar="CLIPS", help="clips whose samples go to samples.npz [4]")
    add("--device", help="where to compute, such as cuda [cpu]")


def _run(args: Namespace, command: str) -> None:
    from srvp_world.commands.evaluate_video import evaluate_clips, is_video

    video = is_video(args.what)
    others = AGENT_DEFAULTS if video else VIDEO_FLAGS
    for name in others:
        if name not in SHARED_FLAGS and name in args:
            flag, jobs = f"--{name.replace('_', '-')}", ("agents", "videos")
            raise ConfigError(
                f"{flag} is for {jobs[not video]}, but {args.what!r} is evaluated as one of the "
                f"{jobs[video]}: leave it out"
            )
    if video:
        evaluate_clips(args, command)
    else:
        given = {name: value for name, value in vars(args).items() if value is not None}
        _evaluate_agent(Namespace(**{"out": None, **AGENT_DEFAULTS, **given}), command)


def _evaluate_agent(args: Namespace, command: str) -> None:
    import numpy as np

    from srvp_world.agents.saved import dream_returns, read_planner, saved_agent
    from srvp_world.checkpoint import load
    from srvp_world.config import to_json
    from srvp_world.envs.collect import run_episodes
    from srvp_world.results import write_results

    if args.episodes < 1:
        raise ConfigError(f"--episodes must be at least 1, got {args.episodes}")
    if args.out is not None and (args.out / RESULTS).exists():
        raise OutputError(f"{args.out} already holds {RESULTS}: choose another folder with --out")
    world, path = load(args.world), Path(args.what)
    if world.pixels is None:
        raise ConfigError("this world was learnt from video and has no real environment")
    agent = saved_agent(world_file(args.world), path)
    assert world.action is not None  # as it has an environment
    agent(world.action)  # so that its mistakes show before anything is played
    played = run_episodes(
        world.pixels,
        agent,
        seeds=range(args.seed, args.seed + args.episodes),
        workers=args.workers,
        progress=not args.quiet,
    )
    returns = {
        "real": np.array([result.episode_return for result in played]),
        "dream": dream_returns(
            world,
            path,
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
        "actions": to_json(read_planner(path)) if path.suffix == ".json" else "the most likely one",
        "dream": "from real episode starts, over an episode as long as the real one",
        "temperature": args.temperature,
        "seeds": f"{args.seed} to {args.seed + args.episodes - 1}",
        "workers": args.workers,
    }
    out = args.out / RESULTS
    write_results(out, numbers, command=command, protocol=protocol, seed=args.seed, device="cpu")


EVALUATE = Verb(
    summary="Play an agent in the real environment and in the dream, or score predicted videos.",
    examples=(
        "pendulum agent.safetensors",
        "runs/demo/world.safetensors runs/demo/policies/final.safetensors --episodes 50",
        "world.safetensors agent.safetensors --out runs/evaluation --workers 4",
        "runs/mnist/world.safetensors smmnist --videos 500 --samples 20",
        "runs/mnist/world.safetensors mmnist --temperature 0 --out runs/mnist/means",
        "runs/kth/world.safetensors kth --data data/kth --lpips lpips --fvd i3d --device cuda",
        "runs/own/world.safetensors data/own/test --conditioning 8 --horizon 16 --samples 10",
    ),
    configure=_configure,
    run=_run,
    kept=nothing_kept,
)
