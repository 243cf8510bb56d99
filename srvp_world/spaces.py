"""Actions: from a Gymnasium space to the vector that a model reads, and back to the space."""

from dataclasses import dataclass
from functools import lru_cache
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
        kind: `box`, `discrete`, `multidiscrete` or `multibinary`.
        shape: Shape of one action in the environment's own layout; `()` for discrete.
        low: Lower bounds of a box, flattened.
        high: Upper bounds of a box, flattened.
        nvec: Number of choices of each discrete component; 2 for each bit.
    """

    kind: Literal["box", "discrete", "multidiscrete", "multibinary"]
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
        if isinstance(space, gym.spaces.MultiBinary) and len(space.shape) == 1:
            return cls(kind="multibinary", shape=space.shape, nvec=(2,) * space.shape[0])
        raise SpaceError(
            f"action space {space} is not supported: use Box, Discrete, "
            "one-dimensional MultiDiscrete that starts at 0, or one-dimensional MultiBinary"
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
        if self.kind == "multibinary":
            return gym.spaces.MultiBinary(len(self.nvec))
        return gym.spaces.MultiDiscrete(list(self.nvec))

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy dtype in which actions are stored: float32 for boxes, int64 otherwise."""
        return np.dtype(np.float32 if self.kind == "box" else np.int64)

    @property
    def width(self) -> int:
        """Length of the vector that `encode` returns."""
        if self.kind == "multibinary":
            return len(self.nvec)
        return len(self.low) if self.kind == "box" else sum(self.nvec)

    def encode(self, actions: Tensor) -> Tensor:
        """Turn actions in the space's own units into vectors.

        Boxes are scaled to [-1, 1], choices become one-hot, and bits -1 or 1, so that 0 is no
        action of either kind.

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
            middle, half = _middle_and_half(self.low, self.high, flat.device)
            return (flat - middle) / half
        columns = actions[..., None] if self.kind == "discrete" else actions
        try:
            if self.kind == "multibinary":
                return 2.0 * one_hot(actions.long(), 2)[..., 1] - 1.0
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
        # Stable-Baselines3 gives bits as floats, and comparisons give them as bools.
        kinds = {"box": "iuf", "multibinary": "biuf"}.get(self.kind, "iu")
        if actions.dtype.kind not in kinds:
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
        if self.kind == "multibinary":
            inside &= (rows == low) | (rows == high)
        if not inside.all():
            row, column = np.argwhere(~inside)[0]
            ends = f"{low[column]:g}, {high[column]:g}"
            raise SpaceError(
                f"{what} row {row} holds {rows[row, column]}, outside "
                + (f"{{{ends}}}" if self.kind == "multibinary" else f"[{ends}]")
                + ": clip or rescale the actions to the space"
            )


@lru_cache(maxsize=64)  # dreams encode at every step, and to make tensors takes longer than to use
def _middle_and_half(
    low: tuple[float, ...], high: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Give the middle and half the width of a box as float32 (width,)."""
    with torch.inference_mode(False):  # what was made in it could never take part in a gradient
        bottom, top = (torch.tensor(bound, dtype=torch.float64) for bound in (low, high))
        return ((bottom + top) / 2).float().to(device), ((top - bottom) / 2).float().to(device)
