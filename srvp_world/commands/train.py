"""`srvp-world train`: learn a world from a folder of episodes, or from Moving MNIST."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srvp_world.commands.parser import Parser, add_config_flags, overridden
from srvp_world.commands.verb import RESULTS, Verb, silenced
from srvp_world.errors import ConfigError, DataError, OutputError

if TYPE_CHECKING:
    from srvp_world.checkpoint import World
    from srvp_world.data.mnist import Digits
    from srvp_world.envs.learn import LearntWorld
    from srvp_world.kinds import AnyConfig
    from srvp_world.presets import Preset
    from srvp_world.train.distributed import Processes
    from srvp_world.train.run import RunConfig

MADE = ("smmnist", "mmnist")
SHIPPED = "shipped"


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    from srvp_world.presets import PRESETS, preset

    # The preset decides on the defaults that help shows, so it is looked up first.
    first = Parser(prog=parser.prog, add_help=False)
    first.add_argument("data", nargs="?")
    for flag in ("--preset", "--out", "--digits", "--init", "--device"):
        first.add_argument(flag)
    given = first.parse_known_args(arguments)[0]
    name = given.preset or _default_preset(given.data or "")
    chosen = preset(name)
    parser.usage = f"{parser.prog} DATA --out RUN [options]"  # there are more than one can list
    add = parser.add_argument
    add("data", metavar="DATA", help="folder of episodes, or smmnist or mmnist (Moving MNIST)")
    add("--out", type=Path, required=True, metavar="RUN", help="run folder")
    add("--preset", help=f"what to begin with: {', '.join(PRESETS)} [{name}]")
    digits = f"folder with all 60,000 digits of MNIST, or {SHIPPED!r} for the 10,000 that ship"
    add("--digits", metavar="FOLDER", help=f"{digits} [{SHIPPED}, but for the paper's presets]")
    add("--init", metavar="WORLD", help="begin with the weights of a world [random ones]")
    add("--resume", action="store_true", help="go on from the run's last checkpoint")
    live = "see episodes that are recorded meanwhile, and do without those deleted; such a run "
    add("--live", action="store_true", help=live + "cannot be repeated batch by batch")
    add("--device", default="cpu", help="where to train, such as cuda [%(default)s]")
    add_config_flags(parser, f"training ({name})", chosen.train)
    follows_data = ("frame_size", "channels", "vector_dim", "reward", "continuation")
    add_config_flags(parser, f"model ({name})", chosen.model, skip=follows_data)
    add_config_flags(parser, f"objective ({name})", chosen.model.objective)


def _run(args: Namespace, command: str) -> None:
    from srvp_world.checkpoint import load
    from srvp_world.data.info import DESCRIPTION
    from srvp_world.train.distributed import distributed
    from srvp_world.train.run import holds_run

    if any((args.out / part / DESCRIPTION).exists() for part in ("", "train")):
        raise OutputError(f"{args.out} holds a data set: choose another folder for the run")
    # After Ctrl-C, `_kept` says more than the warning of the fit.
    with distributed(args.device) as processes, silenced("srvp_world.train.fit"):
        with processes.together():
            source = _open(args, processes)
            init = None if args.init is None else load(args.init)
            plan = _plan(args, source, init)
            if processes.first and not holds_run(args.out):
                plan.save(args.out)
        learnt = source.learn(
            plan.model,
            plan.train,
            args.out,
            init=init,
            resume=args.resume,
            progress=not args.quiet,
            processes=processes,
        )
        if processes.first:
            _finish(learnt, plan, args, command, processes)


def _finish(
    learnt: "LearntWorld", plan: "RunConfig", args: Namespace, command: str, processes: "Processes"
) -> None:
    """Save the world, write down how the run went, and say so."""
    from srvp_world.results import write_results

    plan.save(args.out)
    fit, batch_size = learnt.fit, plan.train.batch_size
    clips = plan.clips_before + fit.iterations * batch_size
    training = {**plan.as_json(), "clips_seen": clips}
    world = learnt.world.with_measured(training=training)
    path = world.save(args.out / "world.safetensors")
    write_results(
        args.out / RESULTS,
        vars(fit),
        command=command,
        protocol={
            **plan.as_json(),
            "folder": args.data,
            "resumed": args.resume,
            "live": args.live,
            "processes": processes.shard.ranks,
        },
        seed=plan.train.seed,
        device=str(processes.device),
    )
    best = "none" if fit.best is None else f"{fit.best:.4g}"
    before = f" ({fit.resumed_from} of them before)" if fit.resumed_from else ""
    print(
        f"{path}: {fit.iterations} updates{before}, {fit.seconds:.1f} s, "
        f"{fit.frames_per_second:.0f} frames/s, best validation {plan.train.select} {best}"
    )


@dataclass(frozen=True)
class _Source:
    """What there is to learn from.

    Attributes:
        learn: Fits a model of a given shape to it.
        follow: Lets the shape of a model follow it.
        about: Fields of the run's description.
    """

    learn: "Callable[..., LearntWorld]"
    follow: "Callable[[AnyConfig], AnyConfig]"
    about: dict[str, Any]


def _open(args: Namespace, processes: "Processes") -> _Source:
    from srvp_world.data.check import check_alike, check_values
    from srvp_world.data.dataset import Dataset
    from srvp_world.data.moving_mnist import FRAME, STOCHASTIC
    from srvp_world.envs.learn import fit_to_data, learn_moving_mnist, learn_world

    if args.data in MADE and args.live:
        raise ConfigError(f"--live is for a folder of episodes, not for {args.data}: leave it out")
    if args.data in MADE:
        digits = _digits(args)
        return _Source(
            learn=partial(learn_moving_mnist, digits, stochastic=STOCHASTIC[args.data]),
            follow=partial(replace, frame_size=FRAME, channels=1),
            about={"data": f"{args.data}: {digits.source}"},
        )
    if args.digits is not None:
        raise ConfigError(
            f"--digits is for {' and '.join(MADE)}, not for {args.data}: leave it out"
        )
    folder, apart = _folder(Path(args.data)), Path(args.data) / "validation"
    data = Dataset.open(folder, live=args.live)
    held_out = Dataset.open(apart) if folder.parent == apart.parent and apart.is_dir() else None
    base = _base(args)[2]
    if getattr(args, "frames_only", base.train.frames_only):
        data = data.frames_only()
        held_out = None if held_out is None else held_out.frames_only()
    for part in filter(None, (data, held_out)):  # before there is a run folder
        check_alike(part.info, data.info, part.folder)
        check_values(part, progress=not args.quiet and processes.first)
    return _Source(
        learn=partial(learn_world, data, held_out=held_out),
        follow=partial(fit_to_data, data=data),
        # What a live folder holds is not what a run is made of: it may resume with other episodes.
        about={}
        if args.live
        else {"episodes": len(data.episodes), "transitions": data.transitions},
    )


def _digits(args: Namespace) -> "Digits":
    """Find the digits that move: the paper's presets want all of them, unless told otherwise."""
    from srvp_world.data.mnist import all_digits, shipped_digits
    from srvp_world.presets import preset

    name = args.preset or _default_preset(args.data)
    if args.digits is None and preset(name).every_digit and not args.resume:
        raise ConfigError(
            f"preset {name!r} wants all 60,000 digits: get them with `srvp-world data download "
            "mnist --out FOLDER` and give --digits FOLDER, or take the 10,000 with "
            f"--digits {SHIPPED}"
        )
    if args.digits in (None, SHIPPED):
        return shipped_digits()
    return all_digits(Path(args.digits))


