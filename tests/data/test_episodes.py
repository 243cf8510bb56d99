import dataclasses

import numpy as np
import pytest
from safetensors.numpy import load_file, save, save_file

from srvp_world.data.episodes import (
    DatasetInfo,
    Ending,
    Episode,
    read_array,
    read_header,
    read_slice,
    write_episode,
)
from srvp_world.errors import DataError, OutputError
from srvp_world.spaces import ActionSpec

BOX = ActionSpec(kind="box", shape=(2,), low=(-1.0, -2.0), high=(1.0, 2.0))
CHOICE = ActionSpec(kind="discrete", nvec=(3,))
INFO = DatasetInfo(frame_size=4, channels=3, action=BOX, vector_dim=2, rewards=True)


def make_episode(steps: int = 6, **changes) -> Episode:
    rng = np.random.default_rng(0)
    arrays = {
        "frames": rng.integers(0, 256, (steps + 1, 4, 4, 3), dtype=np.uint8),
        "actions": rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        "rewards": rng.normal(size=steps).astype(np.float32),
        "vector": rng.normal(size=(steps + 1, 2)).astype(np.float32),
    }
    return Episode(**{**arrays, "ending": Ending.TERMINATED, **changes})


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("steps", [0, 1, 6])
def test_round_trip(tmp_path, steps):
    episode = make_episode(steps, provenance={"policy": "random", "seed": 3, "std": 0.5}, part=2)
    episode.validate(INFO)
    back = read_slice(write_episode(tmp_path, episode))
    assert back.arrays.keys() == episode.arrays.keys()
    for name, array in episode.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)
        assert back.arrays[name].dtype == array.dtype
    assert back.ending is Ending.TERMINATED
    assert (back.part, back.provenance) == (2, episode.provenance)


def test_video_round_trip(tmp_path):
    info = DatasetInfo(frame_size=4, channels=3)
    episode = Episode(frames=make_episode().frames)
    episode.validate(info)
    back = read_slice(write_episode(tmp_path, episode))
    assert list(back.arrays) == ["frames"]


@pytest.mark.parametrize(("largest", "stored"), [(2, np.int8), (127, np.int8), (128, np.int64)])
def test_choices_are_stored_small_and_read_wide(tmp_path, largest, stored):
    actions = np.array([0, 1, largest], dtype=np.int64)
    episode = Episode(frames=np.zeros((4, 4, 4, 3), np.uint8), actions=actions)
    path = write_episode(tmp_path, episode)
    assert load_file(path)["actions"].dtype == stored
    for back in (read_slice(path).actions, read_array(path, "actions")):
        assert back.dtype == np.int64
        np.testing.assert_array_equal(back, actions)
    assert read_header(path).layout["actions"] == ((3,), "int64")


@pytest.mark.parametrize(("start", "stop"), [(0, 7), (0, 1), (2, 5), (6, 7), (3, 100)])
def test_slice_is_the_same_as_slicing_the_whole(tmp_path, start, stop):
    episode = make_episode()
    piece = read_slice(write_episode(tmp_path, episode), start, stop)
    stop = min(stop, 7)
    np.testing.assert_array_equal(piece.frames, episode.frames[start:stop])
    np.testing.assert_array_equal(piece.vector, episode.vector[start:stop])
    np.testing.assert_array_equal(piece.actions, episode.actions[start : stop - 1])
    np.testing.assert_array_equal(piece.rewards, episode.rewards[start : stop - 1])
    assert (piece.ending is Ending.TERMINATED) == (stop == 7)
    assert (piece.part == 0) == (start == 0)


@pytest.mark.parametrize(("start", "stop"), [(7, 8), (3, 3), (-1, 2)])
def test_slice_without_frames_is_refused(tmp_path, start, stop):
    path = write_episode(tmp_path, make_episode())
    with pytest.raises(DataError, match="7 frames"):
        read_slice(path, start, stop)


def test_header_tells_everything_but_the_pixels(tmp_path):
    header = read_header(write_episode(tmp_path, make_episode(part=1, provenance={"seed": 1})))
    assert (header.frames, header.ending, header.part) == (7, Ending.TERMINATED, 1)
    assert header.provenance == {"seed": 1}
    assert header.layout.keys() == {"frames", "actions", "rewards", "vector"}


def test_repr_shows_shapes():
    assert repr(make_episode()) == (
        "Episode(frames=uint8(7, 4, 4, 3), actions=float32(6, 2), rewards=float32(6,), "
        "vector=float32(7, 2), ending=terminated, provenance={}, part=0)"
    )


def test_names_are_unique_and_ordered_by_the_stem(tmp_path):
    random = {write_episode(tmp_path, make_episode()).name for _ in range(5)}
    assert len(random) == 5
    names = [
        write_episode(tmp_path, make_episode(part=part), stem=f"walk-{i:06d}").name
        for i in range(2)
        for part in range(2)
    ]
    assert names == sorted(names)


