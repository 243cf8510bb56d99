import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from srvp_world.envs.policies import RandomPolicy, SmoothRandomPolicy, policy_factory
from srvp_world.errors import UnknownNameError
from srvp_world.spaces import ActionSpec

FRAME = np.zeros((32, 32, 1), np.uint8)
BOX = Box(np.float32([[-2], [0]]), np.float32([[2], [10]]))
SPACES = {
    "box": BOX,
    "discrete": Discrete(3),
    "multidiscrete": MultiDiscrete([2, 5]),
    "multibinary": MultiBinary(6),
}
POLICIES = [RandomPolicy, SmoothRandomPolicy]


def play(make_policy, space, seed=0, count=1):
    policy = make_policy(ActionSpec.from_space(space))
    policy.reset(seed)
    return [policy.act(FRAME) for _ in range(count)]


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("make_policy", POLICIES)
def test_actions_belong_to_the_space_and_follow_from_the_seed(make_policy, space):
    actions = play(make_policy, space, seed=1, count=200)
    assert all(action in space for action in actions)
    assert {np.asarray(action).dtype for action in actions} == {np.dtype(space.dtype)}
    np.testing.assert_array_equal(actions, play(make_policy, space, seed=1, count=200))
    assert not np.array_equal(actions, play(make_policy, space, seed=2, count=200))


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("make_policy", POLICIES)
def test_a_reset_forgets_the_episode_before(make_policy, space):
    policy = make_policy(ActionSpec.from_space(space))
    policy.reset(5)
    first = [policy.act(FRAME) for _ in range(20)]
    policy.reset(5)
    np.testing.assert_array_equal(first, [policy.act(FRAME) for _ in range(20)])


def test_random_is_uniform():
    actions = np.stack(play(RandomPolicy, BOX, count=4000))[:, :, 0]
    low, high = BOX.low[:, 0], BOX.high[:, 0]
    unit = (actions - low) / (high - low)
    quarters = [np.histogram(column, 4, (0, 1))[0] / 4000 for column in unit.T]
    np.testing.assert_allclose(quarters, 0.25, atol=0.03)
    choices = np.bincount(play(RandomPolicy, Discrete(3), count=3000)) / 3000
    np.testing.assert_allclose(choices, 1 / 3, atol=0.04)


def test_smooth_box_actions_persist_and_reach_the_bounds():
    actions = np.stack(play(SmoothRandomPolicy, BOX, count=20000))[:, :, 0]
    unit = (actions - [0, 5]) / [2, 5]
    on_bound = (np.abs(unit) == 1).mean(axis=0)
    np.testing.assert_allclose(on_bound, 0.317, atol=0.03)  # P(|N(0, 1)| > 1)
    for column in unit.T:
        assert 0.7 < np.corrcoef(column[1:], column[:-1])[0, 1] < 0.85
    assert abs(np.corrcoef(unit.T)[0, 1]) < 0.1  # components move on their own


def test_smooth_noise_is_stationary_from_the_first_action():
    first = np.stack([play(SmoothRandomPolicy, BOX, seed=seed)[0] for seed in range(2000)])
    assert abs((np.abs(first[:, 0, 0]) == 2).mean() - 0.317) < 0.04


def test_smooth_choices_keep_the_last_one_with_the_stated_probability():
    for space, numbers in ((MultiDiscrete([2, 5]), [2, 5]), (MultiBinary(3), [2, 2, 2])):
        choices = np.stack(play(SmoothRandomPolicy, space, count=20000))
        kept = (choices[1:] == choices[:-1]).mean(axis=0)
        np.testing.assert_allclose(kept, 0.8 + 0.2 / np.array(numbers), atol=0.01)
        assert [len(np.unique(column)) for column in choices.T] == numbers


@pytest.mark.parametrize("make_policy", POLICIES)
def test_the_first_action_does_not_give_the_start_of_the_env_away(make_policy):
    env = gym.make("Pendulum-v1").unwrapped
    seeds = range(300)
    angles, actions = [], []
    for seed in seeds:
        env.reset(seed=seed)
        angles.append(env.state[0])
        actions.append(play(make_policy, env.action_space, seed)[0][0])
    assert abs(np.corrcoef(angles, actions)[0, 1]) < 0.2


def test_factories_have_names_and_can_be_sent_to_workers():
    for name, made in [("random", RandomPolicy), ("smooth-random", SmoothRandomPolicy)]:
        factory = pickle.loads(pickle.dumps(policy_factory(name)))
        assert isinstance(factory(ActionSpec.from_space(BOX)), made)
    with pytest.raises(UnknownNameError, match="did you mean 'smooth-random'"):
        policy_factory("smoth-random")
