"""What can be seen of states: decoded when it is asked for, and then only once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.world import State, WorldModel

Shown = dict[str, Tensor]
"""Parts of observations: `pixels` uint8 (n, h, w, c), `vector` (n, d), `latent` (n, d)."""

PARTS = {"pixels": ("pixels",), "latent": ("latent",), "dict": ("pixels", "vector")}


@dataclass(frozen=True, eq=False)
class View:
    """States, and what can be seen of them.

    Attributes:
        model: Shows them.
        state: n states.
    """

    model: WorldModel[Any]
    state: State

    @cached_property
    def features(self) -> Tensor:
        """(n, d) normalised features, which policies see."""
        return self.model.features(self.state)

    @cached_property
    def frames(self) -> Tensor:
        """(n, c, h, w) in [0, 1]."""
        return self.model.decode(self.state)

    @cached_property
    def pixels(self) -> Tensor:
        """(n, h, w, c) uint8."""
        frames = rearrange(self.frames, "n c h w -> n h w c")
        return (frames * 255).round().to(torch.uint8)

    @cached_property
    def vector(self) -> Tensor:
        """(n, d) in the units of the experience."""
        return self.model.decode_vector(self.state)

    def show(self, obs: str) -> Shown:
        """Give the parts of an observation of kind `obs`."""
        parts = {"pixels": "pixels", "vector": "vector", "latent": "features"}
        return {name: getattr(self, parts[name]) for name in PARTS[obs]}


@dataclass(frozen=True, eq=False)
class Transition:
    """One imagined step of n rows, for rewards and ends of one's own.

    Attributes:
        before: Where the action was taken; a `View` with `features`, `frames` and `vector`.
        action: (n, ...) in the action space's units; None where the world plays by itself.
        after: Where it led to.
    """

    before: View
    action: Tensor | None
    after: View

    @property
    def features(self) -> Tensor:
        """(n, d) normalised features of the arrival."""
        return self.after.features

    @property
    def frames(self) -> Tensor:
        """(n, c, h, w) in [0, 1], of the arrival."""
        return self.after.frames

    @property
    def vector(self) -> Tensor:
        """(n, d) beside the frame of the arrival, in the units of the experience."""
        return self.after.vector


def observation_space(model: WorldModel[Any], obs: str) -> gym.Space[Any]:
    """Give the space of one observation of kind `obs`."""
    c, h, w = model.frame_shape
    pixels = gym.spaces.Box(0, 255, (h, w, c), np.uint8)
    if obs == "pixels":
        return pixels
    if obs == "latent":
        return gym.spaces.Box(-np.inf, np.inf, (model.feature_dim,), np.float32)
    vector = gym.spaces.Box(-np.inf, np.inf, (model.vector_dim,), np.float32)
    return gym.spaces.Dict({"pixels": pixels, "vector": vector})
