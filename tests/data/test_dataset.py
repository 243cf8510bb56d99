import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset, EpisodeWriter, create_dataset
from srvp_world.data.episodes import DatasetInfo, Ending, Episode, write_episode
from srvp_world.errors import DataError, OutputError
from srvp_world.spaces import ActionSpec

BOX = ActionSpec(kind="box", shape=(1,), low=(-100.0,), high=(100.0,))
INFO = DatasetInfo(frame_size=2, channels=1, action=BOX, rewards=True, vector_dim=1)


def frame(t: int) -> np.ndarray:
    return np.full((2, 2, 1), t, np.uint8)


def record(writer: EpisodeWriter, steps: int, ending: Ending = Ending.TRUNCATED):
    """Frame t shows t, action and vector too; the reward of arriving there is t."""
    writer.start(frame(0), np.zeros(1))
    for t in range(steps):
        writer.add([t], t + 1, frame(t + 1), np.array([t + 1.0]))
    return writer.finish(ending)


@pytest.fixture
def folder(tmp_path):
    writer = EpisodeWriter(tmp_path / "data", INFO, stem="walk", part_length=4)
    for steps, ending in ((3, Ending.TERMINATED), (10, Ending.TRUNCATED), (2, Ending.UNFINISHED)):
        record(writer, steps, ending)
    return tmp_path / "data"


def summary(dataset: Dataset):
    return [(r.episode, r.part, r.frames, str(r.ending)) for r in dataset.records]


EXPECTED = [
    ("walk-000000", 0, 4, "terminated"),
    ("walk-000001", 0, 5, "unfinished"),
    ("walk-000001", 1, 5, "unfinished"),
    ("walk-000001", 2, 3, "truncated"),
    ("walk-000002", 0, 3, "unfinished"),
]


def test_what_was_written_is_read(folder):
    dataset = Dataset.open(folder)
    assert summary(dataset) == EXPECTED
    assert len(dataset) == 5
    assert dataset.info == INFO
    assert dataset.transitions == 3 + 10 + 2
    assert dataset.mean_length == 5


def test_parts_share_their_boundary_frame(folder):
    dataset = Dataset.open(folder)
    for i, first in ((1, 0), (2, 4), (3, 8)):
        episode = dataset.read(i)
        shown = first + np.arange(len(episode.frames))
        np.testing.assert_array_equal(episode.frames[:, 0, 0, 0], shown)
        np.testing.assert_array_equal(episode.vector[:, 0], shown)
        np.testing.assert_array_equal(episode.actions[:, 0], shown[:-1])
        np.testing.assert_array_equal(episode.rewards, shown[1:])


def test_an_end_at_the_boundary_belongs_to_the_full_part(tmp_path):
    writer = EpisodeWriter(tmp_path, INFO, stem="a", part_length=4)
    assert len(record(writer, 4, Ending.TERMINATED)) == 1
    assert summary(Dataset.open(tmp_path)) == [("a-000000", 0, 5, "terminated")]


def test_a_kill_loses_the_running_part_only(tmp_path):
    writer = EpisodeWriter(tmp_path, INFO, stem="a", part_length=4)
    record(writer, 2)
    writer.start(frame(0), np.zeros(1))
    for t in range(7):
        writer.add([t], t, frame(t + 1), np.zeros(1))
    del writer
    assert summary(Dataset.open(tmp_path)) == [
        ("a-000000", 0, 3, "truncated"),
        ("a-000001", 0, 5, "unfinished"),
    ]
    record(EpisodeWriter(tmp_path, INFO, stem="a", part_length=4), 1)
    assert summary(Dataset.open(tmp_path))[-1] == ("a-000002", 0, 2, "truncated")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_writer_keeps_no_reference_to_the_frame(tmp_path):
    writer = EpisodeWriter(tmp_path, INFO, stem="a")
    buffer = frame(0)
    writer.start(buffer, np.zeros(1))
    for t in range(3):
        buffer[:] = t + 1
        writer.add([0], 0, buffer, np.zeros(1))
    writer.finish(Ending.TRUNCATED)
    shown = Dataset.open(tmp_path).read(0).frames[:, 0, 0, 0]
    np.testing.assert_array_equal(shown, np.arange(4))


def test_an_episode_of_one_frame(tmp_path):
    writer = EpisodeWriter(tmp_path, INFO, stem="a")
    record(writer, 0)
    assert Dataset.open(tmp_path).read(0).actions.shape == (0, 1)


