import json
import shutil
from pathlib import Path

import pytest
from command import COLLECT, SMALL, change, copy_of_data, run
from safetensors import safe_open


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--filters 0", ["filters", "at least 1", "0"]),
        ("--window 1", ["window", "2", "1"]),
        ("--learning-rate -1", ["learning_rate", "-1"]),
        ("--observation-std 0", ["observation_std", "positive"]),
        ("--decay 99", ["decay", "99"]),
        ("--device tpu9", ["'tpu9'", "use 'cpu'"]),
        ("--resume", ["no training run", "without --resume"]),
    ],
)
def test_training_with_impossible_settings(shop, refused, tmp_path, flags, words):
    refused(f"train {shop.data} --out {tmp_path}/run {SMALL} {flags}", *words)
    assert not (tmp_path / "run").exists()


def test_a_run_is_neither_overwritten_nor_resumed_as_another(shop, refused, tmp_path):
    line = f"train {shop.data} --out {shop.run} --quiet"
    refused(f"{line} {SMALL}", "already holds a training run", "--resume")
    refused(f"{line} --resume --filters 4", "filters is 4", "filters 2", "another folder")
    refused(f"{line} --resume --beta-z 3", "beta_z is 3.0", "another folder")
    refused(f"{line} --resume --learning-rate 0.5", "learning_rate", "another folder")
    refused(f"{line} --resume --preset kth", "preset is kth", "another folder")
    data, episode = copy_of_data(shop, tmp_path)
    episode.unlink()
    refused(f"train {data} --out {shop.run} --quiet --resume", "episodes is 3", "another folder")
    refused(f"train {shop.data} --out {shop.data}", "holds a data set", "another folder")


def test_a_broken_run_is_not_resumed(shop, refused, tmp_path):
    broken = shutil.copytree(shop.run, tmp_path / "run")
    last = broken / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-10])
    refused(f"train {shop.data} --out {broken} --resume --quiet", "last.safetensors", "truncated")
    (broken / "config.json").write_text("{")
    refused(f"train {shop.data} --out {broken} --resume --quiet", "config.json is broken")


def test_worlds_that_cannot_be_opened(shop, refused, tmp_path):
    world = Path(shutil.copy(shop.world, tmp_path))
    refused(f"evaluate pendulun {shop.policy}", "'pendulun'", ".safetensors")
    refused(f"evaluate {tmp_path}/none.safetensors {shop.policy}", "none.safetensors", "give")
    refused(f"evaluate {shop.policy} {shop.policy}", "policy.safetensors", "world")
    with safe_open(world, "numpy") as file:
        header = json.loads(file.metadata()["srvp_world"])
    change(world, {"srvp_world": json.dumps(header | {"version": 99})})
    refused(f"evaluate {world} {shop.policy}", "99", "upgrade")
    world.write_bytes(world.read_bytes()[:-10])
    for line in (f"evaluate {world} {shop.policy}", f"bench --world {world}"):
        refused(line, world.name, "truncated")


def test_policies_that_cannot_be_used(shop, refused, tmp_path):
    policy = Path(shutil.copy(shop.policy, tmp_path))
    refused(f"evaluate {shop.world} {tmp_path}/none.safetensors", "none.safetensors")
    refused(f"evaluate {shop.world} {shop.world}", "no policy", "LatentPolicy")
    foreign = tmp_path / "ppo.zip"
    foreign.write_bytes(b"PK\x03\x04 pickled")
    refused(f"evaluate {shop.world} {foreign}", "ppo.zip")
    with safe_open(policy, "numpy") as file:
        header = json.loads(file.metadata()["srvp_world_policy"])
    collect = f"{COLLECT} --episodes 1 --out {tmp_path}/data --policy"
    refused(f"{collect} {policy}", policy, "--world")
    change(policy, {"srvp_world_policy": json.dumps(header | {"world": "0123"})})
    refused(f"evaluate {shop.world} {policy}", "0123", "its own world")
    refused(f"{collect} {policy} --world {shop.world}", "0123", "its own world")
    change(policy, {"srvp_world_policy": json.dumps(header | {"version": 99})})
    refused(f"evaluate {shop.world} {policy}", "newer", "upgrade")
    policy.write_bytes(policy.read_bytes()[:-10])
    refused(f"evaluate {shop.world} {policy}", policy.name, "truncated")
    assert not (tmp_path / "data").exists()


def test_a_policy_for_other_frames_or_actions_is_refused(shop, refused, tmp_path):
    agent = f"--policy {shop.policy} --world {shop.world} --quiet --workers 1 --episodes 1"
    line = f"collect counter_world:Counter-v0 --size 64 --out {tmp_path}/wide {agent}"
    refused(line, "(32, 32, 1)", "(64, 64, 1)")
    refused(f"collect Pendulum-v1 --size 32 --out {tmp_path}/other {agent}", "Box", "Discrete")


def test_evaluating_no_episode_or_with_bad_seeds(shop, refused):
    refused(f"evaluate {shop.world} {shop.policy} --episodes 0", "--episodes", "0")
    refused(f"evaluate {shop.world} {shop.policy} --seed -5", "seed", "-5")
    refused(f"evaluate {shop.world} {shop.policy} --workers 0", "workers", "0")


@pytest.mark.parametrize(
    "line",
    [
        COLLECT + " --episodes 1 --out {file}/x",
        "train {shop.data} --out {file}/x " + SMALL,
        "demo --fast --quiet --out {file}/x",
    ],
)
def test_folders_that_cannot_be_written(shop, refused, tmp_path, line):
    file = tmp_path / "file"
    file.write_text("no folder")
    refused(line.format(file=file, shop=shop), file)
    assert file.read_text() == "no folder"


def test_numbers_are_shown_even_where_results_cannot_be_written(shop, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    line = f"evaluate {shop.world} {shop.policy} --episodes 1 --workers 1 --quiet"
    assert run(f"{line} --out {tmp_path}/file") == 2
    captured = capsys.readouterr()
    assert "| real | 36.0 |" in captured.out and len(captured.err.splitlines()) == 1
