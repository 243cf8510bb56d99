"""One episode in a real environment: play it, and pass on what happens."""

import math
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from srvp_world.data.episodes import Ending
from srvp_world.envs.pixels import PixelObservation, frame_and_vector
from srvp_world.envs.policies import Policy
from srvp_world.errors import ConfigError, DataError
from srvp_world.spaces import ActionSpec

SHORTEST = 16  # decisions before which the clock cuts no episode: of fewer little can be learnt
ENDLESS = 108_000  # steps after which an episode without a time limit is held to have no end
UNLIMITED = "no time limit: give one, with --env-kwargs '{\"max_episode_steps\": 1000}'"


@dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """How an episode went.

    Attributes:
        seed: Of the env's reset and of the policy.
        episode_return: Sum of the rewards.
        decisions: Actions taken.
        real_steps: Steps of the env, up to `action_repeat` for each decision.
        ending: How it ended; `unfinished` where the budget did not last.
        frames: (decisions + 1, h, w, c) as the policy saw them, where they were asked for.
    """

    seed: int
    episode_return: float
    decisions: int
    real_steps: int
    ending: Ending
    frames: np.ndarray | None = field(default=None, compare=False, repr=False)


class Recorder(Protocol):
    """Takes an episode while it runs, as `EpisodeWriter` does."""

    def start(self, frame: np.ndarray, vector: np.ndarray | None = None) -> None:
        """Take the first frame, and the vector beside it where the env shows one."""
        ...

    def add(
        self, action: Any, reward: float, frame: np.ndarray, vector: np.ndarray | None = None
    ) -> None:
        """Take an action, and the reward, frame and vector that it led to."""
        ...

    def finish(self, ending: Ending) -> Any:
        """Take how it ended."""
        ...


def run_episode(
    env: PixelObservation,
    policy: Policy,
    seed: int,
    writer: Recorder | None = None,
    max_real_steps: int | None = None,
    until: float = math.inf,
) -> EpisodeResult:
    """Play an episode, and give what happens to a writer if there is one.

    A decision that could exceed `max_real_steps` is not begun, nor one after the time `until`, in
    seconds as `time.time` counts them, but for the first few; the episode is `unfinished` then.

    Raises:
        SpaceError: If the policy leaves the action space.
        DataError: If the env gives a reward that is NaN or infinite.
        ConfigError: If nothing bounds the episode, and it does not end.
    """
    spec = ActionSpec.from_space(env.action_space)
    limit = math.inf if max_real_steps is None else max_real_steps
    patience = ENDLESS if max_real_steps is None and time_limit(env) is None else math.inf
    shown, _ = env.reset(seed=seed)
    policy.reset(seed)
    if writer is not None:
        writer.start(*frame_and_vector(shown))
    total, decisions, steps, ending = 0.0, 0, 0, Ending.UNFINISHED
    while ending == Ending.UNFINISHED and steps + env.config.action_repeat <= limit:
        if decisions >= SHORTEST and time.time() >= until:
            break
        if steps >= patience:
            raise ConfigError(
                f"the episode of {env.config.env_id} with seed {seed} has not ended after {steps} "
                f"steps, and there is {UNLIMITED}"
            )
        action = policy.act(shown)
        spec.check(np.asarray(action)[None], "the policy's actions")
        shown, reward, terminated, truncated, info = env.step(action)
        steps += info["real_steps"]
        reward = _finite(float(reward), env, seed, steps)
        total += reward
        decisions += 1
        if writer is not None:
            writer.add(action, reward, *frame_and_vector(shown))
        if terminated or truncated:
            ending = Ending.TERMINATED if terminated else Ending.TRUNCATED
    if writer is not None:
        writer.finish(ending)
    return EpisodeResult(
        seed=seed, episode_return=total, decisions=decisions, real_steps=steps, ending=ending
    )


def time_limit(env: PixelObservation) -> int | None:
    """Give the real steps after which every episode ends; None where nothing says so."""
    return None if env.spec is None else env.spec.max_episode_steps


class FrameRecorder:
    """Keeps the frames of an episode in memory."""

    def __init__(self) -> None:
        """Begin without frames."""
        self._frames: list[np.ndarray] = []

    @property
    def frames(self) -> np.ndarray:
        """(t, h, w, c) uint8: all frames so far."""
        return np.stack(self._frames)

    def start(self, frame: np.ndarray, vector: np.ndarray | None = None) -> None:
        """Take the first frame."""
        self._frames = [frame]

    def add(
        self, action: Any, reward: float, frame: np.ndarray, vector: np.ndarray | None = None
    ) -> None:
        """Take the next frame; nothing else matters."""
        self._frames.append(frame)

    def finish(self, ending: Ending) -> None:
        """Nothing is left to do."""


def _finite(reward: float, env: PixelObservation, seed: int, steps: int) -> float:
    if not math.isfinite(reward):
        raise DataError(
            f"{env.config.env_id} gave the reward {reward} at step {steps} of the episode "
            f"with seed {seed}: repair the env, or wrap it so that its rewards are finite"
        )
    return reward
