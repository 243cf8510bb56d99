from dataclasses import replace

import numpy as np
import pytest
from worlds import ACTIONS, CONFIG

from srvp_world.benchmark.protocols import PROTOCOLS, Clips, folder_protocol, open_clips
from srvp_world.config import ModelConfig
from srvp_world.data.dataset import create_dataset
from srvp_world.data.episodes import DatasetInfo, Episode, write_episode
from srvp_world.data.moving_mnist import test_set as moving_mnist
from srvp_world.errors import ConfigError, DataError


def write_videos(folder, lengths, **fields):
    """Write flat videos; video k has brightness k, and a ramp of actions where there are any."""
    info = DatasetInfo(frame_size=32, channels=1, **fields)
    create_dataset(folder, info)
    for k, length in enumerate(lengths):
        frames = np.full((length, 32, 32, 1), k, np.uint8)
        actions = np.linspace(0, 1, length - 1, dtype=np.float32)
        actions = np.stack([actions, actions], axis=1) if info.action else None
        write_episode(folder, Episode(frames=frames, actions=actions), stem=f"video{k}")
    return folder


def test_the_papers_protocols() -> None:
    """Frames seen, predicted, test videos and samples of table 1.4."""
    expected = {
        "smmnist": (5, 20, 5000, 100),
        "mmnist": (5, 95, 5000, 1),
        "kth": (10, 30, 1000, 100),
        "human36m": (8, 45, 1000, 100),
        "bair": (2, 28, 256, 100),
    }
    given = {
        name: (each.conditioning, each.horizon, each.videos, each.samples)
        for name, each in PROTOCOLS.items()
    }
    assert given == expected
    assert all(each.substeps is each.observed_substeps is None for each in PROTOCOLS.values())


@pytest.mark.parametrize(("name", "length"), [("smmnist", 25), ("mmnist", 100)])
def test_moving_mnist_is_made_at_the_papers_length_and_cut(name, length) -> None:
    protocol = replace(PROTOCOLS[name], videos=4, horizon=3)
    clips = open_clips(protocol)
    assert (clips.count, clips.frame_shape) == (4, (64, 64, 1))
    whole = moving_mnist(stochastic=name == "smmnist", length=length, videos=4)
    np.testing.assert_array_equal(clips.read(1, 3).frames[..., 0], whole[1:3, :8])
    assert clips.read(1, 3).actions is None


@pytest.mark.parametrize("inner", ["", "test"])
def test_clips_of_a_folder_are_the_first_frames_of_its_videos(tmp_path, inner) -> None:
    write_videos(tmp_path / inner, [9, 8, 12], action=ACTIONS["box"])
    protocol = replace(folder_protocol(tmp_path), conditioning=3, horizon=5)
    assert protocol.name == f"folder {tmp_path.name}"
    clips = open_clips(protocol, tmp_path)
    batch = clips.read(1, 3)
    assert clips.count == 3 and batch.frames.shape == (2, 8, 32, 32, 1)
    assert batch.frames[:, 0, 0, 0, 0].tolist() == [1, 2]
    assert batch.actions is not None and batch.actions.shape == (2, 7, 2)
    assert batch.actions[1, -1, 0] == pytest.approx(6 / 10)
    assert open_clips(replace(protocol, videos=2), tmp_path).count == 2


def test_folders_without_enough_frames_or_clips(tmp_path) -> None:
    write_videos(tmp_path, [9, 7])
    protocol = replace(folder_protocol(tmp_path), conditioning=3, horizon=5)
    short = r"video1-part000.safetensors has 7 frames, but 3 \+ 5 = 8 are wanted: lower --horizon"
    with pytest.raises(DataError, match=short):
        open_clips(protocol, tmp_path)
    assert open_clips(replace(protocol, videos=1), tmp_path).count == 1
    with pytest.raises(DataError, match="has 2 clips, but 3 are wanted: give --videos 2"):
        open_clips(replace(protocol, videos=3), tmp_path)
    with pytest.raises(DataError, match="no data set"):
        open_clips(protocol, tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["kth", "human36m", "bair"])
def test_data_sets_that_must_be_given(tmp_path, name) -> None:
    with pytest.raises(ConfigError, match=f"{name} do not ship.*--data"):
        open_clips(PROTOCOLS[name])
    protocol = PROTOCOLS[name]
    write_videos(tmp_path, [protocol.length])
    needed = {
        "kth": "person25_jogging_d3",
        "human36m": "all of its test videos",
        "bair": "traj_0_to_255-000",
    }[name]
    with pytest.raises(DataError, match=f"test set of {name} needs {needed}, "):
        open_clips(replace(protocol, videos=1), tmp_path)
    assert open_clips(replace(protocol, videos=1, name="folder own"), tmp_path).count == 1


