import shutil
import weakref

import numpy as np
import pytest
from PIL import Image
from raw_videos import filtered, write_raw
from videos import cut

from srvp_world.data import human36m
from srvp_world.data.conversion import convert, validated_on
from srvp_world.data.dataset import Dataset
from srvp_world.data.human36m import plan_human36m
from srvp_world.errors import DataError


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    """A video of 19 frames of 1000 x 1002."""
    path = tmp_path_factory.mktemp("human") / "movie.mp4"
    return write_raw(path, 19, height=1002, width=1000, rate=50)


@pytest.fixture
def put(movie, tmp_path, monkeypatch):
    """Put the video into the raw data under these names; clips are of two frames, not of 53."""
    monkeypatch.setattr(human36m, "MIN_FRAMES", 2)
    monkeypatch.setattr(human36m, "RAW_FRAMES", 9)

    def copy(*names):
        for name in names:
            path = tmp_path / "raw" / name
            path.parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(movie, path)
        return tmp_path / "raw"

    return copy


def bring(raw, out):
    return convert(plan_human36m(raw), out, progress=False)


def test_the_numbers_of_the_paper():
    """53 frames, one of eight: (53 - 1) * 8 + 1 raw ones."""
    assert (human36m.EVERY, human36m.MIN_FRAMES, human36m.RAW_FRAMES) == (8, 53, 417)
    assert (human36m.TRAIN, human36m.TEST) == ((1, 5, 6, 7, 8), (9, 11))
    assert human36m.INFO.frame_rate == 6.25


def test_the_middle_is_kept_by_lanczos_and_one_of_eight_frames(put, movie, tmp_path):
    bring(put("S9/Videos/Walking.54138969.mp4"), tmp_path / "data")
    images = filtered(movie, "format=rgb24")
    small = np.stack(
        [
            Image.fromarray(image).crop((100, 100, 900, 900)).resize((64, 64), Image.LANCZOS)
            for image in images
        ]
    )
    data = Dataset.open(tmp_path / "data" / "test")
    assert data.episodes == tuple(f"S9-Walking.54138969-phase{phase}" for phase in range(8))
    for phase in range(8):
        episode = data.read(phase)
        np.testing.assert_array_equal(episode.frames, small[phase::8])
        assert episode.provenance["first"] == phase
    assert data.info.frame_shape == (64, 64, 3) and np.ptp(small[0]) > 100


def test_windows_of_the_episodes_are_those_of_the_video():
    """Every eighth frame from any raw frame on, as the original draws them, and each once."""
    raw, window = 450, 53
    drawn = {tuple(range(t, t + 8 * window, 8)) for t in range(raw - 8 * (window - 1))}
    episodes = [range(phase, raw, 8) for phase in range(8)]
    windows = [
        tuple(episode[i : i + window])
        for episode in episodes
        for i in range(len(episode) - window + 1)
    ]
    assert len(windows) == len(drawn) and set(windows) == drawn


def test_subjects_decide_on_the_split_and_videos_stay_whole(put, tmp_path):
    train = [f"S{subject}/Videos/Eating.{camera}.mp4" for subject, camera in TRAIN]
    result = bring(put(*train, "S9/Videos/Eating 1.60457274.mp4"), tmp_path / "data")
    held_out = validated_on(len(train))
    assert dict(result.splits) == {
        "train": 8 * (len(train) - len(held_out)),
        "validation": 8 * len(held_out),
        "test": 8,
    }
    names = sorted(f"S{subject}-Eating.{camera}" for subject, camera in TRAIN)
    expected = {names[i] for i in held_out}
    found = Dataset.open(tmp_path / "data" / "validation").episodes
    assert {name.rpartition("-phase")[0] for name in found} == expected
    assert (result.converted, result.frames) == (len(train) + 1, 19 * (len(train) + 1))


TRAIN = [(1, 54138969), (1, 55011271), (5, 54138969), (8, 54138969)]


def test_other_training_videos_would_be_validated_on_others(put, tmp_path):
    """Subjects for tests may come later, those for training may not."""
    raw = put("S1/Videos/Eating.54138969.mp4", "S5/Videos/Eating.54138969.mp4")
    bring(raw, tmp_path / "data")
    put("S9/Videos/Eating.54138969.mp4")
    assert bring(raw, tmp_path / "data").converted == 1
    source = Dataset.open(tmp_path / "data" / "test").info.source
    assert source.endswith("one of eight frames; 5 % of 2 training videos are for validation")
    put("S6/Videos/Eating.54138969.mp4")
    with pytest.raises(DataError, match=r"5 % of 2 .*not .*5 % of 3 .*choose another folder"):
        bring(raw, tmp_path / "data")


def test_short_episodes_are_left_to_tests_alone(put, monkeypatch, tmp_path):
    """19 frames make three episodes of 3 frames and five of 2; a test needs them all."""
    monkeypatch.setattr(human36m, "MIN_FRAMES", 3)
    monkeypatch.setattr(human36m, "RAW_FRAMES", 17)
    raw = put(*(f"S{i}/Videos/Posing.58860488.mp4" for i in (1, 5, 11)))
    result = bring(raw, tmp_path / "data")
    assert dict(result.splits) == {"train": 3, "validation": 3, "test": 8}


