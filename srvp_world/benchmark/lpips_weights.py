"""LPIPS v0.1 from the two files that it is published in."""

import re
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from srvp_world.benchmark.metric_weights import FILES, check_file, download_command, put_weights
from srvp_world.benchmark.pth import read_pth
from srvp_world.errors import DataError
from srvp_world.metrics.alexnet import AlexNet
from srvp_world.metrics.lpips import LPIPS

_CONVOLUTIONS = {0: 0, 3: 1, 6: 2, 8: 3, 10: 4}  # torchvision counts pools and ReLUs, too


class LoadedLPIPS(NamedTuple):
    """The network, and the SHA-256 of the files that its weights came from."""

    network: LPIPS
    sha256: dict[str, str]


def load_lpips(folder: Path) -> LoadedLPIPS:
    """Read LPIPS from a folder as `srvp-world data download lpips` leaves it.

    The files are known by their SHA-256, as the linear weights of v0.0 have the same name, shapes
    and range; and a pickle of known content cannot surprise.

    Raises:
        DataError: If the folder or a file is missing, or a file is not the published one.
    """
    if not folder.is_dir():
        command = download_command("lpips", folder)
        if folder.exists():
            names = " and ".join(file.name for file in FILES["lpips"])
            raise DataError(
                f"{folder} is a file: give the folder that has {names}, as {command} leaves it"
            )
        raise DataError(
            f"no folder {str(folder)!r} with the weights of LPIPS: download them with {command} "
            "and give that folder"
        )
    weights: dict[str, Tensor] = {}
    for file in FILES["lpips"]:
        check_file(folder / file.name, file)
        tensors = read_pth(folder / file.name)
        weights |= {_rename(old): _shaped(old, tensor) for old, tensor in tensors.items()}
    network = LPIPS(AlexNet())
    put_weights(network, weights, str(folder))
    return LoadedLPIPS(network.eval(), {file.name: file.digest for file in FILES["lpips"]})


def _rename(name: str) -> str:
    """Give our name of a tensor of torchvision's AlexNet or of the package `lpips`."""
    linear = re.fullmatch(r"lin(\d)\.model\.1\.weight", name)
    if linear:
        return f"linear.{linear[1]}"
    convolution = re.fullmatch(r"features\.(\d+)\.(weight|bias)", name)
    if convolution and int(convolution[1]) in _CONVOLUTIONS:
        return f"backbone.convolutions.{_CONVOLUTIONS[int(convolution[1])]}.{convolution[2]}"
    return name


def _shaped(name: str, tensor: Tensor) -> Tensor:
    """Take the linear weights out of the 1x1 convolutions that they are published as."""
    return tensor.flatten() if name.startswith("lin") else tensor
