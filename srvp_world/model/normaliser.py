"""Statistics frozen in a world."""

import torch
from torch import Tensor, nn


class Normaliser(nn.Module):
    """Subtracts a mean and divides by a deviation, which are set once, from data, and saved."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: int):
        """Start as the identity on vectors of `size`."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    @torch.no_grad()
    def freeze(self, mean: Tensor, std: Tensor) -> None:
        """Set the statistics; a standard deviation of almost nothing counts as 1."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def forward(self, value: Tensor) -> Tensor:
        """Normalise (..., size)."""
        return (value - self.mean) / self.std

    def restore(self, value: Tensor) -> Tensor:
        """Undo the normalisation."""
        return value * self.std + self.mean
