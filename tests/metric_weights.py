"""Weights of metrics in the forms that they are published in, with numbers drawn at random."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from srvp_world.benchmark import i3d_weights
from srvp_world.benchmark.metric_weights import ALEXNET, FILES, LINEAR, RGB_SCRATCH
from srvp_world.metrics.alexnet import AlexNet
from srvp_world.metrics.i3d import I3D

_UNITS = {  # of a block, as TensorFlow, piergiaj/pytorch-i3d and hassony2/kinetics_i3d_pytorch say
    "0.0": ("Branch_0/Conv3d_0a_1x1", "b0", "branch_0"),
    "1.0": ("Branch_1/Conv3d_0a_1x1", "b1a", "branch_1.0"),
    "1.1": ("Branch_1/Conv3d_0b_3x3", "b1b", "branch_1.1"),
    "2.0": ("Branch_2/Conv3d_0a_1x1", "b2a", "branch_2.0"),
    "2.1": ("Branch_2/Conv3d_0b_3x3", "b2b", "branch_2.1"),
    "3.1": ("Branch_3/Conv3d_0b_1x1", "b3b", "branch_3.1"),
}
_PARTS = {  # of a unit
    "conv.weight": ("conv_3d/w", "conv3d.weight", "conv3d.weight"),
    "norm.weight": (None, "bn.weight", "batch3d.weight"),
    "norm.bias": ("batch_norm/beta", "bn.bias", "batch3d.bias"),
    "norm.running_mean": ("batch_norm/moving_mean", "bn.running_mean", "batch3d.running_mean"),
    "norm.running_var": ("batch_norm/moving_variance", "bn.running_var", "batch3d.running_var"),
}
TENSORFLOW, PIERGIAJ, HASSONY2 = range(3)


def random_i3d(seed: int = 0) -> I3D:
    generator = torch.Generator().manual_seed(seed)
    network = I3D()
    for name, value in network.state_dict().items():
        if name.endswith(("bias", "running_mean", "running_var")):
            value.uniform_(0.01, 0.02, generator=generator)
    return network


def named(network: I3D, port: int) -> dict[str, Tensor]:
    """Give the tensors of a network by the names of a port, in PyTorch's order of axes."""
    tensors = {}
    for name, value in network.state_dict().items():
        if name.startswith("logits"):
            letter = {"weight": "w", "bias": "b"}[name.partition(".")[2]]
            tensorflow = f"RGB/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d/{letter}"
            part = name.removeprefix("logits.")
            ports = (tensorflow, f"logits.conv3d.{part}", f"conv3d_0c_1x1.conv3d.{part}")
            tensors[ports[port]] = value
            continue
        parts = re.fullmatch(r"trunk\.(\w+)\.(?:branches\.(\d\.\d)\.)?(\w+\.\w+)", name)
        if parts is None or parts[3] not in _PARTS or _PARTS[parts[3]][port] is None:
            continue
        block = parts[1] if port == HASSONY2 else parts[1].capitalize()
        unit = [_UNITS[parts[2]][port]] if parts[2] else []
        if port == TENSORFLOW and (parts[1], parts[2]) == ("mixed_5b", "2.1"):
            unit = ["Branch_2/Conv3d_0a_3x3"]  # so it is written there
        path = [block, *unit, _PARTS[parts[3]][port]]
        if port == TENSORFLOW:
            tensors["/".join(["RGB/inception_i3d", *path])] = value
        else:
            tensors[".".join(path)] = value
    return tensors


def write_checkpoint(network: I3D, path: Path) -> Path:
    """Write the data file of a TensorFlow checkpoint: all tensors, sorted by name, as numbers."""
    tensors = named(network, TENSORFLOW)
    with path.open("wb") as file:
        for name in sorted(tensors):
            values = tensors[name].numpy()
            if values.ndim == 5:
                values = values.transpose(2, 3, 4, 1, 0)  # t h w in out
            file.write(np.ascontiguousarray(values).tobytes())
    return path


def write_lpips(folder: Path) -> Path:
    """Write both files of LPIPS, with their names and the names of their tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    backbone, tensors = AlexNet(), {"classifier.6.bias": torch.zeros(1000)}
    for layer, number in zip(backbone.convolutions, (0, 3, 6, 8, 10), strict=True):
        tensors[f"features.{number}.weight"] = layer.weight.data
        tensors[f"features.{number}.bias"] = layer.bias.data
    torch.save(tensors, folder / ALEXNET.name)
    linear = {
        f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(AlexNet.channels)
    }
    torch.save(linear, folder / LINEAR.name)
    return folder


def publish_lpips(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the files in a folder be those that are published."""
    files = []
    for file in (ALEXNET, LINEAR):
        content = (folder / file.name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        files.append(replace(file, size=len(content), digest=digest))
    patch.setitem(FILES, "lpips", tuple(files))


def publish_i3d(patch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    """Let a checkpoint be the one that is published."""
    content = checkpoint.read_bytes()
    digest = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    file = replace(RGB_SCRATCH, digest=digest)
    patch.setitem(FILES, "i3d", (file,))
    patch.setattr(i3d_weights, "RGB_SCRATCH", file)
