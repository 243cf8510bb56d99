"""An episode in memory, and as one safetensors file.

A file holds `frames` uint8 (T+1, h, w, c) and, where there is an agent, `actions` (T, ...) and
`rewards` (T,), optionally `vector` (T+1, d). How it ended and where it came from are in the header.
Row i of the actions lies between frames i and i+1; row i of the rewards belongs to frame i+1.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from srvp_world.data.files import write_atomically
from srvp_world.data.info import DatasetInfo as DatasetInfo
from srvp_world.data.info import Layout, check_layout
from srvp_world.errors import DataError, MissingFileError, OutputError, SpaceError

FORMAT = "srvp-world episode"
VERSION = 1
SUFFIX = ".safetensors"

_ARRAYS = ("frames", "actions", "rewards", "vector")
_DTYPES = {"U8": "uint8", "I8": "int64", "I64": "int64", "F32": "float32"}  # as they are read

Provenance = Mapping[str, str | int | float]


class Ending(StrEnum):
    """Why an episode has no further frame; only `terminated` means that the world itself ended."""

    TERMINATED = "terminated"
    TRUNCATED = "truncated"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Episode:
    """An episode, or a piece of one.

    Attributes:
        frames: (T+1, h, w, c) uint8.
        actions: (T, ...) in the action space's units; None for video.
        rewards: (T,) float32, or None.
        vector: (T+1, d) float32, or None.
        ending: What comes after the last frame; `unfinished` where the episode went on.
        provenance: Where it came from: policy, seed and the like.
        part: 0 where the first frame begins the episode, larger for later pieces.
    """

    frames: np.ndarray
    actions: np.ndarray | None = None
    rewards: np.ndarray | None = None
    vector: np.ndarray | None = None
    ending: Ending = Ending.UNFINISHED
    provenance: Provenance = field(default_factory=dict)
    part: int = 0

    def __repr__(self) -> str:
        """Show shapes instead of pixels."""
        values = ((item.name, getattr(self, item.name)) for item in fields(self))
        shown = (
            f"{name}={value.dtype}{value.shape}"
            if isinstance(value, np.ndarray)
            else f"{name}={str(value) if isinstance(value, Ending) else repr(value)}"
            for name, value in values
        )
        return f"Episode({', '.join(shown)})"

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that the episode has, by name."""
        named = {name: getattr(self, name) for name in _ARRAYS}
        return {name: array for name, array in named.items() if array is not None}

    def validate(self, info: DatasetInfo, what: str = "episode") -> None:
        """Refuse what does not belong into the data set.

        Args:
            info: Of the data set.
            what: How to name the episode in the error.

        Raises:
            DataError: For wrong shapes, dtypes and lengths, values that are NaN or infinite, and
                actions outside the space.
        """
        check_layout(
            what,
            info,
            {name: (array.shape, str(array.dtype)) for name, array in self.arrays.items()},
        )
        for name in ("actions", "rewards", "vector"):
            array = getattr(self, name)
            if array is not None and not np.isfinite(array).all():
                row = np.argwhere(~np.isfinite(array))[0][0]
                raise DataError(
                    f"{what}: {name} row {row} is NaN or infinite: "
                    "repair the source or leave the episode out"
                )
        if info.action is not None and self.actions is not None:
            try:
                info.action.check(self.actions, f"{what}: actions")
            except SpaceError as error:
                raise DataError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class EpisodeHeader:
    """What a file says of its episode before any tensor is read.

    Attributes:
        layout: Shape and dtype, as it will be read, of every array by name.
        ending: What comes after the last frame.
        part: 0 where the file begins the episode.
        provenance: Where the episode came from.
    """

    layout: Layout
    ending: Ending
    part: int
    provenance: Provenance

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.layout["frames"][0][0]

    def check(self, info: DatasetInfo, what: str) -> None:
        """Refuse a file whose arrays do not fit the data set, naming it as `what`.

        Raises:
            DataError: For wrong shapes, dtypes and lengths.
        """
        check_layout(what, info, self.layout)