def test_clips_are_drawn_at_the_papers_length_and_cut(tmp_path) -> None:
    """Where the first clip of KTH begins is drawn from 50 - 40 + 1 frames, with seed 42: 10."""
    info = DatasetInfo(frame_size=32, channels=1, source="KTH")
    create_dataset(tmp_path / "test", info)
    frames = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 1), np.uint8)
    write_episode(tmp_path / "test", Episode(frames=frames), stem="person25_jogging_d3")
    clips = open_clips(replace(PROTOCOLS["kth"], videos=1), tmp_path)
    batch = clips.read(0, 1)
    assert batch.frames.shape == (1, 40, 32, 32, 1) and batch.actions is None
    start = batch.frames[0, 0, 0, 0, 0]
    rng = np.random.RandomState(42)
    _ = rng.randint(6), rng.randint(21, 26), rng.randint(1, 5)
    assert start == rng.randint(11)
    assert batch.frames[0, :, 0, 0, 0].tolist() == list(range(start, start + 40))
    assert clips.source == (
        "the original's test set of 40 frames: the first 1 of 1000 clips, drawn from 1 episodes: "
        "KTH"
    )
    short = open_clips(replace(PROTOCOLS["kth"], videos=1, horizon=5), tmp_path / "test")
    assert short.read(0, 1).frames[0, :, 0, 0, 0].tolist() == list(range(start, start + 15))


def test_clips_of_robots_are_frames_alone(tmp_path) -> None:
    create_dataset(tmp_path, info := DatasetInfo(frame_size=32, channels=1, action=ACTIONS["box"]))
    for k in range(3):
        actions = np.zeros((29, 2), np.float32)
        frames = np.full((30, 32, 32, 1), k, np.uint8)
        episode = Episode(frames=frames, actions=actions)
        write_episode(tmp_path, episode, stem=f"traj_0_to_255-{k:03d}")
    assert info.action is not None
    clips = open_clips(replace(PROTOCOLS["bair"], videos=3), tmp_path)
    batch = clips.read(1, 3)
    assert batch.frames[:, 0, 0, 0, 0].tolist() == [1, 2] and batch.actions is None
    assert (clips.action, clips.vector_dim) == (None, 0)
    with pytest.raises(DataError, match="needs traj_0_to_255-003"):
        open_clips(replace(PROTOCOLS["bair"], videos=4), tmp_path)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("smmnist", {"horizon": 21}, r"25 frames, but 5 \+ 21 = 26 are wanted"),
        ("mmnist", {"conditioning": 6}, r"100 frames, but 6 \+ 95 = 101 are wanted"),
        ("smmnist", {"videos": 5001}, "5000 clips, but 5001"),
        ("kth", {"horizon": 31}, r"40 frames, but 10 \+ 31 = 41 are wanted"),
        ("human36m", {"videos": 1001}, "1000 clips, but 1001 are wanted: lower --videos"),
        ("bair", {"videos": 257}, "256 clips, but 257"),
    ],
)
def test_benchmarks_have_no_more(tmp_path, name, changes, words) -> None:
    write_videos(tmp_path, [60])
    folder = None if "mnist" in name else tmp_path
    with pytest.raises(DataError, match=words):
        open_clips(replace(PROTOCOLS[name], **changes), folder)


def test_moving_mnist_takes_no_folder(tmp_path) -> None:
    with pytest.raises(ConfigError, match="leave --data out"):
        open_clips(PROTOCOLS["smmnist"], tmp_path)


@pytest.mark.parametrize(
    "name", ["conditioning", "horizon", "videos", "samples", "substeps", "observed_substeps"]
)
def test_protocols_that_leave_nothing_to_do(name) -> None:
    with pytest.raises(ConfigError, match=f"{name.replace('_', '-')} must be at least 1, got 0"):
        replace(PROTOCOLS["smmnist"], **{name: 0})


@pytest.mark.parametrize("temperature", [-0.5, float("inf"), float("nan")])
def test_temperatures_that_are_none(temperature) -> None:
    with pytest.raises(ConfigError, match=f"finite and not negative, got {temperature}"):
        replace(PROTOCOLS["smmnist"], temperature=temperature)


def test_a_temperature_may_be_a_whole_number() -> None:
    assert replace(PROTOCOLS["smmnist"], temperature=0).temperature == 0


VIDEO = replace(CONFIG, reward=False, continuation=False)


@pytest.mark.parametrize(
    ("config", "changes", "words"),
    [
        (replace(VIDEO, frame_size=64), {}, "32x32x1.*64x64x1"),
        (replace(VIDEO, channels=3), {}, "32x32x1.*32x32x3"),
        (replace(VIDEO, vector_dim=2), {}, "vector"),
        (VIDEO, {"vector_dim": 3}, "vector"),
        (replace(VIDEO, action=ACTIONS["box"]), {}, r"actions None.*Box\(.*its own environment"),
        (VIDEO, {"action": ACTIONS["discrete"]}, r"Discrete\(3\).*takes None"),
        (replace(VIDEO, content_frames=6), {}, "6 conditioning frames, got 5.*--conditioning 6"),
    ],
)
def test_worlds_that_cannot_watch(config: ModelConfig, changes, words) -> None:
    settings = {"source": "", "count": 1, "frame_shape": (32, 32, 1), "read": None}
    clips = Clips(**settings)
    clips.check_fits(VIDEO, PROTOCOLS["smmnist"])
    with pytest.raises((ConfigError, DataError), match=words):
        replace(clips, **changes).check_fits(config, PROTOCOLS["smmnist"])
