"""One training loop for every model and every data set."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NoReturn

from torch import Tensor
from tqdm import tqdm

from srvp_world.config import TrainConfig
from srvp_world.errors import ConfigError, OutputError
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
        seconds: Wall time of this call.
        frames_per_second: Training frames per second of this call, validation and saving left out.
        terms: Loss of the last update (`total`) and its terms; empty if nothing was left to do.
        best: Lowest validation total, whose weights are in `best.safetensors`; None without one.
    """

    iterations: int
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
) -> FitResult:
    """Fit a model, and leave logs, `last.safetensors` and `best.safetensors` in a run folder.

    All noise comes from the seed and the iteration, so a resumed fit goes on as if it had never
    stopped: bit for bit on a CPU. Ctrl-C saves after the update that is under way.

    Args:
        model: An `nn.Module` on its device; left in evaluation mode.
        batches: Gives the batch of an iteration, the same whenever it is asked; called in a thread.
        config: How to fit.
        run: Folder of the run.
        validation: Batches that are not trained on.
        context: Frames watched before the open-loop prediction of a validation.
        resume: Whether to go on from the folder's last snapshot.
        progress: Whether to show a progress bar.

    Raises:
        TrainError: If the loss or the weights are not finite any more; the last snapshot stays.
        OutputError: If the folder cannot be written, or holds a run that is not to be resumed.
        WorldFileError: If there is no whole snapshot of this model to resume from.
        ConfigError: If the configuration differs from the one of the run to resume.
    """
    started = perf_counter()
    _check(run, validation, context, resume)
    trainer = Trainer(model, config, run, validation, context)
    if resume:
        trainer.restore()
    with Logger(run, trainer.iteration) as logger:
        clock = _run(trainer, batches, logger, progress)
    return FitResult(
        iterations=trainer.iteration,
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
    trainer: Trainer, batches: Callable[[int], Batch], logger: Logger, progress: bool
) -> _Clock:
    """Make the updates that are left; on Ctrl-C save, unless it cut an update in half."""
    clock = _Clock()
    total = trainer.config.iterations
    bar = tqdm(
        desc="train",
        total=total,
        initial=trainer.iteration,
        unit="update",
        dynamic_ncols=True,
        disable=not progress,
    )
    left = range(trainer.iteration, total)
    with bar, prefetched(batches, left, trainer.device) as stream, held_interrupts() as interrupted:
        trainer.model.train()
        clock.start()
        try:
            for batch in stream:
                scalars = trainer.update(batch)
                bar.update()
                clock.frames += batch.frames.shape[0] * batch.frames.shape[1]
                if trainer.anything_due(trainer.iteration):
                    _follow_up(trainer, scalars, clock, logger, bar)
                if interrupted():
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if not trainer.updating:
                trainer.save()
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
    logger: Logger,
    bar: "tqdm[NoReturn]",
) -> None:
    """Log, validate and save, each if it is due after an update."""
    config, iteration = trainer.config, trainer.iteration
    values = trainer.read(scalars)  # waits for the device, so that the clock tells the truth
    clock.stop()
    if trainer.due(config.log_every, iteration):
        speed = clock.lap()
        named = {f"train/{name}": value for name, value in values.items()}
        named["train/learning_rate"] = learning_rate(config, iteration - 1)
        named["speed/frames_per_second"] = speed
        logger.scalars(named, iteration)
        bar.set_postfix_str(f"loss {values['total']:.4g}, {speed:.0f} frames/s")
    if trainer.validation and trainer.due(config.validate_every, iteration):
        result = trainer.validate()
        logger.scalars(
            {f"validation/{name}": value for name, value in result.scalars.items()}, iteration
        )
        logger.movie("validation/truth_and_prediction", result.movie, iteration)
    if trainer.due(config.save_every, iteration):
        trainer.save()
    clock.start()


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
