"""What an npz file of experience holds, under which names, and how long each array is."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srvp_world.data.arrays import BROKEN, LARGEST, array_headers
from srvp_world.errors import DataError

Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]

_ACTIONS = ("actions", "action")
_REWARDS = ("rewards", "reward")
_TERMINATED = ("terminated", "terminations", "terminals", "terminal", "is_terminal")
_TRUNCATED = ("truncated", "truncations", "timeouts")
_DONE = ("dones", "done")
_FRAMES = ("frames", "observations", "image", "images", "obs", "pixels")
_FIRST, _LAST = ("is_first",), ("is_last",)

_TIME = (*_ACTIONS, *_REWARDS, *_TERMINATED, *_TRUNCATED, *_DONE, *_FIRST, *_LAST)


@dataclass(frozen=True)
class NpzFile:
    """What belongs to the time of a file: everything but its observations.

    Attributes:
        path: The file.
        frames: How many rows the observations have.
        observations: Their keys.
        others: Rows of the arrays that are no observations and nothing else that is known, by key.
        actions: (n, ...).
        rewards: (n,), or None.
        flags: (n,) booleans by meaning: terminated, truncated, done, first, last.
        keys: What the file calls each of these.
    """

    path: Path
    frames: int
    observations: tuple[str, ...]
    others: dict[str, int]
    actions: np.ndarray
    rewards: np.ndarray | None
    flags: dict[str, np.ndarray]
    keys: dict[str, str]

    @property
    def aligned(self) -> bool:
        """Whether there is an action for each frame, and not only between frames."""
        return len(self.actions) == self.frames


def read_file(path: Path) -> NpzFile:
    """Read all of a file but its observations.

    Raises:
        DataError: For a broken file, missing arrays, and lengths that do not fit.
    """
    shapes = _read_shapes(path)
    named = {
        "actions": _first(_ACTIONS, shapes),
        "rewards": _first(_REWARDS, shapes),
        "terminated": _first(_TERMINATED, shapes),
        "truncated": _first(_TRUNCATED, shapes),
        "done": _first(_DONE, shapes),
        "first": _first(_FIRST, shapes),
        "last": _first(_LAST, shapes),
    }
    keys = {name: key for name, key in named.items() if key is not None}
    if "actions" not in keys:
        raise DataError(
            f"{path} has no actions, but {', '.join(shapes) or 'nothing'}: videos without are "
            "imported with `srvp-world data import`"
        )
    arrays = read_arrays(path, list(keys.values()))
    found = {name: arrays[key] for name, key in keys.items()}
    frames, observations, others = _observations(path, shapes)
    actions = found.pop("actions")
    _check_actions(path, keys["actions"], actions)
    rows = {name: _flat(f"{path}:{keys[name]}", array) for name, array in found.items()}
    file = NpzFile(
        path=path,
        frames=frames,
        observations=observations,
        others=others,
        actions=actions,
        rewards=rows.pop("rewards", None),
        flags={name: array > 0.5 for name, array in rows.items()},
        keys=keys,
    )
    _check_lengths(file)
    return file


def _first(names: Iterable[str], shapes: Shapes) -> str | None:
    return next((name for name in names if name in shapes), None)


def _check_actions(path: Path, key: str, actions: np.ndarray) -> None:
    if not actions.ndim or actions.dtype.kind not in "fiub":
        raise DataError(
            f"{path}:{key} is {actions.dtype} {actions.shape}, but actions are numbers, with a row "
            "for each step: store them so"
        )
    if not np.isfinite(actions).all():
        row = np.argwhere(~np.isfinite(actions))[0, 0]
        raise DataError(f"{path}:{key} row {row} is NaN or infinite: leave it out")


def _flat(what: str, array: np.ndarray) -> np.ndarray:
    """One number a row, also where each has an axis of its own."""
    if array.ndim == 0 or array.size != len(array) or array.dtype.kind not in "fiub":
        raise DataError(
            f"{what} is {array.dtype} {array.shape}, but rewards and flags have a number for each "
            "row: store them so"
        )
    return array.reshape(len(array))


def _observations(path: Path, shapes: Shapes) -> tuple[int, tuple[str, ...], dict[str, int]]:
    """Find what has a row for each frame: the longest that look like frames say how many."""
    others = [key for key, (shape, _) in shapes.items() if key not in _TIME and shape]
    preferred = [key for key in _FRAMES if key in others]
    images = [key for key in preferred or others if len(shapes[key][0]) >= 3]
    if not images:
        shown = ", ".join(f"{key} {shapes[key][0]}" for key in others) or "nothing"
        raise DataError(
            f"{path} has no pixels, but {shown}: frames are (t, h, w), (t, h, w, c) or "
            "(t, c, h, w) under a key such as image"
        )
    count = shapes[images[0]][0][0]
    rows = {key: shapes[key][0][0] for key in others}
    wrong = {key: length for key, length in rows.items() if length != count}
    return count, tuple(key for key in others if key not in wrong), wrong


def _check_lengths(file: NpzFile) -> None:
    rows, frames = len(file.actions), file.frames
    if not frames:
        raise DataError(f"{file.path} has no frames: leave it out")
    if rows not in (frames, frames - 1):
        raise DataError(
            f"{file.path} has {frames} frames and {rows} actions: there must be one less, or as "
            "many"
        )
    lengths = dict(file.flags) if file.rewards is None else {"rewards": file.rewards, **file.flags}
    for name, array in lengths.items():
        # Flags of frames and flags of steps differ by the first, which ends nothing.
        longer = name != "rewards" and len(array) == frames
        if len(array) != rows and not longer:
            raise DataError(
                f"{file.path} has {frames} frames and {rows} actions, but {len(array)} rows of "
                f"{file.keys[name]}: there must be {rows}"
            )


def _read_shapes(path: Path) -> Shapes:
    """Read shape and dtype of every array.

    Raises:
        DataError: For a broken file, one that holds Python objects, and a header that lies.
    """
    shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    try:
        for name, shape, dtype, size in array_headers(path):
            _check(f"{path}:{name}", shape, dtype, size)
            shapes[name] = (shape, dtype)
    except DataError:  # is a ValueError, too
        raise
    except BROKEN as error:
        raise _broken(path, error) from None
    return shapes


def read_arrays(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Read arrays by name, of a file whose shapes were read before.

    Raises:
        DataError: For a broken file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except BROKEN as error:
        raise _broken(path, error) from None


def _check(what: str, shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
    """Compare what a header claims with the bytes that follow it."""
    if dtype.hasobject:
        raise DataError(f"{what} holds Python objects, which are not read: store numbers")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise DataError(f"{what} says {dtype} {shape}, but has {size:,} bytes: store it again")
    if size > LARGEST:
        raise DataError(
            f"{what} has {size / 2**30:.1f} GiB, but {LARGEST / 2**30:g} can be read: store "
            "episodes one by one"
        )


def _broken(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path} is truncated or no npz file ({reason}): leave it out")
