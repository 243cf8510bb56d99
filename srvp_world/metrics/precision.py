"""Convolutions as exact as on a CPU, so that metrics do not depend on the device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_tf32() -> Iterator[None]:
    """Keep a GPU from rounding the inputs of convolutions to 10 bits, as PyTorch lets it."""
    cudnn = torch.backends.cudnn
    before, cudnn.allow_tf32 = cudnn.allow_tf32, False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before
