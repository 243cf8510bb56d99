"""Two processes train as one does, on a CPU."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import together
import torch
from safetensors.torch import load_file

from srvp_world.errors import ConfigError
from srvp_world.train.distributed import Processes, distributed
from srvp_world.world import Shard

ALONE = Processes()


def torchrun(folder, *jobs):
    """Start two processes as a user does."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, "--nproc-per-node", "2", together.__file__, folder, *jobs]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def pair(folder, job):
    """Start two processes ourselves; give the exit code and the error stream of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = environment() | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, together.__file__, folder, job]
    started = [
        subprocess.Popen(
            command,
            env=common | {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    return [(process.returncode, error) for process, error in zip(started, errors, strict=True)]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """All that one process and two did; `stopped` runs were stopped by the one, or the two."""
    folder = tmp_path_factory.mktemp("together")
    together.fit_srvp(folder / "alone", ALONE)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        together.fit_srvp(
            folder / "stopped_alone", ALONE, press=lambda: signal.raise_signal(signal.SIGINT)
        )
    signal.signal(signal.SIGINT, previous)
    torchrun(folder, "whole", "stop", "resume", "norms", "update", "refusals")
    together.fit_srvp(folder / "stopped_shared", ALONE, resume=True)
    return folder


def curve(run):
    lines = [json.loads(line) for line in (run / "scalars.jsonl").read_text().splitlines()]
    values = {(line["step"], k): v for line in lines for k, v in line.items() if "/" in k}
    return {key: value for key, value in values.items() if not key[1].startswith("speed")}


@pytest.mark.parametrize("run", ["shared", "stopped_alone", "stopped_shared"])
def test_two_processes_train_as_one_and_go_on_with_each_others_snapshots(done, run) -> None:
    expected = curve(done / "alone")
    assert {step for step, name in expected if name == "train/total"} == set(range(1, 11))
    assert {step for step, name in expected if name == "validation/psnr"} == {5, 10}
    assert curve(done / run) == pytest.approx(expected, rel=1e-5)
    one, other = (load_file(done / x / "last.safetensors") for x in ("alone", run))
    assert one.keys() == other.keys()
    start = together.tiny_model("box", vector_dim=2, skips=True).state_dict()
    for name, tensor in start.items():
        moved = (one[f"model.{name}"] - tensor).double().norm()
        apart = (one[f"model.{name}"] - other[f"model.{name}"]).double().norm()
        assert apart <= 1e-3 * moved, name
    assert (done / run / "best.safetensors").exists()


def test_an_update_is_the_same_in_double_precision(done) -> None:
    expected = together.update_of_tiny(done / "none", ALONE)
    found = load_file(done / "update.safetensors")
    assert expected["linear.weight.grad"].norm() > 1e-4
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", together.NORMS)
def test_synchronised_norms_are_torchs_own_on_the_whole_batch(done, name) -> None:
    expected = together.norm_twice(*together.NORMS[name], slice(None))
    ranks = [load_file(done / f"{name}-{rank}.safetensors") for rank in range(2)]
    found = {key: ranks[0][key] for key in expected}  # statistics, equal in both
    for key in ("0.running_mean", "0.running_var", "0.num_batches_tracked"):
        assert torch.equal(ranks[0][key], ranks[1][key])
    for key in ("out", "gradient"):
        found[key] = torch.cat([rank[key] for rank in ranks])
    for key in ("weight_gradient", "bias_gradient"):
        found[key] = ranks[0][key] + ranks[1][key]
    assert found["out"].dtype == expected["out"].dtype
    accuracy = 2e-2 if name == "half" else 1e-9
    torch.testing.assert_close(found, expected, rtol=accuracy, atol=accuracy)
    assert found["0.num_batches_tracked"] == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("data", "episode 17 is truncated"),
        ("infinite", "not finite at update 3 (total inf"),
        ("folder", "choose another folder"),
        ("size", "2 processes cannot share a batch_size of 7 evenly: make it a multiple of 2"),
    ],
)
def test_what_one_process_meets_stops_all(done, name, reason) -> None:
    for rank in range(2):
        assert reason in (done / f"{name}-{rank}.txt").read_text()


@pytest.mark.parametrize(
    ("job", "reason"),
    [("fail", "only the last process knows"), ("unknown_device", "device is 'tpu'")],
)
def test_the_first_process_alone_tells_an_error(tmp_path, job, reason) -> None:
    (code, told), (other_code, silence) = pair(tmp_path, job)
    assert (code, other_code, silence) == (2, 2, "")
    assert reason in told and len(told.splitlines()) == 1


def test_without_a_launcher_a_process_trains_alone() -> None:
    with distributed("cpu") as processes:
        assert (processes.shard, processes.device.type) == ((0, 1), "cpu")
        assert processes.first and not processes.several
        assert processes.total(7) == 7
    with pytest.raises(ConfigError, match="no device 'nonsense'"), distributed("nonsense"):
        pass


def test_shards_divide_a_batch() -> None:
    rows = torch.arange(12)
    parts = [rows[Shard(rank, 3).rows(12)] for rank in range(3)]
    assert [len(part) for part in parts] == [4, 4, 4]
    assert torch.equal(torch.cat(parts), rows)
    with pytest.raises(ConfigError, match="3 processes cannot share a batch_size of 8"):
        Shard(1, 3).rows(8)
