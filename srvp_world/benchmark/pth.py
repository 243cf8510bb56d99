"""PyTorch's `.pth` files: their tensors are read, and nothing that they hold is run."""

import tarfile
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from srvp_world.errors import DataError

_LARGEST = 1 << 30  # bytes; no network of a metric has half of it


def read_pth(path: Path) -> dict[str, Tensor]:
    """Read a state_dict: names and tensors, whose shapes and values are still to be checked.

    TorchScript files are refused, as to open one is to run its code; so are the tar files of
    PyTorch before 0.1.10, for which `weights_only` did not hold before 2.6 (CVE-2025-32434).

    Raises:
        DataError: If it is missing, too large, broken, or anything but a dictionary of tensors.
    """
    try:
        size = path.stat().st_size
        script, old = _is_torchscript(path), tarfile.is_tarfile(path)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): give a state_dict") from None
    if script:
        raise DataError(
            f"{path} is a TorchScript file, which would run its code: save the state_dict that it "
            "holds as safetensors where you trust it, or see docs/metrics.md"
        )
    if old or size > _LARGEST:
        raise DataError(
            f"{path} is {'a tar file' if old else f'{size:,} bytes large'} and no state_dict: give "
            "a safetensors file, or one that torch.save wrote"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path} is not a state_dict, or it is truncated ({reason}): copy it again"
        ) from None
    named = isinstance(content, dict) and all(isinstance(name, str) for name in content)
    if not named or not all(isinstance(value, Tensor) for value in content.values()):
        raise DataError(f"{path} holds more than named tensors: save its state_dict alone")
    return dict(content)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False  # broken, as torch will say
