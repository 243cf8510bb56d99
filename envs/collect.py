"""Play episodes in a real environment, side by side, and record them as they run."""

import math
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from srvp_world.config import PixelConfig
from srvp_world.data.dataset import create_dataset
from srvp_world.data.episodes import Ending
from srvp_world.data.info import DatasetInfo
from srvp_world.data.ring import Ring
from srvp_world.data.writer import EpisodeWriter
from srvp_world.envs.pixels import PixelObservation, make_pixel_env
from srvp_world.envs.policies import Policy, PolicyFactory, build_policy, is_policy, policy_name
from srvp_world.envs.rollout import EpisodeResult, FrameRecorder, run_episode
from srvp_world.envs.workers import run_jobs
from srvp_world.errors import ConfigError, DataError
from srvp_world.spaces import ActionSpec

__all__ = ["CollectResult", "EpisodeResult", "collect", "run_episode", "run_episodes"]


@dataclass(frozen=True, kw_only=True)
class CollectResult:
    """What was collected.

    Attributes:
        results: One for each episode, by seed.
        seconds: Time that it took.
    """

    results: tuple[EpisodeResult, ...]
    seconds: float

    @property
    def episodes(self) -> int:
        """Number of episodes, cut ones too."""
        return len(self.results)

    @property
    def real_steps(self) -> int:
        """Steps of the env."""
        return sum(result.real_steps for result in self.results)

    @property
    def mean_return(self) -> float:
        """Mean return of the episodes that ended; NaN where none did."""
        returns = self._returns()
        return float(np.mean(returns)) if returns else math.nan

    @property
    def std_return(self) -> float:
        """Standard deviation of the returns of the episodes that ended; NaN where none did."""
        returns = self._returns()
        return float(np.std(returns)) if returns else math.nan

    def _returns(self) -> list[float]:
        # The return of a cut episode is a part of one, and would bias the mean.
        ended = (result for result in self.results if result.ending != Ending.UNFINISHED)
        return [result.episode_return for result in ended]