def _folder(folder: Path) -> Path:
    """Give the data set to train on: the folder, or its part `train` where it is split."""
    from srvp_world.data.info import DESCRIPTION

    part = folder / "train"
    return part if (part / DESCRIPTION).exists() and not (folder / DESCRIPTION).exists() else folder


def _default_preset(data: str) -> str:
    """Choose by what there is to learn from; mistakes are told where it is opened."""
    from srvp_world.data.info import read_info

    if data in MADE:
        return f"{data}-small"
    try:
        return "control" if read_info(_folder(Path(data))).action else "video-small"
    except DataError:
        return "control"


def _base(args: Namespace) -> "tuple[str, RunConfig | None, RunConfig | Preset]":
    """Give the name of the preset, the run to be resumed, and which of them flags change."""
    from srvp_world.presets import preset
    from srvp_world.train.run import read_run

    stored = read_run(args.out) if args.resume else None
    name = args.preset or (stored.preset if stored else _default_preset(args.data))
    return name, stored, stored or preset(name)


def _plan(args: Namespace, source: _Source, init: "World | None") -> "RunConfig":
    """Put preset, or run to be resumed, and flags together."""
    from srvp_world.envs.learn import check_same_shape
    from srvp_world.kinds import kind_of
    from srvp_world.train.run import RunConfig

    name, stored, base = _base(args)
    if init and kind_of(init.model.config) != kind_of(base.model):
        raise ConfigError(
            f"--init {args.init} is a world of kind {kind_of(init.model.config)!r}, but preset "
            f"{name!r} is of kind {kind_of(base.model)!r}: choose a --preset of the same kind"
        )
    if "iterations" in args and "decay" not in args and not stored:
        args.decay = min(base.train.decay, args.iterations)  # short runs decay all the way
    # The kinds are the same, as are the objectives', but for mypy.
    shape: Any = base.model
    if init is not None:
        shape = replace(init.model.config, objective=shape.objective)
    objective = overridden(shape.objective, args)
    fingerprint, clips = (stored.init, stored.clips_before) if stored else ("", 0)
    if init:
        fingerprint = init.fingerprint
        clips = init.measured.get("training", {}).get("clips_seen", 0)
    plan = RunConfig(
        preset=name,
        model=source.follow(replace(overridden(shape, args), objective=objective)),
        train=overridden(base.train, args),
        init=fingerprint,
        clips_before=clips,
        **source.about,
    )
    if init:
        check_same_shape(plan.model, init)
    if stored:
        plan.check_continues(stored, args.out)
    return plan


def _kept(args: Namespace, command: str) -> str:
    from srvp_world.train.snapshot import LAST

    last = args.out / LAST
    if not last.exists():
        return "nothing was saved yet; start again with the same command"
    resume = "" if args.resume else " --resume"
    return f"{last} is kept; go on with `{command}{resume}`"


TRAIN = Verb(
    summary="Learn a world from a folder of episodes, or from Moving MNIST.",
    examples=(
        "data --out runs/pendulum",
        "data --out runs/long --iterations 10000 --filters 16 --observation-std 0.2",
        "data --out runs/pendulum --resume",
        "data --out runs/pendulum --live",
        "smmnist --out runs/smmnist --iterations 20000 --decay 10000",
        "smmnist --preset smmnist-small-gru --out runs/gru",
        "smmnist --preset svg-smmnist-small --out runs/svg",
        "smmnist --preset smmnist --digits mnist --out runs/paper --device cuda",
    ),
    configure=_configure,
    run=_run,
    kept=_kept,
)
