import hashlib
from pathlib import Path

import pytest
import torch
from metric_weights import publish_lpips, write_lpips

from srvp_world.benchmark.lpips_weights import load_lpips
from srvp_world.benchmark.metric_weights import ALEXNET, LINEAR, WRONG
from srvp_world.errors import DataError


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    folder = write_lpips(tmp_path / "lpips")
    publish_lpips(monkeypatch, folder)
    return folder


def test_weights_come_to_their_places(folder: Path) -> None:
    network, sha256 = load_lpips(folder)
    published = torch.load(folder / ALEXNET.name, weights_only=True)
    linear = torch.load(folder / LINEAR.name, weights_only=True)
    for i, number in enumerate((0, 3, 6, 8, 10)):
        own = network.backbone.convolutions[i]
        assert torch.equal(own.weight, published[f"features.{number}.weight"])
        assert torch.equal(own.bias, published[f"features.{number}.bias"])
        assert torch.equal(network.linear[i], linear[f"lin{i}.model.1.weight"].flatten())
    content = (folder / LINEAR.name).read_bytes()
    assert sha256[LINEAR.name] == hashlib.sha256(content).hexdigest()
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_published_hashes() -> None:
    """PyTorch puts the beginning of the hash into the name of the file."""
    assert ALEXNET.name == f"alexnet-owt-{ALEXNET.digest[:8]}.pth"
    assert ALEXNET.digest != LINEAR.digest and {len(f.digest) for f in (ALEXNET, LINEAR)} == {64}
    assert "/v0.1/" in LINEAR.url


def test_missing_weights_are_refused_by_name(folder: Path) -> None:
    way = "srvp-world data download lpips --out"
    shelf = folder.parent
    words = f"no folder .*/none' with the weights of LPIPS.*{way} {shelf}/none` and give that"
    with pytest.raises(DataError, match=words):
        load_lpips(shelf / "none")
    with pytest.raises(DataError, match=f"no folder .*none.pth' with .*{way} {shelf}` and give"):
        load_lpips(shelf / "none.pth")
    with pytest.raises(DataError, match=f"alex.pth is a file: give the folder .*{way} {folder}`"):
        load_lpips(folder / LINEAR.name)
    (folder / LINEAR.name).unlink()
    with pytest.raises(DataError, match=f"lacks alex.pth, the linear weights.*{way}"):
        load_lpips(folder)


def test_other_versions_are_refused_by_name(folder: Path, monkeypatch) -> None:
    torch.save({"lin0.model.1.weight": torch.ones(1, 64, 1, 1)}, folder / LINEAR.name)
    with pytest.raises(DataError, match=r"alex.pth has the hash .* needed is .*LPIPS v0.1 for"):
        load_lpips(folder)
    old = hashlib.sha256((folder / LINEAR.name).read_bytes()).hexdigest()
    known = next(what for what in WRONG.values() if "v0.0" in what)
    monkeypatch.setitem(WRONG, old, known)
    with pytest.raises(DataError, match=r"alex.pth is the linear weights of LPIPS v0.0, which"):
        load_lpips(folder)
    (folder / ALEXNET.name).write_bytes(b"")
    with pytest.raises(DataError, match="needed is torchvision's AlexNet"):
        load_lpips(folder)
