import signal
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from command import files
from videos import cut, noise, ramp, write_images, write_movie

from srvp_world.data import video_episode
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import read_header
from srvp_world.data.frame_format import FrameFormat
from srvp_world.data.importing import ImportConfig, assign, import_videos
from srvp_world.data.video import list_videos
from srvp_world.data.windows import WindowSampler
from srvp_world.errors import ConfigError, DataError, OutputError

GREY = ImportConfig(format=FrameFormat(32, 1), fractions=(1.0, 0.0, 0.0))


def bring(source, out, config=GREY, **changes):
    return import_videos(list_videos(source), out, replace(config, **changes), progress=False)


def shown(folder):
    """Brightness of the first pixel of each frame of each episode, by the source's name."""
    data = Dataset.open(folder)
    return {
        data.read(i).provenance["source"]: data.read(i).frames[:, 0, 0, 0].tolist()
        for i in range(len(data))
    }


def arrays(folder, count, length=6):
    """Files 0.npy, 1.npy .. of which number i shows i, i + 1 .. at 32 x 32."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        frames = np.full((length, 32, 32), np.arange(i, i + length)[:, None, None], np.uint8)
        np.save(folder / f"{i}.npy", frames)
    return folder


def test_a_folder_of_images_becomes_an_episode_pixel_by_pixel(tmp_path):
    frames = noise(7, 32, 32)
    colour = replace(GREY, format=FrameFormat(32, 3))
    result = bring(write_images(tmp_path / "walk", frames), tmp_path / "data", colour)
    data = Dataset.open(tmp_path / "data" / "train")
    np.testing.assert_array_equal(data.read(0).frames, frames)
    assert (len(data), data.info.action, data.info.frame_rate) == (1, None, None)
    assert dict(data.read(0).provenance) == {"source": "walk", "every": 1}
    assert [(video.name, video.frames, video.grey) for video in result.imported] == [
        ("walk", 7, False)
    ]


def test_a_video_file_is_cropped_resized_and_made_grey(tmp_path):
    path = write_movie(tmp_path / "clip.mp4", ramp(12, 64, 128), rate=25)
    config = ImportConfig(format=FrameFormat(32, 1, (0, 64, 64, 64)), fractions=(1, 0, 0))
    bring(path, tmp_path / "data", config)
    data = Dataset.open(tmp_path / "data" / "train")
    right = data.read(0).frames[:, 8:24, 8:24, 0].mean(axis=(1, 2))
    np.testing.assert_allclose(right, 255 - 10 * np.arange(12), atol=3)
    assert data.info.frame_rate == 25
    assert data.read(0).provenance["frame_rate"] == 25


@pytest.mark.parametrize(
    ("settings", "kept", "rate"),
    [
        ({}, range(12), 25),
        ({"every": 3}, [0, 3, 6, 9], 25 / 3),
        ({"every": 12}, [0], 25 / 12),
        ({"fps": 12.5}, [0, 2, 4, 6, 8, 10], 12.5),
        ({"fps": 10.0}, [0, 3, 5, 8, 10], 10),  # 2.5, 5, 7.5, 10: the first at or after each
        ({"fps": 25.0}, range(12), 25),
    ],
)
def test_which_frames_are_kept(tmp_path, settings, kept, rate):
    path = write_movie(tmp_path / "clip.avi", ramp(12, 32, 32), rate=25)
    bring(path, tmp_path / "data", min_frames=1, **settings)
    np.testing.assert_allclose(
        shown(tmp_path / "data" / "train")["clip.avi"], 10 * np.array(kept), atol=3
    )
    assert Dataset.open(tmp_path / "data" / "train").info.frame_rate == pytest.approx(rate)


def test_frame_rates_that_differ_are_told_and_made_equal_on_request(tmp_path):
    write_movie(tmp_path / "videos" / "a.avi", ramp(12, 32, 32), rate=10)
    write_movie(tmp_path / "videos" / "b.avi", ramp(12, 32, 32), rate=20)
    result = bring(tmp_path / "videos", tmp_path / "mixed")
    assert result.frame_rates == (10, 20)
    assert Dataset.open(tmp_path / "mixed" / "train").info.frame_rate is None
    bring(tmp_path / "videos", tmp_path / "equal", fps=10)
    assert [len(frames) for frames in shown(tmp_path / "equal" / "train").values()] == [12, 6]
    assert Dataset.open(tmp_path / "equal" / "train").info.frame_rate == 10


def test_what_fps_cannot_do_is_named(tmp_path):
    write_movie(tmp_path / "videos" / "slow.avi", ramp(), rate=10)
    write_images(tmp_path / "videos" / "images", noise(3))
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"")
    (tmp_path / "videos" / "broken.npz").write_bytes(b"")
    skipped = dict(bring(tmp_path / "videos", tmp_path / "data", fps=20).skipped)
    assert "10 frames a second, not 20" in skipped["videos/slow.avi"]
    assert "does not tell its frame rate" in skipped["videos/images"]
    assert "truncated or no video" in skipped["videos/broken.mp4"]
    assert "no NumPy file" in skipped["videos/broken.npz"]


def test_frame_rates_of_later_imports_need_not_agree(tmp_path):
    def rates():
        return [
            Dataset.open(tmp_path / "data" / name).info.frame_rate for name in ("train", "test")
        ]

    for name, rate in (("a", 25), ("b", Fraction(30000, 1001)), ("c", 25), ("d", 25)):
        write_movie(tmp_path / name / "1.avi", noise(4, seed=ord(name)), rate)
    write_movie(tmp_path / "a" / "2.avi", noise(4), 25)
    both = replace(GREY, fractions=(0.5, 0.0, 0.5))
    bring(tmp_path / "a", tmp_path / "data", both)
    (tmp_path / "broken.mp4").write_bytes(b"")
    (tmp_path / "broken.npz").write_bytes(b"")
    bring(tmp_path / "broken.mp4", tmp_path / "data")
    bring(tmp_path / "broken.npz", tmp_path / "data")
    bring(tmp_path / "c", tmp_path / "data")
    assert rates() == [25, 25]
    assert bring(tmp_path / "b", tmp_path / "data").splits == {
        "train": 3,
        "validation": 0,
        "test": 1,
    }
    assert rates() == [None, None]
    assert bring(tmp_path / "d", tmp_path / "data").splits["train"] == 4
    assert rates() == [None, None]


def test_images_and_videos_of_almost_the_same_rate_join_a_data_set(tmp_path):
    for name, rate in (("a", Fraction(30000, 1001)), ("b", Fraction(29971, 1000))):
        write_movie(tmp_path / f"{name}.avi", noise(4, seed=ord(name)), rate)
        bring(tmp_path / f"{name}.avi", tmp_path / "data")
    assert Dataset.open(tmp_path / "data" / "train").info.frame_rate == 29.97
    bring(write_images(tmp_path / "images", noise(3)), tmp_path / "data")
    data = Dataset.open(tmp_path / "data" / "train")
    assert (len(data), data.info.frame_rate) == (3, None)


def test_videos_of_the_same_name_are_told_apart_where_they_are_skipped(tmp_path):
    sources = [write_images(tmp_path / day / "frames", noise(1)) for day in ("1", "2")]
    videos = [video for source in sources for video in list_videos(source)]
    skipped = import_videos(videos, tmp_path / "data", GREY, progress=False).skipped
    assert [name for name, _ in skipped] == ["frames", "frames"]


def test_what_is_broken_is_named_and_the_others_are_imported(tmp_path):
    videos = arrays(tmp_path / "videos", 2)
    for name in ("cut.mp4", "cut.avi"):
        cut(write_movie(videos / name, noise()))
    (videos / "zero.mov").write_bytes(b"")
    np.save(videos / "short.npy", noise(1, channels=1)[..., 0])
    np.save(videos / "nan.npy", np.full((5, 8, 8), np.nan))
    result = bring(videos, tmp_path / "data")
    assert {video.name for video in result.imported} == {"videos/0.npy", "videos/1.npy"}
    names = ("cut.mp4", "cut.avi", "zero.mov", "short.npy", "nan.npy")
    assert {name for name, _ in result.skipped} == {f"videos/{name}" for name in names}
    assert "1 frames to keep, but 2" in dict(result.skipped)["videos/short.npy"]
    for name, reason in result.skipped:
        assert name in reason and "\n" not in reason
    assert len(Dataset.open(tmp_path / "data" / "train")) == 2


def test_a_video_that_breaks_after_its_first_part_leaves_nothing(tmp_path):
    frames = np.zeros((1500, 4, 4), np.float16)
    frames[1400] = np.nan
    (tmp_path / "videos").mkdir()
    np.save(tmp_path / "videos" / "late.npy", frames)
    result = bring(tmp_path / "videos", tmp_path / "data")
    assert [name for name, _ in result.skipped] == ["videos/late.npy"]
    assert files(tmp_path / "data") == {}


def test_a_crop_that_fits_only_some_videos(tmp_path):
    for name, size in (("small", 32), ("large", 64)):
        write_images(tmp_path / "videos" / name, noise(3, size, size))
    config = replace(GREY, format=FrameFormat(32, 1, (0, 0, 40, 40)))
    result = bring(tmp_path / "videos", tmp_path / "data", config)
    assert [video.name for video in result.imported] == ["videos/large"]
    assert "32 x 32 image of videos/small" in dict(result.skipped)["videos/small"]


def test_the_split_is_by_video_and_by_seed(tmp_path):
    videos = arrays(tmp_path / "videos", 10)
    config = replace(GREY, fractions=(0.6, 0.3, 0.1), seed=3)
    result = bring(videos, tmp_path / "data", config)
    assert result.splits == {"train": 6, "validation": 3, "test": 1}
    found = {split: set(shown(tmp_path / "data" / split)) for split in result.splits}
    assert {split: len(names) for split, names in found.items()} == result.splits
    assert len(set().union(*found.values())) == 10
    by_name = {video.name: video.split for video in bring(videos, tmp_path / "2", config).imported}
    assert all(by_name[name] == split for split, names in found.items() for name in names)
    other = bring(videos, tmp_path / "3", config, seed=4)
    assert by_name != {video.name: video.split for video in other.imported}


@pytest.mark.parametrize(
    ("count", "fractions", "expected"),
    [
        (1, (0.9, 0.05, 0.05), (1, 0, 0)),
        (9, (0.9, 0.05, 0.05), (9, 0, 0)),
        (10, (0.9, 0.05, 0.05), (8, 1, 1)),
        (100, (0.9, 0.05, 0.05), (90, 5, 5)),
        (1, (0.1, 0.9, 0.0), (1, 0, 0)),
        (2, (0.1, 0.45, 0.45), (1, 1, 0)),
        (3, (0.0, 0.5, 0.5), (0, 2, 1)),
        (4, (0.0, 0.0, 1.0), (0, 0, 4)),
    ],
)
def test_how_many_videos_each_split_gets(count, fractions, expected):
    splits = Counter(assign(count, fractions, seed=0))
    assert (splits["train"], splits["validation"], splits["test"]) == expected


def test_splits_without_videos_are_left_out(tmp_path):
    result = bring(arrays(tmp_path / "v", 1), tmp_path / "data", fractions=(0.9, 0.05, 0.05))
    assert result.splits == {"train": 1, "validation": 0, "test": 0}
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["train"]


def test_importing_again_adds_only_what_is_new_whatever_its_name(tmp_path):
    videos = arrays(tmp_path / "videos", 3)
    config = replace(GREY, fractions=(0.5, 0.5, 0.0))
    first = bring(videos, tmp_path / "data", config)
    before = files(tmp_path / "data")
    (videos / "0.npy").rename(videos / "renamed.npy")
    again = bring(videos, tmp_path / "data", config, seed=1)
    assert not again.imported and len(again.present) == 3 and again.splits == first.splits
    assert files(tmp_path / "data") == before
    arrays(videos, 5)  # 0.npy is there under another name
    more = bring(videos, tmp_path / "data", config)
    assert {video.name for video in more.imported} == {"videos/3.npy", "videos/4.npy"}
    assert sum(more.splits.values()) == 5


def test_a_stopped_import_goes_on_to_the_same_end(tmp_path, monkeypatch):
    videos = arrays(tmp_path / "videos", 6)
    config = replace(GREY, fractions=(0.5, 0.5, 0.0))
    bring(videos, tmp_path / "whole", config)
    apply, calls = FrameFormat.apply, []

    def stopped(*given):
        calls.append(1)
        if len(calls) == 3 * 6 + 4:  # in the middle of the fourth
            signal.raise_signal(signal.SIGINT)
        return apply(*given)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FrameFormat, "apply", stopped)
        bring(videos, tmp_path / "data", config)
    signal.signal(signal.SIGINT, previous)
    assert len(list((tmp_path / "data").rglob("*.safetensors"))) == 3
    assert not list((tmp_path / "data").glob(".*"))
    (tmp_path / "data" / ".importing-killed").mkdir()  # what a kill would have left
    result = bring(videos, tmp_path / "data", config)
    assert (len(result.imported), len(result.present)) == (3, 3)
    for split in ("train", "validation"):
        assert shown(tmp_path / "data" / split) == shown(tmp_path / "whole" / split)
    assert not list((tmp_path / "data").glob(".*"))


def test_a_kill_between_the_parts_of_a_video_is_mended(tmp_path, monkeypatch):
    """Parts are moved from the last to the first, which alone makes a video known."""
    np.save(tmp_path / "long.npy", noise(2100, 4, 4, 1)[..., 0])
    record_of, moved = video_episode.record_of, []

    def killed(path, info):
        moved.append(path.name)
        if len(moved) == 2:
            raise KeyboardInterrupt
        return record_of(path, info)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(video_episode, "record_of", killed)
        bring(tmp_path / "long.npy", tmp_path / "data")
    assert [name[-20:-12] for name in moved] == ["-part002", "-part001"]
    assert len(bring(tmp_path / "long.npy", tmp_path / "data").imported) == 1
    assert len(Dataset.open(tmp_path / "data" / "train")) == 3


def test_long_videos_can_be_trained_on_though_their_last_part_is_short(tmp_path):
    np.save(tmp_path / "long.npy", noise(1004, 4, 4, 1)[..., 0])
    bring(tmp_path / "long.npy", tmp_path / "data")
    data = Dataset.open(tmp_path / "data" / "train")
    assert [record.frames for record in data.records] == [1001, 4]
    sampler = WindowSampler(
        data, batch_size=4, window=10, episode_start_fraction=0.0, min_frames=2, seed=0
    )
    assert sampler.batch(0).valid.all()


def test_other_settings_belong_into_another_folder(tmp_path):
    videos = arrays(tmp_path / "videos", 2)
    bring(videos, tmp_path / "data")
    before = files(tmp_path)
    others = (
        {"every": 2},
        {"format": FrameFormat(64, 1)},
        {"format": FrameFormat(32, 3)},
        {"format": FrameFormat(32, 1, (0, 0, 8, 8))},
        {"format": FrameFormat(32, 1, resample="lanczos")},
    )
    for change in others:
        with pytest.raises(DataError, match="another data set.*choose another folder"):
            bring(videos, tmp_path / "data", **change)
    with pytest.raises(OutputError, match="holds a data set itself"):
        bring(videos, tmp_path / "data" / "train")
    with pytest.raises(OutputError, match="0.npy"):
        bring(videos, videos / "0.npy")
    assert files(tmp_path) == before


def test_grey_videos_in_colour_are_told(tmp_path):
    write_movie(tmp_path / "videos" / "grey.mp4", ramp())
    write_images(tmp_path / "videos" / "images", noise(3, channels=1))
    write_images(tmp_path / "videos" / "colour", noise(3))
    result = bring(tmp_path / "videos", tmp_path / "data", format=FrameFormat(32, 3))
    names = {"videos/grey.mp4": True, "videos/images": True, "videos/colour": False}
    assert {video.name: video.grey for video in result.imported} == names
    result = bring(tmp_path / "videos", tmp_path / "grey")
    assert not any(video.grey for video in result.imported)


def test_names_of_files_tell_the_video_and_are_safe(tmp_path):
    folder = tmp_path / "my videos" / "ä (1) - ünïcode, and very very very long indeed"
    write_images(folder, noise(3))
    bring(tmp_path / "my videos", tmp_path / "data")
    data = Dataset.open(tmp_path / "data" / "train")
    assert "very_long_indeed-" in data.records[0].name
    assert read_header(data.path(0)).provenance["source"] == f"my videos/{folder.name}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"every": 0}, "every"),
        ({"fps": 0.0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"fps": 5.0, "every": 2}, "exclude"),
        ({"min_frames": 0}, "min_frames"),
        ({"fractions": (0.5, 0.5, 0.5)}, "add up to 1"),
        ({"fractions": (1.5, -0.5, 0.0)}, "add up to 1"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_make_no_sense(change, words):
    with pytest.raises(ConfigError, match=words):
        replace(GREY, **change)
