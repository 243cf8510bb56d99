"""Mistakes of users, told in one line, and leaving the dream as it was."""

import numpy as np
import pytest
import torch
from worlds import random_batch, tiny_model, tiny_world

import srvp_world
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.single import DreamEnv
from srvp_world.envs.start_source import StartSource
from srvp_world.envs.starts import start_pool
from srvp_world.errors import ConfigError, DataError, SpaceError, SRVPWorldError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"obs": None}, "obs=None is unknown"),
        ({"start": None}, "start=None is unknown"),
        ({"end": None}, "end=None is unknown"),
        ({"output": None}, "output=None is unknown"),
        ({"num_envs": "3"}, "need num_envs >= 1 and temperature >= 0, got '3'"),
        ({"num_envs": 2.5}, "need num_envs >= 1"),
        ({"temperature": "hot"}, "got 2 and 'hot'"),
        ({"horizon": "5"}, "horizon must be an int, got '5'"),
        ({"horizon": 3.5}, "horizon must be an int, got 3.5"),
        ({"horizon": 1}, "horizon must be at least 2 steps, got 1"),
        ({"penalty": "x"}, "need penalty >= 0"),
        ({"obs": "dict"}, "this world has no vector beside its frames: use 'pixels'"),
    ],
)
def test_settings_that_make_no_dream(settings: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        DreamVectorEnv(**{"num_envs": 2, "world": tiny_world(), **settings})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["frames"], "options of a reset must be a dict, got list"),
        ({1: 2}, "reset option 1 is unknown"),
        ({"reset_mask": "ab"}, "reset_mask must be bool"),
        ({"reset_mask": [True]}, r"reset_mask must be bool \(2,\), got bool \(1,\)"),
        ({"reset_mask": np.array([1, 0])}, r"got int64 \(2,\)"),
        ({"reset_mask": np.zeros(2, bool)}, "reset_mask chooses no row: leave the reset out"),
        ({"frames": "abc"}, "start frames are <U3, not numbers"),
        ({"frames": [[1], [1, 2]]}, "start frames make no array"),
    ],
)
def test_resets_that_begin_nothing(options: object, message: str):
    dream = DreamVectorEnv(2, tiny_world(), obs="latent")
    before, _ = dream.reset(seed=0)
    with pytest.raises(SRVPWorldError, match=message):
        dream.reset(options=options)
    np.testing.assert_array_equal(before, dream.model.features(dream.state))


@pytest.mark.parametrize(
    ("kind", "actions", "message"),
    [
        ("box", [[1], [1, 2]], "actions make no array"),
        ("box", np.ones((2, 2), bool), "actions are bool, the dream wants numbers"),
        ("box", np.full((2, 2), np.nan), "actions hold NaN or infinite values"),
        ("box", torch.ones(2, 2, dtype=torch.complex64), "the dream wants real numbers"),
        ("discrete", torch.ones(2), "actions are torch.float32, the dream wants choices"),
        ("multidiscrete", torch.ones(2, 2), "the dream wants choices: integers"),
    ],
)
def test_actions_that_are_none(kind: str, actions: object, message: str):
    dream = DreamVectorEnv(2, tiny_world(kind), obs="latent")
    dream.reset(seed=0)
    with pytest.raises(SpaceError, match=message):
        dream.step(actions)


def test_a_mask_that_is_read_only_is_read():
    mask = np.array([True, False])
    mask.setflags(write=False)
    dream = DreamVectorEnv(2, tiny_world())
    dream.reset(seed=0)
    assert dream.reset(options={"reset_mask": mask})[1]["_start"].tolist() == [True, False]


def test_a_first_reset_that_fails_wakes_nobody():
    dream = DreamVectorEnv(1, tiny_world("none"))
    frame = np.zeros((1, 32, 32, 1), np.uint8)
    with pytest.raises(DataError, match="got 1 frames but 2 are needed"):
        dream.reset(options={"frames": frame})
    with pytest.raises(ConfigError, match="reset the dream before its first step"):
        dream.step(np.zeros(1))


def test_the_pool_of_another_world_is_refused():
    world, other = tiny_world(), tiny_world("box", tiny_model("box", state_dim=7))
    with pytest.raises(ConfigError, match="the pool is of another world"):
        StartSource(world, "data", start_pool(other))


def test_a_world_of_one_step_episodes_opens():
    assert DreamVectorEnv(1, tiny_world(episode_length=1)).horizon == 2


def test_the_frame_rate_is_an_int_as_gymnasiums_player_wants_it(tmp_path):
    loaded = srvp_world.load(tiny_world("discrete", fps=7.5).save(tmp_path / "w.safetensors"))
    env = DreamEnv(world=loaded, render_mode="rgb_array")
    assert env.metadata["render_fps"] == 8 and type(env.metadata["render_fps"]) is int


def test_a_world_whose_weights_learn_can_be_dreamt_in_and_inference_mode_spoils_no_gradient():
    model = tiny_model("wide")
    world = tiny_world("wide", model)
    model.requires_grad_(True)
    with torch.inference_mode():
        env = DreamVectorEnv(2, world, obs="pixels")
        env.reset(seed=0)
        env.step(env.action_space.sample())
    batch = random_batch(model)
    actions = batch.actions.clone().requires_grad_(True)
    state = model.encode(batch.observation, batch.actions)
    _, prediction = model.step(state, actions[:, 0])
    prediction.reward.sum().backward()
    assert actions.grad.abs().sum() > 0
