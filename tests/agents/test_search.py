"""What planners believe: noise of a colour, refits by hand, choices that exist."""

import math

import pytest
import torch

from srvp_world.agents.search import (
    CategoricalSearch,
    GaussianSearch,
    noise_colour,
    softmax_weights,
)
from srvp_world.spaces import ActionSpec

CPU = torch.device("cpu")
BOX = ActionSpec(kind="box", shape=(1, 2), low=(0.0, -4.0), high=(1.0, 4.0))
CHOICES = ActionSpec(kind="multidiscrete", shape=(3,), nvec=(3, 1, 2))


def gaussian(horizon=4, **changes):
    settings = {"std": 0.5, "min_std": 0.1, "momentum": 0.0, "colour": 0.0, **changes}
    return GaussianSearch(BOX, horizon, **settings, device=CPU)


def categorical(horizon=4, smoothing=0.0, momentum=0.0):
    return CategoricalSearch(CHOICES, horizon, smoothing=smoothing, momentum=momentum, device=CPU)


def test_noise_has_variance_1_and_the_colour_that_was_asked_for():
    assert torch.allclose(noise_colour(6, 0.0), torch.eye(6), atol=1e-6)
    assert torch.equal(noise_colour(1, 2.0), torch.ones(1, 1))
    for exponent in (1.0, 2.0):
        factor = noise_colour(256, exponent).double()
        covariance = factor @ factor.T
        torch.testing.assert_close(covariance.diag(), torch.ones(256).double())
        window = torch.hann_window(256).double()
        waves = torch.fft.fft(window * torch.eye(256).double())
        power = torch.einsum("tf, ts, sf -> f", waves.conj(), covariance + 0j, waves).real
        slope = math.log2(power[32] / power[8]) / 2  # over two octaves
        assert slope == pytest.approx(-exponent, abs=0.1)


@pytest.mark.parametrize("horizon", [20, 200])
def test_the_steepest_noise_of_any_horizon_can_be_made(horizon):
    factor = noise_colour(horizon, 8.0).double()
    covariance = factor @ factor.T
    torch.testing.assert_close(covariance.diag(), torch.ones(horizon).double(), atol=1e-5, rtol=0)
    # It is hardly anything but a constant and the slowest wave, both ways, of equal power.
    slow = (1 + 2 * torch.cos(torch.pi * torch.arange(horizon) / horizon)) / 3
    torch.testing.assert_close(covariance[0], slow.double(), atol=0.02, rtol=0)


def test_weights_follow_values_in_units_of_their_spread():
    weights = softmax_weights(torch.tensor([[3.0, 1.0], [30.0, 10.0]]), 0.5)
    share = 1 / (1 + math.exp(-2 / 0.5))
    torch.testing.assert_close(weights, torch.tensor([[share, 1 - share]]).expand(2, 2))


def test_elites_that_broke_have_no_weight_and_no_part_in_the_spread():
    broken = -torch.inf
    values = torch.tensor([[3.0, 1.0, broken], [2.0, broken, broken], [broken, broken, broken]])
    weights = softmax_weights(values, 1.0)
    share = 1 / (1 + math.exp(-2))
    third = 1 / 3  # where all broke, none is better than the others
    wanted = torch.tensor([[share, 1 - share, 0.0], [1.0, 0.0, 0.0], [third, third, third]])
    torch.testing.assert_close(weights, wanted)


def test_draws_follow_mean_and_deviation_and_stay_in_the_box():
    search = gaussian(colour=2.0)
    mean = torch.tensor([[-0.2, 0.1], [0.0, 0.3], [0.2, 0.0], [0.1, -0.1]])[None]
    belief = torch.stack([mean, torch.full_like(mean, 0.2)])
    points = search.draw(belief, 20_000, torch.Generator().manual_seed(0))[0]
    torch.testing.assert_close(points.mean(0), mean[0], atol=0.01, rtol=0)
    torch.testing.assert_close(points.std(0), torch.full_like(mean[0], 0.2), atol=0.01, rtol=0)
    wide = search.draw(belief * 10, 100, torch.Generator().manual_seed(0))
    assert wide.abs().max() == 1


def test_a_gaussian_refit_by_hand():
    search = gaussian(horizon=1)
    belief = search.start(1, None)
    assert torch.equal(belief[:, 0, 0], torch.tensor([[0.0, 0.0], [0.5, 0.5]]))
    elites = torch.tensor([[[[1.0, 0.3]], [[-1.0, 0.3]]]])
    even = search.refit(belief, elites, torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(even[:, 0, 0], torch.tensor([[0.0, 0.3], [1.0, 0.1]]))
    uneven = search.refit(belief, elites, torch.tensor([[0.75, 0.25]]))
    torch.testing.assert_close(uneven[:, 0, 0, 0], torch.tensor([0.5, math.sqrt(0.75)]))
    slow = gaussian(horizon=1, momentum=0.9).refit(belief, elites, torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(slow[:, 0, 0], torch.tensor([[0.0, 0.03], [0.55, 0.45]]))


def test_points_become_actions_in_the_units_of_the_box():
    points = torch.tensor([[-1.0, -1.0], [0.0, 0.5], [1.0, 1.0]])
    wanted = torch.tensor([[[0.0, -4.0]], [[0.5, 2.0]], [[1.0, 4.0]]])
    assert torch.equal(gaussian().to_actions(points), wanted)


def test_choices_are_drawn_as_often_as_believed_and_others_never():
    search = categorical(horizon=1)
    belief = search.start(1, None)
    points = search.draw(belief, 30_000, torch.Generator().manual_seed(0))[0, :, 0]
    assert points.amax(0).tolist() == [2, 0, 1]
    assert points.float().mean(0).tolist() == pytest.approx([1.0, 0.0, 0.5], abs=0.02)
    warm = search.start(1, torch.tensor([[[2, 0, 1]]]))
    points = search.draw(warm, 30_000, torch.Generator().manual_seed(0))[0, :, 0]
    shares = torch.bincount(points[:, 0]) / 30_000
    assert shares.tolist() == pytest.approx([1 / 6, 1 / 6, 4 / 6], abs=0.02)
    assert search.centre(warm).tolist() == [[[2, 0, 1]]]


def test_a_categorical_refit_by_hand():
    elites = torch.tensor([[[[0, 0, 1]], [[2, 0, 1]]]])
    weights = torch.tensor([[0.75, 0.25]])
    search = categorical(horizon=1)
    fitted = search.refit(search.start(1, None), elites, weights)
    wanted = torch.tensor([[0.75, 0.0, 0.25], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(fitted[0, 0], wanted)
    mixed = categorical(horizon=1, smoothing=0.3).refit(search.start(1, None), elites, weights)
    torch.testing.assert_close(mixed[0, 0, 0], torch.tensor([0.625, 0.1, 0.275]))
    assert mixed[0, 0, 1].tolist() == [1.0, 0.0, 0.0]  # what does not exist stays so
    slow = categorical(horizon=1, momentum=0.5).refit(search.start(1, None), elites, weights)
    torch.testing.assert_close(slow[0, 0, 2], torch.tensor([0.25, 0.75, 0.0]))
