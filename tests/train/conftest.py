"""A tiny model that has all that makes resuming hard, and batches for it."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from srvp_world.config import TrainConfig
from srvp_world.train.fit import FitResult, fit
from srvp_world.world import Batch, Loss

LENGTH, SIZE = 5, 4
PIXELS = SIZE * SIZE


class Tiny(nn.Module):
    """A linear predictor of the next frame, with batch statistics and noise."""

    def __init__(self, pixels: int = PIXELS) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(pixels)
        self.linear = nn.Linear(pixels, pixels)
        self.before_loss: Callable[[], None] = lambda: None
        self.after_loss: Callable[[Tensor], Tensor] = lambda total: total
        self.calls = 0

    def predict(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        flat = rearrange(frames, "n c h w -> n (c h w)")
        noise = torch.randn(flat.shape, generator=generator)
        flat = self.linear(self.norm(flat)) + 0.1 * noise
        return rearrange(flat, "n (c h w) -> n c h w", c=1, h=SIZE)

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        self.calls += 1
        self.before_loss()
        past = rearrange(batch.frames[:, :-1], "b t c h w -> (b t) c h w")
        future = self.predict(past, generator)
        frames = rearrange(future, "(b t) c h w -> b t c h w", t=LENGTH - 1)
        error = (frames - batch.frames[:, 1:]).square().mean()
        size = self.linear.weight.square().mean()
        total = self.after_loss(error + 0.1 * size)
        prediction = torch.cat([batch.frames[:, :1], frames], dim=1).detach()
        return Loss(total, {"error": error.detach(), "size": size.detach()}, prediction)

    def preview(self, batch: Batch, context: int, generator: torch.Generator) -> Tensor:
        frames = list(batch.frames[:, :context].unbind(dim=1))
        while len(frames) < batch.frames.shape[1]:
            frames.append(self.predict(frames[-1], generator))
        return torch.stack(frames, dim=1)


def make_batch(iteration: int, rows: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(iteration)
    return Batch(
        frames=torch.rand(rows, LENGTH, 1, SIZE, SIZE, generator=generator),
        valid=torch.ones(rows, LENGTH, dtype=torch.bool),
        episode_start=torch.zeros(rows, dtype=torch.bool),
    )


@pytest.fixture
def make_tiny() -> Callable[..., Tiny]:
    def make(pixels: int = PIXELS) -> Tiny:
        torch.manual_seed(7)
        return Tiny(pixels)

    return make


@pytest.fixture
def batches() -> Callable[..., Batch]:
    return make_batch


@pytest.fixture
def config() -> TrainConfig:
    return TrainConfig(
        iterations=10,
        decay=4,
        learning_rate=1e-2,
        clip_norm=1.0,
        log_every=3,
        validate_every=4,
        save_every=2,
    )


@pytest.fixture
def run_fit(make_tiny, config: TrainConfig) -> Iterator[Callable[..., tuple[Tiny, FitResult]]]:
    """Fit a new tiny model; keyword arguments go to `fit`. Ctrl-C is as in a terminal."""

    def run(
        folder: Path,
        config: TrainConfig = config,
        model: Tiny | None = None,
        source: Callable[[int], Batch] = make_batch,
        **options: Any,
    ) -> tuple[Tiny, FitResult]:
        validation = [make_batch(1000), make_batch(1001)]
        options = {"progress": False, "validation": validation} | options
        model = model or make_tiny()
        return model, fit(model, source, config, folder, **options)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield run
    signal.signal(signal.SIGINT, previous)
