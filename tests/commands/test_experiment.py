"""`srvp-world experiment` as a user types it."""

import json
from pathlib import Path

import pytest
from command import run
from PIL import Image
from worlds import tiny_model, tiny_svg, tiny_world

from srvp_world.benchmark import dream
from srvp_world.commands.experiment import _shortest_names

CLIPS = "--videos 3 --conditioning 3 --horizon 3"
LINES = {
    "frame-rate": f"{CLIPS} --samples 2",
    "swap": CLIPS,
    "interpolate": "--videos 2 --frames 4",
    "cost": "",
}
PLAIN = {"reward": False, "continuation": False}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Untrained worlds of all kinds, in folders of their own."""
    folder = tmp_path_factory.mktemp("experiment")
    models = {
        "video": tiny_model("none", frame_size=64, **PLAIN),
        "small": tiny_model("none", **PLAIN),
        "gru": tiny_model("none", frame_size=64, dynamics="gru", **PLAIN),
        "agent": tiny_model("box", frame_size=64),
        "svg": tiny_svg(frame_size=64),
    }
    for name, model in models.items():
        (folder / name).mkdir()
        tiny_world(model=model).save(folder / name / "world.safetensors")
    return {name: folder / name / "world.safetensors" for name in models}


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(dream, "ROUNDS", 2)
    monkeypatch.setattr(dream, "ROUND_SECONDS", 0.0)


@pytest.mark.parametrize("name", LINES)
def test_an_experiment_leaves_numbers_their_meaning_and_a_picture(worlds, tmp_path, capsys, name):
    out = tmp_path / "out"
    line = f"experiment {name} {worlds['video']} {LINES[name]} --out {out} --quiet"
    assert run(line) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("| ") and str(out) in printed
    results = json.loads((out / "results.json").read_text())
    assert results["protocol"]["experiment"] == name and results["machine"]["device"] == "cpu"
    assert len(results["protocol"]["worlds"]) == 1 and len(results["protocol"]["definitions"]) > 3
    (picture,) = out.glob("*.png")
    with Image.open(picture) as image:
        assert picture.name in printed and min(image.size) > 64
    numbers = results["numbers"]
    if name == "frame-rate":
        assert [row["substeps"] for row in numbers["rates"].values()] == [1, 2, 4]
        assert numbers["rates"]["1"]["psnr"]["between"] is None
        assert numbers["rates"]["4"]["ssim"]["between"]["mean"] < 1
        assert results["protocol"]["samples"] == 2 and results["seed"] == 1
    if name == "swap":
        assert numbers["ideal_less_others"]["mean"] == pytest.approx(
            numbers["psnr_ideal"]["mean"] - numbers["psnr_others"]["mean"], abs=1e-5
        )
    if name == "cost":
        assert list(numbers["batches"]) == ["1", "64"]
        for row in numbers["batches"].values():
            assert row["latent_us"] < row["svg_us"] and row["svg_over_latent"] > 1


def test_mixed_starts_are_imagined_on_and_scored_behind_what_was_watched(worlds, tmp_path, capsys):
    line = f"experiment interpolate {worlds['video']} --videos 2 --frames 11 --mix start --quiet"
    assert run(f"{line} --out {tmp_path}") == 0
    assert "| straightness | - | - |" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["protocol"]["mix"] == "start" and results["numbers"]["linearity"] is not None
    with Image.open(tmp_path / "interpolation.png") as image:
        assert image.width == 170 + 6 * 66  # the frames after the fifth


def test_several_worlds_of_any_kind_share_the_picture_of_the_long_term(worlds, tmp_path, capsys):
    out = tmp_path / "out"
    paths = f"{worlds['video']} {worlds['svg']}"
    assert run(f"experiment long-term {paths} {CLIPS} --out {out} --quiet") == 0
    assert "| video (? frames) | " in capsys.readouterr().out
    results = json.loads((out / "results.json").read_text())
    assert results["numbers"]["frame"] == [4, 5, 6]
    assert list(results["numbers"]["worlds"]) == ["video", "svg"]
    black = results["numbers"]["floors"]["black"]
    assert black["scores"]["psnr"]["all"]["mean"] == pytest.approx(13.8, abs=2)
    assert len(black["curves"]["ssim"]["mean"]) == 3
    for row in results["numbers"]["worlds"].values():
        assert len(row["curves"]["psnr"]["mean"]) == 3
        assert row["scores"]["psnr"]["beyond"] is None  # nothing tells how it was trained
    assert results["protocol"]["name"] == "mmnist" and results["protocol"]["samples"] == 1
    assert (out / "long-term.png").exists()


def test_worlds_are_called_by_as_little_as_tells_them_apart():
    folders = [Path(f"/runs/{name}/world.safetensors") for name in ("a/x", "b/x", "b/y")]
    assert _shortest_names(folders) == ["a/x", "b/x", "b/y"]
    assert _shortest_names(folders[1:]) == ["x", "y"]
    kept = [folders[0], folders[0].with_name("best.safetensors")]
    assert _shortest_names(kept) == ["x/world.safetensors", "x/best.safetensors"]
    assert _shortest_names([Path("/world.safetensors"), folders[0]]) == ["/", "x"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("frame-rate {agent}", ["takes actions Box", "srvp-world train smmnist"]),
        ("cost {agent}", ["takes actions Box"]),
        ("frame-rate {gru}", ["'gru' dynamics have no dt to divide", "'residual'"]),
        ("frame-rate {svg}", ["SVG has no time between frames"]),
        ("frame-rate {small}", ["smmnist has frames of 64x64x1", "32x32x1"]),
        (
            "frame-rate {video} --on smnist",
            ["'smnist'", "did you mean 'smmnist'", "(or give a folder of"],
        ),
        ("swap {video} --on . --data /none", ["--data /none", "leave --data out"]),
        ("frame-rate {video} --samples 0", ["samples must be at least 1, got 0"]),
        ("frame-rate {video} --on {video}", ["is a file"]),
        ("swap {svg}", ["SVG has no content"]),
        ("swap {video} --videos 1", ["one clip alone", "--videos 2"]),
        ("swap {video} --samples 2", ["--samples"]),
        ("interpolate {svg}", ["SVG has no states"]),
        ("interpolate {small}", ["32x32x1", "64x64x1"]),
        ("interpolate {video} --digits 3", ["--digits", "1 or 2", "3"]),
        ("interpolate {video} --frames 1", ["needs 2 frames, got 1"]),
        ("interpolate {video} --mix start --frames 5", ["5 frames are watched, got 5"]),
        ("interpolate {video} --mix end", ["'end'", "trajectory", "start"]),
        ("interpolate {video} --videos 0", ["--videos", "0"]),
        ("long-term {video} {video}", ["named twice"]),
        ("long-term {video} --horizon 96", ["100 frames", "lower --horizon"]),
        ("cost {svg}", ["SVG has no state-space step"]),
        ("costs {video}", ["'costs'", "did you mean 'cost'"]),
        ("cost {video}.x", ["world.safetensors.x"]),
    ],
)
def test_mistakes_are_told_in_one_line(worlds, refused, tmp_path, line, words):
    refused(f"experiment {line.format(**worlds)} --out {tmp_path}/out --quiet", *words)


def test_results_are_not_overwritten(worlds, refused, tmp_path):
    (tmp_path / "results.json").write_text("{}")
    refused(f"experiment cost {worlds['video']} --out {tmp_path} --quiet", "already holds")
