import json

import pytest
import torch
from command import run
from metric_weights import (
    publish_i3d,
    publish_lpips,
    random_i3d,
    write_checkpoint,
    write_lpips,
)
from worlds import tiny_model, tiny_world

from srvp_world.benchmark.metric_weights import ALEXNET, LINEAR, RGB_SCRATCH

SMALL = "smmnist --videos 2 --samples 2 --conditioning 3 --horizon 6 --quiet"


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A world of Moving MNIST's frames, with random weights."""
    model = tiny_model("none", frame_size=64, substeps=1, reward=False, continuation=False)
    return tiny_world(model=model).save(tmp_path_factory.mktemp("grey") / "world.safetensors")


@pytest.fixture
def weights(tmp_path, monkeypatch):
    folder = write_lpips(tmp_path / "lpips")
    publish_lpips(monkeypatch, folder)
    (tmp_path / "i3d").mkdir()
    publish_i3d(monkeypatch, write_checkpoint(random_i3d(), tmp_path / "i3d" / RGB_SCRATCH.name))
    return tmp_path


def test_both_are_measured_and_results_say_with_what(grey, weights, tmp_path, capsys):
    line = f"evaluate {grey} {SMALL} --samples 1 --lpips {weights}/lpips --fvd {weights}/i3d"
    assert run(f"{line} --out {tmp_path}/out") == 0
    table = capsys.readouterr().out
    assert "| LPIPS, lower is better |" in table
    assert "N = 2 clips, T = 9 frames, 3 conditioning frames included, bilinear to 224x224" in table
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    numbers, protocol = content["numbers"], content["protocol"]
    assert numbers["scores"]["lpips"]["best"]["mean"] > 0
    assert numbers["fvd"]["each"] == [numbers["fvd"]["first"]]
    assert numbers["fvd"]["interval"] is None  # of one sample
    assert set(protocol["metrics"]) == {"psnr", "ssim", "lpips", "fvd"}
    names = {kind: set(files) for kind, files in protocol["weights_sha256"].items()}
    assert names == {"lpips": {ALEXNET.name, LINEAR.name}, "fvd": {RGB_SCRATCH.name}}
    for files in protocol["weights_sha256"].values():
        for digest in files.values():
            assert len(digest) == 64 and digest[:12] in table


def test_nothing_of_them_is_said_where_they_are_not_asked_for(grey, tmp_path, capsys):
    assert run(f"evaluate {grey} {SMALL} --out {tmp_path}/out") == 0
    table = capsys.readouterr().out
    assert "LPIPS" not in table and "FVD" not in table and "weights" not in table
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["protocol"]["weights_sha256"] == {}
    assert set(content["protocol"]["metrics"]) == {"psnr", "ssim"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--lpips none", ["no folder 'none'", "data download lpips --out none"]),
        ("--fvd none.pt", ["no file 'none.pt'", "data download i3d"]),
        ("--fvd none.pt --videos 1", ["FVD needs 2 clips", "--videos"]),
        ("--fvd none.pt --horizon 5", ["9 frames at least", "3 + 5 = 8", "--horizon"]),
    ],
)
def test_mistakes_are_told_before_anything_is_predicted(grey, refused, tmp_path, flags, words):
    refused(f"evaluate {grey} {SMALL} {flags} --out {tmp_path}/out", *words)
    assert not (tmp_path / "out").exists()


def test_weights_of_other_versions_are_refused(grey, weights, refused, tmp_path):
    line = f"evaluate {grey} {SMALL} --out {tmp_path}/out"
    torch.save({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, weights / "lpips" / LINEAR.name)
    refused(f"{line} --lpips {weights}/lpips", LINEAR.name, "LPIPS v0.1", "data download lpips")
    write_checkpoint(random_i3d(seed=1), weights / "i3d" / RGB_SCRATCH.name)
    refused(f"{line} --fvd {weights}/i3d", "unknown", "rgb_scratch", "data download i3d")


def test_agents_have_no_such_metrics(shop, refused):
    refused(f"evaluate {shop.world} {shop.policy} --lpips lpips", "--lpips is for videos")
    refused(f"evaluate {shop.world} {shop.policy} --fvd i3d", "--fvd is for videos")


def test_weights_are_downloaded_as_digits_are(weights, tmp_path, capfd, refused):
    mirror = (weights / "lpips").as_uri()
    assert run(f"data download lpips --out {tmp_path}/out --mirror {mirror} --quiet") == 0
    assert f"evaluate with --lpips {tmp_path}/out" in capfd.readouterr().out
    mirror = (weights / "i3d").as_uri()
    assert run(f"data download i3d --out {tmp_path}/out --mirror {mirror} --quiet") == 0
    assert f"evaluate with --fvd {tmp_path}/out" in capfd.readouterr().out
    refused(f"data download lpips --out {tmp_path}/no --mirror {mirror}", "alexnet", "by hand")
    refused(f"data download vgg --out {tmp_path}/no", "vgg", "lpips")
