"""Dreams begin where the filter stands on real clips."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import KINDS, tiny_model, tiny_world

from srvp_world.checkpoint import StartClips, World
from srvp_world.data.episodes import Episode
from srvp_world.envs.starts import clips_of, start_pool, watch_clips
from srvp_world.errors import DataError
from srvp_world.model.state import SRVPState
from srvp_world.world import Observation

LENGTHS = (6, 4, 5)


def encode(world: World, row: int, length: int) -> SRVPState:
    """Watch the first frames of one start clip in one piece."""
    frames = world.starts.frames[row : row + 1, :length].movedim(-1, 2).float() / 255
    actions = world.starts.actions
    given = None if actions is None else actions[row : row + 1, : length - 1]
    start = torch.ones(1, dtype=torch.bool) if world.starts.begin_episodes else None
    return world.model.encode(Observation(frames), given, episode_start=start, sample=False)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_pool_holds_every_age_of_every_clip_and_no_padding(kind: str):
    model = tiny_model(kind, skips=True, content_in_dynamics=True)
    world = tiny_world(kind, model, lengths=LENGTHS)
    pool = start_pool(world)
    places = [(row, t) for t in range(1, 7) for row in range(3) if t <= LENGTHS[row]]
    assert pool.states.batch_size == len(places) == sum(LENGTHS)
    for i, (row, length) in enumerate(places):
        expected = encode(world, row, length)
        torch.testing.assert_close(pool.states.y[i : i + 1], expected.y)
        torch.testing.assert_close(pool.states.w[i : i + 1], expected.w)
        torch.testing.assert_close(
            model.decode(pool.states.index(torch.tensor([i]))), model.decode(expected)
        )
    assert pool.first.tolist() == [0, 1, 2]
    assert len(pool.states.bank.w) == 3, "content is stored once a clip"


@torch.no_grad()
def test_dreams_of_video_continue_whole_clips():
    world = tiny_world("none", lengths=(6, 4, 6, 3))
    pool = start_pool(world)
    assert pool.states.batch_size == 4
    ends = {tuple(y.tolist()) for y in pool.states.y}
    for row, length in enumerate((6, 4, 6, 3)):
        expected = encode(world, row, length).y[0]
        assert any(np.allclose(expected, end, atol=1e-5) for end in ends)
    assert pool.first.tolist() == [0, 1, 2, 3]


def test_the_pool_is_made_once():
    world = tiny_world("box")
    assert start_pool(world) is start_pool(world)
    assert start_pool(replace(world)) is not start_pool(world)


def test_video_that_is_too_short_is_refused():
    world = tiny_world("none", lengths=(3, 1))
    with pytest.raises(DataError, match="got 1 frames but 2 are needed"):
        start_pool(world)


def episode(t: int, value: int, **fields) -> Episode:
    frames = np.full((t + 1, 32, 32, 1), value, np.uint8)
    frames[:, 0, 0, 0] = np.arange(t + 1)
    actions = np.arange(2 * t, dtype=np.float32).reshape(t, 2) / 20
    return Episode(frames=frames, **{"actions": actions, **fields})


def test_episodes_are_packed_into_clips():
    clips = clips_of([episode(3, 10), episode(0, 20), episode(1, 30)])
    assert clips.frames.shape == (3, 4, 32, 32, 1)
    assert clips.frames.dtype == torch.uint8
    assert clips.lengths.tolist() == [4, 1, 2]
    assert clips.actions.shape == (3, 3, 2)
    assert clips.begin_episodes
    assert clips.frames[2, :, 0, 0, 0].tolist() == [0, 1, 1, 1]
    assert clips.actions[2].tolist() == clips.actions[2, :1].repeat(3, 1).tolist()
    assert torch.equal(clips.actions[0], torch.from_numpy(episode(3, 0).actions))
    pool = watch_clips(tiny_model("box"), clips)
    assert pool.states.batch_size == 4 + 1 + 2


def test_pieces_of_episodes_and_videos_begin_none():
    assert not clips_of([episode(3, 10), episode(3, 20, part=1)]).begin_episodes
    video = clips_of([episode(3, 10, actions=None)])
    assert video.actions is None
    assert not video.begin_episodes
    assert isinstance(video, StartClips)


def test_no_episodes_and_mixed_ones_are_refused():
    with pytest.raises(DataError, match="no episodes to start dreams from: collect some"):
        clips_of([])
    with pytest.raises(DataError, match="some episodes have actions and some have none"):
        clips_of([episode(3, 10), episode(3, 10, actions=None)])
