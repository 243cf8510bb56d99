import json
import shlex
import signal
import zipfile

import numpy as np
import pytest
from command import SMALL, copy_of_data, files, run
from videos import cut, noise, ramp, write_images, write_movie

from srvp_world.data.dataset import Dataset
from srvp_world.data.frame_format import FrameFormat
from srvp_world.data.kth import ACTIONS


@pytest.fixture
def videos(tmp_path):
    for i in range(4):
        write_movie(tmp_path / "videos" / f"{i}.avi", noise(12, 32, 32, seed=i))
    return tmp_path / "videos"


def test_import_goes_on_after_a_broken_video_and_tells_what_it_did(videos, capfd):
    cut(write_movie(videos / "broken.mp4", noise()))
    write_movie(videos / "grey.gif", ramp(12), rate=10)
    data = videos.parent / "data"
    line = f"data import {videos} --out {data} --size 32 --split 0.8,0.2,0 --quiet"
    assert run(line) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines()[0].startswith(f"skipped: {videos}/broken.mp4 is truncated")
    assert f"{data}: 5 videos imported, 60 frames; 0 were there, 1 skipped" in out
    assert f"{data}/train: 4 videos" in out and f"{data}/validation: 1 video\n" in out
    assert "note: no video for test" in out and "note: 1 video without colour" in out
    assert "the frame rates differ (10, 25): --fps makes them equal" in out
    results = json.loads((data / "results.json").read_text())
    assert results["numbers"]["frames"] == 60 and len(results["numbers"]["skipped"]) == 1
    assert results["numbers"]["skipped"][0]["video"] == "videos/broken.mp4"
    assert results["command"] == f"srvp-world {line}" and results["protocol"]["every"] == 1
    assert len(Dataset.open(data / "train")) == 4
    assert run(line) == 0
    assert "0 videos imported, 0 frames; 5 were there, 1 skipped" in capfd.readouterr()[0]


def test_imported_videos_can_be_checked_and_trained_on(videos, capfd):
    data = videos.parent / "data"
    assert run(f"data import {videos} --out {data} --size 32 --channels 1 --quiet") == 0
    assert run(f"train {data}/train --out {videos.parent}/run {SMALL} --window 8") == 0
    capfd.readouterr()
    assert run(f"data check {data} --quiet") == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"{data}/train\n  holds     videos\n") and err == ""
    assert "32 x 32 grey, 25 per second" in out and out.endswith("nothing is wrong\n")


def test_nothing_to_import_is_told_in_one_line(videos, refused, tmp_path, capfd):
    one = cut(videos / "0.avi")
    refused(f"data import {one} --out {tmp_path}/data --quiet", "0.avi", "truncated")
    cut(videos / "1.avi")
    both = f"{videos}/0.avi {videos}/1.avi"
    assert run(f"data import {both} --out {tmp_path}/data --quiet") == 2
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == 2 and "none of the 2 videos" in err
    assert files(tmp_path / "data") == {}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--size 63", ["frame_size", "63"]),
        ("--channels 2", ["channels", "2"]),
        ("--split 0.9,0.1", ["0.9,0.1", "three shares"]),
        ("--split 0.9,0.1,0.1", ["add up to 1"]),
        ("--split a,b,c", ["a,b,c"]),
        ("--every 0", ["every", "0"]),
        ("--every 2 --fps 5", ["exclude"]),
        ("--fps -1", ["fps", "-1"]),
        ("--axes xyz", ["'xyz'", "nthwc"]),
        ("--resample nearest", ["nearest", "box"]),
        ("--crop 0 0 99 9 --split 1,0,0", ["99", "32 x 32"]),
        ("--min-frames 13 --split 1,0,0", ["12 frames", "13"]),
        ("--fps 50 --split 1,0,0", ["25 frames a second"]),
    ],
)
def test_imports_that_make_no_sense(videos, refused, tmp_path, flags, words):
    np.save(tmp_path / "a.npy", noise())
    source = tmp_path / "a.npy" if "axes" in flags else videos / "0.avi"
    refused(f"data import {source} --out {tmp_path}/data --size 32 --quiet {flags}", *words)


