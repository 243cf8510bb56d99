import json
import shutil

import numpy as np
import pytest
from command import run
from worlds import random_frames, tiny_model, tiny_world

from srvp_world.benchmark.video_protocol import protocol_hashes
from srvp_world.checkpoint import load
from srvp_world.data.dataset import create_dataset
from srvp_world.data.episodes import DatasetInfo, Episode, write_episode

SMALL = "--samples 2 --conditioning 3 --horizon 4 --quiet"


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A world of Moving MNIST's frames, with random weights."""
    model = tiny_model("none", frame_size=64, substeps=2, reward=False, continuation=False)
    return tiny_world(model=model).save(tmp_path_factory.mktemp("grey") / "world.safetensors")


@pytest.fixture
def videos(tmp_path, grey):
    """Three videos of nine frames."""
    create_dataset(tmp_path / "own", DatasetInfo(frame_size=64, channels=1))
    pixels = (255 * random_frames(3, 9, load(grey).model)).round().byte().movedim(2, -1).numpy()
    for k, frames in enumerate(pixels):
        write_episode(tmp_path / "own", Episode(frames=frames), stem=f"video{k}")
    return tmp_path / "own"


def test_a_named_protocol_leaves_table_results_and_pictures(grey, tmp_path, capsys):
    line = f"evaluate {grey} smmnist --videos 3 --batch-size 2 --substeps 3 --keep 2 {SMALL}"
    assert run(f"{line} --out {tmp_path}/out") == 0
    out = capsys.readouterr().out
    assert "| best of 2 samples | " in out and "| black | " in out
    ours, published = out.split("### smmnist: published")  # never in one table
    assert "| black | " in ours and "16.93" not in ours
    assert "| SRVP | 16.93 ± 0.07 | 0.7799 ± 0.0020 | slides of " in published
    assert "N = 5,000 clips, 5 -> 20 frames (T = 25), best of 100 samples" in published
    assert out.splitlines()[-1].startswith(f"{tmp_path}/out: ") and "frames/s" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.json",
        "page.png",
        "curves.png",
        "samples.npz",
    }
    assert np.load(tmp_path / "out" / "samples.npz")["worst"].shape == (2, 4, 64, 64, 1)
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    numbers, protocol = content["numbers"], content["protocol"]
    assert numbers["curves"]["frame"] == [4, 5, 6, 7]
    assert numbers["decoded_frames"] == 3 * 2 * 4
    assert set(numbers["scores"]["ssim"]) == {
        "best",
        "mean",
        "worst",
        "copy last frame",
        "black",
        "mean frame",
    }
    expected = {
        "name": "smmnist",
        "videos": 3,
        "samples": 2,
        "conditioning": 3,
        "horizon": 4,
        "substeps": 3,
        "observed_substeps": 2,
        "world": load(grey).fingerprint,
    }
    assert expected.items() <= protocol.items()
    assert len(protocol["clips_sha256"]) == 64 and "test digits" in protocol["clips"]
    assert protocol["protocol_hash"] == protocol_hashes(protocol)
    assert protocol["protocol_hash"].keys() == {"psnr", "ssim"}
    assert content["seed"] == 1


def test_a_folder_is_evaluated_beside_the_world_and_twice_the_same(grey, videos, tmp_path):
    world = shutil.copy(grey, tmp_path)
    assert run(f"evaluate {world} {videos} {SMALL}") == 0
    assert run(f"evaluate {world} {videos} {SMALL} --batch-size 1 --out {tmp_path}/again") == 0
    both = [
        json.loads((folder / "results.json").read_text())
        for folder in (tmp_path / "evaluation-own", tmp_path / "again")
    ]
    scores = [
        [entry["mean"] for rows in content["numbers"]["scores"].values() for entry in rows.values()]
        for content in both
    ]
    np.testing.assert_allclose(*scores, rtol=1e-4)
    assert both[0]["protocol"]["videos"] == 3 and both[0]["protocol"]["published"] == []


