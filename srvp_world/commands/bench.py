"""`srvp-world bench`: how fast this machine trains and dreams."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import RESULTS, Verb, nothing_kept
from srvp_world.errors import ConfigError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from srvp_world.checkpoint import World

WHAT = ("speed", "dream")


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    parser.usage = f"{parser.prog} [WHAT] [options]"
    add = parser.add_argument
    add(
        "what",
        nargs="?",
        default="speed",
        metavar="WHAT",
        help="speed: training and dreams of many sizes; dream: what the env layer costs beside the "
        "bare model, and how much faster than the real environment it is [%(default)s]",
    )
    add("--world", default="pendulum", help="world to dream in, a file or a name [%(default)s]")
    add("--preset", help="what to train, for speed [control]")
    add("--device", default="cpu", help="where to compute, such as cuda [%(default)s]")
    add("--threads", type=int, metavar="N", help="CPU threads of torch [torch's own choice]")
    add("--out", type=Path, metavar="FOLDER", help="where to leave results.json [nowhere]")


def _run(args: Namespace, command: str) -> None:
    import torch

    from srvp_world.checkpoint import load
    from srvp_world.data.files import make_folder
    from srvp_world.results import write_results

    if args.what not in WHAT:
        raise UnknownNameError(f"no benchmark {args.what!r}: {did_you_mean(args.what, WHAT)}")
    if args.threads is not None and args.threads < 1:
        raise ConfigError(f"--threads must be at least 1, got {args.threads}")
    if args.what == "dream" and args.preset is not None:
        raise ConfigError("--preset is for speed, but dream trains nothing: leave it out")
    if args.out is not None:
        make_folder(args.out)
    world, before = load(args.world, args.device), torch.get_num_threads()
    torch.set_num_threads(args.threads or before)
    try:
        numbers, protocol, shown = (_dream if args.what == "dream" else _speed)(world, args)
        if args.out is not None:
            write_results(
                args.out / RESULTS,
                numbers,
                command=command,
                protocol={**protocol, "world": world.fingerprint},
                seed=0,
                device=args.device,
            )
        print(shown)  # last, for whoever reads may have left
    finally:
        torch.set_num_threads(before)


def _speed(world: "World", args: Namespace) -> tuple[Mapping[str, Any], Mapping[str, str], str]:
    from srvp_world.benchmark.speed import PRESET, PROTOCOL, measure_speed, table

    name = args.preset or PRESET
    numbers = measure_speed(world, preset_name=name, progress=not args.quiet)
    return numbers, PROTOCOL, table(numbers)


def _dream(world: "World", args: Namespace) -> tuple[Mapping[str, Any], Mapping[str, str], str]:
    from srvp_world.benchmark.dream import PROTOCOL, dream_table, measure_dream

    numbers = measure_dream(world, progress=not args.quiet)
    return numbers, PROTOCOL, dream_table(numbers)


BENCH = Verb(
    summary="Measure how fast this machine trains a world and dreams in it.",
    examples=(
        "",
        "--out runs/speed",
        "--preset smmnist",
        "dream",
        "dream --threads 1 --out runs/dream",
        "--world runs/pendulum/world.safetensors --device cuda",
    ),
    configure=_configure,
    run=_run,
    kept=nothing_kept,
)
