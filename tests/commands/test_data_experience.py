import json
import threading

import numpy as np
import pytest
from command import COLLECT, ENVS, SMALL, run

from srvp_world.data.dataset import Dataset
from srvp_world.data.live import draw_windows


@pytest.fixture
def episodes(tmp_path):
    """Three npz files with frames that change, of which one has another timing."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "episodes"
    folder.mkdir()
    for i in range(3):
        frames = rng.integers(0, 255, (9, 40, 40, 3), np.uint8)
        np.savez(
            folder / f"{i}.npz",
            observations=frames,
            actions=rng.integers(0, 3, 8),
            rewards=rng.normal(size=8),
            terminated=np.arange(8) == 7,
        )
    return folder


def test_foreign_episodes_can_be_imported_checked_and_drawn(episodes, tmp_path, capfd):
    data = tmp_path / "data"
    line = f"data experience {episodes} --out {data} --size 32 --channels 1 --quiet"
    assert run(line) == 0
    out, err = capfd.readouterr()
    assert (out.splitlines()[0], err) == (
        f"{data}: 3 episodes imported, 24 transitions; 0 were there, 0 copies, 0 skipped",
        "",
    )
    assert "note: actions were taken for 3 choices" in out
    results = json.loads((data / "results.json").read_text())
    assert results["numbers"]["transitions"] == 24
    assert results["protocol"]["sources"] == [str(episodes)]
    assert run(line) == 0 and "3 were there" in capfd.readouterr()[0]
    assert json.loads((data / "results.json").read_text()) == results  # nothing new
    assert run(f"data check {data} --quiet") == 0
    assert "3 terminated" in capfd.readouterr()[0]
    batch = draw_windows(
        Dataset.open(data),
        batch_size=4,
        window=6,
        episode_start_fraction=0.1,
        min_frames=2,
        seed=0,
    ).batch(0)
    assert batch.frames.shape == (4, 6, 1, 32, 32) and batch.actions.shape == (4, 5)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--size 33", ["frame_size", "33"]),
        ("--image pictures", ["no key 'pictures'", "known: observations"]),
        ("--vector speed", ["no key 'speed'"]),
        ("--vector speed --no-vector", ["exclude each other"]),
        ("--action-choices 1", ["--action-choices", "at least 2"]),
        ("--action-choices 2", ["actions row", "outside [0, 1]"]),
        ("--action-bounds 1 -1", ["LOW the lower"]),
        ("--action-bounds -1 1 --action-choices 3", ["exclude each other"]),
        ("--convention sideways", ["sideways"]),
        ("--crop 0 0 50 50", ["crop", "40 x 40"]),
        ("--stack 0", ["stack", "at least 1"]),
    ],
)
def test_wrong_flags_are_told_in_one_line(episodes, tmp_path, refused, flags, words):
    refused(f"data experience {episodes} --out {tmp_path}/data --quiet {flags}", *words)


def test_of_many_that_are_skipped_some_are_told(episodes, tmp_path, capfd):
    for i in range(12):
        (episodes / f"broken{i}.npz").write_bytes(b"PK")
    assert run(f"data experience {episodes} --out {tmp_path}/data --quiet") == 0
    lines = capfd.readouterr()[0].splitlines()
    assert [line.startswith("skipped: ") for line in lines[:12]] == [True] * 11 + [False]
    assert lines[10] == "skipped: 2 more" and lines[11].endswith("0 copies, 12 skipped")
    results = json.loads((tmp_path / "data" / "results.json").read_text())
    assert len(results["numbers"]["skipped"]) == 12


def test_wrong_sources_are_told_in_one_line(tmp_path, refused):
    (tmp_path / "buffer.pkl").write_bytes(b"\x80\x04.")
    (tmp_path / "model.zip").write_bytes(b"PK")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, *words in (
        ("buffer.pkl", "unpickled", "from_sb3(model.replay_buffer, folder)"),
        ("model.zip", "unpickled", "from_sb3(model, folder)"),
        ("notes.txt", "no npz file", "store episodes as npz"),
        ("empty", "holds no npz file"),
        ("nowhere", "does not exist", "minari:ID"),
    ):
        refused(f"data experience {tmp_path}/{name} --out {tmp_path}/data", name, *words)
    assert not (tmp_path / "data").exists()


def test_ambiguous_rows_are_asked_for(tmp_path, refused, capfd):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (9, 32, 32), np.uint8)
    np.savez(tmp_path / "a.npz", image=frames, action=rng.uniform(-1, 1, (9, 1)))
    line = f"data experience {tmp_path}/a.npz --out {tmp_path}/data --quiet"
    refused(line, "as many actions as frames", "--convention arrival, departure or dreamerv3")
    assert run(f"{line} --actions-lead-to-frames") == 0
    assert Dataset.open(tmp_path / "data").transitions == 8


def test_training_sees_what_is_collected_meanwhile(tmp_path, capfd, monkeypatch):
    monkeypatch.syspath_prepend(str(ENVS))
    data = tmp_path / "data"
    collect = f"{COLLECT} --out {data} --episodes 5 --max-transitions 200 --seed"
    assert run(f"{collect} 0") == 0
    first = {record.name for record in Dataset.open(data).records}

    def collect_on():
        for seed in range(5, 75, 5):
            assert run(f"{collect} {seed}") == 0

    thread = threading.Thread(target=collect_on)
    thread.start()
    try:
        small = SMALL.replace("--iterations 6", "--iterations 25")
        assert run(f"train {data} --out {tmp_path}/run {small} --live") == 0
    finally:
        thread.join()
    assert not first & {record.name for record in Dataset.open(data).records}
    assert Dataset.open(data).transitions <= 200
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["protocol"]["live"] is True
    more = small.replace("25", "26")
    assert run(f"train {data} --out {tmp_path}/run {more} --live --resume") == 0


def test_live_is_for_folders(tmp_path, refused):
    refused(f"train smmnist --out {tmp_path}/run --live", "--live", "smmnist")


def test_a_bound_that_keeps_nothing_is_refused(tmp_path, refused):
    line = f"{COLLECT} --out {tmp_path}/data --episodes 1 --max-transitions 0"
    refused(line, "max_transitions", "at least 1")
    assert not (tmp_path / "data").exists()
