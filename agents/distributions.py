"""What the output of a policy network means: distributions over the actions of a space.

Outputs are (..., outputs) with any leading axes, and actions (..., *shape) in the space's own units
and layout, so one call draws for a batch or for a whole rollout.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from srvp_world.spaces import ActionSpec

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0  # of squashed Gaussians, as in SB3's SAC
_NODES = 32  # entropies are right to 0.002 nats up to deviations of e, to 0.1 at the largest


class Distribution(Protocol):
    """A distribution over actions for every row of a network's output."""

    @property
    def mode(self) -> Tensor:
        """The action to take where nothing is to be drawn."""
        ...

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw actions; those of boxes can be differentiated."""
        ...

    def log_prob(self, actions: Tensor) -> Tensor:
        """Give the log-likelihood (...) of actions, in nats."""
        ...

    def entropy(self) -> Tensor:
        """Give the entropy (...), in nats."""
        ...


@dataclass(frozen=True, eq=False)
class ClippedGaussian:
    """A Gaussian in a box's own units, clipped to its bounds, as PPO's.

    As there, likelihood and entropy are those of the Gaussian before it is clipped.
    """

    mean: Tensor
    log_std: Tensor
    action: ActionSpec

    @property
    def mode(self) -> Tensor:
        """The mean, clipped."""
        return self._clip(self.mean)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw, and clip; where a draw was clipped there is no gradient."""
        return self._clip(self.mean + self.log_std.exp() * _normal(self.mean, generator))

    def log_prob(self, actions: Tensor) -> Tensor:
        """Give the density of the Gaussian at the actions."""
        values = actions.reshape(self.mean.shape)
        return _gaussian_log_prob(values, self.mean, self.log_std).sum(-1)

    def entropy(self) -> Tensor:
        """Give the entropy of the Gaussian."""
        return _gaussian_entropy(self.log_std.expand_as(self.mean)).sum(-1)

    def _clip(self, values: Tensor) -> Tensor:
        clipped = values.clamp(*_bounds(self.action, values.device))
        return clipped.reshape(*values.shape[:-1], *self.action.shape)


@dataclass(frozen=True, eq=False)
class SquashedGaussian:
    """A Gaussian whose draws a tanh squashes and scales into a box, as SAC's."""

    mean: Tensor
    log_std: Tensor
    action: ActionSpec

    @property
    def mode(self) -> Tensor:
        """The mean, squashed."""
        return self._squash(self.mean)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw, and squash."""
        return self._squash(self.mean + self.log_std.exp() * _normal(self.mean, generator))

    def log_prob(self, actions: Tensor) -> Tensor:
        """Give the density at the actions; on a bound, that of a hair inside."""
        low, high = _bounds(self.action, actions.device)
        unit = (actions.reshape(self.mean.shape) - low) / (high - low) * 2 - 1
        edge = 1 - torch.finfo(unit.dtype).eps
        before = unit.clamp(-edge, edge).atanh()
        likelihood = _gaussian_log_prob(before, self.mean, self.log_std)
        return (likelihood - _log_slope(before) - ((high - low) / 2).log()).sum(-1)

    def entropy(self) -> Tensor:
        """Give the entropy, by quadrature: what a tanh does to a Gaussian has no closed form."""
        low, high = _bounds(self.action, self.mean.device)
        nodes, weights = _quadrature(self.mean.device)
        points = self.mean[..., None] + self.log_std.exp()[..., None] * nodes
        squashed = (_log_slope(points) * weights).sum(-1) + ((high - low) / 2).log()
        return (_gaussian_entropy(self.log_std) + squashed).sum(-1)

    def _squash(self, values: Tensor) -> Tensor:
        low, high = _bounds(self.action, values.device)
        scaled = (low + (values.tanh() + 1) / 2 * (high - low)).clamp(low, high)  # rounding
        return scaled.reshape(*values.shape[:-1], *self.action.shape)


@dataclass(frozen=True, eq=False)
class Choices:
    """A categorical for each component of a discrete or multidiscrete space."""

    logits: Tensor
    action: ActionSpec

    @cached_property
    def _log_probs(self) -> list[Tensor]:
        parts = torch.split(self.logits, list(self.action.nvec), dim=-1)
        return [part.log_softmax(-1) for part in parts]

    @property
    def mode(self) -> Tensor:
        """The likeliest choices."""
        return self._join([part.argmax(-1) for part in self._log_probs])

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw choices, by a race of exponential clocks that no device has to wait for."""
        noise = torch.empty(self.logits.shape, device=generator.device)
        noise = noise.exponential_(generator=generator).to(self.logits.device).log()
        clocks = torch.split(noise, list(self.action.nvec), dim=-1)
        pairs = zip(self._log_probs, clocks, strict=True)
        return self._join([(part - clock).argmax(-1) for part, clock in pairs])

    def log_prob(self, actions: Tensor) -> Tensor:
        """Add up the log-likelihoods of the components' choices."""
        columns = (actions[..., None] if self.action.kind == "discrete" else actions).unbind(-1)
        pairs = zip(self._log_probs, columns, strict=True)
        chosen = [part.gather(-1, column[..., None])[..., 0] for part, column in pairs]
        return torch.stack(chosen).sum(0)

    def entropy(self) -> Tensor:
        """Add up the entropies of the components."""
        return torch.stack([-(part.exp() * part).sum(-1) for part in self._log_probs]).sum(0)

    def _join(self, columns: list[Tensor]) -> Tensor:
        return columns[0] if self.action.kind == "discrete" else torch.stack(columns, dim=-1)


