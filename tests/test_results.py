import json
import os
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import srvp_world
from srvp_world.errors import OutputError
from srvp_world.results import write_results


def write(path, numbers=None, **changes):
    settings = {"command": "srvp-world bench", "protocol": {}, "seed": 0, "device": "cpu"}
    return write_results(path, numbers or {}, **(settings | changes))


def read_strictly(path):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_numbers_protocol_seed_and_command_come_back(tmp_path):
    numbers = {"return": -174.5, "each": [1, 2], "nested": {"frames": 3}}
    path = write(
        tmp_path / "new" / "results.json",
        numbers,
        command="srvp-world evaluate pendulum agent.safetensors",
        protocol={"episodes": 50, "crop": (0, 1, 2, 3), "data": Path("data")},
        seed=7,
    )
    content = read_strictly(path)
    assert content["numbers"] == numbers and content["seed"] == 7
    assert content["protocol"] == {"episodes": 50, "crop": [0, 1, 2, 3], "data": "data"}
    assert content["command"] == "srvp-world evaluate pendulum agent.safetensors"


def test_what_is_not_finite_becomes_null_at_any_depth(tmp_path):
    numbers = {
        "nan": float("nan"),
        "list": [1.0, float("inf"), [float("-inf")]],
        "array": np.array([[0.5, np.nan]], np.float32),
        "scalar": np.float32(np.inf),
        "tensor": torch.tensor([2.0, float("nan")]),
        1024: np.int64(3),
    }
    assert read_strictly(write(tmp_path / "results.json", numbers))["numbers"] == {
        "nan": None,
        "list": [1.0, None, [None]],
        "array": [[0.5, None]],
        "scalar": None,
        "tensor": [2.0, None],
        "1024": 3,
    }


def test_versions_date_and_machine_are_those_of_this_process(tmp_path):
    content = read_strictly(write(tmp_path / "results.json", seed=None))
    versions, machine = content["versions"], content["machine"]
    assert versions["srvp_world"] == srvp_world.__version__
    for package in ("torch", "gymnasium", "stable_baselines3", "numpy"):
        assert versions[package] == version(package)
    assert versions["python"].startswith("3.")
    age = datetime.now(UTC) - datetime.fromisoformat(content["date"])
    assert timedelta(0) <= age + timedelta(seconds=1) < timedelta(minutes=1)
    assert machine["device"] == "cpu" and machine["name"]
    assert machine["torch_threads"] == torch.get_num_threads()
    assert 1 <= machine["cores"] <= (os.cpu_count() or 1)
    assert content["seed"] is None


def test_a_failure_keeps_the_results_that_were_there(tmp_path):
    path = write(tmp_path / "results.json", {"return": 1})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write(path, {"return": object()})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="file"):
        write(tmp_path / "file" / "results.json")
