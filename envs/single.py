"""One dream as a `gymnasium.Env`: a vector dream of one row, in Gymnasium's plain types."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode

from srvp_world.checkpoint import World
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.errors import ConfigError


class DreamEnv(gym.Env[np.ndarray, Any], EzPickle):
    """A world to step, one frame at a time; `gym.make("SRVPDream-v0")`.

    Takes the arguments of `DreamVectorEnv` but for those that only a batch has.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}

    def __init__(self, render_mode: str | None = None, **kwargs: Any):
        """Open a world.

        Raises:
            ConfigError: For arguments that only a batch has, or that make no dream.
        """
        for name in ("num_envs", "autoreset_mode", "stagger", "output"):
            if name in kwargs:
                raise ConfigError(
                    f"{name} is for a batch of dreams: use gym.make_vec('SRVPDream-v0', ...)"
                )
        EzPickle.__init__(self, render_mode=render_mode, **kwargs)
        self._dream = DreamVectorEnv(
            1, autoreset_mode=AutoresetMode.DISABLED, render_mode=render_mode, **kwargs
        )
        self.metadata = {**self.metadata, "render_fps": self._dream.metadata["render_fps"]}
        self.render_mode = render_mode
        self.observation_space = self._dream.single_observation_space
        self.action_space = self._dream.single_action_space
        self._seeded = False

    @property
    def world(self) -> World:
        """The world that is being dreamt."""
        return self._dream.world

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin a new dream; without a seed the stream of noise goes on.

        A seed gives the dream that a vector dream has in its first row.
        """
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        self._seeded = True
        observation, infos = self._dream.reset(seed=seed)
        return observation[0], {"start": str(infos["start"][0])}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Imagine one frame."""
        observation, reward, terminated, truncated, _ = self._dream.step(np.asarray(action)[None])
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> Any:
        """Show the dream as a uint8 (h, w, 3) image, if `render_mode` is `rgb_array`."""
        frames = self._dream.render()
        return None if frames is None else frames[0]