def run_episodes(
    pixels: PixelConfig,
    make_policy: PolicyFactory | Policy,
    seeds: Sequence[int],
    *,
    workers: int = 1,
    progress: bool = True,
    frames_of: Collection[int] = (),
) -> list[EpisodeResult]:
    """Play an episode for each seed, to its end, and tell how each went, in the order of the seeds.

    The results do not depend on the number of workers. A policy that exists already instead of a
    way to build one, for instance around an SB3 model, plays with one worker only.

    Args:
        pixels: The env.
        make_policy: Builds the policy, in each worker; or the policy.
        seeds: One for each episode.
        workers: Processes that play at the same time; 1 plays in this one.
        progress: Whether to show a bar.
        frames_of: Seeds of the episodes whose frames to keep.

    Raises:
        ConfigError: If the request makes no sense; what `make_pixel_env` and `run_episode` raise.
    """
    _check_request(make_policy, workers, min(seeds, default=0))
    workers = max(1, min(workers, len(seeds)))
    shares = [
        _Share(
            pixels=pixels,
            make_policy=make_policy,
            seeds=seeds[worker::workers],
            frames_of=frozenset(frames_of),
        )
        for worker in range(workers)
    ]
    played = _play(shares, len(seeds), "episode", progress)
    return [played[i % workers][i // workers] for i in range(len(seeds))]


def collect(
    pixels: PixelConfig,
    folder: Path | str,
    make_policy: PolicyFactory | Policy,
    *,
    steps: int | None = None,
    episodes: int | None = None,
    workers: int = 1,
    seed: int = 0,
    max_transitions: int | None = None,
    until: float | None = None,
    progress: bool = True,
) -> CollectResult:
    """Record episodes into a folder, new or with episodes of the same env and of other seeds.

    With `episodes`, the seeds are `seed`, `seed + 1`, ... and the data do not depend on the number
    of workers. With `steps`, that many real steps at most are shared among the workers, each of
    which takes every `workers`-th seed and cuts its last episode: the same seed and number of
    workers give the same data. A decision that could exceed a worker's share is not begun. Episodes
    are committed one by one, so that an error or Ctrl-C loses only those that run. The oldest are
    deleted where there are more than `max_transitions` decisions, now and then while it runs. At
    the time `until`, in seconds as `time.time` counts them, the episodes that run are cut and kept,
    and no others begin; each worker plays one, or a few decisions of it, however late it is.

    Raises:
        ConfigError: If the request makes no sense; what `make_pixel_env` and `run_episode` raise.
        DataError: If the folder holds episodes of these seeds, or of another env.
        OutputError: If the folder cannot be written.
    """
    started = time.perf_counter()
    _check_request(make_policy, workers, seed)
    ring = Ring(max_transitions)
    folder = Path(folder)
    with closing(make_pixel_env(pixels)) as env:
        info = _describe(env)
    seeds, budgets = _split(steps, episodes, workers, seed, pixels.action_repeat)
    create_dataset(folder, info)
    _refuse_recorded(folder, seeds)
    recording = _Recording(folder, info, policy_name(make_policy), ring)
    shares = [
        _Share(
            pixels=pixels,
            make_policy=make_policy,
            seeds=seeds[worker :: len(budgets)],
            budget=budget,
            until=math.inf if until is None else until,
            recording=recording,
        )
        for worker, budget in enumerate(budgets)
    ]
    played = _play(shares, episodes or steps or 0, "episode" if episodes else "step", progress)
    ring.trim(folder, info)
    results = sorted((result for part in played for result in part), key=lambda item: item.seed)
    return CollectResult(results=tuple(results), seconds=time.perf_counter() - started)


@dataclass(frozen=True)
class _Recording:
    """Where and how a worker records; makes the writer of each episode."""

    folder: Path
    info: DatasetInfo
    policy: str
    ring: Ring

    def writer(self, seed: int) -> EpisodeWriter:
        return EpisodeWriter(
            self.folder,
            self.info,
            stem=f"seed{seed:08d}",
            provenance={"seed": seed, "policy": self.policy},
            ring=self.ring,
        )


@dataclass(frozen=True, kw_only=True)
class _Share:
    """The episodes that one worker plays, one after the other."""

    pixels: PixelConfig
    make_policy: PolicyFactory | Policy
    seeds: Sequence[int]
    budget: int | None = None
    until: float = math.inf
    recording: _Recording | None = None
    frames_of: frozenset[int] = frozenset()

    def __call__(self) -> Iterator[EpisodeResult]:
        """Play until the seeds, the budget of real steps or the time are used up."""
        left = self.budget
        with closing(make_pixel_env(self.pixels)) as env:
            policy = build_policy(self.make_policy, ActionSpec.from_space(env.action_space))
            for seed in self.seeds:
                late = seed != self.seeds[0] and time.time() >= self.until
                if late or (left is not None and left < self.pixels.action_repeat):
                    break
                result = self._episode(env, policy, seed, left)
                left = None if left is None else left - result.real_steps
                yield result

    def _episode(
        self, env: PixelObservation, policy: Policy, seed: int, left: int | None
    ) -> EpisodeResult:
        if self.recording is not None:
            return run_episode(env, policy, seed, self.recording.writer(seed), left, self.until)
        if seed not in self.frames_of:
            return run_episode(env, policy, seed, None, left)
        recorder = FrameRecorder()
        result = run_episode(env, policy, seed, recorder, left)
        return replace(result, frames=recorder.frames)


def _play(
    shares: Sequence[_Share], total: int, unit: Literal["step", "episode"], progress: bool
) -> list[list[EpisodeResult]]:
    """Run all shares, counting towards the total; give the results of each in its own order."""
    played: list[list[EpisodeResult]] = [[] for _ in shares]
    bar = tqdm(total=total, desc="real env", unit=unit, disable=not progress)
    with bar, closing(run_jobs(shares)) as arrivals:
        for index, result in arrivals:
            played[index].append(result)
            bar.set_postfix_str(f"return {result.episode_return:.1f}", refresh=False)
            bar.update(result.real_steps if unit == "step" else 1)
    return played


def _split(
    steps: int | None, episodes: int | None, workers: int, seed: int, repeat: int
) -> tuple[range, list[int | None]]:
    """Give all seeds that could be used, and each busy worker's budget of real steps."""
    if (steps is None) == (episodes is None):
        raise ConfigError(f"give either steps or episodes, got steps={steps}, episodes={episodes}")
    if episodes is not None:
        if episodes < 1:
            raise ConfigError(f"episodes must be at least 1, got {episodes}")
        return range(seed, seed + episodes), [None] * min(workers, episodes)
    assert steps is not None
    if steps < repeat:
        raise ConfigError(f"steps must be at least action_repeat, {repeat}, got {steps}")
    decisions = [steps // repeat // workers] * workers
    for worker in range(steps // repeat % workers):
        decisions[worker] += 1
    budgets: list[int | None] = [count * repeat for count in decisions if count]
    budgets[0] = decisions[0] * repeat + steps % repeat  # an odd end of an episode can use it
    # Every episode takes a step at least, so there are no more episodes than steps.
    return range(seed, seed + steps), budgets


def _check_request(make_policy: PolicyFactory | Policy, workers: int, seed: int) -> None:
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    if seed < 0:
        raise ConfigError(f"seeds must not be negative, got {seed}")
    if workers > 1 and is_policy(make_policy):
        raise ConfigError(
            f"a policy object cannot be shared by {workers} workers: use workers=1, or give a "
            "function that builds the policy"
        )


def _refuse_recorded(folder: Path, seeds: range) -> None:
    """Keep episodes that are there: their seeds cannot be recorded again."""
    names = (re.match(r"seed(\d+)-", path.name) for path in folder.iterdir())
    recorded = {int(name[1]) for name in names if name}
    if clash := sorted(recorded.intersection(seeds)):
        raise DataError(
            f"{folder} already holds the episode of seed {clash[0]}: "
            f"choose another folder, or --seed {max(recorded) + 1}"
        )


def _describe(env: PixelObservation) -> DatasetInfo:
    return DatasetInfo(
        frame_size=env.config.frame_size,
        channels=env.config.channels,
        action=ActionSpec.from_space(env.action_space),
        vector_dim=env.vector_dim,
        rewards=True,
        pixels=env.config,
        source=f"collected in {env.config.env_id}",
    )