def write_episode(folder: Path, episode: Episode, *, stem: str | None = None) -> Path:
    """Commit an episode as `STEM-partNNN.safetensors`, in one step and never over another file.

    Args:
        folder: Of the data set.
        episode: Already validated.
        stem: Unique in the folder and equal for all parts of an episode; random if None.

    Returns:
        The file's path.

    Raises:
        OutputError: Where the file cannot be written, or exists.
    """
    name = f"{stem or secrets.token_hex(8)}-part{episode.part:03d}{SUFFIX}"
    path = Path(folder) / name
    if path.exists():
        raise OutputError(f"{path} exists already: give each writer a stem of its own")
    arrays = {key: np.ascontiguousarray(value) for key, value in episode.arrays.items()}
    actions = arrays.get("actions")
    if actions is not None and actions.dtype == np.int64 and actions.size:
        small = np.iinfo(np.int8)
        if small.min <= actions.min() and actions.max() <= small.max:
            arrays["actions"] = actions.astype(np.int8)
    header = {
        "format": FORMAT,
        "version": str(VERSION),
        "ending": str(episode.ending),
        "part": str(episode.part),
        "provenance": json.dumps(dict(episode.provenance)),
    }
    write_atomically(path, save(arrays, metadata=header))
    return path


def read_header(path: Path) -> EpisodeHeader:
    """Read what a file says of itself, without its tensors.

    Raises:
        DataError: For a missing, truncated or foreign file, or one from a newer version.
    """
    with _open(path) as file:
        return _header(path, file)


def read_slice(path: Path, start: int = 0, stop: int | None = None) -> Episode:
    """Read frames [start, stop) and the transitions between them, and nothing else, from a file.

    The slice ends as the file does only if it reaches the last frame, and counts as a later part
    unless it begins with the first, so that `ending` and `part` stay true.

    Raises:
        DataError: For a missing, truncated or foreign file, or a slice without frames.
    """
    with _open(path) as file:
        header = _header(path, file)
        stop = header.frames if stop is None else min(stop, header.frames)
        if not 0 <= start < stop:
            raise DataError(f"{path} has {header.frames} frames, so none in [{start}, {stop})")
        ends = {"frames": stop, "vector": stop, "actions": stop - 1, "rewards": stop - 1}
        arrays = {name: _rows(file, name, start, ends[name]) for name in header.layout}
    return Episode(
        **arrays,
        ending=header.ending if stop == header.frames else Ending.UNFINISHED,
        provenance=header.provenance,
        part=header.part + (start > 0),
    )


def read_array(path: Path, name: str) -> np.ndarray:
    """Read one array of a file without touching the others.

    Raises:
        DataError: For a missing, truncated or foreign file.
    """
    with _open(path) as file:
        return _rows(file, name, 0, _header(path, file).layout[name][0][0])


def _open(path: Path) -> Any:
    """Map a file, or say what is wrong with it."""
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError:
        raise MissingFileError(
            f"{path} does not exist: check the path, or record it again"
        ) from None
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path} is truncated or no episode file ({error}): delete it and record it again"
        ) from None


def _header(path: Path, file: Any) -> EpisodeHeader:
    """Parse the header of a mapped file."""
    metadata = file.metadata() or {}
    version = metadata.get("version", "")
    if metadata.get("format") == FORMAT and version.isdecimal() and int(version) > VERSION:
        raise DataError(
            f"{path} has format version {version}, but this srvp-world reads up to {VERSION}: "
            "upgrade srvp-world"
        )
    items = {name: file.get_slice(name) for name in set(file.keys()).intersection(_ARRAYS)}
    try:
        if metadata["format"] != FORMAT or not items["frames"].get_shape():
            raise KeyError("frames")
        return EpisodeHeader(
            layout={
                name: (tuple(item.get_shape()), _DTYPES.get(item.get_dtype(), item.get_dtype()))
                for name, item in items.items()
            },
            ending=Ending(metadata["ending"]),
            part=int(metadata["part"]),
            provenance=json.loads(metadata["provenance"]),
        )
    except (KeyError, ValueError):
        raise DataError(
            f"{path} is not an episode of srvp-world: move it out of the data set"
        ) from None


def _rows(file: Any, name: str, start: int, stop: int) -> np.ndarray:
    """Read rows of one tensor; small integers widen to int64."""
    item = file.get_slice(name)
    if start < stop:
        rows: np.ndarray = item[start:stop]
    else:  # safetensors refuses empty slices at the end
        rows = np.empty((0, *item.get_shape()[1:]), _DTYPES[item.get_dtype()])
    return rows.astype(np.int64) if rows.dtype == np.int8 else rows