def test_video_is_written_too(tmp_path):
    writer = EpisodeWriter(tmp_path, DatasetInfo(frame_size=2, channels=1), stem="clip")
    writer.start(frame(0))
    writer.add(None, None, frame(1))
    writer.finish(Ending.UNFINISHED)
    assert list(Dataset.open(tmp_path).read(0).arrays) == ["frames"]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (([0], 0, np.zeros((2, 3, 1), np.uint8), [0.0]), "frames is"),
        (([0], 0, np.zeros((2, 2, 3), np.uint8), [0.0]), "frames is"),
        (([0], 0, np.full((2, 2, 1), np.nan), [0.0]), "frames is float64"),
        (([np.nan], 0, frame(1), [0.0]), "actions row 0 is NaN"),
        (([1e300], 0, frame(1), [0.0]), "infinite"),
        (([101], 0, frame(1), [0.0]), "outside"),
        (([0, 0], 0, frame(1), [0.0]), "actions is"),
        ((None, 0, frame(1), [0.0]), "actions is missing"),
        (([0], np.inf, frame(1), [0.0]), "rewards row 0"),
        (([0], None, frame(1), [0.0]), "rewards is missing"),
        (([0], 0, frame(1), [np.nan]), "vector row"),
        (([0], 0, frame(1), None), "vector is missing"),
    ],
)
def test_a_bad_step_is_refused_and_the_episode_can_go_on(tmp_path, step, reason):
    writer = EpisodeWriter(tmp_path, INFO, stem="a")
    writer.start(frame(0), np.zeros(1))
    writer.add([0], 0, frame(1), np.zeros(1))
    with pytest.raises(DataError, match=f"step 2.*{reason}"):
        writer.add(*step)
    writer.add([0], 0, frame(2), np.zeros(1))
    writer.finish(Ending.TRUNCATED)
    assert Dataset.open(tmp_path).records[0].frames == 3


def test_a_choice_must_be_an_integer(tmp_path):
    info = DatasetInfo(frame_size=2, channels=1, action=ActionSpec(kind="discrete", nvec=(2,)))
    writer = EpisodeWriter(tmp_path, info, stem="a")
    writer.start(frame(0))
    writer.add(np.int32(1), None, frame(1))
    with pytest.raises(DataError, match="float64"):
        writer.add(0.7, None, frame(1))


def test_the_writer_refuses_calls_out_of_order(tmp_path):
    writer = EpisodeWriter(tmp_path, INFO, stem="a")
    with pytest.raises(DataError, match="start one"):
        writer.add([0], 0, frame(1), np.zeros(1))
    with pytest.raises(DataError, match="start one"):
        writer.finish(Ending.TRUNCATED)
    writer.start(frame(0), np.zeros(1))
    with pytest.raises(DataError, match="finish it"):
        writer.start(frame(0), np.zeros(1))


def test_a_stem_is_a_file_name(tmp_path):
    with pytest.raises(DataError, match="stem"):
        EpisodeWriter(tmp_path, INFO, stem="../a")


def test_a_failed_write_loses_nothing(tmp_path, monkeypatch):
    writer = EpisodeWriter(tmp_path, INFO, stem="a")
    writer.start(frame(0), np.zeros(1))
    writer.add([0], 0, frame(1), np.zeros(1))
    with monkeypatch.context() as patch:
        patch.setattr(writer, "folder", tmp_path / "gone")
        with pytest.raises(OutputError, match="choose a folder"):
            writer.finish(Ending.TERMINATED)
    writer.finish(Ending.TERMINATED)
    assert summary(Dataset.open(tmp_path)) == [("a-000000", 0, 2, "terminated")]


def test_experience_can_be_seen_as_videos(folder):
    dataset = Dataset.open(folder)
    videos = dataset.frames_only()
    assert dataset.info.rewards and dataset.info.vector_dim and dataset.read(0).vector is not None
    assert (videos.info.action, videos.info.rewards, videos.info.vector_dim) == (None, False, 0)
    for start, stop in ((0, None), (1, 3)):
        episode, video = dataset.read(0, start, stop), videos.read(0, start, stop)
        assert list(video.arrays) == ["frames"]
        np.testing.assert_array_equal(video.frames, episode.frames)
        assert (video.part, video.ending) == (episode.part, episode.ending)
    assert summary(videos) == EXPECTED and videos.frames_only().info == videos.info


def index_deleted(index):
    index.unlink()