def test_no_file_is_overwritten(tmp_path):
    path = write_episode(tmp_path, make_episode(), stem="walk")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="stem of its own"):
        write_episode(tmp_path, make_episode(2), stem="walk")
    assert path.read_bytes() == before


def test_unwritable_folder_is_named_and_nothing_is_left(tmp_path):
    folder = tmp_path / "a file"
    folder.write_text("")
    with pytest.raises(OutputError, match="choose a folder") as error:
        write_episode(folder, make_episode())
    assert str(folder) in one_line(error)
    assert list(tmp_path.iterdir()) == [folder]


def with_value(name: str, value: float) -> dict[str, np.ndarray]:
    array = make_episode().arrays[name].copy()
    array[3] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frames": np.zeros((7, 5, 4, 3), np.uint8)}, r"frames is uint8 \(7, 5, 4, 3\)"),
        ({"frames": np.zeros((7, 4, 4, 1), np.uint8)}, r"wants uint8 \(7, 4, 4, 3\)"),
        ({"frames": np.zeros((4, 4, 3), np.uint8)}, "frames is"),
        ({"frames": np.full((7, 4, 4, 3), np.nan, np.float32)}, "frames is float32"),
        ({"frames": np.zeros((0, 4, 4, 3), np.uint8)}, "no frames"),
        ({"frames": np.zeros((), np.uint8)}, "no frames"),
        ({"actions": np.zeros((7, 2), np.float32)}, r"wants float32 \(6, 2\)"),
        ({"actions": np.zeros((6, 1), np.float32)}, "actions is"),
        ({"actions": np.zeros((6, 2), np.int64)}, "actions is int64"),
        ({"actions": None}, "actions is missing"),
        ({"rewards": np.zeros(7, np.float32)}, "rewards is"),
        ({"rewards": np.zeros(6)}, "rewards is float64"),
        ({"rewards": None}, "rewards is missing"),
        ({"vector": np.zeros((6, 2), np.float32)}, "vector is"),
        ({"vector": None}, "vector is missing"),
        (with_value("actions", np.nan), "actions row 3 is NaN"),
        (with_value("rewards", np.nan), "rewards row 3 is NaN"),
        (with_value("rewards", np.inf), "rewards row 3"),
        (with_value("vector", -np.inf), "vector row 3"),
        (with_value("actions", 1.5), "row 3 holds 1.5, outside"),
    ],
)
def test_validate_refuses(changes, reason):
    make_episode().validate(INFO)
    with pytest.raises(DataError, match=reason) as error:
        make_episode(**changes).validate(INFO, "clip 12")
    assert "clip 12" in one_line(error)


@pytest.mark.parametrize("value", [-1, 3])
def test_validate_refuses_choices_that_do_not_exist(value):
    info = DatasetInfo(frame_size=4, channels=3, action=CHOICE)
    frames = make_episode().frames
    Episode(frames=frames, actions=np.full(6, 2)).validate(info)
    with pytest.raises(DataError, match="outside"):
        Episode(frames=frames, actions=np.full(6, value)).validate(info)


def test_validate_refuses_what_the_data_set_does_not_have():
    video = DatasetInfo(frame_size=4, channels=3)
    with pytest.raises(DataError, match="no actions, rewards, vector"):
        make_episode().validate(video)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def empty(path):
    path.write_bytes(b"")


def scribble(path):
    path.write_text("this is no safetensors file at all")


def foreign(path):
    save_file({"frames": np.zeros((2, 4, 4, 3), np.uint8)}, path)


def no_frames(path):
    save_file({"x": np.zeros(1)}, path, metadata={"format": "srvp-world episode", "version": "1"})


def unknown_ending(path):
    header = {"format": "srvp-world episode", "version": "1", "ending": "bored", "part": "0"}
    path.write_bytes(save({"frames": np.zeros((2, 4, 4, 3), np.uint8)}, metadata=header))


def newer(path):
    header = {"format": "srvp-world episode", "version": "2"}
    path.write_bytes(save({"video": np.zeros(3)}, metadata=header))


def directory(path):
    path.unlink()
    path.mkdir()


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "truncated"),
        (empty, "truncated"),
        (scribble, "no episode file"),
        (directory, "no episode file"),
        (foreign, "not an episode of srvp-world"),
        (no_frames, "not an episode of srvp-world"),
        (unknown_ending, "not an episode of srvp-world"),
        (newer, "version 2.*upgrade"),
        (remove, "does not exist"),
    ],
)
@pytest.mark.parametrize("read", [read_header, read_slice])
def test_broken_files_are_named(tmp_path, damage, reason, read):
    path = write_episode(tmp_path, make_episode())
    damage(path)
    with pytest.raises(DataError, match=reason) as error:
        read(path)
    assert path.name in one_line(error)


def test_header_check_finds_what_does_not_fit(tmp_path):
    header = read_header(write_episode(tmp_path, make_episode()))
    header.check(INFO, "clip")
    with pytest.raises(DataError, match="clip: frames is"):
        header.check(dataclasses.replace(INFO, frame_size=8), "clip")
