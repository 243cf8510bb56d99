import re
from pathlib import Path

import numpy as np
import pytest
from command import change, files
from videos import noise, ramp, write_images, write_movie

from srvp_world.data.dataset import EpisodeWriter
from srvp_world.data.episodes import Ending
from srvp_world.data.frame_format import FrameFormat
from srvp_world.data.importing import ImportConfig, import_videos
from srvp_world.data.info import DatasetInfo
from srvp_world.data.report import report
from srvp_world.data.video import list_videos
from srvp_world.errors import DataError
from srvp_world.spaces import ActionSpec

BOX = ActionSpec(kind="box", shape=(2,), low=(-1.0, -1.0), high=(1.0, 1.0))
EXPERIENCE = DatasetInfo(frame_size=32, channels=1, action=BOX, rewards=True, source="a walk")


def look(folder):
    return report(Path(folder), progress=False)


def record(folder, info=EXPERIENCE, lengths=(30, 40), moves=True, still=False, reward=None):
    """Write an episode of each length, in transitions."""
    draws = np.random.default_rng(0)
    writer = EpisodeWriter(folder, info, stem="walk", part_length=32)
    for length in lengths:
        frames = noise(length + 1, 32, 32, 1)
        writer.start(frames[0])
        for t in range(length):
            action = [draws.uniform(-1, 1), draws.uniform(-1, 1) if moves else 0.5]
            experience = (action, t if reward is None else reward) if info.action else (None, None)
            writer.add(*experience, frames[0 if still else t + 1])
        writer.finish(Ending.TRUNCATED)
    return folder


def only(folder):
    (found,) = look(folder).values()
    return found


def test_experience_in_plain_words(tmp_path):
    found = only(record(tmp_path / "data"))
    assert (found.wrong, found.notes) == ([], [])
    facts = found.facts
    assert facts["holds"] == "experience" and facts["source"] == "a walk"
    assert facts["episodes"].startswith("2 in 3 files, 72 frames, ")  # 31 + 41
    assert facts["frames"] == "32 x 32 grey"
    assert facts["lengths"] == "31 to 41 frames, median 36"
    assert facts["rewards"] == "from 0 to 39" and facts["endings"] == "2 truncated"
    low, high = (float(word) for word in facts["actions"].split()[1::2])
    assert -1 <= low < -0.8 and 0.8 < high <= 1


def test_splits_of_videos_in_plain_words(tmp_path):
    write_movie(tmp_path / "videos" / "a.avi", ramp(24), rate=12.5)
    write_movie(tmp_path / "videos" / "b.avi", noise(30), rate=12.5)
    config = ImportConfig(format=FrameFormat(64, 3), fractions=(0.5, 0.0, 0.5))
    import_videos(list_videos(tmp_path / "videos"), tmp_path / "data", config, progress=False)
    found = look(tmp_path / "data")
    (tmp_path / "data" / ".importing-killed").mkdir()
    again = look(tmp_path / "data")
    assert ".importing-killed was left" in again[tmp_path / "data" / "train"].notes[0]
    assert list(found) == [tmp_path / "data" / "train", tmp_path / "data" / "test"]
    for split in found.values():
        assert split.facts["holds"] == "videos"
        assert split.facts["frames"] == "64 x 64 colour, 12.5 per second"
        assert (split.wrong, split.notes) == ([], [])


def test_everything_that_is_wrong_is_told_and_nothing_is_written(tmp_path):
    data = record(tmp_path / "data", lengths=(30, 40, 30, 30, 31))
    paths = sorted(data.glob("*.safetensors"))
    names = {path.name.removesuffix(".safetensors"): path for path in paths}
    cut = names["walk-000000-part000"]
    cut.write_bytes(cut.read_bytes()[:-99])
    names["walk-000001-part000"].unlink()
    rewards = np.zeros(30, np.float32)
    rewards[7] = np.nan
    change(names["walk-000002-part000"], rewards=rewards)
    actions = np.zeros((30, 2), np.float32)
    actions[3] = 9
    change(names["walk-000003-part000"], actions=actions)
    (data / "other.safetensors").write_bytes(b"something else")
    before = files(tmp_path)
    index = (data / "index.jsonl").read_text()
    found = only(data)
    expected = (
        ("walk-000000-part000", "truncated"),
        ("walk-000001", "misses part 0"),
        ("walk-000002-part000", "rewards row 7"),
        ("walk-000003-part000", "actions row 3"),
        ("other.safetensors", "no episode file"),
    )
    assert len(found.wrong) == len(expected)
    for words in expected:
        assert any(all(word in line for word in words) for line in found.wrong), words
    assert any("index.jsonl" in line for line in found.notes)
    assert files(tmp_path) == before and (data / "index.jsonl").read_text() == index


def test_a_missing_or_broken_description_is_told(tmp_path):
    data = record(tmp_path / "data")
    (data / "dataset.json").write_text("{")
    found = only(data)
    assert "does not describe" in found.wrong[0] and found.facts["files"].startswith("3 ")
    (data / "dataset.json").unlink()
    assert "dataset.json is missing" in only(data).wrong[0]


def test_a_data_set_without_episodes(tmp_path):
    data = record(tmp_path / "data", lengths=())
    assert "holds no episode" in only(data).wrong[0]


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"moves": False}, "wrong", r"components \[1\] of the actions never change"),
        ({"reward": 1.0}, "notes", "all rewards are 1"),
        ({"still": True}, "notes", "does not move"),
        ({"info": DatasetInfo(frame_size=32, channels=1), "lengths": (30, 7)}, "notes", "8 frames"),
    ],
)
def test_what_may_surprise(tmp_path, settings, kind, words):
    found = only(record(tmp_path / "data", **settings))
    lines = getattr(found, kind)
    assert lines and all(re.search(words, line) for line in lines)
    other = found.notes if kind == "wrong" else found.wrong
    assert other == []


@pytest.mark.parametrize(("level", "words"), [(0, "black"), (9, "of one colour")])
def test_videos_that_show_nothing(tmp_path, level, words):
    frames = np.full((30, 32, 32, 3), level, np.uint8)
    write_images(tmp_path / "videos" / "empty", frames)
    write_images(tmp_path / "videos" / "fine", noise(30))
    config = ImportConfig(format=FrameFormat(32, 3), fractions=(1, 0, 0))
    import_videos(list_videos(tmp_path / "videos"), tmp_path / "data", config, progress=False)
    wrong = look(tmp_path / "data")[tmp_path / "data" / "train"].wrong
    assert len(wrong) == 1 and "videos_empty" in wrong[0] and words in wrong[0]


def test_what_a_kill_left_and_what_does_not_belong(tmp_path):
    data = record(tmp_path / "data")
    (data / ".walk-000009-part000.safetensors.1234.tmp").write_bytes(b"half")
    (data / "holiday.mp4").write_bytes(b"")
    found = only(data)
    assert found.wrong == [] and len(found.notes) == 2
    assert ".tmp was left" in found.notes[0] and "holiday.mp4 does not belong" in found.notes[1]


def test_what_is_no_data_set(tmp_path):
    write_images(tmp_path / "videos" / "a", noise(2))
    with pytest.raises(DataError, match="no data set but 1 video: .*srvp-world data import"):
        look(tmp_path / "videos")
    write_images(tmp_path / "videos" / "b", noise(2))
    with pytest.raises(DataError, match="2 videos"):
        look(tmp_path / "videos")
    for name in ("none", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DataError, match="dataset.json is missing"):
            look(tmp_path / name)
