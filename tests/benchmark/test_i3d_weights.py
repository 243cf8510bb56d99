import hashlib
from pathlib import Path

import pytest
import torch
from metric_weights import (
    HASSONY2,
    PIERGIAJ,
    named,
    publish_i3d,
    random_i3d,
    write_checkpoint,
)
from safetensors.torch import save_file

from srvp_world.benchmark import i3d_weights
from srvp_world.benchmark.i3d_weights import checkpoint_names, load_i3d, weights_digest
from srvp_world.benchmark.metric_weights import RGB_SCRATCH, WRONG
from srvp_world.errors import DataError
from srvp_world.metrics.i3d import I3D

DOWNLOAD = "srvp-world data download i3d --out"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("i3d")


@pytest.fixture(scope="module")
def network() -> I3D:
    return random_i3d()


@pytest.fixture(scope="module")
def checkpoint(shelf: Path, network: I3D) -> Path:
    return write_checkpoint(network, shelf / RGB_SCRATCH.name)


@pytest.fixture
def published(checkpoint: Path, monkeypatch) -> Path:
    publish_i3d(monkeypatch, checkpoint)
    return checkpoint


def test_the_order_and_size_of_the_original(network: I3D) -> None:
    """These are the entries of DeepMind's `model.ckpt.index`, in its order."""
    names = list(checkpoint_names(network))
    assert len(names) == 230 and names == sorted(names)
    prefix = "RGB/inception_i3d"
    assert names[:4] == [
        f"{prefix}/Conv3d_1a_7x7/batch_norm/beta",
        f"{prefix}/Conv3d_1a_7x7/batch_norm/moving_mean",
        f"{prefix}/Conv3d_1a_7x7/batch_norm/moving_variance",
        f"{prefix}/Conv3d_1a_7x7/conv_3d/w",
    ]
    assert f"{prefix}/Mixed_5b/Branch_2/Conv3d_0a_3x3/conv_3d/w" in names
    assert f"{prefix}/Mixed_5c/Branch_2/Conv3d_0b_3x3/conv_3d/w" in names
    before = names.index(f"{prefix}/Logits/Conv3d_0c_1x1/conv_3d/b")
    tensors = network.state_dict()
    sizes = [4 * tensors[ours].numel() for ours in checkpoint_names(network).values()]
    assert sum(sizes[:before]) == 1_610_752 and sum(sizes) == RGB_SCRATCH.size


def test_a_checkpoint_is_read_and_known_by_gits_hash(published: Path, network: I3D) -> None:
    loaded, sha256 = load_i3d(published)
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    content = published.read_bytes()
    assert sha256 == {published.name: hashlib.sha256(content).hexdigest()}
    assert weights_digest(loaded) == i3d_weights.RGB_SCRATCH.digest
    again, _ = load_i3d(published.parent)  # a folder with it
    assert weights_digest(again) == weights_digest(loaded)


@pytest.mark.parametrize("port", [PIERGIAJ, HASSONY2])
def test_weights_in_pytorchs_forms_are_the_same_weights(
    published: Path, network: I3D, port: int, tmp_path: Path
) -> None:
    tensors = {name: value.clone() for name, value in named(network, port).items()}
    torch.save(tensors, tmp_path / "i3d.pt")
    scales = [name for name in tensors if name.endswith(("bn.weight", "batch3d.weight"))]
    assert len(scales) == 57
    bare = {name: value for name, value in tensors.items() if name not in scales}
    save_file(bare, tmp_path / "i3d.safetensors")  # the original has no scales
    for file in ("i3d.pt", "i3d.safetensors"):
        loaded, _ = load_i3d(tmp_path / file)
        assert weights_digest(loaded) == weights_digest(network)


def test_other_networks_are_refused_by_name(published: Path, tmp_path: Path, monkeypatch) -> None:
    other = random_i3d(seed=1)
    path = write_checkpoint(other, tmp_path / RGB_SCRATCH.name)
    with pytest.raises(DataError, match=rf"unknown \(.*needs DeepMind's I3D rgb_.*{DOWNLOAD}"):
        load_i3d(path)
    known = next(what for what in WRONG.values() if "rgb_imagenet" in what)
    monkeypatch.setitem(WRONG, weights_digest(other), known)
    with pytest.raises(DataError, match=r"are DeepMind's rgb_imagenet, which is another network"):
        load_i3d(tmp_path)