@dataclass(frozen=True, eq=False)
class Bits:
    """A Bernoulli for each bit of a multibinary space."""

    logits: Tensor

    @property
    def mode(self) -> Tensor:
        """The likelier value of each bit."""
        return (self.logits > 0).long()

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw every bit."""
        level = torch.rand(self.logits.shape, generator=generator, device=generator.device)
        return (self.logits.sigmoid() > level.to(self.logits.device)).long()

    def log_prob(self, actions: Tensor) -> Tensor:
        """Add up the log-likelihoods of the bits."""
        return logsigmoid(torch.where(actions > 0, self.logits, -self.logits)).sum(-1)

    def entropy(self) -> Tensor:
        """Add up the entropies of the bits."""
        return (softplus(self.logits) - self.logits * self.logits.sigmoid()).sum(-1)


def distribution(output: Tensor, action: ActionSpec, log_std: Tensor | None = None) -> Distribution:
    """Read the output of a policy network.

    Args:
        output: (..., outputs): the logits of choices or bits; for a box the mean alone, beside a
            `log_std`, or mean and log standard deviation of a squashed Gaussian.
        action: What is to be chosen.
        log_std: Of a clipped Gaussian; None for a squashed one.
    """
    if action.kind == "multibinary":
        return Bits(output)
    if action.kind != "box":
        return Choices(output, action)
    if log_std is not None:
        return ClippedGaussian(output, log_std, action)
    mean, log_std = output.chunk(2, dim=-1)
    return SquashedGaussian(mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX), action)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers where the generator lies, and bring them to the network."""
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like.device)


def _gaussian_log_prob(value: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    scaled = (value - mean) / log_std.exp()
    return -scaled.square() / 2 - log_std - math.log(2 * math.pi) / 2


def _gaussian_entropy(log_std: Tensor) -> Tensor:
    return log_std + (1 + math.log(2 * math.pi)) / 2


def _log_slope(value: Tensor) -> Tensor:
    """Give the logarithm of the slope of tanh, which stays finite far out."""
    return 2 * (math.log(2) - value - softplus(-2 * value))


@lru_cache(maxsize=64)  # to make tensors takes longer than to use them, and a device has to wait
def _bounds(action: ActionSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give the bounds of a box as float32 (width,)."""
    with torch.inference_mode(False):  # what was made in it could never take part in a gradient
        return torch.tensor(action.low, device=device), torch.tensor(action.high, device=device)


@lru_cache(maxsize=8)
def _quadrature(device: torch.device) -> tuple[Tensor, Tensor]:
    """Give nodes and weights that average a function over a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    with torch.inference_mode(False):
        both = (torch.from_numpy(x).float() for x in (nodes, weights / weights.sum()))
        return tuple(value.to(device) for value in both)  # type: ignore[return-value]
