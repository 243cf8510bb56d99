import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tfrecords import byte_feature, example, float_feature, record, video, write_records

from srvp_world.data import bair
from srvp_world.data.bair import plan_bair
from srvp_world.data.conversion import convert, validated_on
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Ending
from srvp_world.data.windows import WindowSampler
from srvp_world.errors import DataError

TRAIN, TEST = "train/traj_2_to_4.tfrecords", "test/traj_0_to_1.tfrecords"


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """Two videos for tests, with seeds 0 and 1, and three others: all that there are."""
    monkeypatch.setattr(bair, "VIDEOS", {"train": 3, "test": 2})
    for name, seeds in ((TEST, (0, 1)), (TRAIN, (2, 3, 4))):
        path = tmp_path / "raw" / "softmotion30_44k" / name
        write_records(path, [video(seed)[0] for seed in seeds])
    return tmp_path / "raw"


def bring(raw, out):
    return convert(plan_bair(raw, out, progress=False), out, progress=False)


def rewrite(raw, name, *examples):
    return write_records(raw / "softmotion30_44k" / name, examples)


def test_frames_actions_and_positions_are_those_of_the_records(raw, tmp_path):
    """An action lies between its frame and the next one, so the last of thirty is dropped."""
    bring(raw, tmp_path / "data")
    data = Dataset.open(tmp_path / "data" / "test")
    assert data.episodes == ("traj_0_to_1-000", "traj_0_to_1-001")
    for seed in (0, 1):
        _, frames, actions, positions = video(seed)
        episode = data.read(seed)
        np.testing.assert_array_equal(episode.frames, frames)
        np.testing.assert_array_equal(episode.actions, actions[:29])
        np.testing.assert_array_equal(episode.vector, positions)
        assert (episode.ending, episode.rewards) == (Ending.TRUNCATED, None)
        assert episode.provenance["source"] == f"traj_0_to_1.tfrecords, record {seed}"
    assert (data.info.vector_dim, data.info.rewards, data.info.frame_shape) == (
        3,
        False,
        (64, 64, 3),
    )


def test_bounds_of_actions_are_those_of_all_videos(raw, tmp_path):
    bring(raw, tmp_path / "data")
    actions = np.concatenate([video(seed)[2][:29] for seed in range(5)])
    for split in ("train", "validation", "test"):
        action = Dataset.open(tmp_path / "data" / split).info.action
        assert (action.kind, action.shape) == ("box", (4,))
        np.testing.assert_array_equal(np.float32(action.low), actions.min(0))
        np.testing.assert_array_equal(np.float32(action.high), actions.max(0))


def test_reading_for_the_bounds_takes_time_that_counts(raw, tmp_path, monkeypatch):
    times = iter(range(0, 1000, 100))
    monkeypatch.setattr(bair, "perf_counter", lambda: float(next(times)))
    assert 100 <= bring(raw, tmp_path / "data").seconds < 200


def test_actions_that_never_change_get_some_room(raw, tmp_path):
    features = dict(video(7)[0])
    features |= {f"{i}/action": float_feature([0.5, i, -i, 2.0]) for i in range(30)}
    rewrite(raw, TRAIN, features, features, features)
    rewrite(raw, TEST, features, features)
    bring(raw, tmp_path / "data")
    action = Dataset.open(tmp_path / "data" / "train").info.action
    assert (action.low, action.high) == ((-0.5, 0.0, -28.0, 1.0), (1.5, 28.0, 0.0, 3.0))


def test_training_sees_experience_or_videos_alone(raw, tmp_path):
    bring(raw, tmp_path / "data")
    data = Dataset.open(tmp_path / "data" / "train")
    for each, acted in ((data, True), (data.frames_only(), False)):
        sampler = WindowSampler(
            each, batch_size=3, window=12, episode_start_fraction=0.1, min_frames=2, seed=0
        )
        batch = sampler.batch(0)
        assert batch.frames.shape == (3, 12, 3, 64, 64)
        assert (batch.actions is not None) == (batch.vector is not None) == acted
        assert batch.rewards is None and (each.info.action is not None) == acted


