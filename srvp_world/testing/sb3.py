"""The checker of Stable-Baselines3's vector envs; import it from `srvp_world.testing`."""

import copy
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium.vector.utils import batch_space

from srvp_world.testing.evidence import Memory, check_closing, check_images, close, require, row_of

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


def check_sb3_vec_env(env: "VecEnv", *, row_seeds: bool = True, steps: int = 1000) -> None:
    """Check that an env keeps to what the algorithms of Stable-Baselines3 rely on.

    Types, shapes and memory of all that is returned; infos that are new at every step; what ends
    leave in them; seeds, attributes, images and closing.

    Args:
        env: The env, which is closed at the end.
        row_seeds: Whether row i of seed s must be what seed s + i is.
        steps: How long to wait for the ends of episodes.

    Raises:
        AssertionError: For the first rule that is broken.
    """
    from stable_baselines3.common.vec_env import VecEnv

    require(isinstance(env, VecEnv), f"{type(env).__name__} is no VecEnv: algorithms wrap it again")
    player = _Player(env, steps)
    _check_seeds(player, row_seeds)
    _check_attributes(env)
    if not _check_ends(player):
        warnings.warn(
            f"no episode ended within {steps} steps, so what ends leave in infos was not checked: "
            "give the checker an env with shorter episodes",
            stacklevel=2,
        )
    check_closing(env)


class _Step(NamedTuple):
    observation: Any
    rewards: np.ndarray
    done: np.ndarray
    infos: list[dict[str, Any]]


class _Player:
    """Plays an env with the same actions whenever it is asked, and checks all that it returns."""

    def __init__(self, env: "VecEnv", steps: int):
        self.env, self.steps, self.t = env, steps, 0
        self.batch = batch_space(env.observation_space, env.num_envs)
        single = copy.deepcopy(env.action_space)
        single.seed(0)
        self.actions = [
            np.stack([np.asarray(single.sample()) for _ in range(env.num_envs)])
            for _ in range(steps)
        ]
        self.memory = Memory()
        self._infos: list[dict[str, Any]] = []

    def reset(self, seed: int | None = None) -> Any:
        """Reset the env, after a seed where there is one; its actions begin again."""
        self.t = 0
        if seed is not None:
            self.env.seed(seed)
        observation = self.env.reset()
        require(
            not (isinstance(observation, tuple) and isinstance(observation[-1], dict)),
            "reset must return observations alone: infos belong in reset_infos",
        )
        self._check_observation(observation)
        self.memory.add(observation)
        self._check_infos(self.env.reset_infos, "reset_infos")
        return observation

    def step(self, roll: int = 0) -> _Step:
        """Step with the next actions, each row with those of the one `roll` below it."""
        result = self.env.step(np.roll(self.actions[self.t], -roll, axis=0))
        self.t += 1
        require(
            isinstance(result, tuple) and len(result) == 4,
            "step must return (observations, rewards, dones, infos): SB3 knows no truncations",
        )
        observation, rewards, done, infos = result
        n = self.env.num_envs
        self._check_observation(observation)
        require(
            getattr(rewards, "shape", None) == (n,) and rewards.dtype.kind == "f",
            f"rewards must be floats of shape ({n},): on-policy algorithms add values to them",
        )
        require(
            getattr(done, "shape", None) == (n,) and done.dtype == bool,
            f"dones must be bool of shape ({n},)",
        )
        self._check_infos(infos, "infos")
        last = [info["terminal_observation"] for info in infos if "terminal_observation" in info]
        self.memory.add(observation, rewards, done, last)
        return _Step(observation, rewards, done, list(infos))

    def story(self, seed: int, roll: int = 0) -> list[tuple[Any, ...]]:
        """Reset and play for a few steps; keep observations, rewards and ends."""
        first = self.reset(seed)
        n = self.env.num_envs
        return [(first, np.zeros(n), np.zeros(n)), *(self.step(roll)[:3] for _ in range(4))]

    def _check_observation(self, observation: Any) -> None:
        require(
            self.batch.contains(observation),
            f"observations must lie in {self.batch}, with its shape and dtype: buffers are made "
            "from observation_space",
        )

    def _check_infos(self, infos: Any, name: str) -> None:
        """Check that each row has a dict of its own, which no call returned before."""
        require(
            isinstance(infos, (list, tuple))
            and len(infos) == self.env.num_envs
            and all(isinstance(info, dict) for info in infos),
            f"{name} must be a list of {self.env.num_envs} dicts, one a row",
        )
        known = self._infos if name == "infos" else []
        new = {id(info) for info in infos}
        require(
            len(new) == len(infos) and not new & {id(info) for info in known},
            f"{name} must hold new dicts, one a row, at every step: monitors write into them",
        )
        self._infos = list(infos) if name == "infos" else known


