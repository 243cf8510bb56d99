"""Vectors beside frames, from the command that records them to the one that evaluates."""

import json

from command import ENVS, SMALL, run

from srvp_world.agents.policy import LatentPolicy, PolicyConfig
from srvp_world.checkpoint import load
from srvp_world.data.dataset import Dataset

GOAL = "collect SRVPGoal-v0 --size 32 --workers 1 --quiet --vector"


def test_a_recorded_vector_is_learnt_and_watched(tmp_path, capsys):
    assert run(f"{GOAL} --out {tmp_path}/data --episodes 3") == 0
    assert Dataset.open(tmp_path / "data").info.vector_dim == 4
    content = json.loads((tmp_path / "data" / "results.json").read_text())
    assert content["protocol"]["pixels"]["vector"] is True
    assert run(f"train {tmp_path}/data --out {tmp_path}/run {SMALL}") == 0
    world = load(tmp_path / "run" / "world.safetensors")
    assert world.model.config.vector_dim == 4 and world.pixels.vector
    config = PolicyConfig(
        feature_dim=world.model.feature_dim,
        hidden=(4,),
        activation="tanh",
        action=world.action,
        world=world.fingerprint,
    )
    policy = LatentPolicy(config).save(tmp_path / "policy.safetensors")
    files = f"{tmp_path}/run/world.safetensors {policy}"
    line = f"evaluate {files} --episodes 2 --workers 1 --quiet --out {tmp_path}/out"
    assert run(line) == 0
    assert "| real | " in capsys.readouterr().out
    again = f"collect SRVPGoal-v0 --workers 1 --quiet --episodes 1 --out {tmp_path}/more"
    assert run(f"{again} --policy {policy} --world {tmp_path}/run/world.safetensors") == 0
    assert Dataset.open(tmp_path / "more").info.pixels == world.pixels


def test_what_is_no_vector_is_refused(refused, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ENVS))
    line = "collect spaces_world:Spaces-v0 --size 32 --quiet --vector --episodes 1"
    kwargs = '--env-kwargs \'{"observation": "choice"}\''
    words = "spaces_world:Spaces-v0 observes Discrete(3), which is no vector of floats"
    refused(f"{line} {kwargs} --out {tmp_path}/data", words, "leave the vector out")
    assert not (tmp_path / "data").exists()


def test_a_folder_without_vectors_gets_none(refused, tmp_path):
    assert run(f"{GOAL} --out {tmp_path}/data --episodes 1".replace(" --vector", "")) == 0
    line = f"{GOAL} --out {tmp_path}/data --episodes 1 --seed 5"
    refused(line, "holds another data set (vector_dim is 0, not 4): choose another folder")
