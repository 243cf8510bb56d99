"""Where dreams begin: states that the filter reaches on real clips, so that ages match reality."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from srvp_world.checkpoint import StartClips, World
from srvp_world.data.episodes import Episode
from srvp_world.errors import DataError
from srvp_world.model.srvp import SRVP
from srvp_world.model.state import SRVPState
from srvp_world.world import Observation


class StartPool(NamedTuple):
    """States that dreams may begin from.

    Attributes:
        states: n states.
        first: Rows of `states` at which real episodes begin (all, for video).
    """

    states: SRVPState
    first: Tensor


@lru_cache(maxsize=4)
def start_pool(world: World) -> StartPool:
    """Watch the start clips of a world, once."""
    return watch_clips(world.model, world.starts)


@torch.no_grad()
def watch_clips(model: SRVP, clips: StartClips) -> StartPool:
    """Run the filter over clips with its means, and keep the state at every frame of experience.

    Of video, only the state after a whole clip is kept: a dream continues a clip.

    Raises:
        DataError: If a clip of video is shorter than the model needs.
    """
    if not clips.begin_episodes:
        return _watch_videos(model, clips)
    device = model.device
    frames, lengths = clips.frames, clips.lengths.to(device)
    start = torch.ones(len(frames), dtype=torch.bool, device=device)
    no_action = None if clips.actions is None else clips.actions[:, :0].to(device)
    first = _to_float(frames[:, :1]).to(device)
    state = model.encode(Observation(first), no_action, episode_start=start, sample=False)
    states = [state]
    for t in range(1, frames.shape[1]):
        action = None if clips.actions is None else clips.actions[:, t - 1].to(device)
        observation = Observation(_to_float(frames[:, t]).to(device))
        state = model.observe(state, observation, action, sample=False)
        states.append(state.index(t < lengths))
    pool = type(state).cat(states)
    return StartPool(pool, torch.arange(len(frames), device=device))


def _watch_videos(model: SRVP, clips: StartClips) -> StartPool:
    """Watch clips of equal length together, none of their padding."""
    states = []
    for length in sorted(set(clips.lengths.tolist())):
        rows = clips.lengths == length
        frames = _to_float(clips.frames[rows, :length]).to(model.device)
        actions = None
        if clips.actions is not None:
            actions = clips.actions[rows, : length - 1].to(model.device)
        states.append(model.encode(Observation(frames), actions, sample=False))
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
    lengths = torch.tensor([len(episode.frames) for episode in episodes])
    longest = int(lengths.max())
    frames = torch.stack([_pad(torch.from_numpy(episode.frames), longest) for episode in episodes])
    actions = None
    if episodes[0].actions is not None:
        rows = [
            torch.from_numpy(episode.actions) for episode in episodes if episode.actions is not None
        ]
        actions = torch.stack([_pad(row, longest - 1) for row in rows])
    begin = actions is not None and all(episode.part == 0 for episode in episodes)
    return StartClips(frames, lengths, actions, begin_episodes=begin)


def _pad(rows: Tensor, length: int) -> Tensor:
    """Repeat the last row until there are `length`; nothing but zeros where there is no row."""
    if len(rows) == length:
        return rows
    tail = rows[-1:] if len(rows) else rows.new_zeros(1, *rows.shape[1:])
    return torch.cat([rows, tail.expand(length - len(rows), *rows.shape[1:])])


def _to_float(frames: Tensor) -> Tensor:
    """Turn stored frames into what models take."""
    return rearrange(frames, "... h w c -> ... c h w").float() / 255
