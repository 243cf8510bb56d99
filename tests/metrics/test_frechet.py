import numpy as np
import pytest
import torch

from srvp_world.metrics.frechet import Gaussian, Moments, frechet_distance


def diagonal(mean: list[float], variance: list[float]) -> Gaussian:
    double = torch.float64
    return Gaussian(torch.tensor(mean, dtype=double), torch.tensor(variance, dtype=double).diag())


def waves() -> tuple[torch.Tensor, torch.Tensor]:
    i, j = np.arange(64)[:, None], np.arange(5)
    x = np.sin(0.37 * i * (j + 1)) + 0.1 * j
    y = 1.2 * np.cos(0.23 * i * (j + 1)) - 0.05 * j
    return torch.from_numpy(x), torch.from_numpy(y)


def fit(*batches: torch.Tensor) -> Gaussian:
    moments = Moments()
    for batch in batches:
        moments.add(batch)
    return moments.gaussian()


def test_gaussians_whose_axes_are_independent() -> None:
    a, b = diagonal([0, 1, -2], [1, 4, 0.25]), diagonal([0.5, 1, -1], [2, 1, 0.25])
    assert frechet_distance(a, b) == pytest.approx(2.421572875, abs=1e-9)
    # By hand: |m|^2 = 0.25 + 1, and (sqrt(v) - sqrt(w))^2 for each axis.
    by_hand = 1.25 + (np.sqrt(2) - 1) ** 2 + 1
    assert frechet_distance(b, a) == pytest.approx(by_hand, abs=1e-12)


def test_features_with_the_unbiased_covariance() -> None:
    a, b = (fit(features) for features in waves())
    assert frechet_distance(a, b) == pytest.approx(0.817546238, abs=1e-9)
    biased = [Gaussian(each.mean, each.covariance * 63 / 64) for each in (a, b)]
    assert frechet_distance(*biased) == pytest.approx(0.815545437, abs=1e-9)


def test_a_distance_from_itself_is_zero_and_moving_all_features_adds_a_square() -> None:
    x, _ = waves()
    assert frechet_distance(fit(x), fit(x)) == pytest.approx(0, abs=1e-7)
    assert frechet_distance(fit(x), fit(x + 3)) == pytest.approx(5 * 9, abs=1e-7)


def test_batches_of_any_size_give_what_all_at_once_give() -> None:
    x = waves()[0] + 1e6  # far away, where sums of squares would lose all digits
    expected = np.cov(x.numpy().T)
    for sizes in ([64], [1, 63], [20, 1, 1, 42], 64 * [1]):
        found = fit(*x.split(sizes))
        torch.testing.assert_close(found.mean, x.mean(dim=0), rtol=1e-12, atol=0)
        np.testing.assert_allclose(found.covariance, expected, rtol=1e-6, atol=1e-8)


def test_fewer_features_than_dimensions() -> None:
    """Covariances of low rank have a distance, and features that they share add nothing."""
    x, y = (features[:3] for features in waves())
    wide = [torch.cat([features, torch.ones(3, 40)], dim=1) for features in (x, y)]
    narrow = frechet_distance(fit(x), fit(y))
    assert np.isfinite(narrow) and narrow > 0
    assert frechet_distance(*(fit(features) for features in wide)) == pytest.approx(narrow)


def test_one_clip_has_no_covariance() -> None:
    with pytest.raises(AssertionError):
        fit(torch.zeros(1, 5))
