"""What a dream may be asked for, checked before anything is built."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from srvp_world.checkpoint import World
from srvp_world.errors import ConfigError, did_you_mean
from srvp_world.world import WorldModel

CHOICES = {
    "obs": ("pixels", "latent", "dict"),
    "start": ("data", "first", "prior"),
    "end": ("threshold", "sample"),
    "actions": ("world", "none", "noise"),
    "output": ("numpy", "torch"),
    "render_mode": ("rgb_array",),
    "autoreset_mode": tuple(mode.value for mode in AutoresetMode),
}
DEFAULT_HORIZON = 50  # of worlds of video, which have no episodes
_OPTIONAL = ("actions", "render_mode")
RESET_OPTIONS = ("reset_mask", "frames", "actions", "vector")
Seeds = int | Sequence[int | None] | None


def check_choices(**given: str | None) -> None:
    """Refuse names that are not in `CHOICES`.

    Raises:
        ConfigError: With the nearest name.
    """
    for name, value in given.items():
        if value not in CHOICES[name] and not (value is None and name in _OPTIONAL):
            hint = did_you_mean(str(value), CHOICES[name])
            raise ConfigError(f"{name}={value!r} is unknown: {hint}")


def which_horizon(world: World, horizon: int | None, max_episode_steps: int | None) -> int:
    """Choose after how many steps to truncate.

    Raises:
        ConfigError: If a dream could end with its first step.
    """
    usual = max(2, world.episode_length or DEFAULT_HORIZON)  # episodes of one step exist
    limits = [value for value in (horizon, max_episode_steps) if value is not None]
    for value in limits:
        if not isinstance(value, (int, np.integer)):
            raise ConfigError(f"horizon must be an int, got {value!r}")
    horizon = min([usual, *limits] if horizon is None else limits)
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


def check_dream(
    model: WorldModel[Any], num_envs: int, obs: str, start: str, temperature: float
) -> None:
    """Refuse numbers that make no dream, and observations and starts that the world does not have.

    Raises:
        ConfigError: Naming the value.
    """
    rows = isinstance(num_envs, (int, np.integer)) and num_envs >= 1
    if not rows or not is_number(temperature) or temperature < 0:
        raise ConfigError(
            f"need num_envs >= 1 and temperature >= 0, got {num_envs!r} and {temperature!r}"
        )
    if num_envs < model.fewest_rows:
        raise ConfigError(
            f"num_envs={num_envs}: the rows of this world are normalised by one another "
            f"(batch_statistics), so that it dreams {model.fewest_rows} or more at once: use "
            f"gym.make_vec with num_envs={model.fewest_rows}, or train without batch_statistics"
        )
    if obs == "dict" and not model.vector_dim:
        raise ConfigError("obs='dict': this world has no vector beside its frames: use 'pixels'")
    if start == "prior" and not model.start_noise_dim:
        raise ConfigError("start='prior': this world has no prior of first states: use 'data'")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def check_reset_options(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Give the options of a reset, if they exist.

    Raises:
        ConfigError: With the nearest name.
    """
    if not isinstance(options, (Mapping, type(None))):
        raise ConfigError(f"options of a reset must be a dict, got {type(options).__name__}")
    for name in options or {}:
        if name not in RESET_OPTIONS:
            hint = did_you_mean(str(name), RESET_OPTIONS)
            raise ConfigError(f"reset option {name!r} is unknown: {hint}")
    return options or {}


def reset_mask(options: Mapping[str, Any], rows: int) -> Tensor | None:
    """Read which rows to reset, without changing the options; None means all.

    Raises:
        ConfigError: For a mask of another shape or dtype, and for an array that chooses no row; a
            tensor may, for to look would make the host wait.
    """
    if options.get("reset_mask") is None:
        return None
    given = options["reset_mask"]
    mask = given if isinstance(given, Tensor) else np.asarray(given)
    if mask.dtype not in (torch.bool, np.dtype(bool)) or tuple(mask.shape) != (rows,):
        raise ConfigError(
            f"reset_mask must be bool ({rows},), got {mask.dtype} {tuple(mask.shape)}"
        )
    if isinstance(mask, Tensor):
        return mask
    if not mask.any():
        raise ConfigError("reset_mask chooses no row: leave the reset out")
    return torch.tensor(mask)