def _check_seeds(player: _Player, row_seeds: bool) -> None:
    """Check that seeds lead to the same steps again."""
    first, again = player.story(3), player.story(3)
    require(close(first, again), "seed(3) and reset must lead to the same steps again")
    if not row_seeds:
        return
    shifted = player.story(4, roll=1)
    for one, two in zip(first, shifted, strict=True):
        for i in range(player.env.num_envs - 1):
            require(
                close(row_of(one[0], i + 1), row_of(two[0], i)),
                f"row {i + 1} of seed 3 must be row {i} of seed 4: VecEnv.seed promises seed + i",
            )


def _check_attributes(env: "VecEnv") -> None:
    """Check the ways to reach into the rows."""
    from stable_baselines3.common.monitor import Monitor

    n = env.num_envs
    for indices, expected in ((None, n), (0, 1), ([0, n - 1], 2)):
        for name, found in (
            ("get_attr('render_mode')", env.get_attr("render_mode", indices)),
            ("env_method('__str__')", env.env_method("__str__", indices=indices)),
            ("env_is_wrapped(Monitor)", env.env_is_wrapped(Monitor, indices)),
        ):
            require(
                isinstance(found, list) and len(found) == expected,
                f"{name} for indices {indices} must be a list of {expected}: SB3 reads its items",
            )
    require(
        not env.has_attr("an_attribute_that_no_env_has"),
        "get_attr of what is not there must raise AttributeError: SB3 asks has_attr before use",
    )
    if env.render_mode == "rgb_array":
        check_images(env.get_images(), n)


def _check_ends(player: _Player) -> bool:
    """Check what rows that ended leave in infos, and that they begin anew."""
    player.reset(seed=1)
    moved = ended = 0
    for _ in range(player.steps):
        step = player.step()
        for i, info in enumerate(step.infos):
            _check_end(player.env, info, bool(step.done[i]))
            if step.done[i]:
                ended += 1
                moved += not close(info["terminal_observation"], row_of(step.observation, i))
        if ended > 3 * player.env.num_envs:
            break
    require(
        moved > 0 or not ended,
        "rows that ended must show the first observation of the next episode: nobody else resets",
    )
    return ended > 0


def _check_end(env: "VecEnv", info: dict[str, Any], done: bool) -> None:
    """Check that a row's info tells of its end, and only then."""
    require(
        done == ("terminal_observation" in info),
        "infos must hold terminal_observation where a row ended, and only there: "
        "replay buffers and bootstraps read it",
    )
    truncated = info.get("TimeLimit.truncated", None if done else False)
    require(
        isinstance(truncated, (bool, np.bool_)) and (done or not truncated),
        "infos must hold TimeLimit.truncated, a bool, where a row ended; elsewhere it is false: "
        "truncated rows are bootstrapped",
    )
    if done:
        require(
            env.observation_space.contains(info["terminal_observation"]),
            f"terminal_observation must lie in {env.observation_space}, as of a single env",
        )
