"""`srvp-world train smmnist`: Moving MNIST, made on the fly."""

import gzip
import hashlib
import json
import struct

import pytest
from command import SMALL, run

from srvp_world.checkpoint import load
from srvp_world.data import mnist

BRIEF = f"{SMALL} --content-frames 2 --conditioning 2"


@pytest.mark.parametrize("name", ["smmnist", "mmnist"])
def test_a_world_is_learnt_and_its_results_name_the_digits(tmp_path, name):
    out = tmp_path / "run"
    assert run(f"train {name} --out {out} {BRIEF}") == 0
    world = load(out / "world.safetensors")
    assert world.action is None and world.model.frame_shape == (1, 64, 64)
    results = json.loads((out / "results.json").read_text())
    assert results["protocol"]["preset"] == f"{name}-small"
    assert results["protocol"]["data"].startswith(f"{name}: 10,000 of the MNIST training digits")
    assert results["numbers"]["iterations"] == 6
    training = world.measured["training"]  # what evaluations of the world will tell
    assert training["data"] == results["protocol"]["data"] and training["clips_seen"] == 12


def test_a_run_goes_on_where_it_stopped(tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert run(f"train smmnist --out {whole} {BRIEF} --decay 0") == 0
    assert run(f"train smmnist --out {halves} {BRIEF} --decay 0 --iterations 3") == 0
    assert run(f"train smmnist --out {halves} --resume --quiet --iterations 6") == 0
    worlds = [load(folder / "world.safetensors").fingerprint for folder in (whole, halves)]
    assert worlds[0] == worlds[1]


def test_another_data_set_is_no_continuation(refused, tmp_path):
    out = tmp_path / "run"
    assert run(f"train smmnist --out {out} {BRIEF}") == 0
    refused(f"train mmnist --out {out} --resume --quiet", "data is mmnist: 10,000", "smmnist: 10,")


def test_presets_of_the_paper_want_all_digits_unless_told_otherwise(refused, tmp_path):
    out = tmp_path / "run"
    line = f"train smmnist --preset smmnist --out {out} {BRIEF}"
    refused(line, "60,000", "data download mnist", "--digits shipped")
    assert not out.exists()
    brief = "--validation-batches 1 --validation-samples 2"
    assert run(f"{line} {brief} --digits shipped") == 0


def test_all_digits_are_taken_where_they_are(tmp_path, monkeypatch, refused):
    folder = tmp_path / "digits"
    refused(f"train smmnist --digits {folder} --out {tmp_path}/no", folder, "data download mnist")
    folder.mkdir()
    files = {mnist.IMAGES: ((40, 28, 28), 0x803), mnist.LABELS: ((40,), 0x801)}
    for name, (shape, magic) in files.items():
        size = 40 * (784 if len(shape) == 3 else 1)
        header = struct.pack(f">I{len(shape)}I", magic, *shape)
        (folder / name).write_bytes(gzip.compress(header + bytes(size)))
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        monkeypatch.setitem(mnist.CHECKSUMS, name, digest)
    out = tmp_path / "run"
    assert run(f"train mmnist --digits {folder} --out {out} {BRIEF}") == 0
    assert "all 60,000" in json.loads((out / "config.json").read_text())["data"]


def test_digits_are_for_moving_mnist_alone(refused, shop, tmp_path):
    refused(f"train {shop.data} --digits x --out {tmp_path / 'run'}", "--digits", "smmnist")


def test_help_shows_the_values_of_the_preset_that_fits_the_data(capsys):
    assert run("train smmnist --preset smmnist --help") == 0
    text = capsys.readouterr().out
    for line in ("[1100000]", "[100000]", "[128]", "[0.0003]", "[bf16]", "smmnist-small"):
        assert line in text
    assert run("train smmnist --help") == 0
    assert "[0.001]" in capsys.readouterr().out


def test_a_download_that_fails_is_told_in_one_line(refused, tmp_path):
    out = tmp_path / "digits"
    refused(
        f"data download mnist --out {out} --mirror file:///nowhere",
        "cannot download file:///nowhere",
    )
    assert list(out.iterdir()) == []
    refused(f"data download minst --out {out}", "minst", "mnist")


def test_training_can_begin_with_the_weights_of_a_world(tmp_path, refused):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    assert run(f"train smmnist --out {first} {BRIEF}") == 0
    init, schedule = (
        f"--init {first}/world.safetensors",
        "--conditioning 2 --window 4 --batch-size 2",
    )
    line = f"train mmnist --out {second} {init} --quiet {schedule} --iterations 2"
    assert run(f"{line} --learning-rate 1e-12 --observation-std 0.3") == 0
    old, new = (load(folder / "world.safetensors").model for folder in (first, second))
    assert new.config.filters == 2 and new.config.objective.observation_std == 0.3
    for before, after in zip(old.parameters(), new.parameters(), strict=True):
        assert before.allclose(after, atol=1e-9)
    config = json.loads((second / "config.json").read_text())
    assert config["clips_before"] == 12
    assert config["init"] == load(first / "world.safetensors").fingerprint
    assert run(f"train mmnist --out {second} --resume --quiet --iterations 3") == 0
    other = f"--init {second}/world.safetensors"
    refused(f"train mmnist --out {second} --resume --quiet {other}", "init is")
    refused(f"train smmnist --out {third} {init} --quiet --filters 3", "filters is 3", "has 2")
    assert not third.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--seed -1", ["--seed must be in [0, 2^63)", "-1"]),
        ("--content-frames 3 --conditioning 2", ["conditioning is 2", "needs 3"]),
    ],
)
def test_settings_that_cannot_work_are_refused_before_training(refused, tmp_path, flags, words):
    line = f"train smmnist --out {tmp_path / 'run'} {SMALL} --content-frames 2 --conditioning 2"
    refused(f"{line} {flags}", *words)
