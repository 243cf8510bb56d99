"""Where dreams begin: states that the filter reaches on real clips, so that ages match reality."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.checkpoint import StartClips, World
from srvp_world.data.episodes import Ending, Episode
from srvp_world.errors import DataError, SpaceError
from srvp_world.world import Observation, State, WorldModel


class StartPool(NamedTuple):
    """States that dreams may begin from.

    Attributes:
        states: n states.
        first: Rows of `states` at which real episodes begin (all, for video).
    """

    states: State
    first: Tensor

    def to(self, device: torch.device) -> "StartPool":
        """Move the states to a device."""
        return StartPool(self.states.to(device), self.first.to(device))

    def sharing(self, states: State) -> tuple["StartPool", State]:
        """Put the content of the pool and of other states into one bank.

        Rows can then be exchanged between them again and again, and nothing grows.
        """
        joined = type(states).cat([self.states, states.compact()])
        rows, count = torch.arange(joined.batch_size, device=joined.device), self.states.batch_size
        return self._replace(states=joined.index(rows[:count])), joined.index(rows[count:])


_POOLS: WeakKeyDictionary[World, StartPool] = WeakKeyDictionary()


def start_pool(world: World) -> StartPool:
    """Watch the start clips of a world, once for as long as it lives."""
    if world not in _POOLS:
        with torch.inference_mode(False):  # or else the pool could never be used outside of it
            _POOLS[world] = watch_clips(world.model, world.starts)
    return _POOLS[world]


@torch.no_grad()
def watch_clips(model: WorldModel[Any], clips: StartClips) -> StartPool:
    """Run the filter over clips with its means, and keep the state at every frame of experience.

    Of video, only the state after a whole clip is kept: a dream continues a clip.

    Raises:
        DataError: If a clip of video is shorter than the model needs.
    """
    if not clips.begin_episodes:
        return _watch_videos(model, clips)
    first = StartClips(
        clips.frames[:, :1],
        torch.ones_like(clips.lengths),
        None if clips.actions is None else clips.actions[:, :0],
        begin_episodes=True,
        vector=None if clips.vector is None else clips.vector[:, :1],
    )
    state = watch(model, first)
    states, lengths = [state], clips.lengths.to(model.device)
    for t in range(1, clips.frames.shape[1]):
        action = None if clips.actions is None else clips.actions[:, t - 1].to(model.device)
        seen = _observation(model, clips, slice(None), t)
        state = model.observe(state, seen, action, sample=False)
        states.append(state.index(t < lengths))
    pool = type(state).cat(states)
    return StartPool(pool, torch.arange(len(clips.frames), device=model.device))


@torch.no_grad()
def watch(model: WorldModel[Any], clips: StartClips) -> State:
    """Watch clips of equal length with the filter's means; return the state after each.

    Raises:
        DataError: If a clip of video is shorter than the model needs.
    """
    start = None
    if clips.begin_episodes:
        start = torch.ones(len(clips.frames), dtype=torch.bool, device=model.device)
    actions = None if clips.actions is None else clips.actions.to(model.device)
    seen = _observation(model, clips, slice(None), slice(None))
    state: State = model.encode(seen, actions, episode_start=start, sample=False)
    return state


def _watch_videos(model: WorldModel[Any], clips: StartClips) -> StartPool:
    """Watch clips of equal length together, none of their padding."""
    states = []
    for length in sorted(set(clips.lengths.tolist())):
        rows = clips.lengths == length
        alike = StartClips(
            clips.frames[rows, :length],
            clips.lengths[rows],
            None if clips.actions is None else clips.actions[rows, : length - 1],
            begin_episodes=False,
            vector=None if clips.vector is None else clips.vector[rows, :length],
        )
        states.append(watch(model, alike))
    pool = type(states[0]).cat(states)
    return StartPool(pool, torch.arange(pool.batch_size, device=model.device))


def clips_of(episodes: Sequence[Episode]) -> StartClips:
    """Pack episodes into start clips, padded to the longest.

    Raises:
        DataError: If there are none, or if only some have actions.
    """
    if not episodes:
        raise DataError("no episodes to start dreams from: collect some first")
    if len({episode.actions is None for episode in episodes}) > 1:
        raise DataError("some episodes have actions and some have none: keep them apart")
    counts = [_live_frames(episode) for episode in episodes]
    lengths, longest = torch.tensor(counts), max(counts)
    pairs = list(zip(episodes, counts, strict=True))
    frames = _stack([e.frames[:n] for e, n in pairs], longest)
    assert frames is not None
    actions = _stack([e.actions[: n - 1] for e, n in pairs if e.actions is not None], longest - 1)
    vector = _stack([e.vector[:n] for e, n in pairs if e.vector is not None], longest)
    begin = actions is not None and all(episode.part == 0 for episode in episodes)
    return StartClips(frames, lengths, actions, begin_episodes=begin, vector=vector)


def given_clips(model: WorldModel[Any], options: Mapping[str, Any], rows: int) -> StartClips | None:
    """Read the clips that the options of a reset begin from; None where they name none.

    The first frame counts as the beginning of an episode where the world takes actions, and as one
    of a video where it takes none.

    Args:
        model: What is to watch them.
        options: `frames` uint8 (t, h, w, c) for all rows, or (rows, t, h, w, c); `actions` between
            them and the `vector` beside them, where the world has these, with the same lead.
        rows: Number of dreams.

    Raises:
        DataError: For frames or vectors of another shape or dtype, or ones that are missing.
        SpaceError: For actions that do not fit.
    """
    if options.get("frames") is None:
        for name in ("actions", "vector"):
            if options.get(name) is not None:
                raise DataError(f"reset option {name!r} needs the frames that it belongs to")
        return None
    c, h, w = model.frame_shape
    frames = _as_array(options["frames"], "start frames")
    fits = frames.ndim in (4, 5) and frames.shape[-3:] == (h, w, c) and 0 not in frames.shape
    if frames.dtype != np.uint8 or not fits or frames.shape[:-4] not in ((), (rows,)):
        raise DataError(
            f"start frames are {frames.dtype} {frames.shape}, the dream wants uint8 "
            f"(t, {h}, {w}, {c}) or ({rows}, t, {h}, {w}, {c}): resize them as the world's were"
        )
    t = frames.shape[-4]
    actions, vector = options.get("actions"), options.get("vector")
    if (vector is None) == bool(model.vector_dim):
        wanted = "no vector" if vector is not None else f"a vector ({t}, {model.vector_dim})"
        raise DataError(f"the world wants {wanted} beside start frames")
    if vector is not None:
        vector = _as_array(vector, "the vectors beside start frames").astype(np.float32)
        if vector.shape[-2:] != (t, model.vector_dim) or not np.isfinite(vector).all():
            raise DataError(
                f"the vector beside start frames has shape {vector.shape}, "
                f"the dream wants finite numbers ({t}, {model.vector_dim})"
            )
    return StartClips(
        _for_rows(frames, rows, 4),
        torch.full((rows,), t),
        _given_actions(model, actions, t, rows),
        begin_episodes=model.action is not None,
        vector=None if vector is None else _for_rows(vector, rows, 2),
    )


def _given_actions(model: WorldModel[Any], actions: Any, frames: int, rows: int) -> Tensor | None:
    """Check the actions between start frames, one fewer than there are frames."""
    if model.action is None:
        if actions is not None:
            raise SpaceError("this world takes no actions: leave them out of the reset")
        return None
    shape = model.action.shape
    if actions is None and frames == 1:
        actions = np.empty((0, *shape), model.action.dtype)
    given = None if actions is None else _as_array(actions, "the actions between start frames")
    lead = None if given is None else given.shape[: given.ndim - len(shape)]
    if given is None or lead not in ((frames - 1,), (rows, frames - 1)):
        got = "none" if given is None else f"shape {given.shape}"
        raise SpaceError(f"{frames} start frames need {frames - 1} actions between, got {got}")
    flat = given.reshape(-1, *shape)
    model.action.check(flat, "the actions between start frames")
    return _for_rows(given.astype(model.action.dtype), rows, 1 + len(shape))


def _live_frames(episode: Episode) -> int:
    """Count the frames that something may follow: nothing does where an agent's world ended."""
    over = episode.actions is not None and episode.ending is Ending.TERMINATED
    return max(len(episode.frames) - over, 1)


