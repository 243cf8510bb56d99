import errno
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from raw_videos import filtered, write_raw
from videos import cut

from srvp_world.data import kth
from srvp_world.data.conversion import convert
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import read_slice
from srvp_world.data.kth import plan_kth
from srvp_world.errors import DataError, OutputError


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    """A video of 41 frames."""
    return write_raw(tmp_path_factory.mktemp("kth") / "movie.avi", 41)


@pytest.fixture
def put(movie, tmp_path):
    """Put the video into the raw data under these names."""

    def copy(*names, folder="raw"):
        (tmp_path / folder).mkdir(exist_ok=True, parents=True)
        for name in names:
            shutil.copy(movie, tmp_path / folder / f"{name}_uncomp.avi")
        return tmp_path / "raw"

    return copy


def bring(raw, out):
    return convert(plan_kth(raw), out, progress=False)


def episodes(out):
    """Names of the episodes in each data set."""
    return {
        folder.name: sorted(Dataset.open(folder).episodes)
        for folder in sorted(out.iterdir())
        if folder.is_dir()
    }


def reasons(result, *, missing=False):
    """Why videos were left out, but for those that were never there."""
    return [entry.reason for entry in result.left_out if missing or "is not in" not in entry.reason]


def test_folders_may_be_links(put, tmp_path):
    raw = put("person01_boxing_d1", folder="elsewhere/boxing").parent / "links"
    raw.mkdir()
    (raw / "boxing").symlink_to(tmp_path / "elsewhere" / "boxing")
    bring(raw, tmp_path / "data")
    assert sum(map(len, episodes(tmp_path / "data").values())) == 1


def test_frames_are_those_of_ffmpeg_whose_first_channel_is_kept(put, movie, tmp_path):
    """`ffmpeg -s 64x64` puts this filter into its graph."""
    bring(put("person01_boxing_d1"), tmp_path / "data")
    data = Dataset.open(tmp_path / "data" / "train")
    episode = data.read(0)
    expected = filtered(movie, "scale=64:64:flags=bicubic,format=rgb24")[..., :1]
    np.testing.assert_array_equal(episode.frames, expected)
    assert np.ptp(expected[0]) > 100 and (expected[0] != expected[9]).any()
    assert dict(episode.provenance) == {"source": "person01_boxing_d1_uncomp.avi"}
    assert (data.info.frame_rate, data.info.frame_shape) == (25, (64, 64, 1))


def test_persons_decide_on_the_split(put, tmp_path):
    """Number 20 of the 479 training videos is the first that the original validates on."""
    names = ["person01_boxing_d1", "person06_boxing_d1", "person20_walking_d3"]
    tests = ["person21_boxing_d1", "person25_walking_d4"]
    result = bring(put(*names, *tests), tmp_path / "data")
    assert episodes(tmp_path / "data") == {
        "train": [names[0], names[2]],
        "validation": [names[1]],
        "test": tests,
    }
    assert (result.converted, result.frames) == (5, 5 * 41)
    assert dict(result.splits) == {"train": 2, "validation": 1, "test": 2}


def test_every_video_but_one_is_wanted(put, tmp_path):
    plan = plan_kth(put("person01_boxing_d1"))
    missing = {entry.name for entry in plan.left_out}
    assert len(missing) == 598 and len(plan.videos) == 1
    assert "person13_handclapping_d3" not in missing and "person13_handclapping_d2" in missing
    result = bring(tmp_path / "raw", tmp_path / "data")
    assert f"person25_walking_d4 is not in {tmp_path}/raw" in reasons(result, missing=True)


def test_a_video_that_does_not_exist(put, tmp_path):
    result = bring(put("person01_boxing_d1", "person13_handclapping_d3"), tmp_path / "data")
    assert result.converted == 1
    assert result.left_out[0].name == "person13_handclapping_d3"
    assert "d3_uncomp.avi is not in KTH, which lacks this one" in result.left_out[0].reason