def test_the_split_is_the_originals(raw, tmp_path):
    """Over all videos of the training files by name, here 25; lexically, 10 is before 2."""
    write_records(raw / "softmotion30_44k" / "train/traj_10_to_31.tfrecords", [video(9)[0]] * 22)
    result = bring(raw, tmp_path / "data")
    order = [f"traj_10_to_31-{i:03d}" for i in range(22)]
    order += [f"traj_2_to_4-{i:03d}" for i in range(3)]
    expected = {order[i] for i in validated_on(25)}
    assert set(Dataset.open(tmp_path / "data" / "validation").episodes) == expected
    assert dict(result.splits) == {"train": 23, "validation": 2, "test": 2}


def test_damaged_records_are_named_and_the_others_are_converted(raw, tmp_path):
    path = raw / "softmotion30_44k" / TRAIN
    content = bytearray(path.read_bytes())
    size = len(content) // 3
    content[size + 5000] ^= 4
    path.write_bytes(content)
    result = bring(raw, tmp_path / "data")
    assert result.converted == 4
    (entry,) = result.left_out
    assert entry.name == "traj_2_to_4-001"
    assert f"{path}, record 1 is damaged (its CRC-32C is wrong): copy the file" in entry.reason


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda content: content[: len(content) * 5 // 9], "record 1 is truncated"),
        (lambda content: content[: len(content) // 3], "ends before it"),
        (lambda content: flipped(content, len(content) // 3 + 2), "of its length is wrong"),
    ],
)
def test_what_lies_behind_damage_is_named(raw, tmp_path, harm, words):
    path = raw / "softmotion30_44k" / TRAIN
    path.write_bytes(harm(path.read_bytes()))
    result = bring(raw, tmp_path / "data")
    assert result.converted == 3
    assert [entry.name for entry in result.left_out] == ["traj_2_to_4-001", "traj_2_to_4-002"]
    for entry in result.left_out:
        assert entry.reason.startswith(f"{entry.name} cannot be found: {path}")
        assert words in entry.reason


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


BROKEN = {
    "no frame": ({"17/image_aux1/encoded": None}, "has no frame 17 (17/image_aux1/encoded"),
    "other size": ({"3/image_aux1/encoded": byte_feature(b"abc")}, "[3] bytes, not 12288"),
    "two images": (
        {"3/image_aux1/encoded": byte_feature(bytes(12_288), bytes(12_288))},
        "[12288, 12288] bytes",
    ),
    "no bytes": ({"3/image_aux1/encoded": float_feature([1])}, "holds float32, not bytes"),
    "no action": ({"28/action": None}, "has no action 28 (28/action is missing)"),
    "no position": ({"29/endeffector_pos": None}, "has no endeffector_pos 29"),
    "few numbers": ({"0/action": float_feature([1, 2, 3])}, "has 3 numbers, but 4 are wanted"),
    "nan": ({"5/endeffector_pos": float_feature([0, np.nan, 0])}, "vector row 5 is NaN"),
}


@pytest.mark.parametrize(("changes", "words"), BROKEN.values(), ids=BROKEN)
def test_videos_that_lack_something_are_named(raw, tmp_path, changes, words):
    features = {name: value for name, value in (video(3)[0] | changes).items() if value is not None}
    rewrite(raw, TRAIN, video(2)[0], features, video(4)[0])
    result = bring(raw, tmp_path / "data")
    assert result.converted == 4
    (entry,) = result.left_out
    assert entry.name == "traj_2_to_4-001" and words in entry.reason


def test_what_is_not_needed_may_be_missing(raw, tmp_path):
    """The other camera, and the action after the last frame."""
    features = {name: value for name, value in video(3)[0].items() if "main" not in name}
    del features["29/action"]
    rewrite(raw, TRAIN, features, features, features)
    assert bring(raw, tmp_path / "data").converted == 5


def test_records_that_are_no_examples(raw, tmp_path):
    path = raw / "softmotion30_44k" / TEST
    path.write_bytes(record(b"\x0a\xff") + record(example(video(1)[0])))
    (entry,) = bring(raw, tmp_path / "data").left_out
    assert entry.name == "traj_0_to_1-000" and "is no tf.train.Example" in entry.reason


def test_names_and_folders_that_are_not_bairs(raw, tmp_path):
    data = raw / "softmotion30_44k"
    (data / TEST).rename(data / "test" / "others.tfrecords")
    write_records(data / "train" / "traj_5_to_5.tfrecords", [video(5)[0], video(6)[0]])
    write_records(data / "extra" / "traj_7_to_7.tfrecords", [video(7)[0]])
    result = bring(raw, tmp_path / "data")
    assert result.converted == 4
    reasons = [entry.reason for entry in result.left_out]
    for name in ("test/others.tfrecords", "extra/traj_7_to_7.tfrecords"):
        assert any(f"{data}/{name} is no name of BAIR, such as" in reason for reason in reasons)
    more = f"traj_5_to_5-001 is left over: {data}/train/traj_5_to_5.tfrecords has more videos than"
    assert any(reason.startswith(more) for reason in reasons)
    assert f"{raw} has 0 of the 2 videos of the folder 'test': unpack all of the" in reasons[-1]
    assert len(reasons) == 4


@pytest.mark.parametrize("given", [".", "traj_0_to_1.tfrecords", "../test", "../test/."])
def test_paths_from_within_the_folder(raw, tmp_path, monkeypatch, given):
    monkeypatch.chdir((raw / "softmotion30_44k" / TEST).parent)
    assert bring(Path(given), tmp_path / "data").splits["test"] == 2


def test_folders_may_be_links(raw, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "train").symlink_to(raw / "softmotion30_44k" / "train")
    (tmp_path / "links" / "tests").symlink_to(raw / "softmotion30_44k")
    result = bring(tmp_path / "links", tmp_path / "data")
    assert result.converted == 5 and result.left_out == ()


def test_a_file_is_not_for_training_and_for_tests(raw, tmp_path):
    """Wherever the two are, or the test set would be trained on."""
    data = raw / "softmotion30_44k"
    copy = shutil.copy(data / TEST, data / "train")
    words = rf"traj_0_to_1.tfrecords is in train \({copy}\) and in test \({data / TEST}\).*delete"
    with pytest.raises(DataError, match=words):
        bring(raw, tmp_path / "data")
    archive = pack(raw, tmp_path / "raw" / "bair.tar")
    (data / TEST).unlink()
    with pytest.raises(DataError, match=rf"in train \({copy}\) and in test \({archive}\)"):
        bring(raw, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def pack(raw, path):
    with tarfile.open(path, "w") as archive:
        archive.add(raw / "softmotion30_44k", "softmotion30_44k")
    return path


def test_the_archive_is_read_as_it_is(raw, tmp_path):
    bring(raw, tmp_path / "data")
    archive = pack(raw, tmp_path / "bair.tar")
    result = bring(archive, tmp_path / "other")
    assert result.converted == 5
    for split in ("train", "validation", "test"):
        ours, theirs = (Dataset.open(tmp_path / out / split) for out in ("data", "other"))
        assert ours.episodes == theirs.episodes and ours.info == theirs.info
        for i in range(len(ours)):
            for name, array in ours.read(i).arrays.items():
                np.testing.assert_array_equal(array, theirs.read(i).arrays[name])


def test_an_archive_that_is_truncated(raw, tmp_path):
    archive = pack(raw, tmp_path / "raw" / "bair.tar")
    archive.write_bytes(archive.read_bytes()[:-2_500_000])  # all of one file, half of the other
    for path in (raw / "softmotion30_44k").rglob("*.tfrecords"):
        path.unlink()
    result = bring(raw, tmp_path / "data")
    assert result.converted == 1
    archived, missing, record = (entry.reason for entry in result.left_out)
    assert f"{archive} is no whole tar archive" in archived and "has 0 of the 3 videos" in missing
    assert f"{archive}/traj_0_to_1.tfrecords, record 1 is truncated" in record


def bounds(out):
    """The bounds of the actions, which all data sets share."""
    folders = [path.parent for path in sorted(out.glob("*/dataset.json"))]
    (action,) = {Dataset.open(folder).info.action for folder in folders}
    return np.float32(action.low), np.float32(action.high)


def test_what_comes_later_widens_the_bounds(raw, tmp_path):
    """They are then those of one conversion of all videos, as the data sets are."""
    out = tmp_path / "data"
    rewrite(raw, TRAIN, video(2)[0])
    first = bring(raw, out)
    assert first.converted == 3 and len(first.left_out) == 2
    rewrite(raw, TRAIN, video(2)[0], video(5, scale=0.5)[0], video(6, scale=3.0)[0])
    result = bring(raw, out)
    assert (result.converted, result.present, result.left_out) == (2, 3, ())
    bring(raw, tmp_path / "at once")
    np.testing.assert_array_equal(bounds(out), bounds(tmp_path / "at once"))
    assert bounds(out)[1].max() > 2
    counts = Counter(path.name for path in out.glob("*/*.safetensors"))
    assert len(counts) == 5 and set(counts.values()) == {1}


def test_a_stop_between_the_data_sets_leaves_no_other_bounds(raw, tmp_path):
    out = tmp_path / "data"
    rewrite(raw, TRAIN, video(2)[0])
    bring(raw, out)
    path = out / "test" / "dataset.json"
    before = path.read_bytes()
    rewrite(raw, TRAIN, video(2)[0], video(5)[0], video(6, scale=3.0)[0])
    bring(raw, out)
    wide = bounds(out)
    path.write_bytes(before)
    assert bring(raw, out).present == 5
    np.testing.assert_array_equal(bounds(out), wide)


def test_what_was_converted_keeps_its_bounds(raw, tmp_path):
    """Also where the videos that had them are damaged since."""
    out = tmp_path / "data"
    bring(raw, out)
    before = bounds(out)
    rewrite(raw, TRAIN, *[video(seed, scale=0.1)[0] for seed in (2, 3, 4)])
    assert bring(raw, out).present == 5
    next(out.glob("train/*.safetensors")).unlink()
    assert bring(raw, out).converted == 1
    np.testing.assert_array_equal(bounds(out), before)


def test_other_training_videos_would_be_validated_on_others(raw, tmp_path):
    """So a conversion does not go on when there are more or fewer files than at first."""
    path = raw / "softmotion30_44k" / "train/traj_0_to_9.tfrecords"
    write_records(path, [video(5)[0]] * 10)
    bring(raw, tmp_path / "data")
    assert Dataset.open(tmp_path / "data" / "test").info.source.endswith(
        "image_aux1; 5 % of 13 training videos are for validation"
    )
    path.unlink()
    with pytest.raises(DataError, match=r"5 % of 13 .*not .*5 % of 3 .*choose another folder"):
        bring(raw, tmp_path / "data")


def test_files_that_are_missing_are_told(raw, tmp_path):
    """The archive has 169 more for training."""
    (raw / "softmotion30_44k" / TRAIN).rename(raw / "softmotion30_44k/train/traj_2_to_3.tfrecords")
    (more, few) = bring(raw, tmp_path / "data").left_out
    assert "more videos than its name says" in more.reason
    assert few.reason.startswith(f"{raw} has 2 of the 3 videos of the folder 'train': unpack all")


def test_folders_without_bair(tmp_path):
    with pytest.raises(DataError, match="none does not exist"):
        plan_bair(tmp_path / "none", tmp_path / "data")
    with pytest.raises(DataError, match="holds no videos of BAIR, such as softmotion30_44k/test"):
        plan_bair(tmp_path, tmp_path / "data")
    write_records(tmp_path / "test" / "traj_0_to_0.tfrecords", [{}])
    with pytest.raises(DataError, match="no video has actions, so their bounds"):
        plan_bair(tmp_path, tmp_path / "data", progress=False)
