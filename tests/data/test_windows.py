import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from srvp_world.data.dataset import Dataset, EpisodeWriter
from srvp_world.data.episodes import DatasetInfo, Ending, Episode
from srvp_world.data.windows import WindowSampler, to_batch
from srvp_world.errors import ConfigError, DataError
from srvp_world.spaces import ActionSpec
from srvp_world.world import Shard

CHOICE = ActionSpec(kind="discrete", nvec=(100,))
INFO = DatasetInfo(frame_size=2, channels=1, action=CHOICE, rewards=True, vector_dim=1)
VIDEO = DatasetInfo(frame_size=2, channels=1)


def record(folder, lengths, *, ending=Ending.TRUNCATED, info=INFO, part_length=1000, stem="a"):
    """A world that counts: frame and vector t show t, action i is i, its reward is i + 1."""
    writer = EpisodeWriter(folder, info, stem=stem, part_length=part_length)
    agent = info.action is not None
    for frames in lengths:
        for t in range(frames):
            frame = np.full((2, 2, 1), t, np.uint8)
            vector = np.array([float(t)]) if agent else None
            if t == 0:
                writer.start(frame, vector)
            else:
                writer.add(t - 1 if agent else None, t if agent else None, frame, vector)
        writer.finish(ending)
    return Dataset.open(folder)


def sampler(dataset, **changes):
    options = {
        "batch_size": 64,
        "window": 6,
        "episode_start_fraction": 0.0,
        "min_frames": 3,
        "seed": 0,
    }
    return WindowSampler(dataset, **{**options, **changes})


def shown(batch):
    """(b, t) the number that each frame shows."""
    numbers = (batch.frames[:, :, 0] * 255).round().long()
    assert (numbers == numbers[:, :, :1, :1]).all()
    return numbers[:, :, 0, 0]


def check_alignment(batch, frames, terminated):
    """Hold a batch of the counting world, whose episodes have one length, to its contract."""
    steps = batch.frames.shape[1]
    for row in range(len(batch.frames)):
        start = int(shown(batch)[row, 0])
        times = start + torch.arange(steps)
        real = times < frames
        assert torch.equal(batch.valid[row], real)
        assert torch.equal(shown(batch)[row], times.clamp(max=frames - 1))
        assert torch.equal(batch.vector[row, :, 0], times.clamp(max=frames - 1).float())
        assert torch.equal(batch.actions[row], times[:-1].clamp(max=frames - 2))
        assert torch.equal(batch.rewards[row], times[1:] * real[1:].float())
        over = terminated & (times[1:] >= frames - 1)
        assert torch.equal(batch.continues[row], 1.0 - over.float())


@pytest.mark.parametrize("ending", list(Ending))
@pytest.mark.parametrize("frames", [2, 5, 6, 20])
def test_everything_stays_aligned_at_every_start(tmp_path, ending, frames):
    windows = sampler(record(tmp_path, [frames], ending=ending), episode_start_fraction=0.2)
    for iteration in range(4):
        check_alignment(windows.batch(iteration), frames, ending is Ending.TERMINATED)


def test_types_shapes_and_range(tmp_path):
    dataset = record(tmp_path, [20])
    batch = sampler(dataset).batch(0)
    assert batch.frames.shape == (64, 6, 1, 2, 2)
    assert batch.frames.dtype == torch.float32
    assert batch.frames.is_contiguous()
    assert batch.valid.dtype == batch.episode_start.dtype == torch.bool
    assert batch.actions.dtype == torch.int64
    assert batch.actions.shape == batch.rewards.shape == batch.continues.shape == (64, 5)
    assert batch.rewards.dtype == batch.continues.dtype == batch.vector.dtype == torch.float32
    white = Episode(frames=np.full((1, 2, 2, 1), 255, np.uint8))
    assert (to_batch([white]).frames == 1).all()


def test_pixels_keep_their_places():
    frames = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    batch = to_batch([Episode(frames=frames)])
    assert batch.frames[0, 1, 2, 0, 3] * 255 == pytest.approx(float(frames[1, 0, 3, 2]))


def test_starts_of_an_episode_that_terminated(tmp_path):
    windows = sampler(record(tmp_path, [20], ending=Ending.TERMINATED))
    batches = [windows.batch(i) for i in range(30)]
    starts = torch.cat([shown(batch)[:, 0] for batch in batches])
    assert sorted(set(starts.tolist())) == list(range(20 - 3 + 1))
    counts = torch.bincount(starts).float()
    assert counts.min() > 0.6 * counts.mean()
    lengths = torch.cat([batch.valid.sum(1) for batch in batches])
    assert set(lengths.tolist()) == {3, 4, 5, 6}


