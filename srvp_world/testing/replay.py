"""Plays a vector env as often as a checker asks, and checks all that it returns."""

import copy
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from srvp_world.testing.evidence import Memory, like, require, to_numpy


class Step(NamedTuple):
    """What a step returned, or a reset with nothing ended, in NumPy's types."""

    observation: Any
    rewards: np.ndarray
    done: np.ndarray
    infos: dict[str, Any]


class Replay:
    """Plays an env with the same actions whenever it is asked, and checks all that it returns."""

    def __init__(self, env: VectorEnv[Any, Any, Any], steps: int):
        """Play for at most this many steps."""
        self.env, self.steps, self.t = env, steps, 0
        self.mode = env.metadata["autoreset_mode"]
        self.single = copy.deepcopy(env.single_action_space)
        self.single.seed(0)
        self._drawn: list[list[Any]] = []
        self.memory = Memory()
        self._example: Any = None  # an observation as the env gives it

    def reset(self, seed: Any = None, options: dict[str, Any] | None = None) -> Step:
        """Reset the env; without options, its actions begin again too."""
        self.t = self.t if options else 0
        result = self.env.reset(seed=seed, options=options)
        require(
            isinstance(result, tuple) and len(result) == 2,
            "reset must return (observations, infos): everything unpacks that",
        )
        observation, infos = result
        self.memory.add(observation, infos)
        ends = np.zeros(self.env.num_envs, bool)
        return self._seen(observation, ends.astype(float), ends, ends, infos)

    def step(self, rows: list[Any] | None = None) -> Step:
        """Step with the next actions, or with these."""
        result = self.env.step(self.batch(self.due(self.t) if rows is None else rows))
        self.t += 1
        require(
            isinstance(result, tuple) and len(result) == 5,
            "step must return (observations, rewards, terminations, truncations, infos)",
        )
        self.memory.add(*result[:4])
        return self._seen(*result)

    def due(self, t: int) -> list[Any]:
        """Give the actions of step t, the same whenever it is asked for."""
        while len(self._drawn) <= t:
            self._drawn.append([self.single.sample() for _ in range(self.env.num_envs)])
        return self._drawn[t]

    def batch(self, rows: list[Any]) -> Any:
        """Stack actions as the env takes them."""
        empty = create_empty_array(self.single, n=len(rows))
        assert empty is not None
        return like(concatenate(self.single, rows, empty), self._example)

    def story(self, seed: Any, roll: int = 0) -> list[Step]:
        """Reset and play for a few steps, each row with the actions of the one `roll` below it."""
        steps = [self.reset(seed)]
        while len(steps) < 5 and not (self.mode == AutoresetMode.DISABLED and steps[-1].done.any()):
            rows = self.due(self.t)
            steps.append(self.step(rows[roll:] + rows[:roll]))
        return steps

    def _seen(
        self, observation: Any, rewards: Any, terminated: Any, truncated: Any, infos: Any
    ) -> Step:
        """Check types and shapes, and give what is left to look at."""
        self._example, n = observation, self.env.num_envs
        observation = to_numpy(observation)
        require(
            self.env.observation_space.contains(observation),
            f"observations must lie in {self.env.observation_space}, with its shape and dtype: "
            "buffers are made from it",
        )
        rewards, *ends = (to_numpy(value) for value in (rewards, terminated, truncated))
        require(
            getattr(rewards, "shape", None) == (n,) and rewards.dtype.kind == "f",
            f"rewards must be floats of shape ({n},): integers cut learned or scaled rewards",
        )
        for value in ends:
            require(
                getattr(value, "shape", None) == (n,) and value.dtype == bool,
                f"terminations and truncations must be bool of shape ({n},): ~ of integers is "
                "never false",
            )
        _check_infos(infos, n)
        return Step(observation, rewards, ends[0] | ends[1], infos)


def _check_infos(infos: Any, n: int) -> None:
    """Check that each value tells by a mask in which rows it stands."""
    require(isinstance(infos, dict), "infos must be a dict: wrappers add to it")
    for name in infos:
        mask = to_numpy(infos.get(name if name.startswith("_") else f"_{name}"))
        require(
            isinstance(mask, np.ndarray) and mask.shape == (n,) and mask.dtype == bool,
            f"infos[{name!r}] needs a bool mask of shape ({n},) under its name with a _ before it: "
            "nobody can tell which rows it speaks of",
        )