def test_what_is_wrong_is_named_and_the_others_are_converted(put, tmp_path):
    names = ("Sitting.54138969", "Sitting.55011271", "_ALL.54138969", "Sitting.1", "._Sitting.mp4")
    raw = put(*(f"S1/Videos/{name}.mp4" for name in names))
    put("S4/Videos/Sitting.54138969.mp4")
    folder = raw / "S1" / "Videos"
    cut(folder / "Sitting.55011271.mp4")
    write_raw(folder / "Smoking.54138969.mp4", 8, height=1000, width=1000, rate=50)
    write_raw(folder / "Waiting.54138969.mp4", 9, height=896, width=1000, rate=50)
    write_raw(folder / "Waiting.55011271.mp4", 9, height=1000, width=1000, rate=25)
    (raw / "S5" / "Videos").mkdir(parents=True)
    result = bring(raw, tmp_path / "data")
    assert result.converted == 1
    reasons = {entry.name: entry.reason for entry in result.left_out}
    assert f"{folder}/Sitting.1.mp4 is no name of Human3.6M" in reasons[f"{folder}/Sitting.1.mp4"]
    assert "truncated" in reasons["S1-Sitting.55011271-phase0"]
    assert "8 frames, but 9 are needed" in reasons["S1-Smoking.54138969-phase0"]
    assert "images of 896 x 1000, but" in reasons["S1-Waiting.54138969-phase0"]
    assert "25.0 frames a second, but" in reasons["S1-Waiting.55011271-phase0"]
    for subject in (5, 6, 7, 8, 9, 11):
        assert f"raw/S{subject}/Videos holds no videos: unpack" in reasons[f"S{subject}"]
    assert f"{raw}/S1/Videos has 5 videos of subject 1, not 120: unpack" in reasons["S1"]
    assert len(reasons) == 12


def test_subjects_are_told_that_have_fewer_videos(put, monkeypatch, tmp_path):
    """Subject 11 has all but the one that many copies lack, subject 1 all of its two."""
    monkeypatch.setattr(human36m, "VIDEOS", 2)
    cameras = (55011271, 58860488)
    raw = put(*(f"S1/Videos/Walking.{camera}.mp4" for camera in cameras))
    put("S9/Videos/Walking.55011271.mp4", "S11/Videos/Walking.55011271.mp4")
    told = {entry.name: entry.reason for entry in plan_human36m(raw).left_out}
    assert told["S9"] == (
        f"{raw}/S9/Videos has 1 video of subject 9, not 2: unpack all of the archive there"
    )
    assert "S1" not in told and "S11" not in told


def test_a_video_without_end(put, monkeypatch, tmp_path):
    monkeypatch.setattr(human36m, "LONGEST", 18)
    result = bring(put("S1/Videos/Greeting.54138969.mp4"), tmp_path / "data")
    assert "more than 18 frames" in result.left_out[-1].reason


def test_no_small_frame_stays_between_large_images(put, monkeypatch, tmp_path):
    """Kept on their own, they kept 1.2 MB each from reuse: gigabytes for a video of minutes."""
    made, alive = [], []

    class Format:
        def apply(self, image, name):
            alive.append(sum(each() is not None for each in made))
            small = np.zeros((64, 64, 3), np.uint8)
            made.append(weakref.ref(small))
            return small

    monkeypatch.setattr(human36m, "_FORMAT", Format())
    assert bring(put("S1/Videos/Walking.54138969.mp4"), tmp_path / "data").converted == 1
    assert len(made) == 19 and max(alive) == 0


def test_folders_without_human36m(tmp_path):
    with pytest.raises(DataError, match="none does not exist"):
        plan_human36m(tmp_path / "none")
    with pytest.raises(DataError, match="holds no video of Human3.6M.*unpack its archives.*ts.md$"):
        plan_human36m(tmp_path)
    path = tmp_path / "S1" / "Videos" / "walking.mp4"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(DataError, match=f"holds no video.*datasets.md; {path} is no name of Human"):
        plan_human36m(tmp_path)


def test_suffixes_in_capitals(put, movie, tmp_path):
    raw = put("S1/Videos/Walking.54138969.MP4", "S1/Videos/Walking.55011271.mp4")
    put("S1/Videos/Walking.55011271.MP4")
    plan = plan_human36m(raw)
    assert [video.name for video in plan.videos] == [
        f"S1-Walking.{camera}-phase0" for camera in (54138969, 55011271)
    ]
    assert "55011271.mp4 is" in plan.left_out[0].reason and "again" in plan.left_out[0].reason
    assert bring(raw, tmp_path / "data").converted == 2


def test_folders_that_cannot_be_read(put, closed):
    raw = put("S1/Videos/Walking.54138969.mp4", "S9/Videos/Walking.54138969.mp4")
    closed(raw / "S9" / "Videos")
    plan = plan_human36m(raw)
    told = {entry.name: entry.reason for entry in plan.left_out}
    folder = raw / "S9" / "Videos"
    assert told[str(folder)] == f"{folder} cannot be read (Permission denied): make it readable"
    assert len(plan.videos) == 1 and "S9" not in told
    closed(raw)
    with pytest.raises(
        DataError, match="no video of .*; .*raw/S1/Videos cannot be read .Permission"
    ):
        plan_human36m(raw)
