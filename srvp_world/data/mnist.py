"""MNIST digits: those that ship, and the full training set, downloaded on request.

The digits are by Y. LeCun, C. Cortes and C. J. C. Burges, under CC BY-SA 3.0: `digits/README.md`.
"""

import gzip
import math
import zlib
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import numpy as np

from srvp_world.data.checksums import file_checksum
from srvp_world.data.download import download
from srvp_world.data.files import make_folder
from srvp_world.errors import DataError

SIZE = 28
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
CHECKSUMS = {  # SHA-256 of the files of the full training set
    IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
}

_SHIPPED = Path(str(files("srvp_world"))) / "digits"
_MAGIC = {"images": 0x803, "labels": 0x801}  # unsigned bytes with three axes, or with one
_LARGEST = 10**6  # images; more is no MNIST
_LONGEST = 16 + _LARGEST * SIZE**2  # bytes of an idx file
_LARGEST_DOWNLOAD = 20_000_000  # bytes; MNIST's files have less than 10 million


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of handwritten digits.

    Attributes:
        images: (n, 28, 28) uint8, white on black.
        labels: (n,) uint8 from 0 to 9.
        source: Which digits these are, for whoever reads results.
    """

    images: np.ndarray
    labels: np.ndarray
    source: str

    def split(self, validation_fraction: float = 0.05) -> tuple["Digits", "Digits"]:
        """Split into training and validation digits, always in the same way."""
        order = np.random.RandomState(42).permutation(len(self.images))
        held_out = round(len(order) * validation_fraction)
        parts = {"training": order[held_out:], "validation": order[:held_out]}
        train, validation = (
            Digits(self.images[rows], self.labels[rows], f"{name} part of {self.source}")
            for name, rows in parts.items()
        )
        return train, validation


@cache
def shipped_digits() -> Digits:
    """Read the 10,000 digits of the training set that ship with the package."""
    return _read(_SHIPPED, "train10k", "10,000 of the MNIST training digits")


@cache
def test_digits() -> Digits:
    """Read the 10,000 test digits."""
    return _read(_SHIPPED, "t10k", "the 10,000 MNIST test digits")


def all_digits(folder: Path) -> Digits:
    """Read the 60,000 training digits that `download_digits` has left in a folder.

    Raises:
        DataError: If the files are missing, or are not those of MNIST.
    """
    for name in CHECKSUMS:
        if not (folder / name).is_file():
            raise DataError(
                f"{folder} lacks {name}: get it with `srvp-world data download mnist "
                f"--out {folder}`"
            )
        fault = _fault(folder / name, name)
        if fault:
            raise DataError(f"{folder / name} {fault}: delete it and download it again")
    return _read(folder, "train", "all 60,000 MNIST training digits")


def download_digits(folder: Path, *, mirror: str = MIRROR, progress: bool = True) -> Path:
    """Download the 60,000 training digits (9.9 MB) into a folder; whole files are kept.

    Raises:
        DataError: If the mirror cannot be reached, or sends another file than MNIST's.
        OutputError: If the folder cannot be written, or has no room.
    """
    make_folder(folder)
    for name in CHECKSUMS:
        download(
            f"{mirror}/{name}",
            folder / name,
            largest=_LARGEST_DOWNLOAD,
            fault=partial(_fault, name=name),
            progress=progress,
        )
    all_digits(folder)
    return folder


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file of images (n, 28, 28) or labels (n,), uint8, gzipped or not.

    Raises:
        DataError: If the file is missing, truncated or far too large, has another magic number, or
            holds more or less than it says.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise DataError(
            f"cannot read {path} ({error.strerror or error}): give an idx file"
        ) from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path} is truncated ({error}): copy or download it again") from None
    if len(content) > _LONGEST:
        raise DataError(f"{path} holds more than {_LONGEST:,} bytes: give an idx file of MNIST")
    magic = int.from_bytes(content[:4], "big")
    if magic not in _MAGIC.values():
        known = " or ".join(f"0x{number:08x} ({name})" for name, number in _MAGIC.items())
        raise DataError(
            f"{path} is no idx file of MNIST: its magic number is 0x{magic:08x}, not {known}: "
            "copy or download it again"
        )
    axes = magic & 0xFF
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    body = content[4 + 4 * axes :]
    if shape[1:] not in ((), (SIZE, SIZE)) or not 0 < shape[0] <= _LARGEST:
        raise DataError(f"{path} says that it holds {shape}, not {SIZE} x {SIZE} images or labels")
    if len(body) != math.prod(shape):
        raise DataError(
            f"{path} says that it holds {shape}, {math.prod(shape)} bytes, but there are "
            f"{len(body)}: copy or download it again"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _read(folder: Path, stem: str, source: str) -> Digits:
    images = read_idx(folder / f"{stem}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{stem}-labels-idx1-ubyte.gz")
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{folder}: {stem} images {images.shape} and labels {labels.shape} do not belong "
            "together: copy or download them again"
        )
    return Digits(images, labels, source)


def _fault(path: Path, name: str) -> str:
    """Say what is wrong with a file that should be this one of MNIST, or nothing."""
    found, known = file_checksum(path), CHECKSUMS[name]
    is_it = f"has the SHA-256 {found[:12]}..., but MNIST's {name} has {known[:12]}..."
    return "" if found == known else is_it