def index_corrupt(index):
    index.write_bytes(b"\xff\xfe\x00 no json\n[1, 2]\n{}\nnull\n")


def index_stale(index):
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:2]))


def index_cut_in_a_line(index):
    index.write_text(index.read_text()[:-25])


def index_wrong_types(index):
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    index.write_text("\n".join(json.dumps({**line, "frames": "many"}) for line in lines))


@pytest.mark.parametrize(
    "damage",
    [index_deleted, index_corrupt, index_stale, index_cut_in_a_line, index_wrong_types],
)
def test_a_damaged_index_is_rebuilt(folder, damage):
    index = folder / "index.jsonl"
    good = index.read_text()
    damage(index)
    assert summary(Dataset.open(folder)) == EXPECTED
    assert sorted(index.read_text().splitlines()) == sorted(good.splitlines())


def test_appending_after_a_cut_line_loses_no_episode(folder):
    index = folder / "index.jsonl"
    index_cut_in_a_line(index)
    record(EpisodeWriter(folder, INFO, stem="walk", part_length=4), 1)
    assert summary(Dataset.open(folder)) == [*EXPECTED, ("walk-000003", 0, 2, "truncated")]


def test_a_right_index_spares_the_headers(folder, monkeypatch):
    def refuse(path):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("srvp_world.data.index.read_header", refuse)
    assert summary(Dataset.open(folder)) == EXPECTED


def test_an_index_that_cannot_be_written_is_kept_in_memory(folder):
    (folder / "index.jsonl").unlink()
    (folder / "index.jsonl").mkdir()
    assert summary(Dataset.open(folder)) == EXPECTED
    record(EpisodeWriter(folder, INFO, stem="more"), 1)
    assert len(Dataset.open(folder)) == 6


def test_files_that_are_gone_are_dropped(folder):
    dataset = Dataset.open(folder)
    dataset.path(0).unlink()
    assert summary(Dataset.open(folder)) == EXPECTED[1:]
    assert dataset.records[0].name not in (folder / "index.jsonl").read_text()
    with pytest.raises(DataError, match="does not exist"):
        dataset.read(0)


def test_a_replaced_file_is_noticed(folder):
    path = Dataset.open(folder).path(0)
    path.unlink()
    arrays = {"actions": np.zeros((1, 1), np.float32), "rewards": np.zeros(1, np.float32)}
    vector = np.zeros((2, 1), np.float32)
    episode = Episode(frames=np.zeros((2, 2, 2, 1), np.uint8), vector=vector, **arrays)
    write_episode(folder, episode, stem="walk-000000")
    assert Dataset.open(folder).records[0].frames == 2


@pytest.mark.parametrize("with_index", [True, False])
def test_a_truncated_file_is_named(folder, with_index):
    path = Dataset.open(folder).path(2)
    path.write_bytes(path.read_bytes()[:-7])
    if not with_index:
        (folder / "index.jsonl").unlink()
    with pytest.raises(DataError, match=f"{path.name} is truncated"):
        Dataset.open(folder)


def test_a_file_that_does_not_fit_is_named(folder):
    write_episode(folder, Episode(frames=np.zeros((3, 2, 2, 3), np.uint8)), stem="colour")
    with pytest.raises(DataError, match=r"colour-part000.safetensors: frames is uint8 \(3, 2, 2"):
        Dataset.open(folder)


def test_several_writers_share_a_folder(tmp_path):
    def work(stem: str) -> None:
        writer = EpisodeWriter(tmp_path, INFO, stem=stem, part_length=4)
        for _ in range(20):
            record(writer, 5)

    threads = [threading.Thread(target=work, args=(stem,)) for stem in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "index.jsonl").read_text().splitlines()
    assert len({json.loads(line)["name"] for line in lines}) == 3 * 20 * 2
    dataset = Dataset.open(tmp_path)
    assert len(dataset.episodes) == 60
    assert dataset.transitions == 3 * 20 * 5


def test_the_description_is_written_once(tmp_path):
    pixels = PixelConfig(env_id="Pendulum-v1", env_kwargs={"size": (1, 2)}, crop=(1, 2, 3, 4))
    info = DatasetInfo(frame_size=64, channels=1, action=BOX, pixels=pixels, source="test")
    create_dataset(tmp_path / "a" / "b", info)
    before = (tmp_path / "a" / "b" / "dataset.json").read_bytes()
    create_dataset(tmp_path / "a" / "b", info)
    other = DatasetInfo(frame_size=32, channels=1)
    with pytest.raises(DataError, match="frame_size is 64, not 32"):
        create_dataset(tmp_path / "a" / "b", other)
    assert (tmp_path / "a" / "b" / "dataset.json").read_bytes() == before


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(OutputError, match="choose a folder"):
            EpisodeWriter(folder, INFO, stem="a")


