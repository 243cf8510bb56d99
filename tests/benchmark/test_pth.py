import io
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from srvp_world.benchmark import pth
from srvp_world.benchmark.pth import read_pth
from srvp_world.errors import DataError

RUNS = (  # a pickle that makes a folder when it is read, if anybody lets it
    b"cos\nmkdir\n(V{path}\ntR."
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    torch.save({"a.weight": torch.arange(6.0), "b": torch.ones(2, dtype=torch.int64)}, path)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_read_in_both_of_its_formats(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    tensors = {"a": torch.arange(3.0)}
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    torch.testing.assert_close(read_pth(path), tensors, rtol=0, atol=0)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    path, made = tmp_path / "weights.pth", tmp_path / "made"
    path.write_bytes(RUNS.replace(b"{path}", str(made).encode()))
    with pytest.raises(DataError, match="more than tensors.*nothing of it was run") as caught:
        read_pth(path)
    assert not made.exists()
    assert "docs/metrics.md" in str(caught.value)
    torch.save(io.StringIO("of no tensor"), path)
    with pytest.raises(DataError) as other:
        read_pth(path)
    assert str(other.value) == str(caught.value)  # and not that of torch, how to have it run


@pytest.mark.parametrize("content", [b"<html>404</html>", b"version https://git-lfs", bytes(9)])
def test_what_came_instead_of_weights_is_not_taken_for_code(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a state_dict, or it is truncated: copy or download"):
        read_pth(path)


def test_torchscript_is_refused_before_anything_is_read(state: Path) -> None:
    with zipfile.ZipFile(state, "a") as archive:
        archive.writestr("weights/constants.pkl", b"")
        archive.writestr("weights/code/__torch__.py", b"print('run')")
    with pytest.raises(DataError, match="TorchScript.*run its code.*state_dict.*docs/metrics.md"):
        read_pth(state)


def test_old_tar_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())
    with pytest.raises(DataError, match="tar file"):
        read_pth(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_broken_files(state: Path, share: float) -> None:
    content = state.read_bytes()
    state.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"weights.pth is not a state_dict, or it is truncated"):
        read_pth(state)


def test_other_things_than_named_tensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for content in ([torch.zeros(2)], {"state_dict": {"a": torch.zeros(2)}}, {1: torch.zeros(2)}):
        torch.save(content, path)
        with pytest.raises(DataError, match="holds more than named tensors: save its state_dict"):
            read_pth(path)


NOT_IN_MEMORY = {
    "on the device meta": lambda: torch.empty(3, device="meta"),
    "of the layout torch.sparse_coo": lambda: torch.eye(3).to_sparse(),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "1,000,000,000,000 numbers, of which the file holds 1": lambda: torch.ones(1).expand(10**12),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of PyTorch, about its own future
@pytest.mark.parametrize("fault", NOT_IN_MEMORY)
def test_tensors_whose_numbers_do_not_lie_in_memory(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.ones(2), "b": NOT_IN_MEMORY[fault]()}, path)
    with pytest.raises(DataError, match=f"weights.pth: 'b' is {fault}.*: save dense tensors"):
        read_pth(path)


def test_attributes_that_a_file_gives_its_objects_hide_no_methods(tmp_path: Path) -> None:
    path, tensor = tmp_path / "weights.pth", torch.ones(2)
    tensor.isfinite = 3
    tensors = OrderedDict(a=tensor)
    tensors.values = 4
    torch.save(tensors, path)
    read = read_pth(path)
    assert list(read.values()) and read["a"].isfinite().all()


def test_missing_and_enormous_files(state: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(DataError, match="cannot read .*none.pth"):
        read_pth(tmp_path / "none.pth")
    with pytest.raises(DataError, match="cannot read"):
        read_pth(tmp_path)
    monkeypatch.setattr(pth, "_LARGEST", 100)
    with pytest.raises(DataError, match="bytes large"):
        read_pth(state)
