"""The model-free baseline: real steps are counted one by one, and frames stacked alike."""

import tempfile

import counter_world
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from srvp_world.agents.baseline import (
    MINIBATCHES,
    PROTOCOL,
    ROLLOUT,
    SETTINGS,
    TRAINING_SEED,
    FrameStackAgent,
    evaluate_baseline,
    train_baseline,
)
from srvp_world.config import PixelConfig
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.errors import ConfigError


def counter(repeat=1, **changes):
    env_kwargs = {"length": 5}
    changes = {"frame_size": 64, "env_kwargs": env_kwargs, **changes}
    return PixelConfig(env_id="counter_world:Counter-v0", action_repeat=repeat, **changes)


@pytest.fixture
def seen(monkeypatch):
    """Note every step and every seed of the real environment."""
    step, reset = counter_world.Counter.step, counter_world.Counter.reset
    noted = {"steps": 0, "seeds": []}

    def count(self, action):
        noted["steps"] += 1
        return step(self, action)

    def note(self, *, seed=None, options=None):
        noted["seeds"].append(seed)
        return reset(self, seed=seed, options=options)

    monkeypatch.setattr(counter_world.Counter, "step", count)
    monkeypatch.setattr(counter_world.Counter, "reset", note)
    return noted


@pytest.fixture(scope="module")
def model():
    return train_baseline(counter(), 32, progress=False)


@pytest.mark.parametrize(
    ("steps", "repeat", "num_envs"), [(100, 1, 4), (119, 2, 2), (600, 1, 4), (101, 2, 3)]
)
def test_real_steps_fill_the_budget_and_never_exceed_it(steps, repeat, num_envs, seen):
    model = train_baseline(counter(repeat), steps, num_envs=num_envs, n_epochs=1, progress=False)
    assert seen["steps"] <= model.num_timesteps * repeat <= steps
    assert model.num_timesteps * repeat >= 0.9 * steps
    if repeat == 1:
        assert seen["steps"] == model.num_timesteps
    assert model.n_steps <= 128
    assert model.n_steps * num_envs % model.batch_size == 0


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    train_baseline(counter(), 32, n_epochs=1, progress=False)
    assert list(tmp_path.rglob("*")) == []


def test_a_decision_that_ends_its_episode_may_cost_less(seen):
    train_baseline(counter(2), 120, num_envs=2, n_epochs=1, progress=False)
    # 30 decisions of each env, 3 of which make an episode of 5 steps
    assert seen["steps"] == 2 * 30 // 3 * 5


def test_training_and_evaluation_share_no_episode(seen):
    model = train_baseline(counter(), 32, num_envs=2, seed=3, progress=False)
    first = TRAINING_SEED + 3 * 2
    used = {seed for seed in seen["seeds"] if seed is not None} - {0}  # 0: to look at the env
    assert used == {first, first + 1}
    seen["seeds"].clear()
    evaluate_baseline(model, counter(), [7, 8], progress=False)
    assert [seed for seed in seen["seeds"] if seed] == [7, 8]
    with pytest.raises(ConfigError, match=f"seed {first} may have begun an episode"):
        evaluate_baseline(model, counter(), [7, first])


def test_evaluation_plays_whole_real_episodes(model):
    results = evaluate_baseline(model, counter(2), [7, 8], progress=False)
    assert [result.seed for result in results] == [7, 8]
    assert [result.episode_return for result in results] == [15, 15]  # 1 + ... + 5
    assert [result.real_steps for result in results] == [5, 5]


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_are_stacked_as_in_training(channels, monkeypatch):
    pixels = counter(channels=channels)
    model = train_baseline(pixels, 32, frame_stack=3, progress=False)
    seen = []

    def predict(stacked, deterministic):
        seen.append(stacked)
        return np.int64(1), None

    monkeypatch.setattr(model, "predict", predict)
    agent, env = FrameStackAgent(model, pixels), make_pixel_env(pixels)
    training = VecFrameStack(DummyVecEnv([lambda: make_pixel_env(pixels)]), 3, "last")
    for seed in (5, 6):  # a second episode owes nothing to the first
        training.seed(seed)
        expected = training.reset()
        frame, _ = env.reset(seed=seed)
        agent.reset(seed)
        for _ in range(4):
            agent.act(frame)
            np.testing.assert_array_equal(seen[-1], expected[0])
            frame, expected = env.step(1)[0], training.step([1])[0]


@pytest.mark.parametrize(
    ("pixels", "steps", "settings", "message"),
    [
        (counter(frame_size=32), 100, {}, "36 pixels at least, got frame_size=32: use 64"),
        (counter(), 0, {}, "at least 8 for one rollout, got 0"),
        (counter(3), 23, {}, "at least 24 for one rollout, got 23"),
        (counter(), 100, {"num_envs": 0}, "num_envs must be at least 1, got 0"),
        (counter(), 100, {"frame_stack": 0}, "frame_stack must be at least 1, got 0"),
        (counter(), 100, {"n_steps": 5}, "'n_steps' of PPO is fixed"),
        (counter(), 100, {"gama": 0.9}, "did you mean 'gamma'"),
        (counter(), 100, {"seed": -1}, r"seed must be .* 2\*\*32 - 1, got -1"),
        (counter(), 100, {"seed": 2**32}, "seed must be .* got 4294967296"),
        (counter(), 100, {"n_epochs": 0}, "n_epochs of PPO must be at least 1, got 0"),
        (counter(), 100, {"learning_rate": "slow"}, "PPO refuses its settings: .* slow"),
    ],
)
def test_mistakes_are_refused(pixels, steps, settings, message):
    with pytest.raises(ConfigError, match=message):
        train_baseline(pixels, steps, progress=False, **settings)


def test_other_frames_than_those_of_the_training_are_refused(model):
    with pytest.raises(ConfigError, match=r"\(4, 64, 64\), not 1 x 32 x 32"):
        evaluate_baseline(model, counter(frame_size=32), [1])


def test_results_say_with_which_settings_it_learnt():
    words, fixed = PROTOCOL["settings"], SETTINGS
    said = (
        f"{fixed['n_epochs']} epochs, {MINIBATCHES} minibatches, learning rate 2.5e-4 and clip "
        f"range {fixed['clip_range'](1)} falling to 0, value weight {fixed['vf_coef']}, "
        f"entropy {fixed['ent_coef']}, "
    )
    assert said in words and fixed["learning_rate"](1) == 2.5e-4
    assert all(fixed[name](0) == 0 for name in ("clip_range", "learning_rate"))
    assert {*fixed} == {"n_epochs", "learning_rate", "clip_range", "vf_coef", "ent_coef"}
    assert f"rollouts of {ROLLOUT} decisions" in PROTOCOL["envs"]
