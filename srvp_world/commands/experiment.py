"""`srvp-world experiment`: the paper's experiments, each with a picture and a number."""

import argparse
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from srvp_world.commands.parser import Parser, overridden
from srvp_world.commands.verb import RESULTS, Verb, group, nothing_kept, world_file
from srvp_world.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from srvp_world.benchmark.protocols import Clips, Protocol
    from srvp_world.checkpoint import World

VIDEOS = 100
SAMPLES = 10
FRAMES = 15  # of clips whose states are mixed: as long as those of training


class Measured(NamedTuple):
    """What an experiment leaves.

    Attributes:
        numbers: For `results.json`.
        protocol: How they were made.
        table: For people.
        picture: Name of the file.
    """

    numbers: Mapping[str, Any]
    protocol: Mapping[str, Any]
    table: str
    picture: str


def _world_flags(parser: Parser, *, many: bool = False) -> None:
    add = parser.add_argument
    if many:
        add("world", nargs="+", metavar="WORLD", help="world files, all in one picture")
    else:
        add("world", nargs=1, metavar="WORLD", help="world file")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where to leave results")
    add("--device", default="cpu", help="where to compute, such as cuda [%(default)s]")


def _clip_flags(parser: Parser, on: str, *, samples: str | None = None) -> None:
    """Add flags for test clips; those that are not given leave no trace."""
    add = parser.add_argument
    clips = "smmnist, mmnist, kth, human36m, bair, or a folder of episodes [%(default)s]"
    add("--on", default=on, metavar="WHAT", help=clips)
    add = parser.add_argument_group("clips", argument_default=argparse.SUPPRESS).add_argument
    add("--data", type=Path, metavar="FOLDER", help="test clips of kth, human36m and bair")
    add("--videos", type=int, metavar="N", help=f"test clips [{VIDEOS}; of a folder: all]")
    if samples:
        add("--samples", type=int, metavar="N", help=f"futures of each clip [{samples}]")
    add("--conditioning", type=int, metavar="FRAMES", help="frames that it watches [as the paper]")
    add("--horizon", type=int, metavar="FRAMES", help="frames after those [as the paper]")


def _seed_flag(parser: Parser, of: str) -> None:
    parser.add_argument("--seed", type=int, default=1, help=f"of {of} [%(default)s]")


def _frame_rate_flags(parser: Parser, arguments: Sequence[str]) -> None:
    _world_flags(parser)
    _clip_flags(parser, "smmnist", samples=str(SAMPLES))
    _seed_flag(parser, "all noise")


def _swap_flags(parser: Parser, arguments: Sequence[str]) -> None:
    _world_flags(parser)
    _clip_flags(parser, "smmnist")


def _interpolate_flags(parser: Parser, arguments: Sequence[str]) -> None:
    _world_flags(parser)
    add = parser.add_argument
    add("--videos", type=int, default=VIDEOS, metavar="N", help="pairs of clips [%(default)s]")
    add("--frames", type=int, default=FRAMES, metavar="N", help="of each clip [%(default)s]")
    digits = "in each clip; worlds mostly learnt from 2, but of 1 the centre is the digit's own"
    add("--digits", type=int, default=1, metavar="N", help=f"{digits} [%(default)s]")
    mix = "trajectory: of whole clips; start: of the last watched frame, then imagined"
    add("--mix", default="trajectory", metavar="WHAT", help=f"{mix} [%(default)s]")
    _seed_flag(parser, "digits and paths")


def _long_term_flags(parser: Parser, arguments: Sequence[str]) -> None:
    _world_flags(parser, many=True)
    _clip_flags(parser, "mmnist", samples=f"mmnist: 1, else {SAMPLES}")
    _seed_flag(parser, "all noise")


def _cost_flags(parser: Parser, arguments: Sequence[str]) -> None:
    _world_flags(parser)


def _runner(measure: Callable[[Namespace, list["World"]], Measured]) -> Callable[..., None]:
    """Make the `run` of a verb: load worlds, measure, leave results, print the table."""

    def run(args: Namespace, command: str) -> None:
        from srvp_world.benchmark.experiment import check_video_world
        from srvp_world.checkpoint import load
        from srvp_world.results import write_results

        if (args.out / RESULTS).exists():
            raise OutputError(f"{args.out} already holds {RESULTS}: choose another folder")
        worlds = [load(path, args.device) for path in args.world]
        for world in worlds:
            check_video_world(world)
        measured = measure(args, worlds)
        about = {"experiment": args.verb, "worlds": [world.fingerprint for world in worlds]}
        write_results(
            args.out / RESULTS,
            measured.numbers,
            command=command,
            protocol={**about, **measured.protocol},
            seed=getattr(args, "seed", None),
            device=args.device,
        )
        print(f"{measured.table}\n{args.out}: see {measured.picture} and {RESULTS}")

    return run


def _open(args: Namespace, worlds: Sequence["World"]) -> tuple["Clips", "Protocol"]:
    """Give the clips that are asked for, and how many of which frames are meant."""
    from srvp_world.benchmark.fitting import open_fitting
    from srvp_world.benchmark.protocols import PROTOCOLS, folder_protocol
    from srvp_world.commands.evaluate_video import clips_folder, is_video
    from srvp_world.data.files import make_folder

    if not is_video(args.on, "or give a folder of episodes"):
        raise ConfigError(f"--on {args.on!r} is a file: name a protocol or a folder of episodes")
    if args.on in PROTOCOLS:
        base = PROTOCOLS[args.on]
        base = replace(base, videos=VIDEOS, samples=min(base.samples, SAMPLES))
    else:
        base = replace(folder_protocol(Path(args.on)), samples=SAMPLES)
    folder = clips_folder(args.on, getattr(args, "data", None))
    protocol = overridden(base, args)
    clips = open_fitting(protocol, folder, [world.model.config for world in worlds])
    make_folder(args.out)
    return clips, protocol


