"""The dream as a Stable-Baselines3 `VecEnv`."""

import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecMonitor, VecTransposeImage
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnv,
    VecEnvIndices,
    VecEnvStepReturn,
    VecEnvWrapper,
)

from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.errors import ConfigError


class DreamVecEnv(VecEnv):
    """Adapter: SB3's conventions over a `DreamVectorEnv`, which does all the work.

    SB3's on-policy algorithms ask for the value of each truncated row in a call of its own.
    `bootstrap_with(model)` makes the adapter ask once for all of them and add the discounted values
    to the rewards instead. A `VecMonitor` around it would count these values as returns, and needs
    not be there: `infos[i]["episode"]` has return, in the world's units, and length of each dream.
    """

    def __init__(self, num_envs: int, *args: Any, reward_scale: float = 1.0, **kwargs: Any):
        """Open a world; takes the arguments of `DreamVectorEnv`, and a factor for rewards.

        Raises:
            ConfigError: For an autoreset mode or output that SB3 cannot take.
        """
        for name in ("autoreset_mode", "output"):
            if name in kwargs:
                raise ConfigError(f"{name} is fixed for SB3: leave it out")
        self.dream = DreamVectorEnv(
            num_envs, *args, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs
        )
        self.reward_scale = float(reward_scale)  # NumPy's float64 would make rewards float64
        self._born = time.perf_counter()
        self._critic: OnPolicyAlgorithm | None = None
        super().__init__(
            num_envs, self.dream.single_observation_space, self.dream.single_action_space
        )

    def bootstrap_with(self, model: BaseAlgorithm) -> None:
        """Bootstrap truncated rows with the critic of an on-policy model, in one call for all rows.

        Raises:
            ConfigError: For off-policy models, which bootstrap from their buffers by themselves,
                and for models that see or earn something else than what this adapter gives.
        """
        if not isinstance(model, OnPolicyAlgorithm):
            raise ConfigError(f"{type(model).__name__} bootstraps by itself: leave this call out")
        env = model.get_env()
        while isinstance(env, VecEnvWrapper):
            if not isinstance(env, (VecMonitor, VecTransposeImage)):
                raise ConfigError(
                    f"{type(env).__name__} changes what the model sees or earns: "
                    "leave it, or this call, out"
                )
            env = env.venv
        if env is not self:
            raise ConfigError("the model was built on another env: build it on this one")
        self._critic = model

    def reset(self) -> Any:
        """Begin new dreams in all rows; options are those of `DreamVectorEnv.reset`, for all alike.

        Raises:
            ConfigError: For options that differ between rows, or that make no start.
        """
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observation, infos = self.dream.reset(seed=seeds, options=self._shared_options())
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, int)
        self.reset_infos = [{"start": start} for start in infos["start"]]
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._given = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Imagine one frame in every row."""
        observation, rewards, terminated, truncated, dream_infos = self.dream.step(self._given)
        self._returns += rewards
        self._lengths += 1
        rewards = rewards * self.reward_scale
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        cut = truncated & ~terminated
        for i in np.flatnonzero(done):
            infos[i]["terminal_observation"] = dream_infos["final_obs"][i]
            infos[i]["TimeLimit.truncated"] = bool(cut[i]) and self._critic is None
            infos[i]["episode"] = self._summary(int(i))
        self._returns[done] = self._lengths[done] = 0
        if self._critic is not None and cut.any():
            last = _stack(dream_infos["final_obs"][cut])
            rewards[cut] += self._critic.gamma * self._values(self._critic, last)
        return observation, rewards, done, infos

    def close(self) -> None:
        """Close the dream; twice is fine."""
        self.dream.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Show every row."""
        return self.dream.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Read an attribute of the dream, once a row."""
        return [getattr(self.dream, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the dream, which all rows share.

        Raises:
            ConfigError: If it is meant for some rows only.
        """
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ConfigError(f"all rows share {attr_name!r}: set it without indices")
        setattr(self.dream, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the dream, which covers all rows, and return its result once a row."""
        result = getattr(self.dream, method_name)(*args, **kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Rows are never wrapped."""
        return [False for _ in self._get_indices(indices)]

    def _shared_options(self) -> dict[str, Any]:
        """Give the options that SB3 keeps once a row."""
        first = self._options[0]
        for options in self._options[1:]:
            same = options.keys() == first.keys() and all(
                np.array_equal(options[name], first[name]) for name in first
            )
            if not same:
                raise ConfigError("all rows share their options: set them with one dict")
        return first

    def _summary(self, row: int) -> dict[str, float]:
        """Tell of a dream that ended, as SB3's monitors do."""
        seconds = round(time.perf_counter() - self._born, 6)
        return {"r": float(self._returns[row]), "l": int(self._lengths[row]), "t": seconds}

    @staticmethod
    @torch.no_grad()
    def _values(critic: OnPolicyAlgorithm, observations: Any) -> np.ndarray:
        """Ask the critic for the values of observations (n, ...)."""
        policy = critic.policy
        values: torch.Tensor = policy.predict_values(policy.obs_to_tensor(observations)[0])
        return values[:, 0].cpu().numpy()


def _stack(rows: np.ndarray) -> Any:
    """Make a batch of an array of single observations, which may be dicts."""
    if isinstance(rows[0], dict):
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return np.stack([*rows])
