"""What breaks is skipped where something else is left, and told in one line where nothing is."""

import numpy as np
import pytest
from npz_rows import between, bring, frames, gymnasium, several, shown

from srvp_world.data.experience import from_npz
from srvp_world.errors import DataError, SRVPWorldError


def test_an_episode_that_breaks_is_left_out_and_the_others_go_on(tmp_path):
    np.savez(tmp_path / "a.npz", **gymnasium())
    broken = gymnasium()
    broken["rewards"][2] = np.nan
    np.savez(tmp_path / "b.npz", **broken)
    result, data = bring([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path)
    assert len(data) == 1 and "b.npz: rewards row 2 is NaN" in result.skipped[0][1]
    with pytest.raises(DataError, match="rewards row 2 is NaN"):
        from_npz(tmp_path / "b.npz", tmp_path / "other", progress=False)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"PK no npz", "truncated or no npz file"),
        ({"state": np.zeros((6, 3)), "actions": np.zeros((5, 1))}, "has no pixels"),
        (gymnasium(done=np.array([0, 1, 0, 0, 0])), "goes on after an end"),
        (gymnasium() | {"actions": np.full((5, 1), np.nan)}, "actions row 0 is NaN"),
        (gymnasium() | {"actions": np.array(3)}, r"actions is int64 \(\)"),
        (gymnasium() | {"observations": frames(6) / 255}, "of float64"),
        (gymnasium(vector=np.zeros((5, 2))), "'vector' has 5 rows beside 6 frames"),
    ],
)
def test_a_bad_file_is_skipped_and_the_others_go_on(tmp_path, bad, words):
    paths = several(tmp_path, a=bad, b=gymnasium(), c=gymnasium(done=np.arange(5) == 4))
    result, data = bring(paths, tmp_path)
    assert shown(data) == [(0, 5, "terminated", 0), (0, 5, "unfinished", 0)]
    ((name, reason),) = result.skipped
    assert name == str(paths[0])
    with pytest.raises(DataError, match=words):
        raise DataError(reason)
    with pytest.raises(DataError, match=words):
        from_npz(paths[:1], tmp_path / "other", progress=False)


def test_a_file_whose_actions_are_shaped_like_no_others_is_skipped(tmp_path):
    paths = several(tmp_path, a=gymnasium() | {"actions": np.zeros((5, 2))}, b=gymnasium())
    paths += several(tmp_path, c=gymnasium(done=np.arange(5) == 4))
    result, data = bring(paths, tmp_path)
    reason = f"{paths[0]}: actions have shape (2,) each, but most files have (1,)"
    assert len(data) == 2 and result.skipped == ((str(paths[0]), reason),)


def test_a_file_whose_images_cannot_be_read_is_skipped(tmp_path):
    """Its headers and short arrays can be."""
    paths = several(tmp_path, a=gymnasium(), b=gymnasium(done=np.arange(5) == 4))
    content = bytearray(paths[0].read_bytes())
    middle = content.index(b"\x05" * 100)  # the last frame
    content[middle] = 77
    paths[0].write_bytes(content)
    result, data = bring(paths, tmp_path)
    assert len(data) == 1 and "a.npz is truncated" in result.skipped[0][1]


def test_an_episode_of_one_frame_holds_nothing(tmp_path):
    done = np.zeros(0, bool)
    (path,) = several(tmp_path, a={"image": frames(1), "action": np.zeros((0, 1)), "done": done})
    with pytest.raises(DataError, match="no action between two frames"):
        bring(path, tmp_path)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (gymnasium(is_first=np.arange(6) == 2), r"begins another episode \(is_first in row 2\)"),
        (gymnasium(reward=np.zeros(6)) | {"rewards": np.zeros(6)}, "6 rows of rewards: there must"),
        ({"image": frames(4)}, "has no actions, but image: videos"),
        ({"action": np.zeros((4, 1)), "state": np.zeros((5, 3))}, "has no pixels, but state"),
        ({"image": frames(4), "action": np.zeros((9, 1))}, "4 frames and 9 actions"),
        (gymnasium(terminated=np.zeros(3, bool)), "3 rows of terminated: there must be 5"),
        (gymnasium(done=np.array([0, 1, 0, 0, 0])), r"goes on after an end \(done in row 1\)"),
        (gymnasium(image=frames(6)), "images under observations, image: name one"),
        (gymnasium() | {"observations": frames(6) / 255}, "of float64: store it as uint8"),
        (
            gymnasium() | {"actions": between(0, 6)[0] * 18},
            "reach 4.5 and their bounds are unknown",
        ),
        (gymnasium() | {"actions": -np.arange(5)}, "which are no choices"),
        (gymnasium() | {"actions": np.zeros(5, int)}, "actions are all 0, which tells nothing"),
        (gymnasium() | {"actions": np.array(list("abcde"))}, "actions is <U1"),
        ({"image": np.array([None]), "action": np.zeros(3)}, "Python objects"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SRVPWorldError, match=words) as refused:
        bring(tmp_path / "a.npz", tmp_path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "data").exists()


def test_broken_files_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", **gymnasium())
    content = (tmp_path / "a.npz").read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 30):
        (tmp_path / "a.npz").write_bytes(content[:cut])
        with pytest.raises(DataError, match="a.npz is truncated or no npz file"):
            bring(tmp_path / "a.npz", tmp_path)


@pytest.mark.parametrize("name", ["model.zip", "buffer.pkl", "episodes.pt"])
def test_pickles_are_refused_by_name_with_the_way_within_the_program(tmp_path, name):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(DataError, match=rf"{name} would have .*from_sb3\(model.replay_buffer"):
            bring(source, tmp_path)
