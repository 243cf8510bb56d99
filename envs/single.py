"""One dream as a `gymnasium.Env`: a vector dream of one row, in Gymnasium's plain types."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode

from srvp_world.checkpoint import World
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.keys import world_keyboard
from srvp_world.errors import ConfigError


class DreamEnv(gym.Env[Any, Any], EzPickle):
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
    ) -> tuple[Any, dict[str, Any]]:
        """Begin a new dream; without a seed the stream of noise goes on.

        A seed gives the dream that a vector dream has in its first row, until its first end.
        Options are those of a vector dream, without the axis of its rows: `frames` to begin after,
        and the `actions` and `vector` that belong to them.

        Raises:
            ConfigError: For seeds or options of another kind.
            DataError: For frames or vectors that the world cannot watch.
            SpaceError: For actions between frames that do not fit.
        """
        if options and "reset_mask" in options:
            raise ConfigError(
                "reset_mask is for a batch of dreams: leave it out, there is only one"
            )
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        self._seeded = True
        observation, infos = self._dream.reset(seed=seed, options=options)
        return self._only(observation), {"start": str(infos["start"][0])}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Imagine one frame.

        Raises:
            SpaceError: For an action of another shape, outside the space, NaN or infinite.
            StateError: If the dream has ended.
            ConfigError: Before the first reset.
        """
        observation, reward, terminated, truncated, infos = self._dream.step(
            np.asarray(action)[None]
        )
        info = {"uncertainty": float(infos["uncertainty"][0])} if "uncertainty" in infos else {}
        ends = bool(terminated[0]), bool(truncated[0])
        return self._only(observation), float(reward[0]), *ends, info

    def render(self) -> Any:
        """Show the dream as a uint8 (h, w, 3) image, if `render_mode` is `rgb_array`."""
        frames = self._dream.render()
        return None if frames is None else frames[0]

    def get_keys_to_action(self) -> dict[tuple[int, ...], Any]:
        """Give the keys of `gymnasium.utils.play`: the real environment's own, or ours."""
        return world_keyboard(self.world, self.action_space).actions

    @staticmethod
    def _only(observation: Any) -> Any:
        """Give the only row of a batch."""
        if isinstance(observation, dict):
            return {name: value[0] for name, value in observation.items()}
        return observation[0]
