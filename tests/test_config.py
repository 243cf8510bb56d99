"""Configurations refuse what makes no sense, and survive JSON."""

import json
import re
from dataclasses import replace

import pytest
from worlds import ACTIONS, CONFIG

from srvp_world.config import (
    ModelConfig,
    ObjectiveConfig,
    PixelConfig,
    TrainConfig,
    from_json,
    to_json,
)
from srvp_world.errors import ConfigError, UnknownNameError, did_you_mean
from srvp_world.presets import PRESETS, preset

CONFIGS = [
    *(replace(CONFIG, action=action) for action in ACTIONS.values()),
    *(part for item in PRESETS.values() for part in (item.model, item.train)),
    PixelConfig(env_id="A-v0", env_kwargs={"deep": {"list": [1, None]}}, crop=(1, 2, 3, 4)),
    PixelConfig(env_id="A-v0"),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_configurations_survive_json(config):
    back = from_json(type(config), json.loads(json.dumps(to_json(config))))
    assert back == config


BAD = [
    (ModelConfig, {"frame_size": 48}, "frame_size must be one of (32, 64, 128), got 48"),
    (ModelConfig, {"channels": 2}, "channels must be 1 (grey) or 3 (colour), got 2"),
    (ModelConfig, {"architecture": "resnet"}, "architecture must be 'dcgan' or 'vgg'"),
    (ModelConfig, {"substeps": 0}, "substeps must be at least 1, got 0"),
    (ModelConfig, {"dynamics_layers": 1}, "dynamics_layers must be at least 2, got 1"),
    (ModelConfig, {"vector_dim": -1}, "vector_dim must not be negative, got -1"),
    (ObjectiveConfig, {"observation_std": 0.0}, "observation_std must be positive, got 0.0"),
    (ObjectiveConfig, {"reward_std": float("nan")}, "reward_std must be positive, got nan"),
    (ObjectiveConfig, {"beta_z": -1.0}, "beta_z must not be negative, got -1.0"),
    (TrainConfig, {"iterations": 0}, "iterations must be at least 1, got 0"),
    (TrainConfig, {"window": 1}, "window must be at least 2 frames, got 1"),
    (TrainConfig, {"decay": 3000}, "decay must be in [0, iterations], got 3000"),
    (TrainConfig, {"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
    (TrainConfig, {"clip_norm": -1.0}, "clip_norm must not be negative, got -1.0"),
    (TrainConfig, {"episode_start_fraction": 1.5}, "must be in [0, 1], got 1.5"),
    (TrainConfig, {"precision": "fp8"}, "precision must be 'float32' or 'bf16', got 'fp8'"),
    (PixelConfig, {"env_id": "A", "frame_size": 84}, "frame_size must be one of"),
    (PixelConfig, {"env_id": "A", "channels": 4}, "channels must be 1 (grey) or 3 (colour)"),
    (PixelConfig, {"env_id": "A", "action_repeat": 0}, "action_repeat must be at least 1, got 0"),
    (PixelConfig, {"env_id": "A", "crop": (1, 2)}, "crop must be (top, left, height, width), got"),
]


@pytest.mark.parametrize(("cls", "values", "reason"), BAD)
def test_nonsense_is_refused(cls: type, values: dict, reason: str):
    with pytest.raises(ConfigError, match=re.escape(reason)):
        cls(**values)


BROKEN = [
    ({"filtres": 3}, "ModelConfig has no field 'filtres': did you mean 'filters'?"),
    ({"filters": "3"}, "ModelConfig.filters must be int, got '3'"),
    ({"filters": True}, "ModelConfig.filters must be int, got True"),
    ({"skips": 1}, "ModelConfig.skips must be bool, got 1"),
    ({"architecture": "vggg"}, "ModelConfig.architecture must be"),
    ({"dynamics_gain": None}, "ModelConfig.dynamics_gain must be float, got None"),
    ({"action": {"shape": [2]}}, "ActionSpec is incomplete"),
    ({"action": {"kind": "box", "low": ["a"]}}, "ActionSpec.low must be float, got 'a'"),
    ({"objective": 3}, "ObjectiveConfig must be a JSON object, got 3"),
    ([], "ModelConfig must be a JSON object, got []"),
]


@pytest.mark.parametrize(("data", "reason"), BROKEN)
def test_broken_json_is_refused(data, reason: str):
    with pytest.raises(ConfigError, match=re.escape(reason)):
        from_json(ModelConfig, data)


def test_whole_numbers_count_as_real_ones():
    assert from_json(ModelConfig, {"dynamics_gain": 2}).dynamics_gain == 2.0


def test_presets_are_found_by_name():
    assert preset("kth") is PRESETS["kth"]
    with pytest.raises(UnknownNameError, match="no preset 'kht': did you mean 'kth'"):
        preset("kht")


def test_hints_name_the_nearest_or_all():
    assert did_you_mean("pendulun", ["pendulum", "cartpole"]) == "did you mean 'pendulum'?"
    assert did_you_mean("xyz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("xyz", []) == "none are known"
