"""Actions on their way into a dream: whose they are, checked, clipped, and on the device."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from srvp_world.checkpoint import World
from srvp_world.errors import ConfigError, SpaceError

NOISE_BOUND = 3.0  # standard deviations that an agent may steer the innovation by


class DreamActions:
    """What moves n dreams: the world's own actions, its noise as an action, or nothing."""

    def __init__(self, world: World, kind: str | None, rows: int):
        """Choose whose actions move the dreams; None is the world's own, or none.

        Raises:
            ConfigError: If the world does not take them.
        """
        own = world.action
        self.kind = kind or ("none" if own is None else "world")
        if (self.kind == "world") != (own is not None):
            way_out = "'none' or 'noise'" if own is None else "'world'"
            taken = "none" if own is None else own.space
            raise ConfigError(
                f"actions={self.kind!r} do not fit, the world takes {taken}: use {way_out}"
            )
        if self.kind == "noise" and not world.model.noise_dim:
            raise ConfigError("actions='noise': this world has no innovation to steer: use 'none'")
        self._bits = own is not None and own.kind == "multibinary"  # SB3 gives them as floats
        self._spec, self._rows, self._device = own, rows, world.device
        self.space = self._space(world)
        self._bounds: tuple[Tensor, Tensor] | None = None
        if isinstance(self.space, gym.spaces.Box):
            low, high = (
                torch.tensor(bound, device=world.device)
                for bound in (self.space.low, self.space.high)
            )
            self._bounds = low, high

    def take(self, given: Any) -> Tensor | None:
        """Bring actions of all rows to the device; boxes are clipped to their bounds.

        Raises:
            SpaceError: For actions of another shape, outside the space, NaN or infinite. Values of
                tensors are not looked at, for that would make the host wait.
        """
        if self.kind == "none":
            return None
        try:
            actions = given if isinstance(given, Tensor) else np.asarray(given)
        except ValueError as error:
            raise SpaceError(f"actions make no array ({error}): give each row one") from None
        expected = (self._rows, *(self.space.shape or ()))
        if tuple(actions.shape) != expected:
            raise SpaceError(
                f"actions have shape {tuple(actions.shape)}, the dream wants {expected}"
            )
        if isinstance(actions, np.ndarray):
            self._check(actions)
            actions = torch.from_numpy(actions.copy())  # much quicker than torch.tensor
        elif self._bounds is None and actions.is_floating_point() and not self._bits:
            raise SpaceError(f"actions are {actions.dtype}, the dream wants choices: integers")
        elif actions.is_complex():
            raise SpaceError(f"actions are {actions.dtype}, the dream wants real numbers")
        actions = actions.to(self._device)
        return actions if self._bounds is None else actions.float().clamp(*self._bounds)

    def _space(self, world: World) -> gym.Space[Any]:
        if self._spec is not None:
            return self._spec.space
        if self.kind == "none":
            return gym.spaces.Discrete(1)
        return gym.spaces.Box(-NOISE_BOUND, NOISE_BOUND, (world.model.noise_dim,), np.float32)

    def _check(self, actions: np.ndarray) -> None:
        if self._bounds is None and self._spec is not None:
            self._spec.check(actions)
        elif actions.dtype.kind not in "iuf":
            raise SpaceError(f"actions are {actions.dtype}, the dream wants numbers: convert them")
        elif not np.isfinite(actions).all():
            raise SpaceError(
                "actions hold NaN or infinite values, the dream wants finite ones of "
                f"{self.space}: look at what chose them"
            )
