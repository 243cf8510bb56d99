"""Exploring: a share of an agent's decisions follows smooth random actions instead of its own."""

from typing import Any

import numpy as np

from srvp_world.envs.pixels import Observed
from srvp_world.envs.policies import SmoothRandomPolicy
from srvp_world.errors import ConfigError
from srvp_world.spaces import ActionSpec

_EXPLORATION_KEY = 0x657870  # so that no one else draws the same numbers from a seed


class Exploration:
    """Mixes an agent's own actions with random ones.

    Data to learn from need them: where an action always follows from the state, no model can tell
    what the action did.
    """

    def __init__(self, action: ActionSpec, share: float):
        """Explore in the space that `action` describes.

        Args:
            action: The agent's actions.
            share: Of the decisions that are random.

        Raises:
            ConfigError: For a share outside [0, 1].
        """
        if not 0 <= share <= 1:
            raise ConfigError(f"explore must be in [0, 1], got {share}")
        self._share = share
        self._action, self._random = action, SmoothRandomPolicy(action)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new episode; every random draw in it follows from the seed."""
        self._random.reset(seed)
        self._rng = np.random.default_rng([seed, _EXPLORATION_KEY])

    def mix(self, own: np.ndarray, shown: Observed) -> Any:
        """Give the agent's own action (...) in the layout of the space, or a random one."""
        other = self._random.act(shown)
        if self._rng.random() < self._share:
            return other
        # A choice is a NumPy scalar; a number of a box without axes is an array all the same.
        return own[()] if self._action.kind == "discrete" else own
