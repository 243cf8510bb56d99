"""Diagonal Gaussians as the paper's networks give them."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from srvp_world.world import WHOLE, Shard


class Gaussian(NamedTuple):
    """A diagonal normal distribution.

    Attributes:
        mean: (..., d).
        std: (..., d), positive.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def from_raw(cls, raw: Tensor) -> "Gaussian":
        """Read a network's (..., 2 d) output: the mean, then the scale before softplus."""
        mean, scale = raw.chunk(2, dim=-1)
        return cls(mean, softplus(scale) + 1e-8)

    @classmethod
    def nothing(cls, like: Tensor) -> "Gaussian":
        """Give the distribution of no number at all, with the other axes of a tensor."""
        return cls(like[..., :0], like[..., :0])

    def sample(self, generator: torch.Generator | None = None, shard: Shard = WHOLE) -> Tensor:
        """Draw a reparametrised sample, with the noise of a shard's rows."""
        noise = shard.draw(torch.randn, self.mean.shape, generator, self.mean.device)
        return self.mean + self.std * noise

    def draw(
        self, sample: bool, generator: torch.Generator | None = None, shard: Shard = WHOLE
    ) -> Tensor:
        """Draw a sample, or take the mean where `sample` is False."""
        return self.sample(generator, shard) if sample else self.mean

    def at(self, time: int) -> "Gaussian":
        """Take one time of (b, t, d)."""
        return Gaussian(self.mean[:, time], self.std[:, time])

    def kl(self, other: "Gaussian") -> Tensor:
        """Kullback-Leibler divergence from self to other, summed over the last axis."""
        ratio = (self.std / other.std).square()
        distance = ((self.mean - other.mean) / other.std).square()
        return (0.5 * (ratio + distance - 1 - ratio.log())).sum(-1)

    def kl_standard(self) -> Tensor:
        """Kullback-Leibler divergence to N(0, I), summed over the last axis."""
        return self.kl(Gaussian(torch.zeros_like(self.mean), torch.ones_like(self.std)))


def negative_log_likelihood(mean: Tensor, value: Tensor, std: float | Tensor) -> Tensor:
    """Elementwise -log N(value; mean, std^2), with its constant."""
    log_std = std.log() if isinstance(std, Tensor) else math.log(std)
    constant = log_std + 0.5 * math.log(2 * math.pi)
    return (value - mean).square() / (2 * std**2) + constant
