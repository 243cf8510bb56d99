import json
import signal
import subprocess
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from command import files

from srvp_world.data import conversion
from srvp_world.data.checksums import CHECKSUMS, read_checksums, wrong_files
from srvp_world.data.conversion import (
    LeftOut,
    Plan,
    RawVideo,
    convert,
    read_left_out,
    require_raw,
    validated_on,
)
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Episode
from srvp_world.data.info import DatasetInfo, read_info
from srvp_world.errors import DataError, OutputError
from srvp_world.spaces import ActionSpec

INFO = DatasetInfo(frame_size=32, channels=1, source="test")


def read(name, shade, parts=1):
    """Give a video's episodes, three grey frames each; one without shade is broken."""
    if shade is None:
        raise DataError(f"{name} is broken")
    frames = np.full((3, 32, 32, 1), shade, np.uint8)
    return {f"{name}-{part}": Episode(frames=frames + part) for part in range(parts)}


def plan(shades, *, parts=1, left_out=(), info=INFO):
    """A plan for videos a-0, b-0 .. of these shades, of which the first is for tests."""
    videos = [
        RawVideo(f"{name}-0", "train" if i else "test", partial(read, name, shade, parts))
        for i, (name, shade) in enumerate(zip("abcdefgh", shades, strict=False))
    ]
    return Plan(info=info, videos=videos, left_out=left_out)


def bring(out, *given, **settings):
    return convert(plan(*given, **settings), out, progress=False)


def shades(folder):
    data = Dataset.open(folder)
    return {data.episodes[i]: int(data.read(i).frames[0, 0, 0, 0]) for i in range(len(data))}


def test_videos_become_episodes_with_checksums(tmp_path):
    result = bring(tmp_path / "out", [1, 2, 3], parts=2)
    assert shades(tmp_path / "out" / "test") == {"a-0": 1, "a-1": 2}
    assert shades(tmp_path / "out" / "train") == {"b-0": 2, "b-1": 3, "c-0": 3, "c-1": 4}
    assert (result.converted, result.present, result.frames) == (3, 0, 18)
    assert dict(result.splits) == {"train": 4, "validation": 0, "test": 2}
    command = ["sha256sum", "--check", "--quiet", "--strict", CHECKSUMS]
    subprocess.run(command, cwd=tmp_path / "out", check=True)
    names = [*read_checksums(tmp_path / "out")]
    assert len(names) == 6 and names == sorted(names)
    assert wrong_files(tmp_path / "out", progress=False) == []


def test_files_that_changed_since_are_found(tmp_path):
    bring(tmp_path, [1, 2, 3])
    path = tmp_path / "train" / "b-0-part000.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (tmp_path / "test" / "a-0-part000.safetensors").unlink()
    gone, changed = wrong_files(tmp_path, progress=False)
    assert f"cannot read {tmp_path}/test/a-0" in gone
    assert f"{path} is not what was written" in changed
    assert wrong_files(tmp_path / "train", progress=False) == [changed]
    assert len(wrong_files(tmp_path / "test", progress=False)) == 1
    (tmp_path / CHECKSUMS).unlink()
    assert wrong_files(tmp_path, progress=False) == []  # there is no list


def test_what_breaks_is_left_out_and_told(tmp_path):
    missing = LeftOut("x", "x is not there", absent=True)
    result = bring(tmp_path, [1, None, 3], left_out=[missing])
    told = [missing, LeftOut("b-0", "b is broken")]
    assert list(result.left_out) == told and result.converted == 2
    for split in ("train", "test"):
        assert read_left_out(tmp_path / split) == told
        assert read_info(tmp_path / split) == INFO
    assert read_left_out(tmp_path) == []
    result = bring(tmp_path, [1, 2, 3], left_out=[missing, LeftOut("a-0", "gone since")])
    assert result.left_out == (missing,) and (result.converted, result.present) == (1, 2)
    assert read_left_out(tmp_path / "train") == [missing]


def test_frames_that_do_not_fit_are_left_out(tmp_path):
    def other():
        return {"b-0": Episode(frames=np.zeros((3, 64, 64, 1), np.uint8))}

    videos = [plan([1]).videos[0], RawVideo("b-0", "train", other)]
    result = convert(Plan(info=INFO, videos=videos, left_out=()), tmp_path, progress=False)
    assert result.converted == 1 and "(3, 64, 64, 1)" in result.left_out[0].reason


def test_the_time_that_planning_took_counts(tmp_path):
    planned = replace(plan([1]), seconds=1e4)
    assert 1e4 < convert(planned, tmp_path, progress=False).seconds < 2e4


def test_nothing_at_all(tmp_path):
    result = bring(tmp_path / "out", [None])
    assert (result.converted, len(result.left_out)) == (0, 1) and not (tmp_path / "out").exists()


def test_what_is_there_is_not_converted_again(tmp_path):
    bring(tmp_path, [1, 2], parts=2)
    before = files(tmp_path)
    result = bring(tmp_path, [7, 8], parts=2)
    assert (result.converted, result.present, result.frames) == (0, 2, 0)
    assert files(tmp_path) == before
    assert bring(tmp_path, [7, 8, 9], parts=2).converted == 1
    assert shades(tmp_path / "train") == {"b-0": 2, "b-1": 3, "c-0": 9, "c-1": 10}


