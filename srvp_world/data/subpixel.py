"""Moving MNIST between its frames and pixels: where digits truly are, drawn there and found again.

The generator draws a digit at the nearest whole pixel. Between frames there is no such video: here
a digit at (2.25, 7) is drawn as the mixture of the same digit at rows 2 and 3, in parts of 0.75 and
0.25 (bilinear). At whole pixels both are the same.
"""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.data.mnist import SIZE as DIGIT
from srvp_world.data.moving_mnist import FRAME


def draw_between(images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Draw digits exactly where they are; where they overlap, they add up to white at most.

    Args:
        images: (n, digits, 28, 28) uint8.
        positions: (n, t, digits, 2) of upper left corners, in pixels from 0 to 36.

    Returns:
        (n, t, 64, 64) float32 in [0, 1].
    """
    n, t, digits, _ = positions.shape
    canvas = np.zeros((n, t, FRAME + 1, FRAME + 1), np.float32)  # a margin for parts of no weight
    places = np.lib.stride_tricks.sliding_window_view(
        canvas, (DIGIT, DIGIT), axis=(2, 3), writeable=True
    )
    whole = np.floor(positions).astype(np.int64)
    part = (positions - whole).astype(np.float32)
    clip, time = np.ogrid[:n, :t]
    for k in range(digits):
        image = images[:, k, None].astype(np.float32)
        for down in (0, 1):
            for right in (0, 1):
                weights = [
                    part[:, :, k, axis] if one else 1 - part[:, :, k, axis]
                    for axis, one in enumerate((down, right))
                ]
                row, column = whole[:, :, k, 0] + down, whole[:, :, k, 1] + right
                weight = rearrange(weights[0] * weights[1], "n t -> n t 1 1")
                places[clip, time, row, column] += weight * image
    drawn: np.ndarray = np.minimum(canvas[..., :FRAME, :FRAME], 255) / 255
    return drawn


def centres(frames: Tensor) -> Tensor:
    """Find the centres of mass (..., 2), row and column, of frames (..., h, w); NaN for black ones.

    Pixels are points at whole numbers: the upper left one is at (0, 0).
    """
    total = frames.sum(dim=(-2, -1))
    rows, columns = (torch.arange(size, device=frames.device) for size in frames.shape[-2:])
    down = (frames.sum(dim=-1) * rows).sum(dim=-1)
    right = (frames.sum(dim=-2) * columns).sum(dim=-1)
    return torch.stack([down, right], dim=-1) / total[..., None]


def spread(frames: Tensor) -> Tensor:
    """Give the root mean square distance (...) of the mass of frames (..., h, w) from its centre.

    In pixels; NaN for black frames.
    """
    axes = [torch.arange(size, device=frames.device) for size in frames.shape[-2:]]
    away = [line - at[..., None] for line, at in zip(axes, centres(frames).unbind(-1), strict=True)]
    squares = away[0].square()[..., :, None] + away[1].square()[..., None, :]
    return ((frames * squares).sum(dim=(-2, -1)) / frames.sum(dim=(-2, -1))).sqrt()
