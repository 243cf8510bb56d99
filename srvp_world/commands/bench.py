"""`srvp-world bench`: how fast this machine trains and dreams."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import RESULTS, Verb, nothing_kept


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    add("--world", default="pendulum", help="world to dream in, a file or a name [%(default)s]")
    add("--preset", default="control", help="what to train [%(default)s]")
    add("--device", default="cpu", help="where to compute, such as cuda [%(default)s]")
    add("--out", type=Path, metavar="FOLDER", help="where to leave results.json [nowhere]")


def _run(args: Namespace, command: str) -> None:
    from srvp_world.benchmark.speed import PROTOCOL, measure_speed, table
    from srvp_world.checkpoint import load
    from srvp_world.results import write_results

    world = load(args.world, args.device)
    numbers = measure_speed(world, preset_name=args.preset, progress=not args.quiet)
    print(table(numbers))
    if args.out is not None:
        protocol = {**PROTOCOL, "world": world.fingerprint}
        write_results(
            args.out / RESULTS,
            numbers,
            command=command,
            protocol=protocol,
            seed=0,
            device=args.device,
        )


BENCH = Verb(
    summary="Measure how fast this machine trains a world and dreams in it.",
    examples=(
        "",
        "--out runs/speed",
        "--preset smmnist",
        "--world runs/pendulum/world.safetensors --device cuda",
    ),
    configure=_configure,
    run=_run,
    kept=nothing_kept,
)