def test_archives_are_read_as_they_are(put, movie, tmp_path):
    raw = put("person02_running_d2")
    with zipfile.ZipFile(raw / "running.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(movie, "person01_running_d1_uncomp.avi")
        archive.writestr("person02_running_d2_uncomp.avi", b"worse than the file")
        archive.writestr("__MACOSX/._person01_running_d1_uncomp.avi", b"junk")
        archive.writestr("odd.avi", b"")
        archive.writestr("person03_running_d3_uncomp.avi", b"no video")
    result = bring(raw, tmp_path / "data")
    names = ["person01_running_d1", "person02_running_d2"]
    assert episodes(tmp_path / "data") == {"train": names}
    odd, broken = reasons(result)
    assert f"{raw}/running.zip/odd.avi is no name of KTH, such as person01_" in odd
    assert f"{raw}/running.zip/person03_running_d3_uncomp.avi is truncated or no video" in broken
    both = [read_slice(path) for path in sorted((tmp_path / "data" / "train").glob("*-part*"))]
    np.testing.assert_array_equal(both[0].frames, both[1].frames)


def test_archives_that_are_damaged(put, movie, tmp_path):
    raw = put("person01_boxing_d1")
    with zipfile.ZipFile(raw / "running.zip", "w") as archive:
        archive.write(movie, "person01_running_d1_uncomp.avi")
        archive.write(movie, "person01_running_d2_uncomp.avi")
    content = bytearray((raw / "running.zip").read_bytes())
    content[movie.stat().st_size // 2] ^= 1  # in the first of them
    (raw / "running.zip").write_bytes(content)
    (raw / "walking.zip").write_bytes(content[:999])
    result = bring(raw, tmp_path / "data")
    whole, member = reasons(result)
    assert f"{raw}/walking.zip is no whole zip archive" in whole and "download it again" in whole
    assert "running.zip/person01_running_d1_uncomp.avi cannot be unpacked (Bad CRC-32" in member
    assert result.converted == 2


def test_what_is_wrong_is_named_and_the_others_are_converted(put, tmp_path):
    raw = put("person01_boxing_d1", "person01_boxing_d2", "person01_boxing_d3", "person02_boxing")
    put("person26_boxing_d1", "person00_boxing_d1", "person01_boxing_d5", "person01_sitting_d1")
    cut(raw / "person01_boxing_d2_uncomp.avi", 0.6)
    write_raw(raw / "person01_boxing_d3_uncomp.avi", 39)
    write_raw(raw / "person01_boxing_d4_uncomp.avi", 41, rate=30)
    (raw / "notes.txt").write_text("not ours")
    result = bring(raw, tmp_path / "data")
    assert episodes(tmp_path / "data") == {"train": ["person01_boxing_d1"]}
    found = reasons(result)
    assert len(found) == 8 and not any("\n" in reason for reason in found)
    assert sum("is no name of KTH" in reason for reason in found) == 5
    assert any("person01_boxing_d2_uncomp.avi is truncated" in reason for reason in found)
    assert f"{raw}/person01_boxing_d3_uncomp.avi has 39 frames, but 40 are needed" in found
    assert any("d4_uncomp.avi has 30.0 frames a second, but KTH has 25" in r for r in found)


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 1, 3, 4], [0, 1, 2, 2, 3]),
        ([0, 1, 5, 6], [0, 1, 1, 1, 2, 2, 3]),
        ([0, 2, 4, 9], [0, 1, 1, 2, 2, 2, 2, 2, 3, 3]),
    ],
)
def test_gaps_are_filled_as_ffmpeg_does(put, monkeypatch, tmp_path, times, shown):
    """What `ffmpeg -r 25` makes of these was seen once; the last case shows that gaps add up."""
    monkeypatch.setattr(kth, "MIN_FRAMES", 1)
    names = ("person01_boxing_d1_uncomp.avi", "person01_boxing_d2_uncomp.avi")
    write_raw(tmp_path / "raw" / names[0], len(times), times=times)
    write_raw(tmp_path / "raw" / names[1], len(times))
    bring(tmp_path / "raw", tmp_path / "data")
    data = Dataset.open(tmp_path / "data" / "train")
    np.testing.assert_array_equal(data.read(0).frames, data.read(1).frames[shown])


def test_times_that_nobody_would_wait_for(put, monkeypatch, tmp_path):
    monkeypatch.setattr(kth, "LONGEST", 60)
    raw = put("person01_boxing_d1")
    write_raw(raw / "person01_boxing_d2_uncomp.avi", 3, times=[0, 1, 900])
    result = bring(raw, tmp_path / "data")
    assert result.converted == 1
    assert any("d2_uncomp.avi has more than 60 frames" in reason for reason in reasons(result))