def test_ends_are_seen_at_every_position(tmp_path):
    windows = sampler(record(tmp_path, [20], ending=Ending.TERMINATED), min_frames=1)
    arrivals = set()
    for iteration in range(20):
        batch = windows.batch(iteration)
        seen = (batch.continues == 0) & batch.valid[:, 1:]
        arrivals |= set(seen.nonzero()[:, 1].tolist())
        assert batch.valid[:, 1].all()  # a lone last frame teaches nothing
    assert arrivals == set(range(5))


@pytest.mark.parametrize("ending", [Ending.TRUNCATED, Ending.UNFINISHED])
def test_other_windows_stay_inside(tmp_path, ending):
    windows = sampler(record(tmp_path, [20], ending=ending))
    starts = set()
    for iteration in range(10):
        batch = windows.batch(iteration)
        assert batch.valid.all()
        assert (batch.continues == 1).all()
        starts |= set(shown(batch)[:, 0].tolist())
    assert starts == set(range(15))


def test_short_episodes_are_used_whole(tmp_path):
    batch = sampler(record(tmp_path, [4])).batch(0)
    assert (shown(batch)[:, 0] == 0).all()
    assert (batch.valid.sum(1) == 4).all()
    assert not batch.episode_start.any()


def test_what_is_too_short_to_watch_begins_an_episode(tmp_path):
    batch = sampler(record(tmp_path, [2, 10])).batch(0)
    short = batch.valid.sum(1) == 2
    assert short.any()
    assert torch.equal(batch.episode_start, short)


def test_records_are_drawn_in_proportion_to_their_starts(tmp_path):
    record(tmp_path, [10], stem="a")  # 5 starts, all inside
    dataset = record(tmp_path, [47], stem="b", ending=Ending.TERMINATED)  # 45, some past the end
    batch = sampler(dataset, batch_size=4000).batch(0)
    early = (shown(batch)[:, 0] < 5).float().mean()  # 5 starts of each
    sees_end = (batch.continues == 0).any(1).float().mean()  # the last 4 of the 45
    assert early == pytest.approx(10 / 50, abs=0.03)
    assert sees_end == pytest.approx(4 / 50, abs=0.02)


@pytest.mark.parametrize("fraction", [0.0, 0.125, 1.0])
def test_share_of_episode_starts(tmp_path, fraction):
    dataset = record(tmp_path, [30, 40], part_length=10)
    windows = sampler(dataset, episode_start_fraction=fraction, batch_size=500)
    batches = [windows.batch(i) for i in range(4)]
    begins = torch.cat([batch.episode_start for batch in batches])
    assert begins.float().mean() == pytest.approx(fraction, abs=0.03)
    first = torch.cat([shown(batch)[:, 0] for batch in batches])
    assert (first[begins] == 0).all()


def test_a_later_part_never_begins_an_episode(tmp_path):
    dataset = record(tmp_path, [12], part_length=10, ending=Ending.TERMINATED)
    assert [r.frames for r in dataset.records] == [11, 2]
    windows = sampler(dataset, episode_start_fraction=0.5, window=3)
    for iteration in range(5):
        batch = windows.batch(iteration)
        assert (shown(batch)[batch.episode_start][:, 0] == 0).all()
        assert (shown(batch)[:, 0] < 10).all()  # two frames of a later part cannot be watched


def test_a_batch_depends_on_seed_and_iteration_alone(tmp_path):
    dataset = record(tmp_path, [20, 30, 4], ending=Ending.TERMINATED)
    options = {"episode_start_fraction": 0.3, "with_first": True}
    one, two = (sampler(dataset, **options) for _ in range(2))
    for iteration in range(5):
        one.batch(iteration)
    for iteration in (7, 3):
        a, b = one.batch(iteration), two.batch(iteration)
        assert all(torch.equal(vars(a)[name], vars(b)[name]) for name in vars(a))
    assert not torch.equal(one.batch(7).frames, one.batch(8).frames)
    assert not torch.equal(one.batch(7).frames, sampler(dataset, seed=1).batch(7).frames)


