"""Predictions that need no model: what is not above them is worth nothing."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

# Each gives one frame for the whole horizon: observed (b, t, c, h, w) -> (b, 1, c, h, w).
FLOORS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "copy last frame": lambda observed: observed[:, -1:],
    "black": lambda observed: torch.zeros_like(observed[:, :1]),
    "mean frame": lambda observed: observed.mean(dim=1, keepdim=True),
}
