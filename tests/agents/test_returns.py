"""Lambda-returns by hand and by SB3's buffer, and the scale of returns."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from srvp_world.agents.returns import ReturnNormaliser, lambda_returns, survival


def rows(*values):
    return torch.tensor([values], dtype=torch.float64)


def test_three_steps_by_hand():
    returns = lambda_returns(
        rows(1, 2, 3), rows(1, 1, 1), rows(100, 10, 20), torch.tensor([40.0]), gamma=0.5, lam=0.25
    )
    last = 3 + 0.5 * 40  # 23
    middle = 2 + 0.5 * (0.75 * 20 + 0.25 * last)  # 12.375
    first = 1 + 0.5 * (0.75 * 10 + 0.25 * middle)
    np.testing.assert_allclose(returns, [[first, middle, last]])


@pytest.mark.parametrize(("lam", "expected"), [(0.0, [6, 12, 23]), (1.0, [7.75, 13.5, 23])])
def test_the_ends_of_lambda(lam, expected):
    given = rows(1, 2, 3), rows(1, 1, 1), rows(100, 10, 20), torch.tensor([40.0])
    np.testing.assert_allclose(lambda_returns(*given, gamma=0.5, lam=lam), [expected])


def test_an_end_pays_its_own_reward_and_nothing_after():
    ended = lambda_returns(
        rows(1, 2, 3), rows(1, 0, 1), rows(7, 7, 7), torch.tensor([7.0]), gamma=1.0, lam=1.0
    )
    np.testing.assert_allclose(ended, [[3, 2, 10]])


def test_a_probable_end_takes_its_share():
    half = lambda_returns(rows(1), rows(0.5), rows(7), torch.tensor([10.0]), gamma=0.9, lam=0.3)
    np.testing.assert_allclose(half, [[1 + 0.9 * 0.5 * 10]])


def test_survival_counts_ends_before_an_action_alone():
    np.testing.assert_allclose(survival(rows(0.5, 0.5, 0, 1)), [[1, 0.5, 0.25, 0]])


def test_less_the_values_it_is_the_advantage_of_sb3():
    b, h, gamma, lam = 4, 6, 0.9, 0.7
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(2, b, h)).astype(np.float32)
    last = rng.normal(size=b).astype(np.float32)
    ended = rng.random((b, h)) < 0.3  # by the arrival of each column
    space = gym.spaces.Discrete(2)
    buffer = RolloutBuffer(h, space, space, gae_lambda=lam, gamma=gamma, n_envs=b)
    begins = np.concatenate([np.ones((b, 1)), ended[:, :-1]], axis=1)
    nothing = np.zeros((b, 1))
    for t in range(h):
        given = (nothing, nothing, rewards[:, t], begins[:, t])
        buffer.add(*given, torch.tensor(values[:, t]), torch.zeros(b))
    buffer.compute_returns_and_advantage(torch.tensor(last), dones=ended[:, -1])
    ours = lambda_returns(
        torch.tensor(rewards),
        torch.tensor(~ended).float(),
        torch.tensor(values),
        torch.tensor(last),
        gamma,
        lam,
    )
    np.testing.assert_allclose(ours - torch.tensor(values), buffer.advantages.T, atol=1e-6)
    np.testing.assert_allclose(ours, buffer.returns.T, atol=1e-6)


def test_the_scale_is_the_spread_between_percentiles():
    normaliser = ReturnNormaliser()
    normaliser.update(torch.linspace(0, 100, 101).reshape(1, -1))
    assert normaliser.scale == pytest.approx(90)  # at once, though the mean began at 0
    normaliser.update(torch.linspace(0, 200, 101).reshape(1, -1))
    assert normaliser.scale == pytest.approx((90 * 0.99 + 180) / 1.99)


def test_returns_that_hardly_differ_are_not_blown_up():
    normaliser = ReturnNormaliser()
    assert normaliser.scale == 1
    normaliser.update(torch.linspace(0, 0.1, 11))
    assert normaliser.scale == 1
