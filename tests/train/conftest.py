"""Fits of a tiny model."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import PIXELS, Tiny, make_batch

from srvp_world.config import TrainConfig
from srvp_world.train.fit import FitResult, fit
from srvp_world.world import Batch


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
