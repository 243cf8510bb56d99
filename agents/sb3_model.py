"""Models of Stable-Baselines3, made of what users give: what it refuses is told in one line."""

import inspect
import sys
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import HumanOutputFormat, KVWriter, Logger
from stable_baselines3.common.vec_env import VecEnv

from srvp_world.errors import ConfigError, SRVPWorldError, did_you_mean

Algorithm = TypeVar("Algorithm", bound=BaseAlgorithm)


def build(kind: type[Algorithm], policy: str, env: VecEnv, **settings: Any) -> Algorithm:
    """Make a model of SB3, which writes nothing unless it is given a `tensorboard_log`.

    Raises:
        ConfigError: For settings that the algorithm refuses, with its reason, and for sizes of
            nothing, of some of which it takes no notice until it learns.
    """
    for name in ("n_steps", "n_epochs", "batch_size", "buffer_size"):
        size = settings.get(name)
        if isinstance(size, int) and size < 1:
            raise ConfigError(f"{name} of {kind.__name__} must be at least 1, got {size}")
    try:
        model = kind(policy, env, **settings)
    except SRVPWorldError:
        raise
    except Exception as error:  # SB3 checks little: it fails where a setting first does not fit
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{kind.__name__} refuses its settings: {reason}") from None
    if model.tensorboard_log is None:  # else SB3 would leave an empty folder in /tmp
        shown: list[KVWriter] = [HumanOutputFormat(sys.stdout)] if model.verbose else []
        model.set_logger(Logger(folder=None, output_formats=shown))
    return model


def check_seed(seed: int) -> None:
    """Refuse what NumPy, which SB3 seeds as well, takes for no seed.

    Raises:
        ConfigError: Naming it.
    """
    if not (isinstance(seed, (int, np.integer)) and 0 <= seed < 2**32):
        raise ConfigError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r}")


def check_settings(
    algorithm: type[BaseAlgorithm], given: Iterable[str], fixed: Collection[str]
) -> None:
    """Refuse settings that an algorithm of SB3 does not have, or that are not for users to choose.

    Raises:
        ConfigError: Naming the first of them.
    """
    parameters = inspect.signature(algorithm).parameters
    known = {name for name in parameters if not name.startswith("_")} - {*fixed}
    for setting in given:
        if setting in fixed:
            raise ConfigError(f"{setting!r} of {algorithm.__name__} is fixed here: leave it out")
        if setting not in known:
            hint = did_you_mean(setting, known)
            raise ConfigError(f"{algorithm.__name__} has no setting {setting!r}: {hint}")
