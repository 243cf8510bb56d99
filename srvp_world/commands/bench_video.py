"""The part of `srvp-world bench` that gathers numbers of video prediction."""

import argparse
from argparse import Namespace
from pathlib import Path

from srvp_world.commands.parser import Parser

WHAT = "video"
EXAMPLES = (
    WHAT,
    f"{WHAT} runs/smmnist/evaluation-smmnist runs/gru --out runs/video",
)


def configure_video(parser: Parser) -> None:
    """Add the arguments of `srvp-world bench video`."""
    examples = "\n".join(f"  {parser.prog} {example}" for example in EXAMPLES)
    parser.epilog = f"examples:\n{examples}"
    parser.prog = f"{parser.prog} {WHAT}"
    parser.description = (
        "Lay published numbers of video prediction beside those that `srvp-world evaluate` left."
    )
    add = parser.add_argument
    add("what", choices=(WHAT,), help=argparse.SUPPRESS)  # the name of the program has it
    where = "what `srvp-world evaluate` left: results.json files, or folders to look in [none]"
    add("results", nargs="*", type=Path, metavar="RESULTS", help=where)
    out = "where to leave tables (Markdown, LaTeX), results.json and curves [nowhere]"
    add("--out", type=Path, metavar="FOLDER", help=out)


def run_video(args: Namespace, command: str) -> None:
    """Read what was measured, print the tables, and leave them where they are wanted."""
    from srvp_world.benchmark.bench_video import write_report
    from srvp_world.benchmark.video_blocks import sort_into_blocks
    from srvp_world.benchmark.video_results import find_results
    from srvp_world.benchmark.video_tables import as_markdown, video_tables

    measured, others = find_results(args.results)
    blocks = sort_into_blocks(measured)
    written = [] if args.out is None else write_report(args.out, blocks, command)
    print(as_markdown(video_tables(blocks)), end="")
    for path in others:
        print(f"left out, as it is of another kind: {path}")
    if written:
        print(f"{args.out}: see {', '.join(written)}")
