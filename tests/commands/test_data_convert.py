import json
import re
import shutil
import signal

import gymnasium
import numpy as np
import pytest
from command import run
from raw_videos import write_raw
from tfrecords import video, write_records
from videos import cut

from srvp_world.benchmark.protocols import PROTOCOLS, open_clips
from srvp_world.checkpoint import load
from srvp_world.commands.data_convert import reasons
from srvp_world.data import human36m, kth
from srvp_world.data.conversion import LeftOut
from srvp_world.data.dataset import Dataset
from srvp_world.data.info import read_info
from srvp_world.errors import DataError

TINY = (
    "--quiet --filters 2 --code-dim 16 --state-dim 8 --innovation-dim 4 --inference-hidden 16 "
    "--dynamics-hidden 16 --batch-size 2 --iterations 2 --validate-every 2 --validation-batches 1 "
    "--validation-batch-size 2 --validation-samples 1 --precision float32"
)
TRAIN = ("person01_boxing_d1", "person01_boxing_d2", "person01_boxing_d3")
KTH = (*TRAIN, "person06_boxing_d1", "person25_jogging_d3")


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("movie") / "movie.avi", 44)


@pytest.fixture
def raw_kth(movie, tmp_path):
    """Videos for training, validation and tests, of which the first clip is drawn from one."""
    folder = tmp_path / "raw" / "boxing"
    folder.mkdir(parents=True)
    for name in KTH:
        shutil.copy(movie, folder / f"{name}_uncomp.avi")
    return tmp_path / "raw"


@pytest.fixture
def raw_bair(tmp_path):
    folder = tmp_path / "raw" / "softmotion30_44k"
    write_records(folder / "test" / "traj_0_to_255.tfrecords", [video(0)[0]])
    examples = [video(i)[0] for i in (1, 2, 3)]
    write_records(folder / "train" / "traj_256_to_258.tfrecords", examples)
    return tmp_path / "raw"


def results(path):
    return json.loads((path / "results.json").read_text())


def test_kth_from_raw_videos_to_scores(raw_kth, tmp_path, capfd):
    data, world = tmp_path / "data", tmp_path / "run" / "world.safetensors"
    cut(raw_kth / "boxing" / f"{KTH[1]}_uncomp.avi")
    line = f"data convert kth {raw_kth} --out {data} --quiet"
    assert run(line) == 0
    out, err = capfd.readouterr()
    assert err == "" and f"\n{data}: 4 videos converted, 176 frames, " in out
    assert "; 0 were there, 595 left out" in out
    truncated, missing = [line for line in out.splitlines() if line.startswith("left out")]
    assert f"{KTH[1]}_uncomp.avi is truncated" in truncated
    assert missing.endswith(f"d4 is not in {raw_kth}; 593 more are not there, see results.json")
    assert f"  {data}/train: 2 episodes\n  {data}/validation: 1 episode\n" in out
    assert "note: the test set of kth needs person25_running_d3, which is not there" in out
    content = results(data)
    assert content["command"] == f"srvp-world {line}" and content["numbers"]["frames"] == 176
    left_out = {entry["name"]: entry for entry in content["numbers"]["left_out"]}
    assert len(left_out) == 595 and "truncated" in left_out[KTH[1]]["reason"]
    assert [name for name, entry in left_out.items() if not entry["absent"]] == [KTH[1]]
    assert run(f"data check {data} --quiet") == 0
    out = capfd.readouterr()[0]
    assert "64 x 64 grey, 25 per second" in out and out.endswith("nothing is wrong\n")
    assert out.count("left out: person01_boxing_d4 is not in") == 1
    assert run(f"train {data} --preset kth --out {tmp_path}/run {TINY}") == 0
    scored = f"evaluate {world} kth --data {data} --videos 1 --samples 1 --quiet"
    assert run(f"{scored} --out {tmp_path}/scores") == 0
    assert results(tmp_path / "scores")["protocol"]["clips"].startswith(
        "the original's test set of 40 frames: the first 1 of 1000 clips, drawn from 1 episodes"
    )
    assert run(line) == 0
    again = capfd.readouterr()[0]
    assert re.search(r"\n\S*: 0 videos converted, 0 frames, \d+ s; 4 were there, 595 left", again)


