"""Videos in NumPy files: which axis is which, and clip by clip without the rest.

Axes are named by letters: n clips, t time, h height, w width, c channels. Where nobody names them,

    3 axes  t h w
    4 axes  t h w c  or  t c h w  where that axis has 1 or 3 entries, else  n t h w  where n >= t
    5 axes  n t h w c  or  n t c h w

and what fits two of these is refused. Values are uint8, or floats and booleans in [0, 1].
"""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange

from srvp_world.errors import ConfigError, DataError

ARRAY_SUFFIXES = (".npy", ".npz")

LARGEST = 16 << 30  # bytes of an array in an npz file, which is read as a whole
BROKEN = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,  # encrypted, or packed in a way that is not implemented
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_NAME_AXES = "say which axis is which with --axes, such as tchw"


@dataclass(frozen=True)
class ArrayClip:
    """One clip of an array.

    Attributes:
        path: The npy or npz file.
        entry: Name of the array in an npz file.
        axes: Letter of each axis of the array.
        index: Which clip of a stack of clips; None for an array that is one clip.
    """

    path: Path
    entry: str | None
    axes: str
    index: int | None

    @property
    def place(self) -> str:
        """Where in its file the clip is: `:entry[index]`."""
        entry = "" if self.entry is None else f":{self.entry}"
        return entry + ("" if self.index is None else f"[{self.index}]")

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames (h, w, c) uint8 of the clip.

        Raises:
            DataError: For a broken file, other dtypes, and floats outside [0, 1].
        """
        array = _load(self.path, self.entry, self.path.stat().st_mtime_ns)
        axes = self.axes
        if self.index is not None:
            array = array[(slice(None),) * axes.index("n") + (self.index,)]
            axes = axes.replace("n", "")
        pattern = axes.replace("t", "")
        colour = "c" in pattern
        for frame in np.moveaxis(array, axes.index("t"), 0):
            image = rearrange(frame, f"{' '.join(pattern)} -> h w {'c' if colour else ''}")
            yield _to_uint8(
                image if colour else rearrange(image, "h w -> h w 1"), f"{self.path}{self.place}"
            )


def list_clips(path: Path, axes: str | None = None) -> list[ArrayClip]:
    """List the clips of an npy or npz file, without reading their values.

    Arrays of an npz file that have fewer than 3 axes, or hold no numbers, are no clips.

    Args:
        path: Of the file.
        axes: Letter of each axis; guessed by the rule above if None.

    Raises:
        DataError: For a broken file, one without clips, shapes that can be read in two ways, and
            an array in an npz file that is too large to be read.
        ConfigError: For axes that make no sense.
    """
    if axes is not None and (
        not set("thw") <= set(axes) <= set("ntchw") or len({*axes}) < len(axes)
    ):
        raise ConfigError(
            f"axes {axes!r} must be t, h, w, and maybe n and c, once each, as in nthwc"
        )
    try:
        shapes = _shapes(path)
    except DataError:  # is a ValueError, too
        raise
    except BROKEN as error:
        raise _broken(path, error) from None
    clips: list[ArrayClip] = []
    for entry, shape in shapes.items():
        what = str(path) if entry is None else f"{path}:{entry}"
        letters = axes or _guess(shape, what)
        _check_shape(shape, letters, what)
        count = shape[letters.index("n")] if "n" in letters else None
        indices = [None] if count is None else range(count)
        clips += [ArrayClip(path, entry, letters, index) for index in indices]
    if not clips:
        raise DataError(f"{path} holds no array of frames: store one (t, h, w) or (t, h, w, c)")
    return clips


def _shapes(path: Path) -> dict[str | None, tuple[int, ...]]:
    """Read the shapes of the arrays that may be clips."""
    if path.suffix.lower() == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return {None: array.shape}
    shapes: dict[str | None, tuple[int, ...]] = {}
    for entry, shape, dtype, size in array_headers(path):
        if len(shape) >= 3 and dtype.kind in "uifb":
            _check_size(shape, dtype, size, f"{path}:{entry}")
            shapes[entry] = shape
    return shapes


def array_headers(
    path: Path,
) -> Iterator[tuple[str, tuple[int, ...], np.dtype[Any], int]]:
    """Yield name, shape, dtype and bytes that follow of each array of an npz file, reading none."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                header = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    header = np.lib.format.read_array_header_2_0
                shape, _, dtype = header(file)
                size = member.file_size - file.tell()
            yield member.filename.removesuffix(".npy"), shape, dtype, size


def _check_size(shape: tuple[int, ...], dtype: np.dtype[Any], size: int, what: str) -> None:
    """Compare the shape that a header claims with the bytes that follow it."""
    if min(shape) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise DataError(f"{what} says {dtype} {shape}, but has {size:,} bytes: store it again")
    if size > LARGEST:
        raise DataError(
            f"{what} has {size / 2**30:.1f} GiB, but {LARGEST / 2**30:g} can be read from an npz "
            "file: store it as npy"
        )


def _guess(shape: tuple[int, ...], what: str) -> str:
    """Name the axes by the rule above."""
    choices = {3: ("thw",), 4: ("thwc", "tchw"), 5: ("nthwc", "ntchw")}.get(len(shape), ())
    with_channels = [axes for axes in choices if "c" in axes and shape[axes.index("c")] in (1, 3)]
    picture = len(shape) == 3 and shape[2] in (1, 3)
    if len(with_channels) == 1:
        return with_channels[0]
    if not with_channels and len(shape) == 3 and not picture:
        return "thw"
    if not with_channels and len(shape) == 4:
        if shape[0] < shape[1]:  # such as 20 frames of 10,000 clips
            raise DataError(
                f"{what} has the shape {shape}, clips first or frames first: say --axes nthw or "
                "--axes tnhw"
            )
        return "nthw"
    raise DataError(f"{what} has the shape {shape}, which is not clearly a video: {_NAME_AXES}")


def _check_shape(shape: tuple[int, ...], axes: str, what: str) -> None:
    if len(shape) != len(axes):
        raise DataError(f"{what} has the shape {shape}, but axes {axes!r}: {_NAME_AXES}")
    if "c" in axes and shape[axes.index("c")] not in (1, 3):
        raise DataError(f"{what} has the shape {shape}, and its axis c is not 1 or 3: {_NAME_AXES}")
    if not math.prod(shape):
        raise DataError(f"{what} has the shape {shape}, so no frames: leave it out")


@lru_cache(maxsize=1)  # the clips of a compressed stack are read one after the other
def _load(path: Path, entry: str | None, modified: int) -> np.ndarray:
    """Map an npy file, or read one array of an npz file; `modified` tells versions apart."""
    try:
        if entry is None:
            mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
            return mapped
        with np.load(path, allow_pickle=False) as archive:
            array: np.ndarray = archive[f"{entry}.npy"]
            return array
    except BROKEN as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is truncated or no NumPy file of numbers ({error}): store it again")


def _to_uint8(frame: np.ndarray, what: str) -> np.ndarray:
    """Copy a frame, and stretch floats in [0, 1] to 0..255."""
    if frame.dtype == np.uint8:
        return np.array(frame)
    if frame.dtype.kind not in "fb":
        raise DataError(
            f"{what} holds {frame.dtype}, but frames are uint8 or floats in [0, 1]: convert it"
        )
    low, high = float(frame.min()), float(frame.max())
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise DataError(
            f"{what} holds floats in [{low:.4g}, {high:.4g}], but frames are in [0, 1]: scale it, "
            "or store uint8"
        )
    return np.round(frame.astype(np.float32) * 255).astype(np.uint8)