def _for_rows(array: np.ndarray, rows: int, axes: int) -> Tensor:
    """Give each row its clip, or all of them the one of an array that has `axes` axes."""
    if array.ndim == axes:
        array = np.broadcast_to(array, (rows, *array.shape))
    return torch.tensor(array)


def _as_array(value: Any, what: str) -> np.ndarray:
    """Turn a tensor, or anything that makes an array of numbers, into an array."""
    try:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    except ValueError as error:
        raise DataError(f"{what} make no array ({error}): give one number a place") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} are {array.dtype}, not numbers: convert them")
    return array


def _stack(arrays: Sequence[np.ndarray | None], length: int) -> Tensor | None:
    """Stack arrays that all episodes have, or none, each padded to a length."""
    rows = [_pad(torch.from_numpy(array), length) for array in arrays if array is not None]
    return torch.stack(rows) if rows else None


def _pad(rows: Tensor, length: int) -> Tensor:
    """Repeat the last row until there are `length`; nothing but zeros where there is no row."""
    if len(rows) == length:
        return rows
    tail = rows[-1:] if len(rows) else rows.new_zeros(1, *rows.shape[1:])
    return torch.cat([rows, tail.expand(length - len(rows), *rows.shape[1:])])


def _observation(
    model: WorldModel[Any], clips: StartClips, rows: slice, times: int | slice
) -> Observation:
    """Turn stored frames, and vectors, of some times into what models take."""
    frames = clips.frames[rows, times].to(model.device)
    vector = None if clips.vector is None else clips.vector[rows, times].to(model.device)
    return Observation(rearrange(frames, "... h w c -> ... c h w").float() / 255, vector)