def test_bair_trains_on_frames_as_the_paper_or_on_actions_too(raw_bair, tmp_path, capfd):
    data = tmp_path / "data"
    assert run(f"data convert bair {raw_bair} --out {data} --quiet") == 0
    out = capfd.readouterr()[0]
    assert f"{data}: 4 videos converted, 120 frames" in out
    assert "256 left out" in out and "traj_0_to_255.tfrecords ends before it" in out
    assert run(f"data check {data} --quiet") == 0
    assert "  holds     experience\n" in capfd.readouterr()[0]
    for name, flag in (("paper", ""), ("acted", "--no-frames-only")):
        line = f"train {data} --preset bair --out {tmp_path}/{name} {TINY} {flag}"
        assert run(line) == 0
        assert run(f"{line} --resume --quiet") == 0
    paper, acted = (load(tmp_path / name / "world.safetensors") for name in ("paper", "acted"))
    assert (paper.action, paper.model.config.vector_dim) == (None, 0)
    assert (acted.action, acted.model.config.vector_dim) == (read_info(data / "test").action, 3)
    known = Dataset.open(data / "train")
    positions = np.concatenate([known.read(i).vector for i in range(2)])
    np.testing.assert_allclose(acted.model.vector_normaliser.mean, positions.mean(0), atol=1e-5)
    scored = f"--data {data} --videos 1 --samples 1 --quiet"
    world = tmp_path / "paper" / "world.safetensors"
    assert run(f"evaluate {world} bair {scored} --out {tmp_path}/scores") == 0
    beginnings = "--conditioning 2 --horizon 3 --samples 1 --quiet"
    assert run(f"evaluate {world} {data}/validation {beginnings} --out {tmp_path}/own") == 0
    acting = tmp_path / "acted" / "world.safetensors"
    assert run(f"evaluate {acting} {data}/validation {beginnings} --out {tmp_path}/no") == 2
    assert "`srvp-world report WORLD --data FOLDER`" in capfd.readouterr()[1]
    assert run(f"evaluate {acting} bair {scored} --out {tmp_path}/no") == 2
    assert "`srvp-world report WORLD --data FOLDER`" in capfd.readouterr()[1]
    reported = f"--data {data}/test --episodes 1 --watched 2 --horizon 9 --samples 2 --quiet"
    assert run(f"report {acting} {reported} --out {tmp_path}/report") == 0
    assert results(tmp_path / "report")["numbers"]["open_loop"]["psnr"]["1"]["one_sample"] > 0
    dream = gymnasium.make("srvp_world:SRVPDream-v0", world=str(acting), horizon=3)
    np.testing.assert_array_equal(dream.action_space.low, np.float32(acted.action.low))
    dream.reset(seed=0)
    frame = dream.step(dream.action_space.sample())[0]
    assert frame.shape == (64, 64, 3)
    capfd.readouterr()
    assert run(f"train {data} --preset bair --out {tmp_path}/paper --resume --no-frames-only") == 2
    assert "was trained with action None" in capfd.readouterr()[1]


def test_human36m_from_raw_videos_to_scores(tmp_path, monkeypatch, capfd):
    """With episodes of five frames, which must not be longer for a test that takes no time."""
    monkeypatch.setattr(human36m, "MIN_FRAMES", 5)
    monkeypatch.setattr(human36m, "RAW_FRAMES", 33)
    monkeypatch.setattr(human36m, "VIDEOS", 2)
    names = ["S1/Videos/Walking.54138969.mp4", "S5/Videos/Walking.54138969.mp4"]
    names += [f"S{subject}/Videos/Walking 1.60457274.mp4" for subject in (9, 11)]
    last = "S9/Videos/Walking 1.58860488.mp4"
    first = write_raw(tmp_path / "raw" / names[0], 40, height=900, width=1000, rate=50)
    for name in names[1:]:
        (tmp_path / "raw" / name).parent.mkdir(parents=True)
        shutil.copy(first, tmp_path / "raw" / name)
    data, world = tmp_path / "data", tmp_path / "run" / "world.safetensors"
    assert run(f"data convert human36m {tmp_path}/raw --out {data} --quiet") == 0
    out = capfd.readouterr()[0]
    assert f"{data}: 4 videos converted, 160 frames" in out
    assert "note: the test set of human36m needs all" in out
    assert "here are 1 video of subject 9, not 2: convert" in out
    assert "raw/S6/Videos holds no videos: unpack the archive of subject 6 there; 2 more " in out
    assert f"left out: {tmp_path}/raw/S9/Videos has 1 video of subject 9, not 2" in out
    shutil.copy(first, tmp_path / "raw" / last)
    assert run(f"data convert human36m {tmp_path}/raw --out {data} --quiet") == 0
    out = capfd.readouterr()[0]
    assert f"{data}: 1 video converted, 40 frames" in out and "note" not in out
    assert run(f"data check {data} --quiet") == 0
    assert "64 x 64 colour, 6.25 per second" in capfd.readouterr()[0]
    short = "--window 4 --validation-window 4 --conditioning 2 --content-frames 2"
    assert run(f"train {data} --preset human36m --out {tmp_path}/run {TINY} {short}") == 0
    scored = f"--data {data} --videos 3 --samples 1 --conditioning 2 --horizon 2 --quiet"
    assert run(f"evaluate {world} human36m {scored} --out {tmp_path}/scores") == 0
    assert "drawn from 24 episodes" in results(tmp_path / "scores")["protocol"]["clips"]


def test_several_processes_make_the_same(raw_kth, tmp_path, capfd):
    line = f"data convert kth {raw_kth} --quiet --out {tmp_path}"
    assert run(f"{line}/one") == run(f"{line}/two --workers 2") == 0
    for split in ("train", "validation", "test"):
        one, two = (Dataset.open(tmp_path / name / split) for name in ("one", "two"))
        assert one.episodes == two.episodes
        for i in range(len(one)):
            np.testing.assert_array_equal(one.read(i).frames, two.read(i).frames)
    numbers = [results(tmp_path / name)["numbers"] for name in ("one", "two")]
    assert numbers[0]["splits"] == numbers[1]["splits"]


