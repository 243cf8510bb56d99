"""`srvp-world train`: learn a world from a folder of episodes."""

import logging
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from srvp_world.commands.parser import Parser, add_config_flags, overridden
from srvp_world.commands.verb import RESULTS, Verb
from srvp_world.errors import OutputError

if TYPE_CHECKING:
    from srvp_world.data.dataset import Dataset
    from srvp_world.train.run import RunConfig

PRESET = "control"


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    from srvp_world.presets import preset

    # The preset decides on the defaults that help shows, so it is looked up first.
    first = Parser(prog=parser.prog, add_help=False)
    first.add_argument("--preset", default=PRESET)
    chosen = preset(first.parse_known_args(arguments)[0].preset)
    parser.usage = f"{parser.prog} DATA --out RUN [options]"  # there are more than one can list
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="folder of episodes")
    add("--out", type=Path, required=True, metavar="RUN", help="run folder")
    add("--preset", help=f"model, objective and training to begin with [{PRESET}]")
    add("--resume", action="store_true", help="go on from the run's last checkpoint")
    add("--device", default="cpu", help="where to train, such as cuda [%(default)s]")
    add_config_flags(parser, "training", chosen.train)
    follows_data = ("frame_size", "channels", "vector_dim", "reward", "continuation")
    add_config_flags(parser, "model", chosen.model, skip=follows_data)
    add_config_flags(parser, "objective", chosen.model.objective)


def _run(args: Namespace, command: str) -> None:
    from srvp_world.checkpoint import check_device
    from srvp_world.config import to_json
    from srvp_world.data.check import check_values
    from srvp_world.data.dataset import Dataset
    from srvp_world.data.info import DESCRIPTION
    from srvp_world.envs.learn import learn_world
    from srvp_world.results import write_results
    from srvp_world.train.run import holds_run

    data, out = Dataset.open(args.data), args.out
    if (out / DESCRIPTION).exists():
        raise OutputError(f"{out} holds a data set: choose another folder for the run")
    check_device(args.device)
    plan = _plan(args, data)
    check_values(data, progress=not args.quiet)  # before there is a run folder
    if not holds_run(out):
        plan.save(out)
    with _silenced("srvp_world.train.fit"):  # after Ctrl-C, `_kept` says more than its warning
        learnt = learn_world(
            data,
            plan.model,
            plan.train,
            out,
            resume=args.resume,
            progress=not args.quiet,
            device=args.device,
        )
    plan.save(out)
    path = learnt.world.save(out / "world.safetensors")
    fit = learnt.fit
    protocol = {**to_json(plan), "data": args.data, "resumed": args.resume}
    write_results(
        out / RESULTS,
        vars(fit),
        command=command,
        protocol=protocol,
        seed=plan.train.seed,
        device=args.device,
    )
    best = "none" if fit.best is None else f"{fit.best:.4g}"
    print(
        f"{path}: {fit.iterations} updates, {fit.seconds:.1f} s, "
        f"{fit.frames_per_second:.0f} frames/s, best validation loss {best}"
    )


@contextmanager
def _silenced(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _plan(args: Namespace, data: "Dataset") -> "RunConfig":
    """Put preset, or run to be resumed, and flags together."""
    from srvp_world.envs.learn import fit_to_data
    from srvp_world.presets import preset
    from srvp_world.train.run import RunConfig, read_run

    stored = read_run(args.out) if args.resume else None
    name = args.preset or (stored.preset if stored else PRESET)
    base = stored or preset(name)
    if "iterations" in args and "decay" not in args and not stored:
        args.decay = min(base.train.decay, args.iterations)  # short runs decay all the way
    objective = overridden(base.model.objective, args)
    plan = RunConfig(
        preset=name,
        model=fit_to_data(replace(overridden(base.model, args), objective=objective), data),
        train=overridden(base.train, args),
        episodes=len(data.episodes),
        transitions=data.transitions,
    )
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
    summary="Learn a world from a folder of episodes.",
    examples=(
        "data --out runs/pendulum",
        "data --out runs/long --iterations 10000 --filters 16 --observation-std 0.2",
        "data --out runs/pendulum --resume",
    ),
    configure=_configure,
    run=_run,
    kept=_kept,
)
