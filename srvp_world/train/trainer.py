"""A model and its optimizer: one update, one validation, one snapshot at a time."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from srvp_world.config import TrainConfig
from srvp_world.errors import TrainError, WorldFileError
from srvp_world.train.distributed import Processes, shared_loss
from srvp_world.train.snapshot import BEST, LAST, load_snapshot, save_snapshot, save_weights
from srvp_world.train.validate import Validation, validate
from srvp_world.world import Batch, Trainable

_TRAINING, _VALIDATION = 0, 1  # streams of noise
_CURE = "lower the learning rate, or clip the gradients with clip_norm"


class Trainer:
    """A model and its optimizer on their way through the iterations.

    Args:
        model: An `nn.Module` on its device.
        config: How to fit.
        run: Folder for `last.safetensors` and `best.safetensors`.
        validation: Batches that are not trained on.
        context: Frames watched before the open-loop prediction of a validation.
        processes: Who trains.

    Attributes:
        iteration: Updates done.
        best: Lowest loss or highest PSNR of the validations so far, as `config.select` says; only
            the first of several processes knows.
        terms: Loss and terms that were read last.
        updating: Whether an update is half done, so that there is no state to save.
    """

    def __init__(
        self,
        model: Trainable,
        config: TrainConfig,
        run: Path,
        validation: Sequence[Batch],
        context: int,
        processes: Processes,
    ) -> None:
        """Make the optimizer."""
        assert isinstance(model, nn.Module), f"fit needs an nn.Module, got {type(model).__name__}"
        # Saturated pixels give denormal gradients, with which a CPU takes seconds for one update.
        torch.set_flush_denormal(True)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster convolutions
        self.model = model
        self.config = config
        self.run = run
        self.validation = validation
        self.context = context
        self.processes = processes
        self.loss = shared_loss(model, processes)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.adam = torch.optim.Adam(self.parameters, lr=config.learning_rate, fused=True)
        self.generator = torch.Generator(self.device)
        self.iteration = 0
        self.best: float | None = None
        self.terms: dict[str, float] = {}
        self.updating = False

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Make one update; return its scalars without waiting for the device.

        Torch's own synchronised batch norm does wait, where several GPUs train together.
        """
        self.updating = True
        for group in self.adam.param_groups:
            group["lr"] = learning_rate(self.config, self.iteration)
        self.generator.manual_seed(_noise_seed(self.config.seed, _TRAINING, self.iteration))
        with self._autocast():
            loss = self.loss(batch, self.generator, self.processes.shard)
        self.adam.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        scalars = {"total": loss.total.detach(), **loss.terms}
        if self.config.clip_norm > 0 or self.anything_due(self.iteration + 1):
            # An infinite bound changes no gradient: it only measures.
            bound = self.config.clip_norm or math.inf
            scalars["gradient_norm"] = nn.utils.clip_grad_norm_(self.parameters, bound)
        self.adam.step()
        self.iteration += 1
        self.updating = False
        return scalars

    def anything_due(self, iteration: int) -> bool:
        """Say whether to log, validate or save after this many updates."""
        config = self.config
        cadences = (config.log_every, config.validate_every, config.save_every)
        return any(self.due(every, iteration) for every in cadences)

    def due(self, every: int, iteration: int) -> bool:
        """Say whether this many updates are a multiple of `every`, or all of them."""
        return iteration % every == 0 or iteration == self.config.iterations

    def read(self, scalars: dict[str, Tensor]) -> dict[str, float]:
        """Bring the scalars of an update to the host, at once: means over the processes.

        Raises:
            TrainError: If one of them is not finite.
        """
        stacked = self.processes.mean(torch.stack([value.float() for value in scalars.values()]))
        values = dict(zip(scalars, stacked.tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            listed = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise TrainError(
                f"the loss is not finite at update {self.iteration} ({listed}): {_CURE}"
            )
        self.terms = {name: value for name, value in values.items() if name != "gradient_norm"}
        return values

    def validate(self) -> Validation:
        """Validate in evaluation mode; save the weights if they are the best so far."""
        seed = _noise_seed(self.config.seed, _VALIDATION, 0)
        self.model.eval()
        try:
            with self._autocast():
                result = validate(
                    self.model,
                    self.validation,
                    self.context,
                    self.generator,
                    seed,
                    self.config.validation_samples,
                )
        finally:
            self.model.train()
        score = result.scalars["total" if self.config.select == "loss" else "psnr"]
        sign = 1 if self.config.select == "loss" else -1
        if math.isfinite(score) and (self.best is None or sign * score < sign * self.best):
            self.best = score
            save_weights(self.run / BEST, self.model)
        return result

    def save(self) -> None:
        """Let the first process write the snapshot to resume from.

        Raises:
            TrainError: If the weights are not finite; the last snapshot is kept.
            OutputError: If the file cannot be written.
        """
        with self.processes.together():
            if self.processes.first:
                self._write()

    def _write(self) -> None:
        if not torch.stack([p.detach().isfinite().all() for p in self.parameters]).all():
            raise TrainError(f"the weights are not finite after update {self.iteration}: {_CURE}")
        path = self.run / LAST
        save_snapshot(path, self.model, self.adam, self.iteration, self.config, self.best)

    def restore(self) -> None:
        """Go on from the snapshot.

        Raises:
            WorldFileError: If it is not there, broken or of another model, or if the folder is not
                the same for all processes.
            ConfigError: If it was trained otherwise.
        """
        path = self.run / LAST
        with self.processes.together():
            self.iteration, self.best = load_snapshot(path, self.model, self.adam, self.config)
        with self.processes.together():
            mean = self.processes.total(self.iteration) / self.processes.shard.ranks
            if mean != self.iteration:
                raise WorldFileError(
                    f"{path} is after update {self.iteration} here and after others elsewhere: "
                    "give all processes the same run folder"
                )

    def _autocast(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)


def learning_rate(config: TrainConfig, iteration: int) -> float:
    """Compute the learning rate of update `iteration` (from 0): constant, then linear down to 0.

    It would be 0 right after the last update. The original is one update ahead in its decay, which
    makes its last update an idle one.
    """
    left = config.iterations - iteration
    return config.learning_rate * min(1.0, left / max(config.decay, 1))


def _noise_seed(seed: int, stream: int, iteration: int) -> int:
    """Mix three numbers into one, so that no two streams or iterations share their noise."""
    words = np.random.SeedSequence([seed % 2**63, stream, iteration])
    return int(words.generate_state(1, np.uint64)[0])
