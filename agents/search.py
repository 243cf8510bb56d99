"""How planners search among sequences of actions: Gaussians for boxes, categoricals for choices.

A point is an action of a sequence as the search sees it: numbers in [-1, 1] for a box, indices of
choices otherwise. What a search believes is a tensor, so that the loop need not know which it is.
All rows of a batch share their random numbers: a row's plan never depends on its neighbours.
"""

from typing import Protocol

import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn.functional import one_hot

from srvp_world.spaces import ActionSpec


class Search(Protocol):
    """Proposes sequences of w components over t steps, and learns from those that did best."""

    def start(self, rows: int, warm: Tensor | None) -> Tensor:
        """Believe in all sequences (rows, t, w) alike, or rather in those near `warm`."""
        ...

    def centre(self, belief: Tensor) -> Tensor:
        """Give the points (b, t, w) that are believed in most."""
        ...

    def draw(self, belief: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """Draw points (b, samples, t, w)."""
        ...

    def refit(self, belief: Tensor, elites: Tensor, weights: Tensor) -> Tensor:
        """Move to the elites (b, e, t, w), of weights (b, e) that add up to 1."""
        ...

    def to_actions(self, points: Tensor) -> Tensor:
        """Give points (..., w) as actions (..., *shape) in the units of the space."""
        ...


class GaussianSearch:
    """A Gaussian for each number of a box at each step; it believes in (mean, std), (2, b, t, w).

    Its noise has the power spectrum f^-colour over time: 0 is white, and with 2 actions wander.
    """

    def __init__(
        self,
        action: ActionSpec,
        horizon: int,
        *,
        std: float,
        min_std: float,
        momentum: float,
        colour: float,
        device: torch.device,
    ):
        """Search in a box; standard deviations are in units of half its width."""
        self._shape, self._horizon, self._width = action.shape, horizon, action.width
        self._std, self._min_std, self._momentum = std, min_std, momentum
        self._low, self._high = (torch.tensor(x, device=device) for x in (action.low, action.high))
        self._colour = noise_colour(horizon, colour).to(device)

    def start(self, rows: int, warm: Tensor | None) -> Tensor:
        """Believe in the middle of the box, or in `warm`, give or take a standard deviation."""
        mean = self._low.new_zeros(rows, self._horizon, self._width) if warm is None else warm
        return torch.stack([mean, torch.full_like(mean, self._std)])

    def centre(self, belief: Tensor) -> Tensor:
        """Give the means (b, t, w)."""
        return belief[0]

    def draw(self, belief: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """Draw points (b, samples, t, w), clipped to the box."""
        mean, std = belief[:, :, None]
        shape = (samples, self._horizon, self._width)
        white = torch.randn(shape, generator=generator, device=mean.device)
        noise = einsum(self._colour, white, "t s, n s w -> n t w")
        points: Tensor = (mean + std * noise).clamp(-1, 1)
        return points

    def refit(self, belief: Tensor, elites: Tensor, weights: Tensor) -> Tensor:
        """Move mean and standard deviation to those of the elites."""
        share = rearrange(weights, "b e -> b e 1 1")
        mean = (share * elites).sum(1)
        std = (share * (elites - mean[:, None]).square()).sum(1).sqrt()
        fitted = torch.lerp(torch.stack([mean, std]), belief, self._momentum)
        return torch.stack([fitted[0], fitted[1].clamp(min=self._min_std)])

    def to_actions(self, points: Tensor) -> Tensor:
        """Scale points (..., w) from [-1, 1] to the box."""
        scaled = torch.lerp(self._low, self._high, (points + 1) / 2).clamp(self._low, self._high)
        actions: Tensor = scaled.reshape(*points.shape[:-1], *self._shape)
        return actions


class CategoricalSearch:
    """A categorical for each choice at each step; it believes in probabilities (b, t, w, n).

    Bits are choices of two. Where choices have unlike numbers of options, those beyond are 0.
    """

    def __init__(
        self,
        action: ActionSpec,
        horizon: int,
        *,
        smoothing: float,
        momentum: float,
        device: torch.device,
    ):
        """Search among choices.

        Args:
            action: The space.
            horizon: Steps of a sequence.
            smoothing: Share of the uniform distribution in what is learnt.
            momentum: Share of what was believed before.
            device: Where to search.
        """
        self._single, self._horizon = action.kind == "discrete", horizon
        self._smoothing, self._momentum = smoothing, momentum
        options = torch.tensor(action.nvec, device=device)[:, None]
        exists = torch.arange(max(action.nvec), device=device) < options
        self._uniform = exists / options  # (w, n)

    def start(self, rows: int, warm: Tensor | None) -> Tensor:
        """Believe in all choices alike, or as much in `warm` as in all together."""
        uniform = self._uniform.expand(rows, self._horizon, *self._uniform.shape)
        if warm is None:
            return uniform
        return (uniform + one_hot(warm, self._uniform.shape[1])) / 2

    def centre(self, belief: Tensor) -> Tensor:
        """Give the likeliest choices (b, t, w)."""
        return belief.argmax(-1)

    def draw(self, belief: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """Draw points (b, samples, t, w)."""
        shape = (samples, *belief.shape[1:])
        waits = torch.empty(shape, device=belief.device).exponential_(generator=generator)
        waits = waits.clamp(min=torch.finfo(waits.dtype).tiny)  # 0 / 0 would be an option too
        return (waits / belief[:, None]).argmin(-1)  # of exponential clocks, the first to ring

    def refit(self, belief: Tensor, elites: Tensor, weights: Tensor) -> Tensor:
        """Move to how often the elites chose what."""
        chosen = one_hot(elites, self._uniform.shape[1]).float()
        shares = einsum(weights, chosen, "b e, b e t w n -> b t w n")
        fitted = torch.lerp(shares, belief, self._momentum)
        return torch.lerp(fitted, self._uniform.expand_as(fitted), self._smoothing)

    def to_actions(self, points: Tensor) -> Tensor:
        """Give choices (..., w) in the layout of the space."""
        return points[..., 0] if self._single else points


def softmax_weights(values: Tensor, temperature: float) -> Tensor:
    """Weigh elites (b, e) by their values, best first; the weights of a row add up to 1.

    Where even elites broke, and are worth -inf, the others alone count.

    Args:
        values: (b, e).
        temperature: In standard deviations of a row's values.
    """
    sound = values.where(values.isfinite(), torch.nan)
    mean = sound.nanmean(1, keepdim=True)
    spread = (sound - mean).square().nanmean(1, keepdim=True).sqrt().clamp(min=1e-6)
    behind = (values - values[:, :1]) / (temperature * spread)
    return behind.nan_to_num(nan=0.0, neginf=-torch.inf).softmax(1)  # NaN where all broke


def noise_colour(horizon: int, exponent: float) -> Tensor:
    """Give the (t, t) factor that turns white noise into noise of power f^-exponent and variance 1.

    The noise is a stretch of one twice as long and periodic, so that its ends do not meet.
    """
    period = 2 * horizon
    frequency = torch.arange(period, dtype=torch.float64)
    frequency = torch.minimum(frequency, period - frequency).clamp(min=1)
    correlation = torch.fft.ifft(frequency**-exponent).real
    steps = torch.arange(horizon)
    covariance = (correlation / correlation[0])[(steps[:, None] - steps).abs()]
    covariance += 1e-12 * torch.eye(horizon)  # or rounding would undo steep noise over long times
    factor: Tensor = torch.linalg.cholesky(covariance)
    return factor.float()
