"""Other models through the command: an ablation of the paper, and SVG."""

import json
import re

import gymnasium as gym
import numpy as np
import pytest
from command import run

from srvp_world.checkpoint import load

BRIEF = (
    "--quiet --filters 2 --code-dim 8 --batch-size 2 --window 4 --iterations 4 --validate-every 2 "
    "--content-frames 2 --conditioning 2"
)
OWN = {
    "smmnist-small-gru": "--inference-hidden 8",
    "smmnist-small-no-z": "--inference-hidden 8 --dynamics-hidden 8",
    "svg-smmnist-small": "--recurrent-hidden 8",
}
SCORED = "--videos 2 --samples 2 --conditioning 2 --horizon 3 --quiet"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A short run of each."""
    folder = tmp_path_factory.mktemp("baselines")
    for name, own in OWN.items():
        assert run(f"train smmnist --preset {name} --out {folder}/{name} {BRIEF} {own}") == 0
    return folder


@pytest.mark.parametrize("name", OWN)
def test_a_world_is_learnt_evaluated_predicted_and_dreamt(runs, tmp_path, capsys, name):
    path = runs / name / "world.safetensors"
    world = load(path)
    training = world.measured["training"]
    assert training["preset"] == name and training["clips_seen"] == 8
    assert training["kind"] == ("svg" if "svg" in name else "srvp")
    results = json.loads((runs / name / "results.json").read_text())
    assert results["protocol"]["kind"] == training["kind"]
    lines = (runs / name / "scalars.jsonl").read_text().splitlines()
    assert any("validation/psnr" in json.loads(line) for line in lines)

    assert run(f"evaluate {path} smmnist {SCORED} --out {tmp_path}/scores") == 0
    assert "| best of 2 samples | " in capsys.readouterr().out
    scores = json.loads((tmp_path / "scores" / "results.json").read_text())
    assert scores["protocol"]["substeps"] == 1
    assert scores["protocol"]["training"]["preset"] == name

    line = f"predict {path} smmnist --conditioning 2 --horizon 3 --samples 2 --quiet"
    assert run(f"{line} --out {tmp_path}/futures.npz") == 0
    assert np.load(tmp_path / "futures.npz")["frames"].shape == (2, 5, 64, 64, 1)

    for obs, shape in (("pixels", (64, 64, 1)), ("latent", (world.model.feature_dim,))):
        env = gym.make_vec("SRVPDream-v0", num_envs=2, world=str(path), obs=obs)
        env.reset(seed=0)
        assert env.step(env.action_space.sample())[0].shape == (2, *shape)
        env.close()


def test_no_time_lies_between_the_frames_of_these_worlds(runs, refused, tmp_path):
    for name, words in (("smmnist-small-gru", "no dt"), ("svg-smmnist-small", "no time")):
        path = runs / name / "world.safetensors"
        refused(f"evaluate {path} smmnist {SCORED} --substeps 2 --out {tmp_path}/x", words)
        clip = "smmnist --conditioning 2 --horizon 2 --quiet"
        refused(f"predict {path} {clip} --substeps 4 --out {tmp_path}/x.gif", words)
    line = f"train smmnist --preset smmnist-small-gru --out {tmp_path}/x {BRIEF}"
    refused(f"{line} --substeps 2", "substeps must be 1 with dynamics 'gru'")


def test_a_world_whose_clips_are_normalised_by_one_another_never_sees_one_alone(refused, tmp_path):
    own = "--preset svg-smmnist-small --recurrent-hidden 8 --batch-statistics"
    assert run(f"train smmnist --out {tmp_path}/run {BRIEF} {own}") == 0
    path = tmp_path / "run" / "world.safetensors"
    line = f"evaluate {path} smmnist {SCORED} --out {tmp_path}/scores"
    refused(f"{line} --batch-size 1", "there is 1 in a batch: give --batch-size 2 or more")
    refused(f"{line} --videos 1", "there is 1 in all: give --videos 2 or more")
    assert run(f"{line} --videos 3 --batch-size 2") == 0
    clip = f"smmnist --conditioning 2 --horizon 2 --out {tmp_path}/x.npz --quiet"
    refused(f"predict {path} {clip}", "cannot watch one alone", "srvp-world evaluate")


def test_a_run_goes_on_where_it_stopped_whatever_its_kind(tmp_path):
    own = f"{BRIEF} --recurrent-hidden 8 --preset svg-smmnist-small"
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert run(f"train smmnist --out {whole} {own}") == 0
    assert run(f"train smmnist --out {halves} {own} --iterations 2") == 0
    assert run(f"train smmnist --out {halves} --resume --quiet --iterations 4") == 0
    worlds = [load(folder / "world.safetensors").fingerprint for folder in (whole, halves)]
    assert worlds[0] == worlds[1]


def test_a_run_of_another_kind_is_no_continuation_and_no_beginning(runs, refused, tmp_path):
    svg = runs / "svg-smmnist-small"
    line = f"train smmnist --out {tmp_path}/x --quiet --init {svg}/world.safetensors"
    refused(line, "kind 'svg'", "preset 'smmnist-small' is of kind 'srvp'")
    assert run(f"{line} --preset svg-smmnist-small {BRIEF} --iterations 1") == 0
    (tmp_path / "y").mkdir()
    config = json.loads((svg / "config.json").read_text())
    (tmp_path / "y" / "config.json").write_text(json.dumps({**config, "kind": "svgs"}))
    refused(f"train smmnist --out {tmp_path}/y --resume --quiet", "'svgs'", "did you mean 'svg'?")


def test_svg_learns_from_the_frames_of_experience_alone(shop, refused, tmp_path):
    line = f"train {shop.data} --preset svg-smmnist-small --out {tmp_path}/x {BRIEF}"
    line += " --recurrent-hidden 8"
    refused(f"{line} --no-frames-only", "SVG learns from frames alone", "--frames-only")
    assert run(f"{line} --frames-only") == 0
    assert load(tmp_path / "x" / "world.safetensors").model.frame_shape == (1, 32, 32)


def test_help_shows_the_fields_of_the_presets_own_kind(capsys):
    assert run("train smmnist --preset svg-smmnist --help") == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for line in ("--recurrent-hidden", "--batch-statistics", "[0.0001]", "[180000]", "[100]"):
        assert line in text
    assert "--state-dim" not in text and "svg-bair" in text
    assert run("train smmnist --preset mmnist-small-mlp --help") == 0
    assert "{residual,mlp,gru}" in capsys.readouterr().out
