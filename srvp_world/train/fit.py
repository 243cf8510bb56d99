"""One training loop for every model and every data set."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NoReturn

from torch import Tensor
from tqdm import tqdm

from srvp_world.config import TrainConfig
from srvp_world.errors import ConfigError, OutputError
from srvp_world.train.distributed import Processes
from srvp_world.train.log import Logger
from srvp_world.train.snapshot import BEST, LAST
from srvp_world.train.stream import held_interrupts, prefetched
from srvp_world.train.trainer import Trainer, learning_rate
from srvp_world.world import Batch, Trainable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a fit came to.

    Attributes:
        iterations: Updates of the model, those before resuming included.
        resumed_from: How many of them an earlier call had made: they are not in `seconds`.
        seconds: Wall time of this call.
        frames_per_second: Training frames per second of this call, validation and saving left out.
        terms: Loss of the last update (`total`) and its terms; empty if nothing was left to do.
        best: Best validation, whose weights are in `best.safetensors`; None without one.
            Only the first of several processes validates, and knows.
    """

    iterations: int
    resumed_from: int
    seconds: float
    frames_per_second: float
    terms: dict[str, float]
    best: float | None


def fit(
    model: Trainable,
    batches: Callable[[int], Batch],
    config: TrainConfig,
    run: Path,
    *,
    validation: Sequence[Batch] = (),
    context: int = 2,
    resume: bool = False,
    progress: bool = True,
    processes: Processes | None = None,
) -> FitResult:
    """Fit a model, and leave logs, `last.safetensors` and `best.safetensors` in a run folder.

    All noise comes from the seed and the iteration, so a resumed fit goes on as if it had never
    stopped: bit for bit on a CPU. Ctrl-C or SIGTERM saves after the update that is under way.

    Args:
        model: An `nn.Module` on its device; left in evaluation mode.
        batches: Gives the batch of an iteration, the same whenever it is asked; called in a thread.
            Where there are several processes, gives this one's rows of it.
        config: How to fit.
        run: Folder of the run.
        validation: Batches that are not trained on.
        context: Frames watched before the open-loop prediction of a validation.
        resume: Whether to go on from the folder's last snapshot.
        progress: Whether to show a progress bar.
        processes: Who shares the training; None means that this process trains alone.

    Raises:
        TrainError: If the loss or the weights are not finite any more; the last snapshot stays.
        OutputError: If the folder cannot be written, or holds a run that is not to be resumed.
        WorldFileError: If there is no whole snapshot of this model to resume from.
        ConfigError: If the configuration differs from the one of the run to resume, or processes
            cannot share a batch evenly.
    """
    started = perf_counter()
    processes = processes or Processes()
    with processes.together():
        processes.shard.rows(config.batch_size)
        _check(run, validation, context, resume)
    trainer = Trainer(model, config, run, validation, context, processes)
    if resume:
        trainer.restore()
    resumed_from = trainer.iteration
    with processes.together():
        logger = Logger(run, trainer.iteration) if processes.first else None
    with logger or nullcontext():
        clock = _run(trainer, batches, logger, progress)
    return FitResult(
        iterations=trainer.iteration,
        resumed_from=resumed_from,
        seconds=perf_counter() - started,
        frames_per_second=clock.rate(),
        terms=trainer.terms,
        best=trainer.best,
    )


class _Clock:
    """Counts frames, and the seconds in which they were trained on."""

    def __init__(self) -> None:
        self.frames = 0
        self.seconds = 0.0
        self._started = 0.0
        self._lap = (0, 0.0)

    def start(self) -> None:
        self._started = perf_counter()

    def stop(self) -> None:
        self.seconds += perf_counter() - self._started

    def rate(self) -> float:
        """Return the frames per second so far."""
        return self.frames / max(self.seconds, 1e-9)

    def lap(self) -> float:
        """Return the frames per second since the last lap."""
        frames, seconds = self._lap
        self._lap = (self.frames, self.seconds)
        return (self.frames - frames) / max(self.seconds - seconds, 1e-9)


