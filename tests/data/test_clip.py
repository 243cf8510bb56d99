import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from srvp_world.data import moving_mnist
from srvp_world.data.clip import read_clip
from srvp_world.data.episodes import Ending, Episode, write_episode
from srvp_world.data.frame_format import FrameFormat
from srvp_world.errors import ConfigError, DataError

GOLDEN = Path(__file__).parents[1] / "golden"
FORMAT = FrameFormat(32, 1)
LEVELS = 10 * np.arange(12, dtype=np.uint8)


def flat_frames(size: int = 32) -> np.ndarray:
    """Give 12 grey frames; frame i has brightness 10 i."""
    return LEVELS[:, None, None, None].repeat(size, 1).repeat(size, 2)


@pytest.fixture
def video(tmp_path):
    np.save(tmp_path / "clip.npy", flat_frames())
    return tmp_path / "clip.npy"


@pytest.fixture
def experience(tmp_path):
    episode = Episode(
        frames=flat_frames(),
        actions=np.arange(11, dtype=np.float32)[:, None],
        rewards=np.zeros(11, np.float32),
        vector=np.arange(12, dtype=np.float32)[:, None],
        ending=Ending.TRUNCATED,
    )
    return write_episode(tmp_path, episode)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, range(12)),
        ({"start": 4}, range(4, 12)),
        ({"every": 5}, [0, 5, 10]),
        ({"start": 1, "every": 3, "first": 3}, [1, 4, 7]),
        ({"first": 5}, range(5)),
        ({"last": 5}, range(7, 12)),
        ({"start": 2, "last": 50}, range(2, 12)),
        ({"every": 2, "last": 2}, [8, 10]),
        ({"start": 1, "every": 4, "last": 2}, [5, 9]),
    ],
)
def test_a_clip_is_the_same_from_a_video_and_from_an_episode(video, tmp_path, settings, kept):
    episode = write_episode(tmp_path, Episode(frames=flat_frames()))
    for path in (video, episode):
        clip = read_clip(path, FORMAT, **settings)
        assert clip.frames.shape == (len(kept), 32, 32, 1)
        assert clip.frames[:, 0, 0, 0].tolist() == LEVELS[list(kept)].tolist()
        assert (clip.actions, clip.vector, clip.begins_episode) == (None, None, False)


def test_frames_take_the_worlds_format(tmp_path):
    np.save(tmp_path / "clip.npy", np.concatenate([flat_frames(64), 0 * flat_frames(64)], axis=2))
    clip = read_clip(tmp_path / "clip.npy", FrameFormat(32, 3, crop=(0, 0, 64, 64)))
    assert clip.frames.shape == (12, 32, 32, 3) and clip.source_shape == (64, 128, 1)
    assert (clip.frames == LEVELS[:, None, None, None]).all()


@pytest.mark.parametrize(
    ("settings", "start", "stop"),
    [({}, 0, 12), ({"first": 4}, 0, 4), ({"start": 3, "first": 4}, 3, 7), ({"last": 4}, 8, 12)],
)
def test_experience_brings_what_lies_between_its_frames(experience, settings, start, stop):
    clip = read_clip(experience, FORMAT, **settings)
    assert clip.frames[:, 0, 0, 0].tolist() == LEVELS[start:stop].tolist()
    assert clip.actions[:, 0].tolist() == list(range(start, stop - 1))
    assert clip.vector[:, 0].tolist() == list(range(start, stop))
    assert clip.begins_episode == (start == 0)


def test_only_the_first_part_begins_an_episode(tmp_path):
    later = Episode(frames=flat_frames(), actions=np.zeros((11, 1), np.float32), part=1)
    assert not read_clip(write_episode(tmp_path, later), FORMAT).begins_episode


def test_what_cannot_be_read_is_refused(video, experience):
    for path in (video, experience):
        with pytest.raises(DataError, match="has 12 frames, so none from frame 12 on"):
            read_clip(path, FORMAT, start=12)
        with pytest.raises(ConfigError, match="start must not be negative, got -1"):
            read_clip(path, FORMAT, start=-1)
        with pytest.raises(ConfigError, match="every must be at least 1, got 0"):
            read_clip(path, FORMAT, every=0)
    with pytest.raises(ConfigError, match="action between all frames.*got 2"):
        read_clip(experience, FORMAT, every=2)


def test_clips_of_the_test_set_of_moving_mnist_go_by_their_number():
    golden = json.loads((GOLDEN / "moving_mnist_test_sets.json").read_text())
    for name, kind in (("smmnist", "stochastic"), ("mmnist", "deterministic")):
        clip = read_clip(Path(name), FrameFormat(64, 1))
        digest = hashlib.sha256(clip.frames.tobytes()).hexdigest()
        assert digest == golden[kind]["first_video_sha256"]
    other = read_clip(Path("smmnist"), FrameFormat(64, 1), number=3, start=2, first=4)
    video = moving_mnist.test_set(stochastic=True, length=25, videos=4)[3]
    assert np.array_equal(other.frames[..., 0], video[2:6])
    for number in (-1, 5000):
        with pytest.raises(ConfigError, match="0 to 4999"):
            read_clip(Path("smmnist"), FrameFormat(64, 1), number=number)
