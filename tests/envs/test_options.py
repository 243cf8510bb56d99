"""What a dream cannot be asked for, and what it says then."""

import numpy as np
import pytest
import torch
from oracle import counting_world
from torch import Tensor
from worlds import tiny_world

from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.errors import ConfigError, SpaceError


def test_horizons():
    for options, expected in [
        ({}, 20),
        ({"horizon": 5}, 5),
        ({"max_episode_steps": 7}, 7),
        ({"horizon": 5, "max_episode_steps": 7}, 5),
        ({"horizon": 30}, 30),
    ]:
        assert DreamVectorEnv(1, counting_world(1), **options).horizon == expected


WRONG = [
    ({"obs": "pixel"}, "obs='pixel' is unknown: did you mean 'pixels'"),
    ({"start": "dta"}, "start='dta' is unknown: did you mean 'data'"),
    ({"end": "never"}, "end='never' is unknown: known: sample, threshold"),
    ({"output": "jax"}, "output='jax' is unknown"),
    ({"actions": "nose"}, "actions='nose' is unknown: did you mean 'noise'"),
    ({"actions": "noise"}, "actions='noise' do not fit, the world takes Box.*: use 'world'"),
    ({"render_mode": "human"}, "render_mode='human' is unknown: known: rgb_array"),
    ({"autoreset_mode": "samestep"}, "autoreset_mode='samestep' is unknown: did you mean 'SameSt"),
    ({"num_envs": 0}, "num_envs >= 1 and temperature >= 0, got 0 and 1.0"),
    ({"temperature": -1.0}, "got 2 and -1.0"),
    ({"temperature": float("nan")}, "got 2 and nan"),
    ({"horizon": 1}, "horizon must be at least 2 steps, got 1"),
    ({"horizon": 0}, "horizon must be at least 2 steps, got 0"),
    ({"max_episode_steps": -1}, "horizon must be at least 2 steps, got -1"),
    ({"device": "gpu"}, "no device 'gpu'"),
]


@pytest.mark.parametrize(("options", "reason"), WRONG, ids=str)
def test_dreams_that_cannot_be(options: dict, reason: str):
    with pytest.raises(ConfigError, match=reason):
        DreamVectorEnv(**{"num_envs": 2, "world": tiny_world("box"), **options})


def test_actions_that_do_not_fit_a_world_of_video():
    with pytest.raises(ConfigError, match="the world takes none: use 'none' or 'noise'"):
        DreamVectorEnv(2, tiny_world("none"), actions="world")


RESETS = [
    ({"seed": "a"}, "seed must be an int or one int a row, got 'a'"),
    ({"seed": 1.5}, "seed must be an int or one int a row, got 1.5"),
    ({"seed": [1, 0.5]}, "seed must be an int or one int a row"),
    ({"seed": [1, 2, 3]}, "got 3 seeds for 2 dreams"),
    ({"seed": -1}, r"seeds must be in \[0, 2\^63\), got -1"),
    ({"seed": [None, 2**63]}, r"seeds must be in \[0, 2\^63\)"),
    ({"options": {"reset_masks": 1}}, "reset option 'reset_masks' is unknown: did you mean"),
    ({"options": {"reset_mask": np.ones(2)}}, r"must be bool \(2,\), got float64 \(2,\)"),
    ({"options": {"reset_mask": np.ones(3, bool)}}, r"must be bool \(2,\), got bool \(3,\)"),
    ({"options": {"reset_mask": np.array([True, False])}}, "the first reset must be of all rows"),
]


@pytest.mark.parametrize(("request_", "reason"), RESETS, ids=str)
def test_resets_that_cannot_be(request_: dict, reason: str):
    dream = DreamVectorEnv(2, tiny_world("box"))
    with pytest.raises(ConfigError, match=reason):
        dream.reset(**request_)
    with pytest.raises(ConfigError, match="reset the dream before its first step"):
        dream.step(np.zeros((2, 2)))


def test_seeds_may_be_numpys_and_leave_rows_out():
    dream = DreamVectorEnv(2, tiny_world("box"), obs="latent")
    expected, _ = dream.reset(seed=4)
    np.testing.assert_allclose(dream.reset(seed=np.int64(4))[0], expected)
    np.testing.assert_allclose(dream.reset(seed=np.array([4, 5]))[0], expected)
    partly, _ = dream.reset(seed=[None, 5])
    np.testing.assert_allclose(partly[1], expected[1])
    assert not np.allclose(partly[0], expected[0])


def test_nothing_works_before_the_first_reset():
    dream = DreamVectorEnv(2, tiny_world("box"), render_mode="rgb_array")
    with pytest.raises(ConfigError, match="reset the dream"):
        dream.step(np.zeros((2, 2)))
    with pytest.raises(ConfigError, match="reset the dream"):
        dream.render()


BAD_ACTIONS = [
    ("box", np.zeros(2), r"actions have shape \(2,\), the dream wants \(2, 2\)"),
    ("box", np.zeros((3, 2)), r"have shape \(3, 2\)"),
    ("box", torch.zeros(3, 2), r"have shape \(3, 2\)"),
    ("box", np.array([[0, np.nan], [0, 0]]), "NaN or infinite"),
    ("box", np.array([[0, np.inf], [0, 0]]), "NaN or infinite"),
    ("discrete", np.array([0, 3]), "row 1 holds 3, outside"),
    ("discrete", np.array([0.0, 1.0]), "actions are float64"),
    ("discrete", torch.tensor([0, 3]), "actions lie outside"),
    ("multidiscrete", np.array([[0, 2], [0, 0]]), "row 0 holds 2, outside"),
    ("none", np.full((2, 3), np.nan), "NaN or infinite"),
    ("none", torch.zeros(2, 1), r"have shape \(2, 1\), the dream wants \(2, 3\)"),
]


@pytest.mark.parametrize(("kind", "actions", "reason"), BAD_ACTIONS)
def test_actions_that_cannot_be(kind: str, actions: np.ndarray | Tensor, reason: str):
    options = {"actions": "noise"} if kind == "none" else {}
    dream = DreamVectorEnv(2, tiny_world(kind), obs="latent", **options)
    dream.reset(seed=0)
    before = dream.state
    with pytest.raises(SpaceError, match=reason):
        dream.step(actions)
    assert dream.state is before
