import json
import math
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command import ENVS, copy_of_data, run
from PIL import Image
from worlds import tiny_model, tiny_world

from srvp_world.checkpoint import load

SMALL = "--watched 2 --horizon 3 --samples 2 --quiet"
FILES = ["open_loop.gif", "open_loop.png", "report.png", "results.json"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def written(shop, tmp_path_factory):
    """A report beside its world, and what was printed."""
    world = shutil.copy(shop.world, tmp_path_factory.mktemp("world"))
    with redirect_stdout(StringIO()) as printed:
        assert run(f"report {world} --data {shop.data} --episodes 3 {SMALL}") == 0
    return SimpleNamespace(folder=Path(world).parent / "report", printed=printed.getvalue())


def test_a_folder_of_episodes_is_reported(shop, written):
    assert written.printed.startswith("| open loop | 1 step ahead |")
    assert f"3 episodes of {shop.data}" in written.printed
    assert "nothing to calibrate" in written.printed
    assert names(written.folder) == FILES
    content = json.loads((written.folder / "results.json").read_text())
    assert content["numbers"]["data"] == {"episodes": 3, "frames": 27, "clips": 6}
    assert content["protocol"]["watched"] == 2 and content["protocol"]["samples"] == 2
    assert content["protocol"]["world"] == load(shop.world).fingerprint
    assert "continuation" in content["protocol"]["left_out"]
    assert set(content["protocol"]["definitions"]) > {"clips", "reward", "age", "coverage"}
    assert math.isfinite(content["numbers"]["open_loop"]["psnr"]["1"]["one_sample"])


def test_the_film_shows_green_borders_while_watched_and_red_ones_after(written):
    with Image.open(written.folder / "open_loop.gif") as film:
        assert (film.n_frames, film.width) == (5, 3 * (32 + 4) * 4)  # truth, dream, error
        corners = []
        for i in range(film.n_frames):
            film.seek(i)
            corners.append(np.asarray(film.convert("RGB"))[0, 0].argmax())
    assert corners == [1, 1, 0, 0, 0]


def test_a_world_plays_its_own_environment_with_seeds_of_its_own(
    shop, tmp_path, monkeypatch, capsys
):
    monkeypatch.syspath_prepend(str(ENVS))
    out = tmp_path / "out"
    line = f"report {shop.world} --policy {shop.policy} --episodes 1 --out {out} {SMALL}"
    assert run(line) == 0
    told = "1 fresh episodes of counter_world:Counter-v0, seeds 1000000 to 1000000, policy "
    assert told + str(shop.policy) in capsys.readouterr().out
    content = json.loads((out / "results.json").read_text())
    assert content["protocol"]["episodes"].startswith(told)
    assert content["numbers"]["data"] == {"episodes": 1, "frames": 9, "clips": 2}
    assert content["seed"] == 1_000_000 and names(out) == FILES


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--data {data} --episodes 0", ["--episodes", "at least 1", "0"]),
        ("--data {data} --episodes 5", ["4 episodes", "5", "--episodes 4"]),
        ("--data {data} --watched 0", ["--watched", "at least 1"]),
        ("--data {data} --horizon 0", ["--horizon", "at least 1"]),
        ("--data {data} --samples 0", ["--samples", "at least 1"]),
        ("--data {data} --horizon 40", ["2 watched + 40 imagined", "9 frames", "--horizon 7"]),
        ("--data {data} --watched 9", ["9 watched", "9 frames", "lower --watched"]),
        ("--data {data} --watched 1", ["2 frames", "--watched 2"]),
        ("--data {data} --policy random", ["--policy", "--data", "leave one out"]),
        ("--data {data} --device tpu9", ["'tpu9'", "use 'cpu'"]),
        ("--data {data} --seed -1", ["--seed", "-1"]),
        (f"--data {{data}} --seed {2**63}", ["--seed", "2^63", str(2**63)]),
        ("--data no/such/folder", ["no/such/folder", "no data set"]),
        ("--policy smoth-random", ["smoth-random", "did you mean 'smooth-random'?"]),
        ("--policy none.safetensors", ["none.safetensors"]),
    ],
)
def test_reports_that_make_no_sense(shop, refused, tmp_path, flags, words):
    flags = flags.format(data=shop.data)
    given = " ".join(f for f in ("--watched 2", "--horizon 3") if f.split()[0] not in flags)
    refused(f"report {shop.world} {given} {flags} --quiet --out {tmp_path}/out", *words)
    assert not (tmp_path / "out").exists()


def test_other_data_and_full_folders_are_refused(shop, refused, tmp_path):
    tiny = tiny_world(model=tiny_model(frame_size=64)).save(tmp_path / "tiny.safetensors")
    line = f"--data {shop.data} --quiet {SMALL}"
    refused(f"report {tiny} {line} --out {tmp_path}/out", "(32, 32, 1)", "(64, 64, 1)")
    refused(f"report {shop.world} {line} --out {shop.run}", "already holds", "--out")
    refused(f"report {shop.world} {line} --out {shop.world}", "already holds", "--out")
    refused(f"report pendulun {line} --out {tmp_path}/out", "did you mean 'pendulum'?")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("env_id", "Other-v0"),
        ("env_kwargs", {"length": 9}),
        ("crop", (0, 0, 16, 16)),
        ("action_repeat", 3),
    ],
)
def test_data_seen_otherwise_are_refused(shop, refused, tmp_path, field, value):
    data, _ = copy_of_data(shop, tmp_path)
    description = json.loads((data / "dataset.json").read_text())
    seen = description["info"]["pixels"][field]
    description["info"]["pixels"][field] = value
    (data / "dataset.json").write_text(json.dumps(description))
    line = f"report {shop.world} --data {data} {SMALL} --out {tmp_path}/out"
    refused(line, data, f"{field} {value}", f"the world takes {seen}")


def test_a_video_world_needs_data(refused, tmp_path):
    world = tiny_world("none").save(tmp_path / "video.safetensors")
    refused(f"report {world} --quiet --out {tmp_path}/out", "learnt from video", "--data")
