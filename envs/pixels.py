"""Real environments seen as pixels: render, crop, grey or colour, resize, repeat the action."""

import math
import os
import sys
import warnings
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.error import DependencyNotInstalled, DeprecatedEnv, Error, UnregisteredEnv

from srvp_world.config import PixelConfig
from srvp_world.data.frame_format import FrameFormat
from srvp_world.errors import ConfigError, DataError, SpaceError, UnknownNameError, did_you_mean

AnyEnv = gym.Env[Any, Any]

Observed = np.ndarray | dict[str, np.ndarray]
"""A frame (h, w, c) uint8, or `{"pixels": frame, "vector": (d,) float32}`."""


class PixelObservation(gym.Wrapper[Observed, Any, Any, Any]):
    """Show an env as frames (h, w, c) uint8 instead of its own observations.

    With `config.vector` the env's own observation is kept beside the frame, as a float32 vector.

    An action is repeated `action_repeat` times or until the episode ends; its rewards are summed,
    and only the last of the images is rendered. `info["real_steps"]` tells how many steps of the
    env that took. Time limits of the wrapped env go on counting real steps.
    """

    def __init__(self, env: AnyEnv, config: PixelConfig) -> None:
        """Show `env`, made with render mode `rgb_array`, as the configuration says.

        Raises:
            SpaceError: If a vector is wanted, but the env's own observations are none.
        """
        super().__init__(env)
        self.config = config
        self._format = FrameFormat(config.frame_size, config.channels, config.crop)
        self.vector_dim = _vector_dim(env.observation_space, config.env_id) if config.vector else 0
        size = config.frame_size
        self.observation_space = shown_space((size, size, config.channels), self.vector_dim)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observed, dict[str, Any]]:
        """Begin an episode and show its first frame."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._show(observation), info

    def step(self, action: Any) -> tuple[Observed, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take one decision: up to `action_repeat` real steps."""
        total, terminated, truncated, steps = 0.0, False, False, 0
        observation: Any = None
        info: dict[str, Any] = {}
        while steps < self.config.action_repeat and not (terminated or truncated):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            steps += 1
        info = {**info, "real_steps": steps}
        return self._show(observation), total, bool(terminated), bool(truncated), info

    def frame(self) -> np.ndarray:
        """Render what the env looks like now, as the policy and the model see it.

        Raises:
            SpaceError: If the env renders anything but a colour image.
            ConfigError: If the crop does not lie inside the image.
        """
        image = self.env.render()
        if not (
            isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,)
        ):
            raise SpaceError(
                f"{self.config.env_id} renders {_describe(image)} instead of a uint8 image "
                "(h, w, 3): give an env whose render_mode 'rgb_array' works"
            )
        return self._format.apply(image, self.config.env_id)

    def _show(self, observation: Any) -> Observed:
        """Give the frame, and beside it the env's own observation where it is kept."""
        if not self.vector_dim:
            return self.frame()
        flat: Any = gym.spaces.flatten(self.env.observation_space, observation)
        vector = np.array(flat, np.float32)
        if vector.shape != (self.vector_dim,) or not np.isfinite(vector).all():
            raise DataError(
                f"{self.config.env_id} observed {_one_line(vector)}, not {self.vector_dim} finite "
                "numbers: repair the env, or leave its vector out"
            )
        return {"pixels": self.frame(), "vector": vector}


def shown_space(shape: tuple[int, int, int], vector_dim: int) -> gym.Space[Any]:
    """Give the space of frames (h, w, c), with a vector beside them where it has a size."""
    frames = gym.spaces.Box(0, 255, shape, np.uint8)
    if not vector_dim:
        return frames
    vector = gym.spaces.Box(-np.inf, np.inf, (vector_dim,), np.float32)
    return gym.spaces.Dict({"pixels": frames, "vector": vector})


def frame_and_vector(shown: Observed) -> tuple[np.ndarray, np.ndarray | None]:
    """Take what an env shows apart; the vector is None where it shows frames alone."""
    return (shown["pixels"], shown["vector"]) if isinstance(shown, dict) else (shown, None)


