"""What a dream may be asked for, checked before anything is built."""

import operator
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from srvp_world.checkpoint import World
from srvp_world.errors import ConfigError, did_you_mean
from srvp_world.model.srvp import SRVP

CHOICES = {
    "obs": ("pixels", "latent"),
    "start": ("data", "first", "prior"),
    "end": ("threshold", "sample"),
    "actions": ("world", "none", "noise"),
    "output": ("numpy", "torch"),
    "render_mode": ("rgb_array",),
    "autoreset_mode": tuple(mode.value for mode in AutoresetMode),
}
DEFAULT_HORIZON = 50  # of worlds of video, which have no episodes
NOISE_BOUND = 3.0  # standard deviations that an agent may steer the innovation by
Seeds = int | Sequence[int | None] | None


def check_choices(**given: str | None) -> None:
    """Refuse names that are not in `CHOICES`.

    Raises:
        ConfigError: With the nearest name.
    """
    for name, value in given.items():
        if value is not None and value not in CHOICES[name]:
            hint = did_you_mean(str(value), CHOICES[name])
            raise ConfigError(f"{name}={value!r} is unknown: {hint}")


def which_actions(world: World, actions: str | None) -> str:
    """Choose whose actions move the dream.

    Raises:
        ConfigError: If the world does not take them.
    """
    own = world.action
    actions = actions or ("none" if own is None else "world")
    if (actions == "world") != (own is not None):
        way_out = "'none' or 'noise'" if own is None else "'world'"
        taken = "none" if own is None else own.space
        raise ConfigError(f"actions={actions!r} do not fit, the world takes {taken}: use {way_out}")
    return actions


def which_horizon(world: World, horizon: int | None, max_episode_steps: int | None) -> int:
    """Choose after how many steps to truncate.

    Raises:
        ConfigError: If a dream could end with its first step.
    """
    own = (world.episode_length or DEFAULT_HORIZON) if horizon is None else horizon
    horizon = own if max_episode_steps is None else min(own, max_episode_steps)
    if horizon < 2:
        raise ConfigError(f"horizon must be at least 2 steps, got {horizon}")
    return horizon


def row_seeds(seed: Seeds, rows: int) -> list[int | None] | None:
    """Give each row its seed; None means that no row gets one.

    Raises:
        ConfigError: For anything but ints that are not negative, one a row.
    """
    if seed is None:
        return None
    try:
        if isinstance(seed, (int, np.integer)):
            seeds: list[int | None] = [int(seed) + i for i in range(rows)]
        else:
            seeds = [None if value is None else operator.index(value) for value in seed]
    except TypeError:
        raise ConfigError(f"seed must be an int or one int a row, got {seed!r}") from None
    if len(seeds) != rows:
        raise ConfigError(f"got {len(seeds)} seeds for {rows} dreams: give one a row, or an int")
    if any(value is not None and not 0 <= value < 2**63 for value in seeds):
        raise ConfigError(f"seeds must be in [0, 2^63), got {seed}")
    return seeds


def reset_mask(options: dict[str, Any] | None, rows: int) -> Tensor | None:
    """Read which rows to reset, without changing the options; None means all.

    Raises:
        ConfigError: For other options, and masks of another shape or dtype.
    """
    options = options or {}
    for name in options:
        if name != "reset_mask":
            hint = did_you_mean(name, ["reset_mask"])
            raise ConfigError(f"reset option {name!r} is unknown: {hint}")
    if options.get("reset_mask") is None:
        return None
    mask = torch.as_tensor(options["reset_mask"])
    if mask.dtype != torch.bool or mask.shape != (rows,):
        raise ConfigError(
            f"reset_mask must be bool ({rows},), got {mask.dtype} {tuple(mask.shape)}"
        )
    return mask


def dream_spaces(model: SRVP, obs: str, actions: str) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Give the spaces of one dream's observations and actions."""
    c, h, w = model.frame_shape
    observation: gym.Space[Any] = gym.spaces.Box(0, 255, (h, w, c), np.uint8)
    if obs == "latent":
        observation = gym.spaces.Box(-np.inf, np.inf, (model.feature_dim,), np.float32)
    if model.action is not None:
        return observation, model.action.space
    if actions == "none":
        return observation, gym.spaces.Discrete(1)
    return observation, gym.spaces.Box(-NOISE_BOUND, NOISE_BOUND, (model.noise_dim,), np.float32)
