"""`srvp-world demo`: the main job from end to end."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import Verb


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="RUN", help="run folder")
    add("--seed", type=int, default=0, help="of data, world and agent [%(default)s]")
    add("--fast", action="store_true", help="so little of everything that it only shows it works")


def _run(args: Namespace, command: str) -> None:
    from srvp_world.demo import FAST, run_demo, table

    config = FAST if args.fast else None
    numbers = run_demo(args.out, seed=args.seed, config=config, progress=not args.quiet)
    # As it was called: the folder that it lies in need not be on the path.
    program = sys.argv[0] if Path(sys.argv[0]).stem == "srvp-world" else "srvp-world"
    print(table(numbers, args.out, program))


def _kept(args: Namespace, command: str) -> str:
    return f"{args.out} keeps what was finished; go on with `{command}`"


DEMO = Verb(
    summary="Solve Pendulum-v1 from pixels: watch it, learn its world, dream, act in reality.",
    examples=("--out runs/demo", "--out runs/second --seed 1", "--out runs/check --fast"),
    configure=_configure,
    run=_run,
    kept=_kept,
)