def _about(clips: "Clips", protocol: "Protocol", **definitions: str) -> dict[str, Any]:
    from srvp_world.benchmark.experiment import DEFINITIONS

    return {
        **asdict(protocol),
        "videos": clips.count,
        "clips": clips.source,
        "definitions": DEFINITIONS | definitions,
    }


def _frame_rate(args: Namespace, worlds: list["World"]) -> Measured:
    from srvp_world.benchmark import frame_rate as this
    from srvp_world.benchmark.experiment import state_space_model

    model = state_space_model(worlds[0], this.WANTS)
    if model.config.dynamics != "residual":
        raise ConfigError(
            f"{model.config.dynamics!r} dynamics have no dt to divide: take a world with "
            "'residual' dynamics"
        )
    clips, protocol = _open(args, worlds)
    numbers = this.measure_frame_rate(
        worlds[0], clips, protocol, args.out, seed=args.seed, progress=not args.quiet
    )
    about = _about(clips, protocol, **this.DEFINITIONS)
    return Measured(numbers, about, this.frame_rate_table(numbers), this.PICTURE)


def _swap(args: Namespace, worlds: list["World"]) -> Measured:
    from srvp_world.benchmark import content_swap as this
    from srvp_world.benchmark.experiment import state_space_model

    state_space_model(worlds[0], this.WANTS)
    clips, protocol = _open(args, worlds)
    numbers = this.measure_swap(worlds[0], clips, protocol, args.out, progress=not args.quiet)
    about = _about(clips, replace(protocol, samples=1), **this.DEFINITIONS)
    return Measured(numbers, about, this.swap_table(numbers), this.PICTURE)


def _interpolate(args: Namespace, worlds: list["World"]) -> Measured:
    from srvp_world.benchmark import interpolation as this
    from srvp_world.benchmark.experiment import DEFINITIONS

    what = {"pairs": args.videos, "frames": args.frames, "digits": args.digits, "mix": args.mix}
    numbers = this.measure_interpolation(
        worlds[0], args.out, **what, seed=args.seed, progress=not args.quiet
    )
    about = {**what, "definitions": DEFINITIONS | this.DEFINITIONS}
    return Measured(numbers, about, this.interpolation_table(numbers), this.PICTURE)


def _shortest_names(files: Sequence[Path]) -> list[str]:
    """Call worlds by the last folders of their paths, by as many as tell them apart.

    Raises:
        ConfigError: If one is there twice.
    """
    if len(set(files)) < len(files):
        raise ConfigError(f"a world is named twice in {' '.join(map(str, files))}: name each once")
    deepest = max(len(file.parts) for file in files)
    for depth in range(2, deepest + 1):
        names = [Path(*file.parts[-depth:]).as_posix() for file in files]
        folders = [Path(*file.parts[-depth:-1]).as_posix() for file in files]
        for each in (folders, names):
            if len(set(each)) == len(each):
                return each
    raise AssertionError("paths that differ have different parts")


def _long_term(args: Namespace, worlds: list["World"]) -> Measured:
    from srvp_world.benchmark import long_term as this
    from srvp_world.commands.evaluate_video import trained_frames

    names = _shortest_names([world_file(path).resolve() for path in args.world])
    clips, protocol = _open(args, worlds)
    trained = dict(zip(names, map(trained_frames, args.world), strict=True))
    numbers = this.measure_long_term(
        dict(zip(names, worlds, strict=True)),
        trained,
        clips,
        protocol,
        args.out,
        seed=args.seed,
        progress=not args.quiet,
    )
    about = _about(clips, protocol, **this.DEFINITIONS)
    return Measured(numbers, about, this.long_term_table(numbers), this.PICTURE)


def _cost(args: Namespace, worlds: list["World"]) -> Measured:
    from srvp_world.benchmark import imagination_cost as this

    numbers = this.measure_cost(worlds[0], args.out, progress=not args.quiet)
    about = {"definitions": this.DEFINITIONS}
    return Measured(numbers, about, this.cost_table(numbers), this.PICTURE)


_WORLD = "runs/smmnist/world.safetensors"

EXPERIMENT = group(
    "Repeat the paper's experiments with a world: a picture and a number each.",
    {
        "frame-rate": Verb(
            summary="Predict at dt, dt/2 and dt/4, and look at what lies between the frames.",
            examples=(f"{_WORLD} --out runs/frame-rate",),
            configure=_frame_rate_flags,
            run=_runner(_frame_rate),
            kept=nothing_kept,
        ),
        "swap": Verb(
            summary="Show the content of one clip with the dynamics of another.",
            examples=(f"{_WORLD} --out runs/swap",),
            configure=_swap_flags,
            run=_runner(_swap),
            kept=nothing_kept,
        ),
        "interpolate": Verb(
            summary="Mix the dynamics of two clips and measure where digits are.",
            examples=(f"{_WORLD} --digits 2 --out runs/interpolate",),
            configure=_interpolate_flags,
            run=_runner(_interpolate),
            kept=nothing_kept,
        ),
        "long-term": Verb(
            summary="Predict far past the length of training clips, with several worlds.",
            examples=(
                "runs/mmnist/world.safetensors runs/svg/world.safetensors --out runs/long-term",
            ),
            configure=_long_term_flags,
            run=_runner(_long_term),
            kept=nothing_kept,
        ),
        "cost": Verb(
            summary="Time an imagined frame beside autoregressive SVG.",
            examples=(f"{_WORLD} --out runs/cost",),
            configure=_cost_flags,
            run=_runner(_cost),
            kept=nothing_kept,
        ),
    },
)
