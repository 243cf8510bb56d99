"""What the checkers of `testing` go by: nested observations, NumPy or torch, and whose memory."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def leaves(value: Any) -> list[Any]:
    """List the arrays of a nested observation or info; of arrays of objects, what they hold."""
    if isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, (tuple, list)) or _of_objects(value):
        parts = list(value)
    else:
        return [] if value is None else [value]
    return [leaf for part in parts for leaf in leaves(part)]


def row_of(value: Any, row: int | np.integer[Any]) -> Any:
    """Take one row of a nested batch."""
    if isinstance(value, Mapping):
        return {name: row_of(part, row) for name, part in value.items()}
    return tuple(row_of(part, row) for part in value) if isinstance(value, tuple) else value[row]


def to_numpy(value: Any) -> Any:
    """Turn tensors into arrays, at any depth; on the CPU they share their memory."""
    if isinstance(value, Mapping):
        return {name: to_numpy(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(to_numpy(part) for part in value)
    return value.detach().cpu().numpy() if is_tensor(value) else value


def like(value: Any, example: Any) -> Any:
    """Turn arrays into tensors, at any depth, where `example` holds tensors."""
    tensors = [leaf for leaf in leaves(example) if is_tensor(leaf)]
    if not tensors:
        return value
    if isinstance(value, Mapping):
        return {name: like(part, example) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(like(part, example) for part in value)
    return sys.modules["torch"].as_tensor(value, device=tensors[0].device)


def is_tensor(value: Any) -> bool:
    """Tell whether this is a torch tensor, without importing torch."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def close(one: Any, two: Any) -> bool:
    """Tell whether two nested observations agree up to rounding, which may move a pixel by 1."""
    pairs = zip(leaves(to_numpy(one)), leaves(to_numpy(two)), strict=True)
    return all(
        np.allclose(
            np.asarray(a, float),
            np.asarray(b, float),
            rtol=1e-4,
            atol=_tolerance(a),
            equal_nan=True,
        )
        for a, b in pairs
    )


class Memory:
    """Remembers what an env returned lately, and refuses what shares memory with it."""

    def __init__(self, calls: int = 4):
        """Remember this many calls: more than one, for buffers may take turns."""
        self.calls = calls
        self.recent: list[list[Any]] = []

    def add(self, *values: Any) -> None:
        """Take in what one call returned.

        Raises:
            AssertionError: If a write into one of the values would change another.
        """
        arrays = [leaf for leaf in leaves(values) if hasattr(leaf, "shape")]
        known = [leaf for call in self.recent for leaf in call]
        for i, array in enumerate(arrays):
            require(
                not any(_share(array, other) for other in known + arrays[:i]),
                "arrays that the env returns must not share memory: what was kept of one step "
                "would change with the next, silently",
            )
        self.recent = [*self.recent, arrays][-self.calls :]


def require(holds: bool, rule: str) -> None:
    """Refuse what breaks a rule.

    Raises:
        AssertionError: With the rule, if it does not hold.
    """
    if not holds:
        raise AssertionError(rule)


def refuses(call: Callable[[], Any], rule: str) -> None:
    """Require that a call fails, whatever with.

    Raises:
        AssertionError: With the rule, if it does not.
    """
    try:
        call()
    except Exception:
        return
    raise AssertionError(rule)


def check_closing(env: Any) -> None:
    """Close an env, twice.

    Raises:
        AssertionError: If it cannot be closed again.
    """
    env.close()
    try:
        env.close()
    except Exception as error:
        raise AssertionError(f"close must work twice, for wrappers repeat it: {error}") from error


def check_images(images: Any, rows: int) -> None:
    """Require one image a row.

    Raises:
        AssertionError: For anything else.
    """
    require(
        isinstance(images, (tuple, list)) and len(images) == rows,
        f"render must give a tuple of {rows} images, one a row: recorders lay them side by side",
    )
    for image in images:
        require(
            isinstance(image, np.ndarray)
            and image.dtype == np.uint8
            and image.ndim == 3
            and image.shape[-1] == 3,
            "images must be uint8 (height, width, 3): recorders take nothing else",
        )


def _of_objects(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object


def _tolerance(value: Any) -> float:
    return 1 if getattr(value, "dtype", None) == np.uint8 else 1e-4


def _share(one: Any, two: Any) -> bool:
    if is_tensor(one) and is_tensor(two):
        return bool(one.data_ptr() == two.data_ptr())
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return np.shares_memory(one, two)
    return False