def test_shards_are_rows_of_the_same_batch(tmp_path) -> None:
    dataset = record(tmp_path, [9, 4, 12])
    windows = sampler(dataset, episode_start_fraction=0.3, with_first=True)
    whole = windows.batch(3)
    parts = [windows.batch(3, Shard(rank, 4)) for rank in range(4)]
    for name, rows in vars(whole).items():
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), rows)
    with pytest.raises(ConfigError, match="batch_size of 64"):
        windows.batch(0, Shard(0, 3))


def test_windows_come_with_the_first_frame_of_their_episode(tmp_path):
    """Of what is left of it, where a ring dropped its beginning."""
    dataset = record(tmp_path, [12, 3], part_length=5)
    batch = sampler(dataset, window=3, with_first=True).batch(0)
    assert batch.first.frames.shape == batch.frames[:, 0].shape
    assert (batch.first_frame == 0).all() and (batch.frames[:, 0] > 0).any()
    late = replace(dataset, records=dataset.records[1:2])
    batch = sampler(late, window=3, with_first=True, episode_start_fraction=0).batch(0)
    assert (batch.first_frame == late.read(0).frames[0, 0, 0, 0] / 255).all()
    assert sampler(dataset, window=3).batch(0).first is None


def test_video_has_no_starts_and_no_ends(tmp_path):
    dataset = record(tmp_path, [6, 10], info=VIDEO, ending=Ending.TERMINATED)
    windows = sampler(dataset, episode_start_fraction=0.5)
    starts = set()
    for iteration in range(5):
        batch = windows.batch(iteration)
        assert batch.valid.all()
        assert not batch.episode_start.any()
        assert batch.actions is batch.rewards is batch.continues is batch.vector is None
        starts |= set(shown(batch)[:, 0].tolist())
    assert starts == set(range(5))


@pytest.mark.parametrize(("info", "whole"), [(VIDEO, False), (VIDEO, True), (INFO, True)])
def test_short_clips_are_refused_where_windows_must_be_whole(tmp_path, info, whole):
    dataset = record(tmp_path, [6, 5], info=info)
    with pytest.raises(DataError, match="a-000001-part000.* has 5 frames, but 6 are needed"):
        sampler(dataset, whole_windows=whole)


def test_whole_windows_of_experience_stay_inside(tmp_path):
    dataset = record(tmp_path, [8], ending=Ending.TERMINATED)
    batch = sampler(dataset, whole_windows=True).batch(0)
    assert batch.valid.all()
    assert set(shown(batch)[:, 0].tolist()) == {0, 1, 2}


def test_a_window_shorter_than_the_model_needs(tmp_path):
    with pytest.raises(ConfigError, match="set window to 7"):
        sampler(record(tmp_path, [20]), min_frames=7)


def test_nothing_to_draw_from(tmp_path):
    dataset = record(tmp_path, [1])
    with pytest.raises(DataError, match="long enough"):
        sampler(dataset)
    with pytest.raises(DataError, match="long enough"):
        sampler(dataset.split(0.5, 0)[1])


def test_a_file_that_vanished_is_named(tmp_path):
    dataset = record(tmp_path, [20])
    windows = sampler(dataset)
    dataset.path(0).unlink()
    with pytest.raises(DataError, match="a-000000-part000.safetensors does not exist"):
        windows.batch(0)


def test_whole_episodes_as_one_batch(tmp_path):
    record(tmp_path, [12], part_length=8, ending=Ending.TERMINATED)
    dataset = record(tmp_path, [3], stem="b")
    batch = to_batch([dataset.read(i) for i in range(3)])
    assert batch.frames.shape[:2] == (3, 9)
    assert batch.valid.sum(1).tolist() == [9, 4, 3]
    assert batch.episode_start.tolist() == [True, False, True]
    assert batch.continues.sum(1).tolist() == [8, 2, 8]
    assert batch.rewards.sum(1).tolist() == [36, 9 + 10 + 11, 3]


def test_only_the_windows_are_read(tmp_path):
    writer = EpisodeWriter(tmp_path, DatasetInfo(frame_size=64, channels=3), stem="a")
    writer.start(np.zeros((64, 64, 3), np.uint8))
    for t in range(400):  # 5 MB
        writer.add(None, None, np.full((64, 64, 3), t % 256, np.uint8))
    writer.finish(Ending.UNFINISHED)
    windows = sampler(Dataset.open(tmp_path), batch_size=2, window=4)
    tracemalloc.start()
    try:
        for iteration in range(50):
            windows.batch(iteration)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6
