"""Metrics that compare one frame with another."""

from torch import Tensor


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio in decibels: per channel, then their mean.

    So the paper reports it. The ratio of an error pooled over channels is smaller in colour.

    Args:
        a: (..., c, h, w) in [0, 1].
        b: As `a`; the order does not matter.

    Returns:
        (...), infinite where a channel is equal.
    """
    error = (a - b).square().mean(dim=(-2, -1))
    return (-10 * error.log10()).mean(dim=-1)
