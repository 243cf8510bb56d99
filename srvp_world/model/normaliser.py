"""Statistics frozen in a world."""

import torch
from torch import Tensor, nn


class Normaliser(nn.Module):
    """Subtracts a mean and divides by a deviation, which are set once, from data, and saved."""

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, size: int):
        """Start as the identity on vectors of `size`."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        largest = torch.finfo(torch.float32).max
        self.register_buffer("low", torch.full((size,), -largest))
        self.register_buffer("high", torch.full((size,), largest))

    @torch.no_grad()
    def freeze(self, mean: Tensor, std: Tensor) -> None:
        """Set the statistics; what is constant counts as spread over its own size, or over 1."""
        usual = torch.where(mean.abs() > 1e-6, mean.abs(), torch.ones_like(mean))
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, usual))

    @property
    def size(self) -> Tensor:
        """How large values are, (size,): the root of their mean square.

        What learns sums of values divides by it. Where all are nearly the same, as where each step
        pays 1, their deviation would make them huge.
        """
        return (self.mean.square() + self.std.square()).sqrt()

    @torch.no_grad()
    def bound(self, low: Tensor, high: Tensor) -> None:
        """Set the range that restored values stay in: what lies beyond was never seen."""
        self.low.copy_(low)
        self.high.copy_(high)

    def forward(self, value: Tensor) -> Tensor:
        """Normalise (..., size)."""
        return (value - self.mean) / self.std

    def restore(self, value: Tensor) -> Tensor:
        """Undo the normalisation, within the bounds."""
        return torch.addcmul(self.mean, value, self.std).clamp(self.low, self.high)