def test_ctrl_c_keeps_what_was_converted_and_tells_how_to_go_on(
    raw_kth, tmp_path, monkeypatch, capfd, terminal
):
    decode, calls = kth.decode, []

    def stopped(path):
        calls.append(path)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return decode(path)

    line = f"data convert kth {raw_kth} --out {tmp_path}/data --quiet"
    with monkeypatch.context() as patch:
        patch.setattr(kth, "decode", stopped)
        assert run(line) == 130
    kept = f"{tmp_path}/data keeps 2 episodes; go on with `srvp-world {line}`"
    assert capfd.readouterr()[1] == f"srvp-world: stopped: {kept}\n"
    assert run(line) == 0
    assert "3 videos converted, 132 frames" in capfd.readouterr()[0]


def test_check_finds_episodes_that_changed(raw_kth, tmp_path, capfd):
    assert run(f"data convert kth {raw_kth} --out {tmp_path}/data --quiet") == 0
    path = next((tmp_path / "data" / "train").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x99")
    capfd.readouterr()
    assert run(f"data check {tmp_path}/data --quiet") == 2
    out, err = capfd.readouterr()
    assert f"wrong: {path} is not what was written: delete it and make it anew\n" in out
    assert err == f"srvp-world: 1 thing wrong with {tmp_path}/data: see above\n"
    path.unlink()
    assert run(f"data convert kth {raw_kth} --out {tmp_path}/data --quiet") == 0
    assert run(f"data check {tmp_path}/data --quiet") == 0


def test_nothing_to_convert_is_told_in_one_line(raw_kth, refused, tmp_path, capfd):
    out = f"--out {tmp_path}/data --quiet"
    refused(f"data convert kth {tmp_path}/none {out}", "none does not exist")
    refused(f"data convert bair {raw_kth} {out}", "no videos of BAIR", "docs/datasets.md")
    refused(f"data convert human36m {raw_kth} {out}", "no video of Human3.6M")
    for path in raw_kth.glob("boxing/*"):
        cut(path)
    assert run(f"data convert kth {raw_kth} {out}") == 2
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert len(lines) == 6 and all("truncated" in line for line in lines[:5])
    assert lines[5].endswith(f"d4 is not in {raw_kth}; 593 more are not there, see results.json")
    assert err.startswith("srvp-world: none of 599 videos could be converted, for the reasons")
    assert len(results(tmp_path / "data")["numbers"]["left_out"]) == 599


def test_faults_are_told_before_what_is_not_there():
    """Ten faults are what anyone reads; what was never there takes one line."""
    faults = [LeftOut(f"f{i}", f"f{i} is broken") for i in range(12)]
    absent = [LeftOut(f"a{i}", f"a{i} is gone", absent=True) for i in range(3)]
    lines = [f"left out: f{i} is broken" for i in range(10)]
    more = "left out: 2 more, see results.json"
    gone = "left out: a0 is gone"
    assert reasons([*absent, *faults]) == [
        *lines,
        more,
        f"{gone}; 2 more are not there, see results.json",
    ]
    assert reasons([absent[0], faults[0]]) == [lines[0], gone]
    assert reasons(absent[:2]) == [f"{gone}; 1 more is not there, see results.json"]
    assert reasons([]) == []


def test_a_conversion_without_test_videos_says_so(raw_kth, tmp_path, capfd):
    (raw_kth / "boxing" / f"{KTH[-1]}_uncomp.avi").unlink()
    assert run(f"data convert kth {raw_kth} --out {tmp_path}/data --quiet") == 0
    out = capfd.readouterr()[0]
    told = f"{tmp_path}/data has no test set of kth, as no test video was converted: add those"
    assert f"note: {told}" in out and "is no data set" not in out
    with pytest.raises(DataError, match=told):
        open_clips(PROTOCOLS["kth"], tmp_path / "data")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("data convert", ["NAME", "--out"]),
        ("data convert kht raw --out data", ["kht", "kth", "bair", "human36m"]),
        ("data convert kth raw", ["--out"]),
        ("data convert kth raw --out data --worker 2", ["did you mean '--workers'?"]),
        ("data convert kth raw --out data --workers 0", ["--workers must be at least 1, got 0"]),
        ("data download human36m --out raw", ["human36m", "kth", "bair"]),
    ],
)
def test_command_lines_that_make_no_sense(refused, line, words):
    refused(line, *words)


def test_other_data_are_not_mixed_in(raw_kth, raw_bair, refused, tmp_path):
    assert run(f"data convert kth {raw_kth} --out {tmp_path}/data --quiet") == 0
    line = f"--out {tmp_path}/data --quiet"
    refused(f"data convert bair {raw_bair} {line}", "holds another data set", "another folder")
    refused(f"data convert kth {raw_kth} --out {tmp_path}/data/train", "holds a data set itself")
    refused(f"data import {raw_kth} {line}", "holds another data set")