def test_an_empty_folder_says_how_to_fill_it(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=f"srvp-world collect ENV --out {folder}"):
            Dataset.open(folder)
    create_dataset(tmp_path, INFO)
    with pytest.raises(DataError, match="no episodes yet.*srvp-world collect"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "version 2.*upgrade"),
        ({"version": "new"}, "broken"),
        ({"format": "other"}, "does not describe"),
        ({"info": {"frame_size": 2}}, "broken"),
        ({"info": {"frame_size": 2, "channels": 1, "colour": 1}}, "no field 'colour'"),
    ],
)
def test_a_bad_description_is_named(folder, change, reason):
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=reason) as error:
        Dataset.open(folder)
    assert str(path) in str(error.value)
    path.write_text("{")
    with pytest.raises(DataError, match="does not describe"):
        Dataset.open(folder)


def test_split_keeps_episodes_whole_and_loses_none(folder):
    writer = EpisodeWriter(folder, INFO, stem="long", part_length=2)
    for _ in range(7):
        record(writer, 5)
    dataset = Dataset.open(folder)
    for fraction, expected in ((0.2, 2), (0.0, 1), (1.0, 9)):
        train, validation = dataset.split(fraction, seed=1)
        assert len(validation.episodes) == expected
        assert not set(train.episodes) & set(validation.episodes)
        assert {*train.records, *validation.records} == {*dataset.records}
    assert dataset.split(0.2, seed=1)[1].episodes == dataset.split(0.2, seed=1)[1].episodes
    assert len({dataset.split(0.2, seed=seed)[1].episodes for seed in range(9)}) > 1


def test_two_episodes_give_one_to_each_side(tmp_path):
    writer = EpisodeWriter(tmp_path, INFO, stem="a")
    record(writer, 1)
    assert [len(part) for part in Dataset.open(tmp_path).split(0.5, 0)] == [1, 0]
    record(writer, 1)
    assert [len(part) for part in Dataset.open(tmp_path).split(0.01, 0)] == [1, 1]


def test_training_keeps_the_only_beginning(tmp_path):
    writer = EpisodeWriter(tmp_path, INFO, stem="a")
    for _ in range(4):
        record(writer, 1)
    dataset = Dataset.open(tmp_path)
    later = tuple(replace(record, part=1) for record in dataset.records[1:])
    dataset = replace(dataset, records=(dataset.records[0], *later))
    for seed in range(9):
        train, validation = dataset.split(0.25, seed)
        assert train.beginnings(9, seed) and len(validation) <= 1
    assert any(len(dataset.split(0.25, seed)[1]) for seed in range(9))


def test_statistics_are_those_of_all_values(folder):
    dataset = Dataset.open(folder)
    episodes = [dataset.read(i) for i in range(len(dataset))]
    rewards = np.concatenate([episode.rewards for episode in episodes])
    vectors = np.concatenate([episode.vector for episode in episodes])
    assert dataset.reward_statistics() == pytest.approx((rewards.mean(), rewards.std()), rel=1e-6)
    mean, std = dataset.vector_statistics()
    np.testing.assert_allclose(mean, vectors.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, vectors.std(axis=0), rtol=1e-6)


def test_constant_values_are_not_divided_by_nothing(tmp_path):
    writer = EpisodeWriter(tmp_path, INFO, stem="a")
    writer.start(frame(0), np.zeros(1))
    for t in range(5):
        writer.add([0], 0.1, frame(t), np.zeros(1))
    writer.finish(Ending.TRUNCATED)
    assert Dataset.open(tmp_path).reward_statistics() == pytest.approx((0.1, 1.0))


def test_statistics_of_what_is_not_there(tmp_path):
    writer = EpisodeWriter(tmp_path, DatasetInfo(frame_size=2, channels=1), stem="a")
    writer.start(frame(0))
    writer.finish(Ending.UNFINISHED)
    for statistics in (
        Dataset.open(tmp_path).reward_statistics,
        Dataset.open(tmp_path).vector_statistics,
    ):
        with pytest.raises(DataError, match="holds no"):
            statistics()