def test_a_video_stays_in_its_split(tmp_path):
    bring(tmp_path, [1, 2])
    moved = Plan(info=INFO, videos=[RawVideo("a-0", "train", partial(read, "a", 5))], left_out=())
    assert convert(moved, tmp_path, progress=False).present == 1
    assert shades(tmp_path / "test") == {"a-0": 1} and shades(tmp_path / "train") == {"b-0": 2}


@pytest.mark.parametrize("stop", range(5))
def test_a_stop_anywhere_goes_on_to_the_same_end(tmp_path, monkeypatch, stop):
    """After any of the files of which the last of a video's two says that both are there."""
    bring(tmp_path / "whole", [1, 2, 3], parts=2)
    write, written = conversion.write_episode, []

    def stopped(*given, **options):
        if len(written) == stop:
            signal.raise_signal(signal.SIGINT)
        written.append(write(*given, **options))
        return written[-1]

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(conversion, "write_episode", stopped)
        bring(tmp_path / "out", [1, 2, 3], parts=2)
    signal.signal(signal.SIGINT, previous)
    result = bring(tmp_path / "out", [1, 2, 3], parts=2)
    assert (result.present, result.converted) == (stop // 2, 3 - stop // 2)
    for split in ("train", "test"):
        assert shades(tmp_path / "out" / split) == shades(tmp_path / "whole" / split)
    assert [*read_checksums(tmp_path / "out")] == [*read_checksums(tmp_path / "whole")]
    assert wrong_files(tmp_path / "out", progress=False) == []


def test_a_list_of_checksums_that_was_cut(tmp_path):
    bring(tmp_path, [1, 2, 3])
    path = tmp_path / CHECKSUMS
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    bring(tmp_path, [1, 2, 3])
    assert path.read_text() == whole


def test_other_data_are_left_alone(tmp_path):
    bring(tmp_path / "out", [1, 2])
    before = files(tmp_path)
    other = DatasetInfo(frame_size=32, channels=3, source="test")
    with pytest.raises(DataError, match="another data set .*choose another folder"):
        bring(tmp_path / "out", [1, 2], info=other)
    with pytest.raises(OutputError, match="holds a data set itself"):
        bring(tmp_path / "out" / "train", [1])
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file"):
        bring(tmp_path / "file", [1])
    assert before.items() <= files(tmp_path).items()


def boxed(low, high, **changes):
    action = ActionSpec(kind="box", shape=(2,), low=(low, low), high=(high, 1.0))
    return replace(INFO, action=action, **changes)


def test_bounds_of_actions_become_wider_and_nothing_else_changes(tmp_path):
    def acted(info):
        actions = np.full((2, 2), info.action.low[0], np.float32)
        episode = Episode(frames=np.zeros((3, 32, 32, 1), np.uint8), actions=actions)
        name = f"a{info.action.low[0]}"
        videos = [RawVideo(name, "train", lambda: {name: episode})]
        return convert(
            Plan(info=info, videos=videos, left_out=[LeftOut("x", "y")]), tmp_path, progress=False
        )

    acted(boxed(0.0, 1.0))
    description = (tmp_path / "train" / "dataset.json").read_bytes()
    for other in (boxed(-1.0, 0.5), boxed(0.5, 1.0), boxed(-1.0, 2.0, source="other")):
        with pytest.raises(DataError, match=r"another data set .*choose another folder"):
            acted(other)
    assert (tmp_path / "train" / "dataset.json").read_bytes() == description
    assert acted(boxed(-1.0, 2.0)).converted == 1
    assert Dataset.open(tmp_path / "train").info == boxed(-1.0, 2.0)
    assert read_left_out(tmp_path / "train") == [LeftOut("x", "y")]


@pytest.mark.parametrize(
    ("count", "first", "number"),
    [
        (20, [6], 1),
        (41, [14, 28, 38], 3),
        (479, [20, 71, 87, 99, 102, 106], 24),
        (43_264, [9, 55, 60, 77, 105, 117], 2164),
    ],
)
def test_the_fold_is_the_originals(count, first, number):
    """What VideoDataset.get_fold("val") of github.com/edouardelasalles/srvp gave."""
    held_out = sorted(validated_on(count))
    assert held_out[:6] == first and len(held_out) == number


def test_descriptions_without_a_list(tmp_path):
    bring(tmp_path, [1, 2])
    path = tmp_path / "train" / "dataset.json"
    path.write_text(json.dumps({"left_out": [["a", "a is broken"]]}))  # as earlier versions do
    assert read_left_out(tmp_path / "train") == [LeftOut("a", "a is broken")]
    for broken in ("", "[]", json.dumps({"left_out": 3}), json.dumps({"left_out": [[1, 2, 3, 4]]})):
        path.write_text(broken)
        assert read_left_out(tmp_path / "train") == []


def test_raw_data_in_a_folder_that_nobody_may_look_into(closed, tmp_path):
    closed(tmp_path)
    with pytest.raises(DataError, match="raw cannot be read .Permission denied.: make it readable"):
        require_raw(tmp_path / "raw")
