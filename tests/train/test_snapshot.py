import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from srvp_world.config import TrainConfig
from srvp_world.errors import OutputError, WorldFileError
from srvp_world.train.snapshot import load_snapshot, load_weights, save_snapshot, save_weights

CONFIG = TrainConfig()


def trained(model: nn.Module) -> torch.optim.Adam:
    """Make an Adam with a state."""
    adam = torch.optim.Adam(model.parameters())
    sum(p.square().sum() for p in model.parameters()).backward()
    adam.step()
    return adam


def test_a_round_trip_restores_every_tensor(make_tiny, tmp_path) -> None:
    model = make_tiny()
    adam = trained(model)
    save_snapshot(tmp_path / "a.safetensors", model, adam, 12, CONFIG, 0.5)
    other = make_tiny()
    fresh = torch.optim.Adam(other.parameters())
    assert load_snapshot(tmp_path / "a.safetensors", other, fresh, CONFIG) == (12, 0.5)
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))
    for index, entry in adam.state_dict()["state"].items():
        restored = fresh.state_dict()["state"][index]
        assert entry.keys() == restored.keys()
        assert all(torch.equal(entry[key], restored[key]) for key in entry)


def test_tied_and_transposed_weights_can_be_saved(tmp_path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    model[0].bias = nn.Parameter(torch.arange(6.0)[::2])
    save_weights(tmp_path / "a.safetensors", model)
    other = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    load_weights(tmp_path / "a.safetensors", other)
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))


def test_weights_come_out_of_a_snapshot_too(make_tiny, tmp_path) -> None:
    model = make_tiny()
    save_snapshot(tmp_path / "a.safetensors", model, trained(model), 1, CONFIG, None)
    other = make_tiny()
    load_weights(tmp_path / "a.safetensors", other)
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))


def test_a_failure_while_writing_keeps_the_old_file(make_tiny, tmp_path, monkeypatch) -> None:
    def fail(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    path = tmp_path / "last.safetensors"
    save_weights(path, make_tiny())
    before = path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match="last.safetensors .*No space left"):
        save_weights(path, make_tiny())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_does_not_exist_is_refused(make_tiny, tmp_path) -> None:
    with pytest.raises(OutputError, match="cannot write .*choose"):
        save_weights(tmp_path / "none" / "a.safetensors", make_tiny())


@pytest.mark.parametrize("kept", [0, 5, 300, -1])
def test_truncated_files_are_named_and_leave_the_model_alone(make_tiny, tmp_path, kept) -> None:
    model = make_tiny()
    path = tmp_path / "last.safetensors"
    save_snapshot(path, model, trained(model), 1, CONFIG, None)
    path.write_bytes(path.read_bytes()[:kept])
    other = make_tiny()
    with pytest.raises(WorldFileError, match="last.safetensors is truncated") as caught:
        load_snapshot(path, other, torch.optim.Adam(other.parameters()), CONFIG)
    assert "\n" not in str(caught.value)
    assert all(map(torch.equal, other.state_dict().values(), make_tiny().state_dict().values()))


def test_files_of_another_kind_are_refused(make_tiny, tmp_path) -> None:
    model = make_tiny()
    weights, foreign = tmp_path / "best.safetensors", tmp_path / "foreign.safetensors"
    save_weights(weights, model)
    with pytest.raises(WorldFileError, match="is not a training snapshot"):
        load_snapshot(weights, model, torch.optim.Adam(model.parameters()), CONFIG)
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(WorldFileError, match="holds no weights of a fit"):
        load_weights(foreign, model)
    shutil.copy(foreign, weights)
    with pytest.raises(WorldFileError, match="holds no weights of a fit"):
        load_weights(weights, model)
