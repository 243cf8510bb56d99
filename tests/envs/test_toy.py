"""The toy with a static goal: what an episode is worth, and to whom."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from srvp_world.config import PixelConfig
from srvp_world.envs.collect import run_episodes
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.envs.policies import RandomPolicy
from srvp_world.envs.toy import BRIGHT, CELLS, DIM, GoalEnv, GoalWalker

PIXELS = PixelConfig(env_id="SRVPGoal-v0", frame_size=32, vector=True)


def cells_of(vector: np.ndarray) -> np.ndarray:
    """Give the row and the column of dot and goal (2, 2)."""
    return np.round((vector + 1) * (CELLS - 1) / 2).astype(int).reshape(2, 2)


def distance(vector: np.ndarray) -> int:
    return int(np.abs(np.diff(cells_of(vector), axis=0)).sum())


def test_it_is_a_proper_environment():
    check_env(gym.make("SRVPGoal-v0", render_mode="rgb_array").unwrapped)


def test_the_goal_rests_and_rewards_add_up_to_the_distance_gained():
    env = make_pixel_env(PIXELS)
    env.action_space.seed(0)
    for seed in range(5):
        shown, _ = env.reset(seed=seed)
        first, total, truncated = shown["vector"], 0.0, False
        while not truncated:
            before = shown["vector"]
            shown, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert reward == distance(before) - distance(shown["vector"])
            assert not terminated and (shown["vector"][2:] == first[2:]).all()
            total += reward
        assert total == distance(first) - distance(shown["vector"])
    env.close()


def test_frames_show_both_and_the_dot_hides_the_goal():
    env = GoalEnv("rgb_array")
    vector, _ = env.reset(seed=0)
    for brightness, (row, column) in zip((BRIGHT, DIM), cells_of(vector), strict=True):
        image = np.zeros((32, 32), bool)
        image[1 + 6 * row : 7 + 6 * row, 1 + 6 * column : 7 + 6 * column] = True
        np.testing.assert_array_equal((env.render() == brightness).all(-1), image)
    env.dot = env.goal
    assert set(np.unique(env.render())) == {0, BRIGHT}


WAYS = [(0, (0, 0)), (1, (-1, 0)), (2, (0, 1)), (3, (1, 0)), (4, (0, -1))]


@pytest.mark.parametrize(("action", "way"), WAYS)
def test_actions_walk_one_cell_and_walls_hold(action, way):
    env = GoalEnv()
    env.reset(seed=0)
    env.dot = np.array([2, 2])
    assert (cells_of(env.step(action)[0])[0] == np.array([2, 2]) + way).all()
    for _ in range(4):
        last = cells_of(env.step(action)[0])[0]
    assert (last == np.clip(np.array([2, 2]) + 9 * np.array(way), 0, 4)).all()


def test_the_walker_gains_the_whole_distance_and_chance_next_to_nothing():
    seeds = range(200)
    env = GoalEnv()
    firsts = [distance(env.reset(seed=seed)[0]) for seed in seeds]
    best = run_episodes(PIXELS, GoalWalker(), seeds, progress=False)
    assert [result.episode_return for result in best] == firsts
    chance = run_episodes(PIXELS, RandomPolicy, seeds, progress=False)
    assert abs(np.mean([result.episode_return for result in chance])) < 0.6


def test_the_returns_in_the_docstring_are_those_of_the_game():
    cells = list(itertools.product(range(CELLS), repeat=2))
    between = np.array([[abs(a - c) + abs(b - d) for c, d in cells] for a, b in cells])
    others = len(cells) - 1
    best = between.sum() / len(cells) / others
    # Who sees but the dot ends where the distance to all other cells is least in the mean.
    blind = [(row.sum() - (between.sum(1) - row).min()) / others for row in between]
    assert f"{best:.2f} in the mean; who" in GoalEnv.__doc__
    assert f"for {np.mean(blind):.2f} in the mean." in GoalEnv.__doc__
