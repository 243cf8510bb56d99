"""`srvp-world data convert`: the raw videos of the paper's benchmarks become data sets."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import RESULTS, Verb
from srvp_world.errors import ConfigError, DataError

if TYPE_CHECKING:
    from srvp_world.data.conversion import ConversionResult, LeftOut, Plan

NAMES = ("kth", "bair", "human36m")
SHOWN = 10  # reasons why something was left out


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    names = ", ".join(NAMES)
    add("name", metavar="NAME", choices=NAMES, help=f"{names}: see docs/datasets.md")
    add(
        "raw",
        type=Path,
        metavar="RAW",
        help="folder of the raw data: KTH's avi files or zip archives; BAIR's softmotion30_44k or "
        "its tar archive; Human3.6M's folders S1, S5 and so on, with Videos in each",
    )
    add("--out", type=Path, required=True, metavar="DATA", help="folder, new or to go on with")
    add("--workers", type=int, default=1, help="processes side by side [%(default)s]")


def _run(args: Namespace, command: str) -> None:
    from srvp_world.config import to_json
    from srvp_world.data.conversion import convert
    from srvp_world.envs.workers import run_jobs
    from srvp_world.results import write_results

    if args.workers < 1:
        raise ConfigError(f"--workers must be at least 1, got {args.workers}")
    plan = _plan(args)
    result = convert(plan, args.out, progress=not args.quiet, workers=args.workers, run=run_jobs)
    numbers = {**vars(result), "left_out": [entry._asdict() for entry in result.left_out]}
    write_results(
        args.out / RESULTS,
        numbers,
        command=command,
        protocol={"benchmark": args.name, "raw": str(args.raw), "info": to_json(plan.info)},
        seed=None,
        device="cpu",
    )
    if not (result.converted or result.present):
        raise DataError(_nothing(result))
    print("\n".join(_summary(args, result)))


def _plan(args: Namespace) -> "Plan":
    from srvp_world.data.bair import plan_bair
    from srvp_world.data.human36m import plan_human36m
    from srvp_world.data.kth import plan_kth

    if args.name == "bair":
        return plan_bair(args.raw, args.out, progress=not args.quiet)
    return (plan_kth if args.name == "kth" else plan_human36m)(args.raw)


def _nothing(result: "ConversionResult") -> str:
    """Say why nothing was converted; more than one reason is printed before."""
    if len(result.left_out) == 1:
        return result.left_out[0].reason
    print("\n".join(reasons(result.left_out)))
    return f"none of {len(result.left_out):,} videos could be converted, for the reasons above"


def reasons(left_out: "Sequence[LeftOut]") -> list[str]:
    """List why what was left out, as far as anyone reads on; in one line what was never there."""
    faults = [entry for entry in left_out if not entry.absent]
    absent = [entry for entry in left_out if entry.absent]
    lines = [f"left out: {entry.reason}" for entry in faults[:SHOWN]]
    rest = len(faults) - SHOWN
    if rest > 0:
        lines.append(f"left out: {rest:,} more, see {RESULTS}")
    if absent:
        others = len(absent) - 1
        more = f"; {others:,} more {'is' if others == 1 else 'are'} not there, see {RESULTS}"
        lines.append(f"left out: {absent[0].reason}{more if others else ''}")
    return lines


def _summary(args: Namespace, result: "ConversionResult") -> list[str]:
    """Tell what was converted, what was not, and what that means for tests."""
    lines = reasons(result.left_out)
    lines.append(
        f"{args.out}: {result.converted:,} video{'s'[: result.converted != 1]} converted, "
        f"{result.frames:,} frames, {result.seconds:.0f} s; {result.present:,} were there, "
        f"{len(result.left_out):,} left out"
    )
    splits = result.splits.items()
    lines += [
        f"  {args.out / split}: {count:,} episode{'s'[: count != 1]}"
        for split, count in splits
        if count
    ]
    return lines + _untested(args)


def _untested(args: Namespace) -> list[str]:
    """Say so where the paper's test set cannot be drawn from what is there."""
    from srvp_world.benchmark.protocols import PROTOCOLS, open_clips

    try:
        open_clips(PROTOCOLS[args.name], args.out)
    except DataError as error:
        return [f"note: {error}"]
    return []


def _kept(args: Namespace, command: str) -> str:
    count = len(list(args.out.glob("*/*-part000.safetensors")))
    if not count:
        return "nothing was converted; start again with the same command"
    return f"{args.out} keeps {count:,} episodes; go on with `{command}`"


CONVERT = Verb(
    summary="Turn the raw videos of KTH, BAIR or Human3.6M into data sets, as the paper does.",
    examples=(
        "kth raw/kth --out data/kth",
        "bair raw/bair --out data/bair",
        "human36m raw/human36m --out data/human36m --workers 8",
    ),
    configure=_configure,
    run=_run,
    kept=_kept,
)