def make_pixel_env(config: PixelConfig) -> PixelObservation:
    """Build the env that a configuration describes, and make sure that it can be seen.

    An env of a package that does not register itself is found as `module:Name-v0`.

    >>> env = make_pixel_env(PixelConfig(env_id="Pendulum-v1", action_repeat=2))
    >>> frame, info = env.reset(seed=0)  # (64, 64, 1) uint8

    Raises:
        UnknownNameError: If no such env is registered.
        ConfigError: If the env does not take its `env_kwargs`, misses a package, or is smaller than
            the crop.
        SpaceError: If the env cannot render images, or has no vector where one is wanted.
    """
    _prepare_display()
    try:
        made = _make(config)
        try:
            env = PixelObservation(made, config)
            # Renders once, so that every mistake shows before anything is written.
            env.reset(seed=0)
        except BaseException:
            made.close()
            raise
    except (DependencyNotInstalled, ImportError) as error:
        raise ConfigError(_missing_package(config.env_id, error)) from error
    return env


def _make(config: PixelConfig) -> AnyEnv:
    """Make the env itself, with the errors of its constructor in one line."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*not in the possible render_modes.*")
            env: AnyEnv = gym.make(
                config.env_id,
                render_mode="rgb_array",
                disable_env_checker=True,
                **config.env_kwargs,
            )
    except (UnregisteredEnv, DeprecatedEnv) as error:
        raise _unknown(config.env_id) from error
    except DependencyNotInstalled:
        raise
    except Error as error:  # for instance an id that is not of the form Name-v0
        raise ConfigError(f"{config.env_id!r} cannot be made: {_one_line(error)}") from error
    except TypeError as error:
        if not config.env_kwargs or "unexpected keyword argument 'render_mode'" in str(error):
            raise SpaceError(_not_renderable(config.env_id, "it takes no render_mode")) from error
        reason = _one_line(error)
        raise ConfigError(
            f"{config.env_id} does not take env_kwargs {config.env_kwargs}: {reason}"
        ) from error
    modes = env.metadata.get("render_modes") or []
    if "rgb_array" not in modes:
        env.close()
        raise SpaceError(_not_renderable(config.env_id, f"its render modes are {list(modes)}"))
    return env


def _vector_dim(space: gym.Space[Any], env_id: str) -> int:
    """Count the numbers that an observation consists of.

    Choices are refused, for `gymnasium.spaces.flatten` would turn them into one-hot vectors of
    another meaning, and so are images, which belong into the frames.
    """
    parts: list[gym.Space[Any]] = [space]
    numbers = 0
    while parts:
        part = parts.pop()
        if isinstance(part, (gym.spaces.Dict, gym.spaces.Tuple)):
            parts += part.values() if isinstance(part, gym.spaces.Dict) else part.spaces
        elif isinstance(part, gym.spaces.Box) and np.issubdtype(part.dtype, np.floating):
            numbers += math.prod(part.shape)
        else:
            raise SpaceError(
                f"{env_id} observes {part}, which is no vector of floats: leave the vector out, or "
                "give an env whose observations are float Boxes"
            )
    if not numbers:
        raise SpaceError(f"{env_id} observes {space}, which holds no number: leave the vector out")
    return numbers


def _unknown(env_id: str) -> UnknownNameError:
    hint = did_you_mean(env_id, gym.registry)
    if not hint.startswith("did you mean"):
        hint = "name envs of other packages 'module:Name-v0', for instance 'ale_py:ALE/Pong-v5'"
    return UnknownNameError(f"no environment '{env_id}': {hint}")


def _not_renderable(env_id: str, reason: str) -> str:
    return f"{env_id} cannot render images, {reason}: give an env with render_mode 'rgb_array'"


def _missing_package(env_id: str, error: Exception) -> str:
    """Name the missing package and the line that installs it."""
    reason = _one_line(error)
    if "pip install" in reason:
        return f"{env_id} misses a package: {reason}"
    cause = error.__cause__ or error  # gymnasium names the module that an id begins with in a cause
    package = getattr(cause, "name", None) or "gymnasium[all]"
    return f"{env_id} misses a package ({reason}): pip install '{package}'"


def _prepare_display() -> None:
    """Let pygame draw off screen where there is no screen, and without its greeting."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not screen:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def _describe(image: Any) -> str:
    if isinstance(image, np.ndarray):
        return f"{image.dtype} {image.shape}"
    return "nothing" if image is None else type(image).__name__


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