def test_a_scale_that_the_original_has_not(published: Path, network: I3D, tmp_path: Path) -> None:
    tensors = named(network, PIERGIAJ)
    tensors["Mixed_3b.b1a.bn.weight"] = torch.full((96,), 1.5)
    torch.save(tensors, tmp_path / "i3d.pt")
    with pytest.raises(DataError, match=r"mixed_3b.branches.1.0.norm.weight' is not all one"):
        load_i3d(tmp_path / "i3d.pt")


def test_scales_of_other_shapes_and_names(network: I3D, tmp_path: Path, published: Path) -> None:
    tensors = named(network, PIERGIAJ)
    tensors["Mixed_3b.b1a.bn.weight"] = torch.ones(2)
    torch.save(tensors, tmp_path / "i3d.pt")
    with pytest.raises(DataError, match=r"norm.weight' is torch.float32 \(2,\), not .* \(96,\)"):
        load_i3d(tmp_path / "i3d.pt")
    save_file(
        named(network, PIERGIAJ) | {"x.norm.weight": torch.zeros(1)}, tmp_path / "a.safetensors"
    )
    assert weights_digest(load_i3d(tmp_path / "a.safetensors").network) == weights_digest(network)
    torch.save({"x.norm.weight": torch.empty(3, device="meta")}, tmp_path / "i3d.pt")
    with pytest.raises(DataError, match="'x.norm.weight' is on the device meta"):
        load_i3d(tmp_path / "i3d.pt")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(600), r"'logits.bias' is torch.float32 \(600,\), not torch.float32 \(400,\)"),
        (torch.zeros(400).half(), "'logits.bias' is torch.float16"),
        (torch.full((400,), torch.nan), "'logits.bias' holds NaN or infinite values"),
        (None, "lacks the tensor 'logits.bias'"),
    ],
)
def test_tensors_that_do_not_fit(network: I3D, tmp_path: Path, value, words: str) -> None:
    tensors = named(network, PIERGIAJ) | {"logits.conv3d.bias": value}
    save_file({k: v for k, v in tensors.items() if v is not None}, tmp_path / "i3d.safetensors")
    with pytest.raises(DataError, match=words):
        load_i3d(tmp_path / "i3d.safetensors")


def test_where_to_download_to(checkpoint: Path, tmp_path: Path) -> None:
    """A path like that of a folder is one, and a file lies in its folder."""
    for given, words in (
        ("i3d", f"no folder .*/i3d' with .*{DOWNLOAD} {tmp_path}/i3d` and give that folder"),
        ("i3d.pth", f"no file .*i3d.pth' with .*{DOWNLOAD} {tmp_path}` and give that folder"),
    ):
        with pytest.raises(DataError, match=words):
            load_i3d(tmp_path / given)
    (tmp_path / "i3d").write_bytes(bytes(8))
    with pytest.raises(DataError, match=f"has 8 bytes.*: download .*{DOWNLOAD} {tmp_path}`"):
        load_i3d(tmp_path / "i3d")
    (tmp_path / RGB_SCRATCH.name).write_bytes(bytes(8))  # as it is, no download replaces it
    with pytest.raises(DataError, match=f"has 8 bytes.*: delete it and download .*{tmp_path}`"):
        load_i3d(tmp_path)


def test_files_that_are_no_weights(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no file .*none.pt' with the weights of I3D.*{DOWNLOAD}"):
        load_i3d(tmp_path / "none.pt")
    with pytest.raises(DataError, match=f"no file .*{RGB_SCRATCH.name}'"):
        load_i3d(tmp_path)
    cut = tmp_path / RGB_SCRATCH.name
    cut.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(DataError, match="has 1,000 bytes, not the 50,818,176 of I3D's checkpoint"):
        load_i3d(tmp_path)
    broken = tmp_path / "i3d.safetensors"
    broken.write_bytes(b"{}")
    with pytest.raises(DataError, match="truncated"):
        load_i3d(broken)
