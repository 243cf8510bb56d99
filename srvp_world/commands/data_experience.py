"""`srvp-world data experience`: what others recorded becomes a data set."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import RESULTS, Verb
from srvp_world.errors import ConfigError

if TYPE_CHECKING:
    from srvp_world.data.foreign import ExperienceResult

CONVENTIONS = ("arrival", "departure", "dreamerv3")
COUNTS = ("episodes", "transitions", "present", "copies")
SHOWN = 10  # reasons why something was skipped


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="npz files of episodes and folders of them, folders of Minari data sets, and "
        "minari:ID for one of this machine; buffers of Stable-Baselines3 are imported in your "
        "program, by from_sb3(model, folder) of srvp_world.data.experience",
    )
    add("--out", type=Path, required=True, metavar="DATA", help="folder, new or to go on with")
    add("--size", type=int, help="height and width: 32, 64 or 128 [as it is, else 64]")
    add("--channels", type=int, help="1 makes grey, 3 colour [as it is]")
    crop = ("TOP", "LEFT", "HEIGHT", "WIDTH")
    add("--crop", type=int, nargs=4, metavar=crop, help="part of the image to keep [all]")
    add("--image", metavar="KEY", help="key of the image [the only one that there is]")
    keep = "key of numbers to keep beside the frames; more than once for more [vector]"
    add("--vector", metavar="KEY", action="append", help=keep)
    add("--no-vector", action="store_true", help="keep no numbers beside the frames")
    stack = "images stacked in the channels of one, of which the last is kept [%(default)s]"
    add("--stack", type=int, default=1, metavar="N", help=stack)
    rows = (
        "where an npz file has as many actions as frames: arrival: row t led to frame t "
        "(dreamerv3-torch); departure: action and reward of row t follow frame t (D4RL); "
        "dreamerv3: only the action follows [as the rows is_first tell, else none]"
    )
    add("--convention", choices=CONVENTIONS, help=rows)
    add(
        "--actions-lead-to-frames",
        dest="convention",
        action="store_const",
        const="arrival",
        help="the same as --convention arrival",
    )
    of_npz = "of npz files, where the values do not tell"
    pair = ("LOW", "HIGH")
    add("--action-bounds", type=float, nargs=2, metavar=pair, help=f"bounds of actions {of_npz}")
    add("--action-choices", type=int, metavar="N", help=f"number of choices {of_npz}")


def _run(args: Namespace, command: str) -> None:
    from srvp_world.config import to_json
    from srvp_world.data.experience import ExperienceConfig, open_sources
    from srvp_world.data.foreign import import_experience
    from srvp_world.results import write_results

    if args.vector and args.no_vector:
        raise ConfigError("--vector and --no-vector exclude each other: leave one out")
    config = ExperienceConfig(
        frame_size=args.size,
        channels=args.channels,
        crop=args.crop and tuple(args.crop),
        image=args.image,
        vector=() if args.no_vector else args.vector and tuple(args.vector),
        stack=args.stack,
    )
    sources = open_sources(
        args.sources, args.out, convention=args.convention, action_space=_action_space(args)
    )
    results = [
        import_experience(source, args.out, config, progress=not args.quiet) for source in sources
    ]
    numbers = _counts(results)
    skipped = [each for result in results for each in result.skipped]
    warnings = [warning for result in results for warning in result.warnings]
    notes = [note for result in results for note in result.notes]
    protocol = {**to_json(config), "sources": args.sources, "convention": args.convention}
    path = args.out / RESULTS
    if numbers["episodes"] or not path.exists():  # else it still tells how the episodes came here
        write_results(
            path,
            {
                **numbers,
                "skipped": [{"episode": name, "reason": reason} for name, reason in skipped],
                "warnings": warnings,
                "notes": notes,
            },
            command=command,
            protocol=protocol,
            seed=0,
            device="cpu",
        )
    print("\n".join(_summary(args.out, results)))


def _action_space(args: Namespace) -> Any:
    """Give the action space that the flags name; None where they name none."""
    import gymnasium as gym
    import numpy as np

    if args.action_choices is not None:
        if args.action_bounds:
            raise ConfigError("--action-bounds and --action-choices exclude each other")
        if args.action_choices < 2:
            raise ConfigError(f"--action-choices must be at least 2, got {args.action_choices}")
        return gym.spaces.Discrete(args.action_choices)
    if args.action_bounds is None:
        return None
    low, high = args.action_bounds
    if not -np.inf < low < high < np.inf:
        raise ConfigError(f"--action-bounds {low:g} {high:g} must be finite, and LOW the lower")
    return gym.spaces.Box(low, high, (), np.float32)


def _counts(results: "Sequence[ExperienceResult]") -> dict[str, int]:
    return {name: sum(getattr(result, name) for result in results) for name in COUNTS}


def _summary(out: Path, results: "Sequence[ExperienceResult]") -> list[str]:
    """Tell what was imported, what was not, and what may surprise."""
    reasons = [reason for result in results for _, reason in result.skipped]
    lines = [f"skipped: {reason}" for reason in reasons[:SHOWN]]
    if len(reasons) > SHOWN:
        lines.append(f"skipped: {len(reasons) - SHOWN:,} more")
    episodes, transitions, present, copies = _counts(results).values()
    doubled = f"{copies:,} cop{'y' if copies == 1 else 'ies'}"
    lines.append(
        f"{out}: {episodes:,} episode{'s'[: episodes != 1]} imported, {transitions:,} transitions; "
        f"{present:,} were there, {doubled}, {len(reasons):,} skipped"
    )
    lines += [f"warning: {warning}" for result in results for warning in result.warnings]
    return lines + [f"note: {note}" for result in results for note in result.notes]


def _kept(args: Namespace, command: str) -> str:
    count = len(list(args.out.glob("episode-*-part000.safetensors")))
    if not count:
        return "no episode was imported; start again with the same command"
    return f"{args.out} keeps {count} episodes; go on with `{command}`"


EXPERIENCE = Verb(
    summary="Turn episodes that others recorded, in npz files or Minari, into a data set.",
    examples=(
        "episodes --out data --size 64",
        "a.npz b.npz --out data --convention arrival --action-choices 4",
        "minari:my/pixels-v0 --out data --vector state",
        "log/train_eps --out data --image image --no-vector",
    ),
    configure=_configure,
    run=_run,
    kept=_kept,
)
