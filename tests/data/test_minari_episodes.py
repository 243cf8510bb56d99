"""Minari data sets that are made here and now, and read where Minari keeps them."""

import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from srvp_world.data.dataset import Dataset
from srvp_world.data.experience import ExperienceConfig, from_minari, open_sources
from srvp_world.errors import DataError
from srvp_world.spaces import ActionSpec

pytestmark = [  # of making them
    pytest.mark.filterwarnings("ignore:`eval_env` is set to None"),
    pytest.mark.filterwarnings("ignore:env_spec is None"),
]

CHOICES = spaces.Discrete(3)
SPACE = spaces.Dict(
    {
        "camera": spaces.Box(0, 255, (32, 32, 3), np.uint8),
        "inner": spaces.Dict({"speed": spaces.Box(-99, 99, (1,), np.float32)}),
    }
)


def episode(steps, ending, space=SPACE):
    values = np.arange(steps + 1)
    images = np.broadcast_to(values[:, None, None, None], (steps + 1, 32, 32, 3)).astype(np.uint8)
    speed = values[:, None].astype(np.float32)
    ends = values[1:] == steps
    return EpisodeBuffer(
        observations={"camera": images, "inner": {"speed": speed}} if space is SPACE else speed,
        actions=values[:-1] % 3,
        rewards=list(values[1:]),
        terminations=list(ends & (ending == "terminated")),
        truncations=list(ends & (ending == "truncated")),
        infos={},
    )


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Where Minari keeps its data sets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def make(name, space=SPACE, ends=("terminated", "truncated")):
    return minari.create_dataset_from_buffers(
        name,
        [episode(3 + i, end, space) for i, end in enumerate(ends)],
        observation_space=space,
        action_space=CHOICES,
        algorithm_name="counting",
        author="nobody",
        author_email="nobody@example.com",
        code_permalink="none",
        description="none",
        jpeg_encoding=False,
    )


def check(data):
    """Episodes of 3 and 4 steps, whose frames, actions and rewards belong together."""
    ends = set()
    for i in range(len(data)):
        read = data.read(i)
        count = np.arange(len(read.frames))
        np.testing.assert_array_equal(read.frames[:, 0, 0, 0], count)
        np.testing.assert_array_equal(read.vector[:, 0], count)
        np.testing.assert_array_equal(read.actions, count[:-1] % 3)
        np.testing.assert_array_equal(read.rewards, count[1:])
        ends.add((len(read.frames), str(read.ending)))
    assert ends == {(4, "terminated"), (5, "truncated")}
    assert data.info.action == ActionSpec.from_space(CHOICES)


def test_an_id_a_folder_and_a_data_set_are_read_alike(shelf, tmp_path):
    dataset = make("test/count-v0")
    config = ExperienceConfig(vector=("inner/speed",))
    for i, source in enumerate(("test/count-v0", shelf / "test" / "count-v0", dataset)):
        result = from_minari(source, tmp_path / str(i), config, progress=False)
        assert (result.episodes, result.transitions) == (2, 7)
        check(Dataset.open(tmp_path / str(i)))


def test_the_command_line_knows_ids_and_folders(shelf):
    make("test/count-v0")
    for name in ("minari:test/count-v0", str(shelf / "test" / "count-v0" / "data")):
        (source,) = open_sources([name], shelf / "data")
        assert (source.count, source.name) == (2, "the Minari data set test/count-v0")


def test_what_is_not_there_is_not_downloaded(shelf, tmp_path):
    make("test/count-v0")
    with pytest.raises(DataError, match="no Minari data set 'test/counts-v0' .*test/count-v0'?"):
        from_minari("test/counts-v0", tmp_path / "data", progress=False)


def test_a_data_set_without_pixels_is_refused(shelf, tmp_path):
    make("test/flat-v0", spaces.Box(-99, 99, (1,), np.float32))
    with pytest.raises(
        DataError, match=r"flat-v0 episode 0 has no pixels, but observation float32"
    ):
        from_minari("test/flat-v0", tmp_path / "data", progress=False)
    assert not (tmp_path / "data").exists()


def test_an_episode_that_breaks_is_skipped(shelf, tmp_path):
    make("test/count-v0")
    with h5py.File(shelf / "test" / "count-v0" / "data" / "main_data.hdf5", "r+") as file:
        file["episode_0/terminations"][1] = True  # and goes on
    result = from_minari("test/count-v0", tmp_path / "data", progress=False)
    assert (result.episodes, result.transitions) == (1, 4)
    ((name, reason),) = result.skipped
    assert name == "test/count-v0 episode 0" and "ends at step 2 of 3" in reason


def test_a_broken_data_set_is_refused_in_one_line(shelf, tmp_path):
    make("test/count-v0")
    (shelf / "test" / "count-v0" / "data" / "main_data.hdf5").write_bytes(b"no")
    with pytest.raises(DataError, match="cannot be read") as refused:
        from_minari("test/count-v0", tmp_path / "data", progress=False)
    assert "\n" not in str(refused.value)


def test_without_minari_the_way_to_install_it_is_told(shelf, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "minari", None)
    with pytest.raises(ValueError, match=r"pip install 'minari\[hdf5\]'"):
        from_minari("test/count-v0", tmp_path / "data", progress=False)