def test_folders_without_kth(tmp_path):
    with pytest.raises(DataError, match="none does not exist: give the folder"):
        plan_kth(tmp_path / "none")
    with pytest.raises(DataError, match=r"no video of KTH, such as person01_boxing_.*datasets.md$"):
        plan_kth(tmp_path)


def test_what_is_there_instead_of_videos_is_told(tmp_path):
    (tmp_path / "other.avi").touch()
    (tmp_path / "running.zip").write_bytes(b"no archive")
    (tmp_path / "walking.zip.part").touch()
    with pytest.raises(DataError) as told:
        plan_kth(tmp_path)
    line = str(told.value)
    assert line.startswith(f"{tmp_path} holds no video of KTH") and "\n" not in line
    assert f"; {tmp_path}/running.zip is no whole zip archive" in line
    assert f"; {tmp_path}/other.avi is no name of KTH" in line
    again = f"run `srvp-world data download kth --out {tmp_path}` again"
    assert f"; {tmp_path}/walking.zip.part is an unfinished download: {again}" in line
    (tmp_path / "more.avi").touch()
    with pytest.raises(DataError, match="; 1 more like these$"):
        plan_kth(tmp_path)


def test_a_download_that_was_finished_since(put):
    raw = put("person01_boxing_d1")
    with zipfile.ZipFile(raw / "walking.zip", "w"):
        (raw / "walking.zip.part").touch()
    assert not any("unfinished" in entry.reason for entry in plan_kth(raw).left_out)


def test_names_in_capitals(put, movie, tmp_path):
    raw = put("person01_boxing_d1")
    shutil.copy(movie, raw / "PERSON01_BOXING_D2_UNCOMP.AVI")
    with zipfile.ZipFile(raw / "WALKING.ZIP", "w") as archive:
        archive.write(movie, "person01_walking_d1_uncomp.AVI")
        archive.write(movie, "person01_walking.AVI")
    result = bring(raw, tmp_path / "data")
    names = ["person01_boxing_d1", "person01_boxing_d2", "person01_walking_d1"]
    assert episodes(tmp_path / "data") == {"train": names}
    (odd,) = reasons(result)
    assert "WALKING.ZIP/person01_walking.AVI is no name of KTH" in odd


def test_folders_that_cannot_be_read(put, closed, tmp_path):
    raw = put("person01_boxing_d1")
    put("person01_boxing_d2", folder="raw/more")
    closed(raw / "more")
    result = bring(raw, tmp_path / "data")
    assert result.converted == 1
    reason = f"{raw}/more cannot be read (Permission denied): make it readable"
    assert reasons(result) == [reason]
    closed(raw)
    with pytest.raises(DataError, match="raw cannot be read .Permission denied.: make it readable"):
        plan_kth(raw)


def test_a_file_that_ends_between_two_frames(put, tmp_path):
    """One frame less draws other test clips; nothing in what is there says so."""
    raw = put("person01_boxing_d1", "person01_boxing_d2")
    path = raw / "person01_boxing_d2_uncomp.avi"
    with av.open(str(path)) as container:
        before_last = [packet for packet in container.demux(video=0) if packet.size][-2]
    path.write_bytes(path.read_bytes()[: before_last.pos + before_last.size])
    result = bring(raw, tmp_path / "data")
    assert episodes(tmp_path / "data") == {"train": ["person01_boxing_d1"]}
    (reason,) = reasons(result)
    assert f"{path} is truncated: it ends at 1.6 s of 1.6 s" in reason


def test_no_room_to_unpack_is_no_fault_of_the_archive(movie, monkeypatch, tmp_path):
    """It stops the conversion: each of the other videos would meet it, too."""
    with zipfile.ZipFile(tmp_path / "walking.zip", "w") as archive:
        archive.write(movie, "person21_walking_d1_uncomp.avi")
    write = Path.write_bytes

    def full(path, content):
        if path.suffix == ".avi":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match="unpack .*walking.zip/person21.*No space.*TMPDIR"):
            bring(tmp_path, tmp_path / "data")
    assert bring(tmp_path, tmp_path / "data").converted == 1


def test_videos_in_one_zip_alone(movie, tmp_path):
    with zipfile.ZipFile(tmp_path / "walking.zip", "w") as archive:
        archive.write(movie, "person21_walking_d1_uncomp.avi")
    plan = plan_kth(tmp_path / "walking.zip")
    plan = replace(plan, left_out=())
    assert dict(convert(plan, tmp_path / "data", progress=False).splits)["test"] == 1