def test_folders_that_cannot_be_imported_from_or_into(shop, videos, refused, tmp_path):
    (tmp_path / "empty").mkdir()
    line = f"--out {tmp_path}/data --size 32 --quiet"
    refused(f"data import {tmp_path}/empty {line}", "holds no videos", ".mp4")
    refused(f"data import {tmp_path}/none {line}", "none does not exist")
    refused(f"data import {videos} --out {shop.data} --quiet", "holds a data set itself")
    assert run(f"data import {videos} {line}") == 0
    refused(f"data import {videos} {line} --every 2", "every 2", "another folder")


def test_ctrl_c_keeps_what_was_imported_and_tells_how_to_go_on(
    videos, tmp_path, capfd, monkeypatch, terminal
):
    apply, calls = FrameFormat.apply, []

    def stopped(*given):
        calls.append(1)
        if len(calls) == 20:
            signal.raise_signal(signal.SIGINT)
        return apply(*given)

    line = f"data import {videos} --out {tmp_path}/data --size 32 --split 1,0,0 --quiet"
    with monkeypatch.context() as patch:
        patch.setattr(FrameFormat, "apply", stopped)
        assert run(line) == 130
    kept = f"{tmp_path}/data keeps 1 video; go on with `srvp-world {line}`"
    assert capfd.readouterr()[1] == f"srvp-world: stopped: {kept}\n"
    assert run(line) == 0
    assert "3 videos imported, 36 frames; 1 were there" in capfd.readouterr()[0]


def test_check_tells_all_that_is_wrong(shop, tmp_path, capfd):
    data, episode = copy_of_data(shop, tmp_path)
    episode.write_bytes(episode.read_bytes()[:-9])
    (data / "odd.safetensors").write_bytes(b"odd")
    assert run(f"data check {data} --quiet") == 2
    out, err = capfd.readouterr()
    assert out.count("  wrong: ") == 2 and "experience" in out
    assert err == f"srvp-world: 2 things wrong with {data}: see above\n"


def test_check_of_what_is_no_data_set(videos, refused, tmp_path):
    write_images(tmp_path / "videos" / "frames", noise(2))
    refused(f"data check {videos}", "5 videos", f"srvp-world data import {videos}")
    (tmp_path / "empty").mkdir()
    refused(f"data check {tmp_path}/empty", "dataset.json is missing", "srvp-world collect")
    refused(f"data check {tmp_path}/none", "dataset.json is missing")


def test_help_lists_the_verbs_and_each_has_its_own(capsys):
    assert run("data --help") == 0
    text = capsys.readouterr().out
    assert "  import " in text and "  check " in text and "srvp-world data import videos" in text
    assert run("data import --help") == 0
    text = capsys.readouterr().out
    assert "usage: srvp-world data import" in text and "--min-frames" in text
    assert "data check" not in text
    assert "walks --out data/walks --channels 1 --resample bicubic --min-frames 40" in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("data", ["VERB", "srvp-world data --help"]),
        ("data --quiet check", ["'--quiet'", "name the verb first", "srvp-world data import"]),
        ("data imprt videos", ["'imprt'", "did you mean 'import'?"]),
        ("data import videos", ["--out", "srvp-world data import --help"]),
        ("data import --out data", ["SOURCE"]),
        ("data import videos --out data --evry 2", ["did you mean '--every'?"]),
        ("data check", ["DATA"]),
    ],
)
def test_command_lines_that_make_no_sense(refused, line, words):
    refused(line, *words)


def test_the_command_after_a_download_can_be_pasted(tmp_path, capfd):
    raw, mirror = tmp_path / "raw of mine", tmp_path / "mirror"
    mirror.mkdir()
    for action in ACTIONS:
        with zipfile.ZipFile(mirror / f"{action}.zip", "w") as archive:
            archive.writestr("00sequences.txt", action)
    line = f"data download kth --out '{raw}' --mirror {mirror.as_uri()} --quiet"
    assert run(line) == 0
    command = capfd.readouterr()[0].split("`")[1]
    expected = ["srvp-world", "data", "convert", "kth", str(raw), "--out", "data/kth"]
    assert shlex.split(command) == expected
    (raw / "boxing.zip").write_bytes(b"")
    assert run(line) == 2
    out, err = capfd.readouterr()
    assert out == "" and f"{raw}/boxing.zip is damaged" in err and "delete it" in err
