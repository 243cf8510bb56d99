"""Metrics that compare one frame with another.

Evaluation compares many predictions with one truth: `Metric.against` takes the truth once, and
whatever depends on it alone is computed once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor

PSNR_LIMIT = 100.0  # decibels, of a mean squared error of 1e-10

_WINDOW = 11
_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2

Comparison = Callable[[Tensor], Tensor]  # predictions (..., c, h, w) -> scores (...)


def psnr(a: Tensor, b: Tensor, limit: float = math.inf) -> Tensor:
    """Compute the peak signal-to-noise ratio in decibels: per channel, then their mean.

    So the paper reports it. The ratio of an error pooled over channels is smaller in colour.

    Args:
        a: (..., c, h, w) in [0, 1].
        b: As `a`; the order does not matter.
        limit: Largest ratio of a channel, which equal ones get.

    Returns:
        (...), infinite where a channel is equal and there is no limit.
    """
    error = (a - b).square().mean(dim=(-2, -1))
    return (-10 * error.log10()).clamp(max=limit).mean(dim=-1)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Compute the structural similarity: per channel, then their mean.

    As in the paper: a Gaussian window of 11 x 11 pixels and standard deviation 1.5 that stays
    inside the frame, K1 = 0.01, K2 = 0.03, and biased variances.

    Args:
        a: (..., c, h, w) in [0, 1]; h and w are 11 at least.
        b: As `a`; the order does not matter.

    Returns:
        (...), 1 where frames are equal.
    """
    return ssim_against(a)(b)


def ssim_against(truth: Tensor) -> Comparison:
    """Prepare `ssim` with one truth for many predictions, whose shapes broadcast with its own."""
    mean = _blur(truth)
    squared_mean = mean.square()
    variance = _blur(truth.square()) - squared_mean

    def compare(prediction: Tensor) -> Tensor:
        other = _blur(prediction)
        squared_other, product = other.square(), mean * other
        other_variance = _blur(prediction.square()) - squared_other
        covariance = _blur(truth * prediction) - product
        above = (2 * product + _C1) * (2 * covariance + _C2)
        below = (squared_mean + squared_other + _C1) * (variance + other_variance + _C2)
        return (above / below).mean(dim=(-3, -2, -1))

    return compare


def _blur(frames: Tensor) -> Tensor:
    """Average (..., h, w) under each place of the window inside the frame.

    Products with band matrices are many times faster than convolutions of single channels on a
    CPU, and are not rounded to TF32 on a GPU.
    """
    rows, columns = (_band(size, frames.dtype, frames.device) for size in frames.shape[-2:])
    return rows @ (frames @ columns.T)


@cache
def _band(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Give the matrix (size - 10, size) that moves the one-dimensional window along an axis."""
    offset = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = (-offset.square() / (2 * _SIGMA**2)).exp()
    places = torch.arange(size - _WINDOW + 1)[:, None] + torch.arange(_WINDOW)
    band = torch.zeros(len(places), size, dtype=torch.float64)
    band.scatter_(1, places, (weights / weights.sum()).expand(len(places), -1))
    return band.to(device, dtype)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How predicted frames are compared with true ones.

    Attributes:
        name: As in results.
        label: As in tables.
        unit: Empty if there is none.
        better: Which values are good.
        digits: Decimals to show.
        definition: Enough to compute it again.
        against: Prepares the comparison with a truth (..., c, h, w).
        limit: The value that equal frames get, where it stands for infinity.
    """

    name: str
    label: str
    unit: str
    better: Literal["higher", "lower"]
    digits: int
    definition: str
    against: Callable[[Tensor], Comparison]
    limit: float | None = None

    @property
    def heading(self) -> str:
        """The label, and the unit if there is one."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


def _psnr_against(truth: Tensor) -> Comparison:
    return partial(psnr, truth, limit=PSNR_LIMIT)


PSNR = Metric(
    name="psnr",
    label="PSNR",
    unit="dB",
    better="higher",
    digits=2,
    definition=(
        "10 log10(1 / mean squared error) of a channel, mean over channels; "
        f"channels that are equal count as {PSNR_LIMIT:g} dB, none counts as more"
    ),
    against=_psnr_against,
    limit=PSNR_LIMIT,
)
SSIM = Metric(
    name="ssim",
    label="SSIM",
    unit="",
    better="higher",
    digits=4,
    definition=(
        "Gaussian window of 11 x 11 pixels, sigma 1.5, inside the frame; K1 0.01, K2 0.03, "
        "range 1, biased variances; mean over pixels, then over channels"
    ),
    against=ssim_against,
)
METRICS = (PSNR, SSIM)
