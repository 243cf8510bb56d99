"""Replay and rollout buffers of Stable-Baselines3, in process, known by what they have.

A replay buffer holds steps (n, envs, ...) in a ring; the observation after each is in
`next_observations`, also where an episode ended. With `optimize_memory_usage`, and in rollout
buffers, the last observation of an episode was overwritten or never kept. Actions of a Box are
scaled to [-1, 1] in replay buffers, and may lie outside the bounds in rollout buffers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from srvp_world.data.episodes import Ending
from srvp_world.data.observations import by_key
from srvp_world.data.rollout_buffer import rollout_pieces
from srvp_world.data.source import ForeignEpisode, Source
from srvp_world.errors import DataError
from srvp_world.spaces import ActionSpec

Done = Literal["terminated", "truncated"]

_BLOCK = 256  # steps that are compared at once

_ROLLOUT = (
    "a rollout buffer keeps no last observation of an episode, and SB3 adds the bootstrapped value "
    "to the last reward of those that are truncated: each episode's last step was dropped, so no "
    "episode of this data ends, and a world will not learn that any does"
)
_OVERWRITTEN = (
    "optimize_memory_usage overwrites the last observation of an episode: each episode's last step "
    "was dropped, so no episode of this data ends, and a world will not learn that any does"
)


@dataclass(frozen=True)
class _Seen:
    """Observations of one env in the order of time, copied slice by slice: a buffer may be large.

    Attributes:
        array: (n, envs, ...) as the buffer has it.
        rows: In the order of time.
        env: Which one.
    """

    array: np.ndarray
    rows: np.ndarray
    env: int

    def __getitem__(self, steps: slice) -> np.ndarray:
        """Copy the observations of some steps."""
        copied: np.ndarray = self.array[self.rows[steps], self.env]
        return copied


@dataclass(frozen=True)
class _Steps:
    """The steps of one env, the oldest first.

    Attributes:
        seen: Observations before the steps, by key.
        led_to: Observations after them.
        actions: (n, ...) as they are stored.
        rewards: (n,).
        ended: (n,) whether an episode ended there.
        timed_out: (n,) whether a time limit ended it.
        lost: (n,) whether what the step led to was overwritten.
    """

    seen: dict[str, _Seen]
    led_to: dict[str, _Seen]
    actions: np.ndarray
    rewards: np.ndarray
    ended: np.ndarray
    timed_out: np.ndarray
    lost: np.ndarray


def sb3_source(
    model_or_buffer: Any, *, done: Done | None = None, scaled_actions: bool | None = None
) -> Source:
    """Read the buffer of a model, or a buffer.

    Args:
        model_or_buffer: An SB3 algorithm, or one of its buffers.
        done: What a `done` means, where the buffer does not tell time limits apart.
        scaled_actions: Whether actions of a Box are stored in [-1, 1]; None means as SB3's
            algorithms do, which scale them in replay buffers.

    Raises:
        DataError: For what is no buffer, an empty one, and a `done` that is not clear.
        SpaceError: For actions that are not supported.
    """
    buffer, model = _buffer_of(model_or_buffer)
    rollout = hasattr(buffer, "episode_starts")
    count = buffer.buffer_size if buffer.full else buffer.pos
    if not count:
        raise DataError(
            f"the {type(buffer).__name__} is empty: let the model learn first, or load its buffer "
            "with model.load_replay_buffer"
        )
    action = ActionSpec.from_space(buffer.action_space)
    if scaled_actions is None:
        scaled_actions = not rollout or _squashes(model)
    warnings: list[str] = []
    if rollout:
        warnings.append(_ROLLOUT)
        if _normalises_rewards(model):
            warnings.append("VecNormalize scaled the rewards that the rollout buffer holds")
    episodes = _pieces(buffer, count, done, warnings)
    return Source(
        name=f"the {type(buffer).__name__}",
        action=action,
        episodes=_in_units(episodes, buffer.action_space, scaled_actions),
        warnings=warnings,
    )


def _pieces(
    buffer: Any, count: int, done: Done | None, warnings: list[str]
) -> Iterator[ForeignEpisode]:
    """Cut the steps of every env into episodes."""
    for env in range(buffer.n_envs):
        if hasattr(buffer, "episode_starts"):
            yield from rollout_pieces(buffer, env, count)
        else:
            steps = _replay_steps(buffer, env, count, done, warnings)
            yield from _replay_pieces(steps, f"env {env}", buffer.full, warnings)


def _buffer_of(model_or_buffer: Any) -> tuple[Any, Any]:
    """Give the buffer, and the model where there is one."""
    if hasattr(model_or_buffer, "observations") and hasattr(model_or_buffer, "action_space"):
        return model_or_buffer, None
    for name in ("replay_buffer", "rollout_buffer"):
        buffer = getattr(model_or_buffer, name, None)
        if buffer is not None:
            return buffer, model_or_buffer
    raise DataError(
        f"a {type(model_or_buffer).__name__} is no model or buffer of Stable-Baselines3: give "
        "model, model.replay_buffer or model.rollout_buffer"
    )


def _squashes(model: Any) -> bool:
    return bool(getattr(getattr(model, "policy", None), "squash_output", False))


def _normalises_rewards(model: Any) -> bool:
    find = getattr(model, "get_vec_normalize_env", lambda: None)
    return bool(getattr(find(), "norm_reward", False))


def _in_units(
    episodes: Iterator[ForeignEpisode], space: gym.Space[Any], scaled: bool
) -> Iterator[ForeignEpisode]:
    """Turn actions as they are stored into those that the env was given."""
    for episode in episodes:
        actions = episode.actions
        if isinstance(space, gym.spaces.Box):
            actions = actions.reshape(len(actions), *space.shape)
            if scaled:
                if np.abs(actions).max(initial=0) > 1 + 1e-4:
                    raise DataError(
                        f"actions reach {np.abs(actions).max():g}, but those that SB3's algorithms "
                        "store lie in [-1, 1]: say scaled_actions=False for others"
                    )
                actions = space.low + (actions + 1) / 2 * (space.high - space.low)
            actions = np.clip(actions, space.low, space.high)
        yield ForeignEpisode(**{**vars(episode), "actions": actions})


def _replay_steps(
    buffer: Any, env: int, count: int, done: Done | None, warnings: list[str]
) -> _Steps:
    """Give the steps of one env, the oldest first."""
    overwriting = bool(getattr(buffer, "optimize_memory_usage", False))
    order = (np.arange(count) + (buffer.pos if buffer.full else 0)) % buffer.buffer_size
    following = (order + 1) % buffer.buffer_size
    if overwriting and buffer.full:  # the oldest observation is the newest's next one
        order, following = order[1:], following[1:]
    after, rows = (
        (buffer.observations, following) if overwriting else (buffer.next_observations, order)
    )
    ended = buffer.dones[order, env] > 0.5
    timed_out = buffer.timeouts[order, env] > 0.5
    if overwriting and ended.any():
        warnings.append(_OVERWRITTEN)
    elif ended.any() and not buffer.handle_timeout_termination:
        if done is None:
            raise DataError(
                "the replay buffer does not tell time limits from ends of the world "
                "(handle_timeout_termination is off): say done='terminated' or done='truncated'"
            )
        timed_out = ended & (done == "truncated")
    return _Steps(
        seen={key: _Seen(each, order, env) for key, each in by_key(buffer.observations).items()},
        led_to={key: _Seen(each, rows, env) for key, each in by_key(after).items()},
        actions=buffer.actions[order, env],
        rewards=buffer.rewards[order, env],
        ended=ended,
        timed_out=timed_out,
        lost=ended & overwriting,
    )


def _replay_pieces(
    steps: _Steps, name: str, wrapped: bool, warnings: list[str]
) -> Iterator[ForeignEpisode]:
    """Cut the steps of one env where episodes end, and where the next step does not follow."""
    ended = steps.ended
    follows = _follow(steps)
    torn = ~follows[:-1] & ~ended[:-1]
    inside = int((~ended[:-1]).sum())
    if torn.sum() > inside / 2 and torn.sum() > 1:
        raise DataError(
            f"{name}: after {torn.sum()} of {inside} steps the next observation is not the one "
            "that the following step begins with: such a buffer holds no episodes"
        )
    if torn.any():
        warnings.append(
            f"{name}: {torn.sum()} of {inside} steps are not followed by the step that comes next, "
            "as where learn() was called again: episodes were cut there"
        )
    cuts = np.flatnonzero(ended[:-1] | torn) + 1
    begins = not wrapped
    for start, stop in zip([0, *cuts], [*cuts, len(ended)], strict=True):
        last = stop - 1
        kept = slice(start, stop - 1 if steps.lost[last] else stop)
        if kept.start < kept.stop:
            yield ForeignEpisode(
                name=f"{name} step {start}",
                observations=_chain(steps, kept),
                actions=steps.actions[kept],
                rewards=steps.rewards[kept],
                ending=_ending(steps, last),
                begins=begins,
            )
        begins = bool(ended[last])


def _follow(steps: _Steps) -> np.ndarray:
    """(n,) whether a step is followed by one that begins with what it led to; the last is not."""
    count = len(steps.ended)
    same = np.ones(count, bool)
    for start in range(0, count - 1, _BLOCK):
        stop = min(start + _BLOCK, count - 1)
        for key, seen in steps.seen.items():
            equal = steps.led_to[key][start:stop] == seen[start + 1 : stop + 1]
            same[start:stop] &= equal.reshape(stop - start, -1).all(axis=1)
    same[-1] = False
    return same


def _chain(steps: _Steps, rows: slice) -> dict[str, np.ndarray]:
    """Join observations and the last one's next into (T+1, ...)."""
    last = slice(rows.stop - 1, rows.stop)
    return {
        key: np.concatenate([seen[rows], steps.led_to[key][last]])
        for key, seen in steps.seen.items()
    }


def _ending(steps: _Steps, last: int) -> Ending:
    if steps.lost[last] or not steps.ended[last]:
        return Ending.UNFINISHED
    return Ending.TRUNCATED if steps.timed_out[last] else Ending.TERMINATED
