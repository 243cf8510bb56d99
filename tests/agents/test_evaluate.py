"""Returns of dreams are counted to the first end, in real units, and repeat."""

import numpy as np
import torch
from oracle import counting_world
from stable_baselines3 import PPO
from worlds import tiny_world

from srvp_world.agents.evaluate import evaluate_in_dream, roll
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.sb3 import DreamVecEnv


class Still:
    """Does nothing."""

    def choose(self, features, generator=None):
        return torch.zeros(len(features), 1)


def test_returns_are_summed_to_the_first_end():
    world = counting_world(0, 5, end=8)
    dream = DreamVectorEnv(
        2, world, obs="latent", start="first", output="torch", autoreset_mode="Disabled"
    )
    # Rewards are 100 * the count at arrival + the action; episodes end on arrival at 8.
    returns, lengths = roll(dream, lambda seen: torch.full((len(seen), 1), 0.5), seed=3)
    begins = 8 - lengths
    assert set(begins.tolist()) <= {0.0, 5.0}
    expected = [sum(100 * n + 0.5 for n in range(int(b) + 1, 9)) for b in begins]
    assert returns.tolist() == expected


def test_what_breaks_after_an_end_is_no_part_of_the_return():
    world = counting_world(0, 5, end=8)
    step = world.model.step

    def breaking(state, action, **noise):
        state, prediction = step(state, action, **noise)
        broken = torch.where(state.number > 8, torch.nan, prediction.reward)
        return state, prediction._replace(reward=broken)

    world.model.step = breaking
    returns = evaluate_in_dream(world, Still(), episodes=4)
    assert set(returns) <= {sum(100 * n for n in range(start + 1, 9)) for start in (0, 5)}


def test_dream_returns_are_in_real_units_and_repeat():
    world = tiny_world("box")
    dream = DreamVecEnv(2, world, obs="latent", reward_scale=7.0)
    policy = policy_from_sb3(PPO("MlpPolicy", dream, seed=0, device="cpu"), world)
    one, two = (evaluate_in_dream(world, policy, episodes=5, seed=2) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (5,)


def test_without_temperature_dreams_from_one_start_are_alike():
    world = tiny_world("box", lengths=(6,))
    dream = DreamVecEnv(2, world, obs="latent")
    policy = policy_from_sb3(PPO("MlpPolicy", dream, seed=0, device="cpu"), world)
    cold, warm = (evaluate_in_dream(world, policy, episodes=4, temperature=t) for t in (0.0, 1.0))
    np.testing.assert_allclose(cold, cold[0], rtol=1e-5)
    assert np.ptp(warm) > 0
