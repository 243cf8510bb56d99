"""Record what happens in any env while something else plays it."""

import secrets
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from srvp_world.config import PixelConfig
from srvp_world.data.episodes import Ending
from srvp_world.data.observations import ExperienceConfig, ObservationFormat, by_key, layouts_of
from srvp_world.data.ring import Ring
from srvp_world.data.writer import EpisodeWriter
from srvp_world.envs.pixels import PixelObservation
from srvp_world.spaces import ActionSpec


class RecordExperience(gym.Wrapper[Any, Any, Any, Any]):
    """Record every episode that is played through this wrapper, and change nothing.

    The env shows images, alone or among the keys of a Dict: a `PixelObservation`, a dream, or any
    env with uint8 images. An episode that is left, by a reset or by `close`, is kept as unfinished;
    one without an action is dropped. Nothing after a step that failed is recorded, until the next
    reset. What could not be written is tried again by the next reset or `close`.

    >>> env = RecordExperience(make_pixel_env(PixelConfig(env_id="Pendulum-v1")), "data")
    >>> SAC("CnnPolicy", env).learn(10_000)
    >>> env.close()
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        folder: Path | str,
        config: ExperienceConfig | None = None,
        *,
        max_transitions: int | None = None,
        stem: str | None = None,
        part_length: int = 1000,
    ) -> None:
        """Begin a data set, or go on with one of the same kind.

        Args:
            env: Whose observations show pixels.
            folder: Of the data set.
            config: How observations become frames and vectors.
            max_transitions: Delete the oldest episodes where there are more; None keeps all.
            stem: Begins the names of the files, unlike those of other recorders; None draws one.
            part_length: Transitions of the longest file: what a kill can lose.

        Raises:
            ConfigError: For a bound that keeps nothing.
            DataError: Where the env shows no pixels, or the folder holds another data set.
            SpaceError: For actions that are not supported.
            OutputError: Where the folder cannot be written.
        """
        super().__init__(env)
        config, name = config or ExperienceConfig(), _name(env)
        layouts = layouts_of(_rows(_example(env.observation_space)))
        self._format = ObservationFormat.of(layouts, config, name)
        self._name = name
        info = self._format.info(
            ActionSpec.from_space(env.action_space),
            rewards=True,
            pixels=config.pixels or _pixels(env, self._format),
            source=f"recorded in {name}",
        )
        self._writer = EpisodeWriter(
            Path(folder),
            info,
            stem=stem or f"record-{secrets.token_hex(4)}",
            part_length=part_length,
            provenance={"source": name},
            ring=Ring(max_transitions),
        )
        self._begun: tuple[np.ndarray, np.ndarray | None] | None = None  # until there is an action
        self._ending = Ending.UNFINISHED
        self._torn = False  # whether a step failed, so that the next would not follow the last

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Leave the episode that runs, and begin the next one.

        Raises:
            OutputError: Where a file cannot be written.
        """
        self._leave()
        observation, info = self.env.reset(seed=seed, options=options)
        self._begun, self._torn = self._seen(observation), False
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step and record it.

        Raises:
            DataError: For an action outside the space, and a reward that is NaN or infinite.
            OutputError: Where a file cannot be written.
        """
        torn, self._torn = self._torn, True  # so that it stays where anything raises
        observation, reward, terminated, truncated, info = self.env.step(action)
        if not torn:
            self._record(action, float(reward), observation)
            if terminated or truncated:
                self._ending = Ending.TERMINATED if terminated else Ending.TRUNCATED
                self._leave()
            self._torn = False
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Keep what was recorded of the episode that runs, and close the env.

        Raises:
            OutputError: Where a file cannot be written; the env is closed all the same.
        """
        try:
            self._leave()
        finally:
            super().close()

    def _record(self, action: Any, reward: float, observation: Any) -> None:
        if self._begun is not None:
            self._writer.start(*self._begun)
            self._ending = Ending.UNFINISHED
        if self._writer.running:
            self._writer.add(action, reward, *self._seen(observation))
            self._begun = None

    def _leave(self) -> None:
        """Commit the episode that runs; it goes on running where that fails."""
        if self._begun is not None:
            self._writer.drop()
            self._begun = None
        elif self._writer.running:
            self._writer.finish(self._ending)

    def _seen(self, observation: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Give frame and vector of an observation."""
        rows = _rows(observation)
        vectors = self._format.vectors(rows, self._name)
        return self._format.frames(rows, self._name)[0], None if vectors is None else vectors[0]


def _name(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _rows(observation: Any) -> dict[str, np.ndarray]:
    """Give an observation by key, as a batch of one."""
    return {key: array[None] for key, array in by_key(observation).items()}


def _example(space: gym.Space[Any]) -> Any:
    """Give an observation of a space without drawing one, which would change its randomness."""
    if isinstance(space, gym.spaces.Dict):
        return {key: _example(inner) for key, inner in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(_example(inner) for inner in space.spaces)
    return np.zeros(space.shape or (), space.dtype)


def _pixels(env: gym.Env[Any, Any], form: ObservationFormat) -> PixelConfig | None:
    """Find how frames are made, so that a world can rebuild the env, unless they are changed."""
    inner: Any = env
    while isinstance(inner, gym.Wrapper) and not isinstance(inner, PixelObservation):
        inner = inner.env
    shown = getattr(inner, "observation_space", None)
    if not isinstance(inner, PixelObservation) or shown != env.observation_space:
        return None
    config = inner.config
    same = (config.frame_size, config.channels) == (form.frame.frame_size, form.frame.channels)
    return config if same and form.frame.crop is None else None
