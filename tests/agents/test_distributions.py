"""Distributions over actions: likelihood, entropy and draws agree with each other and SB3's."""

import math

import pytest
import torch
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from torch.distributions import Categorical, Normal
from worlds import ACTIONS, KINDS, generator

from srvp_world.agents.distributions import SquashedGaussian, distribution
from srvp_world.spaces import ActionSpec

NARROW = ActionSpec(kind="box", shape=(1,), low=(-1.0,), high=(3.0,))


def output_of(kind, squashed=True):
    """Give an output with two leading axes, which differs from row to row."""
    width = ACTIONS[kind].width * (2 if kind in ("box", "wide") and squashed else 1)
    return torch.randn(4, 3, width, generator=generator(5))


def of(kind, squashed=True):
    log_std = None if squashed else torch.full((ACTIONS[kind].width,), -0.5)
    return distribution(output_of(kind, squashed), ACTIONS[kind], log_std)


@pytest.mark.parametrize("squashed", [True, False])
@pytest.mark.parametrize("kind", [*KINDS, "wide"])
def test_actions_have_the_layout_of_their_space(kind, squashed):
    spec, policy = ACTIONS[kind], of(kind, squashed)
    for actions in (policy.mode, policy.draw(generator())):
        assert actions.shape == (4, 3, *spec.shape)
        spec.check(actions.flatten(0, 1).numpy())
    assert policy.log_prob(actions).shape == policy.entropy().shape == (4, 3)
    assert torch.equal(policy.draw(generator(1)), policy.draw(generator(1)))
    assert not torch.equal(policy.draw(generator(1)), policy.draw(generator(2)))


@pytest.mark.parametrize("kind", [*KINDS, "wide"])
def test_entropy_is_the_mean_surprise_of_draws(kind):
    output = output_of(kind)[0, 0] / 2
    policy = distribution(output.expand(40_000, -1), ACTIONS[kind])
    surprise = -policy.log_prob(policy.draw(generator())).mean()
    entropy = distribution(output, ACTIONS[kind]).entropy()
    torch.testing.assert_close(entropy, surprise, atol=0.03, rtol=0)


def test_likelihoods_of_choices_add_up_to_one():
    policy = distribution(torch.randn(5, generator=generator()), ACTIONS["multidiscrete"])
    every = torch.tensor([(i, j) for i in range(3) for j in range(2)])
    total = sum(policy.log_prob(pair).exp() for pair in every)
    assert total == pytest.approx(1)


def test_the_density_of_a_squashed_gaussian_integrates_to_one():
    # In (-1, 3), over 4,000 places.
    places = torch.linspace(-0.9995, 2.9995, 4000)[:, None]
    policy = distribution(torch.tensor([0.4, -0.3]).expand(4000, 2), NARROW)
    total = policy.log_prob(places).exp().sum() * 0.001
    assert total == pytest.approx(1, abs=1e-3)


def test_a_squashed_gaussian_is_the_one_of_sb3():
    mean, log_std = torch.randn(2, 9, 1, generator=generator())
    theirs = SquashedDiagGaussianDistribution(1).proba_distribution(mean, log_std)
    ours = distribution(torch.cat([mean, log_std], -1), NARROW)
    torch.testing.assert_close(ours.mode, 1 + 2 * theirs.mode())
    unit = torch.linspace(-0.9, 0.9, 9)[:, None]
    expected = theirs.log_prob(unit) - math.log(2)  # they measure in [-1, 1], which is half as wide
    torch.testing.assert_close(ours.log_prob(1 + 2 * unit), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("log_std", [-5.0, -1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("mean", [0.0, 2.0, -6.0])
def test_the_quadrature_is_as_good_as_a_fine_sum(mean, log_std):
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    before = mean + math.exp(log_std) * z
    slope = 2 * (math.log(2) - before - torch.nn.functional.softplus(-2 * before))
    weights = Normal(0.0, 1.0).log_prob(z).exp()
    exact = log_std + 0.5 * math.log(2 * math.pi * math.e)
    exact += float((slope * weights).sum() / weights.sum()) + math.log(2)
    ours = distribution(torch.tensor([mean, log_std]), NARROW).entropy()
    assert float(ours) == pytest.approx(exact, abs=0.002 if log_std < 2 else 0.1)


def test_draws_of_choices_are_as_likely_as_they_should_be():
    logits = torch.tensor([0.0, 1.0, -1.0])
    policy = distribution(logits.expand(20_000, 3), ACTIONS["discrete"])
    shares = torch.bincount(policy.draw(generator()), minlength=3) / 20_000
    torch.testing.assert_close(shares, logits.softmax(-1), atol=0.015, rtol=0)
    torch.testing.assert_close(policy.entropy()[0], Categorical(logits=logits).entropy())


def test_draws_of_boxes_can_be_differentiated():
    output = torch.tensor([[0.3, -0.7]], requires_grad=True)
    policy = distribution(output, NARROW)
    assert isinstance(policy, SquashedGaussian)
    noise = torch.randn(1, 1, generator=generator())
    action = policy.draw(generator())
    gradient = torch.autograd.grad(action.sum(), output)[0]
    slope = 2 * (1 - torch.tanh(0.3 + math.exp(-0.7) * noise[0, 0]) ** 2)
    expected = torch.stack([slope, slope * math.exp(-0.7) * noise[0, 0]])
    torch.testing.assert_close(gradient[0], expected)


def test_a_clipped_gaussian_stays_inside_and_forgets_how_far_it_was_out():
    policy = distribution(torch.tensor([[9.0], [1.0]]), NARROW, torch.zeros(1))
    assert policy.mode.tolist() == [[3.0], [1.0]]
    expected = Normal(torch.tensor([9.0, 1.0]), 1.0).log_prob(torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(policy.log_prob(policy.mode), expected)


def test_far_out_nothing_becomes_infinite():
    output = torch.tensor([[80.0, 50.0], [-80.0, -50.0]], requires_grad=True)
    policy = distribution(output, NARROW)
    total = (policy.log_prob(policy.draw(generator())) + policy.entropy()).sum()
    assert total.isfinite()
    assert torch.autograd.grad(total, output)[0].isfinite().all()
