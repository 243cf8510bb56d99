"""Actions: from a Gymnasium space to the vector that a model reads, and back to the space."""

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import one_hot

from srvp_world.errors import SpaceError


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """A JSON-able description of an action space.

    Attributes:
        kind: `box`, `discrete` or `multidiscrete`.
        shape: Shape of one action in the environment's own layout; `()` for discrete.
        low: Lower bounds of a box, flattened.
        high: Upper bounds of a box, flattened.
        nvec: Number of choices of each discrete component.
    """

    kind: Literal["box", "discrete", "multidiscrete"]
    shape: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    nvec: tuple[int, ...] = ()

    @classmethod
    def from_space(cls, space: gym.Space[Any]) -> "ActionSpec":
        """Describe a Gymnasium action space.

        Raises:
            SpaceError: For unbounded or flat boxes, discrete spaces that do not start at 0, and
                other kinds of space.
        """
        if isinstance(space, gym.spaces.Box):
            if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
                raise SpaceError(
                    f"action space {space} is unbounded: "
                    "wrap the env in gymnasium.wrappers.RescaleAction"
                )
            if not (space.low < space.high).all():
                raise SpaceError(
                    f"action space {space} has components without a choice: "
                    "drop them with gymnasium.wrappers.TransformAction"
                )
            low, high = (
                tuple(bound.astype(float).ravel().tolist()) for bound in (space.low, space.high)
            )
            return cls(kind="box", shape=space.shape, low=low, high=high)
        if isinstance(space, gym.spaces.Discrete):
            if space.start != 0:
                raise SpaceError(
                    f"action space {space} must start at 0: "
                    "shift it with gymnasium.wrappers.TransformAction"
                )
            return cls(kind="discrete", nvec=(int(space.n),))
        if (
            isinstance(space, gym.spaces.MultiDiscrete)
            and space.nvec.ndim == 1
            and not space.start.any()
        ):
            return cls(kind="multidiscrete", shape=space.shape, nvec=tuple(space.nvec.tolist()))
        raise SpaceError(
            f"action space {space} is not supported: "
            "use Box, Discrete or one-dimensional MultiDiscrete that starts at 0"
        )

    @property
    def space(self) -> gym.Space[Any]:
        """A new Gymnasium space equal to the described one (boxes are float32)."""
        if self.kind == "box":
            low, high = (
                np.asarray(bound, np.float32).reshape(self.shape) for bound in (self.low, self.high)
            )
            return gym.spaces.Box(low, high, dtype=np.float32)
        if self.kind == "discrete":
            return gym.spaces.Discrete(self.nvec[0])
        return gym.spaces.MultiDiscrete(list(self.nvec))

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy dtype in which actions are stored: float32 for boxes, int64 otherwise."""
        return np.dtype(np.float32 if self.kind == "box" else np.int64)

    @property
    def width(self) -> int:
        """Length of the vector that `encode` returns."""
        return len(self.low) if self.kind == "box" else sum(self.nvec)

    def encode(self, actions: Tensor) -> Tensor:
        """Turn actions in the space's own units into vectors.

        Boxes are scaled to [-1, 1], choices become one-hot.

        Args:
            actions: (..., *shape), floating point for boxes, integer otherwise.

        Returns:
            (..., width) float32.

        Raises:
            SpaceError: On the CPU, if a choice does not exist; devices cannot tell without waiting.
        """
        if self.kind == "box":
            lead = actions.shape[: actions.ndim - len(self.shape)]
            flat = actions.reshape(*lead, self.width).float()
            low, high = (flat.new_tensor(bound) for bound in (self.low, self.high))
            return 2 * (flat - low) / (high - low) - 1
        columns = actions[..., None] if self.kind == "discrete" else actions
        try:
            parts = [one_hot(columns[..., i].long(), n) for i, n in enumerate(self.nvec)]
        except RuntimeError as error:
            raise SpaceError(f"actions lie outside {self.space}: {error}") from None
        return torch.cat(parts, dim=-1).float()

    def check(self, actions: np.ndarray, what: str = "actions") -> None:
        """Refuse actions of the wrong shape, not finite, or outside the space.

        Args:
            actions: (n, *shape), one action a row.
            what: How to name the actions in the error.

        Raises:
            SpaceError: Naming the first offending value.
        """
        if actions.ndim == 0 or actions.shape[1:] != self.shape:
            raise SpaceError(
                f"{what} have shape {actions.shape[1:]} each, but the space wants {self.shape}"
            )
        if actions.dtype.kind not in ("iu" if self.kind != "box" else "iuf"):
            raise SpaceError(
                f"{what} are {actions.dtype}, but the action space wants {self.dtype}: convert them"
            )
        rows = rearrange(actions, "n ... -> n (...)") if actions.ndim > 1 else actions[:, None]
        if self.kind == "box":
            tolerance = 1e-4 * (np.asarray(self.high) - np.asarray(self.low))
            low, high = self.low - tolerance, self.high + tolerance
        else:
            low, high = np.zeros(len(self.nvec)), np.asarray(self.nvec) - 1
        inside = (rows >= low) & (rows <= high)  # False for NaN too
        if not inside.all():
            row, column = np.argwhere(~inside)[0]
            raise SpaceError(
                f"{what} row {row} holds {rows[row, column]}, outside "
                f"[{low[column]:g}, {high[column]:g}]: clip or rescale the actions to the space"
            )
