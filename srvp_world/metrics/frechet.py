"""The Frechet distance of Gaussians that are fitted to features, as tf-gan computes it."""

from typing import NamedTuple

import torch
from torch import Tensor

_SMALLEST = 1e-10  # singular values below it are left without a root, as in tf-gan


class Gaussian(NamedTuple):
    """A normal distribution in float64: mean (d,) and covariance (d, d)."""

    mean: Tensor
    covariance: Tensor


class Moments:
    """Mean and covariance of features that come in batches, none of which is kept.

    Deviations from the mean are summed, not squares: features far from zero lose no digits (Chan,
    Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm", 1979).
    """

    def __init__(self) -> None:
        """Begin without features."""
        self.count = 0

    def add(self, features: Tensor) -> None:
        """Take in features (n, d), from any device."""
        features = features.double().cpu()
        mean = features.mean(dim=0)
        spread = (features - mean).T @ (features - mean)
        if not self.count:
            self._mean, self._spread = torch.zeros_like(mean), torch.zeros_like(spread)
        n, total = len(features), self.count + len(features)
        step = mean - self._mean
        self._mean = self._mean + step * n / total
        self._spread = self._spread + spread + torch.outer(step, step) * self.count * n / total
        self.count = total

    def gaussian(self) -> Gaussian:
        """Give the fit, with the unbiased covariance; there must be two features at least."""
        assert self.count > 1, self.count
        return Gaussian(self._mean, self._spread / (self.count - 1))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Compute |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2).

    The symmetric form needs no more features than dimensions. Rounding alone may leave less than
    no distance, which is none.
    """
    root = _root(a.covariance)
    cross = _root(root @ b.covariance @ root).trace()
    means = (a.mean - b.mean).square().sum()
    return max(0.0, float(means + a.covariance.trace() + b.covariance.trace() - 2 * cross))


def _root(matrix: Tensor) -> Tensor:
    """Give the root of a symmetric matrix without negative eigenvalues, by singular values."""
    u, values, v = torch.linalg.svd(matrix)
    rooted = torch.where(values < _SMALLEST, values, values.sqrt())
    root: Tensor = (u * rooted) @ v
    return root
