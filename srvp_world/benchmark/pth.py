"""PyTorch's `.pth` files: their tensors are read, and nothing that they hold is run."""

import math
import pickletools
import tarfile
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from srvp_world.errors import DataError

_LARGEST = 1 << 30  # bytes; no network of a metric has half of it


def read_pth(path: Path) -> dict[str, Tensor]:
    """Read a state_dict: names and dense tensors; shapes and values are still to be checked.

    TorchScript files are refused, as to open one is to run its code; so are the tar files of
    PyTorch before 0.1.10, for which `weights_only` did not hold before 2.6 (CVE-2025-32434).

    Raises:
        DataError: If it is missing, too large, broken, or anything but a dictionary of tensors that
            lie in memory, number by number.
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
    content, tensors = _load(path), {}
    # A pickle may give its objects attributes, `values` or `isfinite`, that hide their methods.
    for name, value in dict.items(content) if isinstance(content, dict) else [(None, content)]:
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise DataError(f"{path} holds more than named tensors: save its state_dict alone")
        tensors[name] = torch.detach(value)
        fault = _fault(tensors[name])
        if fault:
            raise DataError(f"{path}: {name!r} is {fault}: save dense tensors on the CPU")
    return tensors


def _load(path: Path) -> Any:
    """Read what a file holds, if it is nothing that could run."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:  # its text advises to run the file
        if _is_pickle(path):
            raise DataError(
                f"{path} holds more than tensors, and to read that could run its code; nothing of "
                "it was run: download the weights again as docs/metrics.md says, or save the "
                "state_dict alone where you trust it"
            ) from None
        raise DataError(_broken(path)) from None
    except Exception:  # a broken pickle can raise anything
        raise DataError(_broken(path)) from None


def _fault(tensor: Tensor) -> str:
    """Say what keeps a tensor from being numbers in memory, or nothing."""
    faults = {
        f"a {type(tensor).__name__}": type(tensor) is not Tensor,
        "nested": tensor.is_nested,
        "quantised": tensor.is_quantized,
        f"of the layout {tensor.layout}": tensor.layout != torch.strided,
        f"on the device {tensor.device}": tensor.device.type != "cpu",
    }
    for fault, found in faults.items():
        if found:
            return fault
    count, held = math.prod(tensor.shape), tensor.untyped_storage().nbytes()
    if count * tensor.element_size() > held:  # with a stride of 0, four bytes make a terabyte
        return f"{count:,} numbers, of which the file holds {held // tensor.element_size():,}"
    return ""


def _broken(path: Path) -> str:
    return f"{path} is not a state_dict, or it is truncated: copy or download it again"


def _is_pickle(path: Path) -> bool:
    """Whether a file that no tensors could be read from is well-formed; nothing of it is run."""
    if zipfile.is_zipfile(path):
        return True
    try:
        for _ in pickletools.genops(path.read_bytes()):
            pass
    except Exception:  # as above
        return False
    return True


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False  # broken, as torch will say