def test_at_temperature_zero_only_what_was_watched_is_drawn(grey, videos, tmp_path, capsys):
    line = f"evaluate {grey} {videos} {SMALL}"
    assert run(f"{line} --out {tmp_path}/drawn") == 0
    assert run(f"{line} --temperature 0 --out {tmp_path}/means") == 0
    assert "| folder own, 3 clips, 3 -> 4 frames, temperature 0 |" in capsys.readouterr().out
    drawn, means = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("drawn", "means")
    )
    assert (drawn["protocol"]["temperature"], means["protocol"]["temperature"]) == (1, 0)
    spread = [content["numbers"]["diversity"]["mean"] for content in (drawn, means)]
    assert 0 < spread[1] < spread[0]
    hashes = [content["protocol"]["protocol_hash"]["psnr"] for content in (drawn, means)]
    assert hashes[0] != hashes[1]


def test_a_folder_that_is_named_like_a_benchmark_is_still_a_folder(
    grey, videos, tmp_path, monkeypatch, capsys
):
    videos.rename(tmp_path / "smmnist")
    monkeypatch.chdir(tmp_path)
    assert run(f"evaluate {grey} ./smmnist {SMALL} --out out") == 0
    out = capsys.readouterr().out
    assert "| folder smmnist, 3 clips, 3 -> 4 frames |" in out and "published" not in out


def test_worlds_with_actions_are_evaluated_on_experience(shop, tmp_path, capsys):
    line = f"evaluate {shop.world} {shop.data} {SMALL} --out {tmp_path}/out"
    assert run(line) == 0
    assert "| folder data, 4 clips, 3 -> 4 frames |" in capsys.readouterr().out
    protocol = json.loads((tmp_path / "out" / "results.json").read_text())["protocol"]
    assert len(protocol["actions_sha256"]) == 64
    untold = protocol_hashes({**protocol, "actions_sha256": None})
    assert untold["psnr"] != protocol["protocol_hash"]["psnr"]


def test_results_are_not_overwritten(grey, videos, refused, tmp_path):
    line = f"evaluate {grey} {videos} {SMALL} --out {tmp_path}/out"
    assert run(line) == 0
    refused(line, f"{tmp_path}/out already holds results.json", "--out")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("smnist", ["no protocol 'smnist'", "did you mean 'smmnist'?"]),
        ("smmnist --episodes 3", ["--episodes is for agents", "'smmnist'"]),
        ("smmnist --temperature -1", ["temperature", "not negative", "-1"]),
        ("smmnist --samples 0", ["samples", "at least 1", "0"]),
        ("smmnist --substeps 0", ["substeps", "at least 1", "0"]),
        ("smmnist --horizon 30", ["25 frames", "5 + 30 = 35"]),
        ("smmnist --batch-size 0", ["batch-size", "0"]),
        ("smmnist --videos 1 --seed -1", ["seed", "-1"]),
        ("smmnist --device tpu9", ["'tpu9'", "use 'cpu'"]),
        ("smmnist --data data", ["--data"]),
        (". --data data", ["--data data", "leave --data out"]),
        ("kth", ["kth", "--data"]),
        ("no/such/folder", ["no/such/folder", "no data set"]),
    ],
)
def test_evaluations_that_make_no_sense(grey, refused, tmp_path, flags, words):
    refused(f"evaluate {grey} {flags} --quiet --out {tmp_path}/out", *words)
    assert not (tmp_path / "out" / "results.json").exists()


def test_flags_for_videos_are_refused_for_agents(shop, refused):
    refused(f"evaluate {shop.world} {shop.policy} --samples 3", "--samples is for videos")
    refused(f"evaluate {shop.world} {shop.policy} --device cpu", "--device is for videos")


def test_worlds_of_other_frames_or_actions_are_refused(shop, grey, videos, refused, tmp_path):
    out = f"--out {tmp_path}/out {SMALL}"
    refused(f"evaluate {shop.world} smmnist {out}", "64x64x1", "32x32x1")
    refused(f"evaluate {grey} {shop.data} {out}", "32x32x1", "64x64x1")
    refused(f"evaluate {grey} {videos} {out} --horizon 9", "9 frames", "3 + 9 = 12")
    refused(f"evaluate {grey} {videos} {out} --conditioning 1", "2 conditioning frames", "got 1")