def _run(
    trainer: Trainer, batches: Callable[[int], Batch], logger: Logger | None, progress: bool
) -> _Clock:
    """Make the updates that are left; on Ctrl-C save, unless it cut an update in half."""
    clock = _Clock()
    total = trainer.config.iterations
    processes = trainer.processes
    bar = tqdm(
        desc="train",
        total=total,
        initial=trainer.iteration,
        unit="update",
        dynamic_ncols=True,
        disable=not (progress and processes.first),
    )
    left = range(trainer.iteration, total)
    # A launcher may pass a signal on to processes that have it already, and ends those that stay.
    signals = held_interrupts(insistent=not processes.several)
    with bar, prefetched(batches, left, trainer.device) as stream, signals as interrupted:
        trainer.model.train()
        try:
            _make_up(trainer, logger)
            clock.start()
            for _ in left:
                with processes.together():
                    batch = next(stream)
                scalars = trainer.update(batch)
                bar.update()
                clock.frames += batch.valid.numel() * processes.shard.ranks
                if trainer.anything_due(trainer.iteration):
                    _follow_up(trainer, scalars, clock, logger, bar)
                if processes.total(interrupted()):
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if not trainer.updating:
                trainer.save()
                if processes.first:
                    _log.warning("stopped after update %d; --resume continues", trainer.iteration)
            raise
        finally:
            trainer.model.eval()
    clock.stop()
    return clock


def _follow_up(
    trainer: Trainer,
    scalars: dict[str, Tensor],
    clock: _Clock,
    logger: Logger | None,
    bar: "tqdm[NoReturn]",
) -> None:
    """Log, validate and save, each if it is due after an update."""
    config, iteration, processes = trainer.config, trainer.iteration, trainer.processes
    with processes.together():
        values = trainer.read(scalars)  # waits for the device, so that the clock tells the truth
    clock.stop()
    if logger and trainer.due(config.log_every, iteration):
        speed = clock.lap()
        named = {f"train/{name}": value for name, value in values.items()}
        named["train/learning_rate"] = learning_rate(config, iteration - 1)
        named["speed/frames_per_second"] = speed
        logger.scalars(named, iteration)
        bar.set_postfix_str(f"loss {values['total']:.4g}, {speed:.0f} frames/s")
    validating = trainer.validation and trainer.due(config.validate_every, iteration)
    if trainer.due(config.save_every, iteration) or validating:
        trainer.save()  # first, for a validation may take long, and not survive its end
    if validating:
        _validate(trainer, logger)
    clock.start()


def _make_up(trainer: Trainer, logger: Logger | None) -> None:
    """Validate the snapshot that a fit goes on from, where a kill came before that was done."""
    iteration = trainer.iteration
    due = iteration and trainer.due(trainer.config.validate_every, iteration)
    if not (due and trainer.validation):
        return
    with trainer.processes.together():
        missing = logger is not None and not logger.has("validation/total", iteration)
    if trainer.processes.total(missing):
        _validate(trainer, logger)


def _validate(trainer: Trainer, logger: Logger | None) -> None:
    """Validate, save where that is the best so far, and log it last, for that says it was done."""
    best, processes, iteration = trainer.best, trainer.processes, trainer.iteration
    with processes.together():
        result = trainer.validate() if logger else None
    if processes.total(trainer.best != best):
        trainer.save()
    with processes.together():
        if logger and result:
            logger.movie("validation/truth_and_prediction", result.movie, iteration)
            named = {f"validation/{name}": value for name, value in result.scalars.items()}
            logger.scalars(named, iteration)


def _check(run: Path, validation: Sequence[Batch], context: int, resume: bool) -> None:
    """Refuse what would lose a run, or could not be validated in the end."""
    held = [name for name in (LAST, BEST) if (run / name).exists()]
    if held and not resume:
        way_on = "continue it with --resume, or " if LAST in held else ""
        raise OutputError(
            f"{run} already holds a training run ({held[0]}): {way_on}choose another folder"
        )
    for batch in validation:
        length = batch.frames.shape[1]
        if not 1 <= context < length:
            raise ConfigError(
                f"context is {context} but must be in [1, {length - 1}] for validation clips of "
                f"{length} frames: watch fewer frames or validate on longer clips"
            )
