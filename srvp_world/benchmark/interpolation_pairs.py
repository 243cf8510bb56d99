"""Pairs of clips of Moving MNIST with the same digits, and what lies between them."""

from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.data.mnist import test_digits
from srvp_world.data.moving_mnist import MAX_SPEED, ROOM, draw, move
from srvp_world.data.subpixel import centres

FRACTIONS = 9  # from one clip to the other, both ends included


class Pair(NamedTuple):
    """Two clips of the same digits.

    Attributes:
        clips: (2, frames, 64, 64, 1) uint8.
        images: (digits, 28, 28) uint8.
        positions: (2, digits, frames, 2).
        speeds: Likewise, whole numbers.
    """

    clips: np.ndarray
    images: np.ndarray
    positions: np.ndarray
    speeds: np.ndarray


def draw_pair(seed: int, pair: int, frames: int, digits: int) -> Pair:
    """Draw two clips of the same digits on different paths."""
    rng = np.random.default_rng((seed, pair))
    images = test_digits().images[rng.integers(len(test_digits().images), size=digits)]
    starts = rng.integers(0, ROOM, (2 * digits, 2), endpoint=True)
    speeds = rng.integers(-MAX_SPEED, MAX_SPEED, (2 * digits, 2), endpoint=True)
    moved = move(starts, speeds, frames, None)
    positions, speeds = (rearrange(each, "(c d) t yx -> c d t yx", c=2) for each in moved)
    clips = draw(np.stack([images, images]), rearrange(positions, "c d t yx -> c t d yx"))
    return Pair(clips[..., None], images, positions, speeds)


def true_path(pair: Pair, first: int) -> Tensor:
    """Give the centres of digits that start between those of both clips, and then move by law.

    Position and speed at the last frame before `first` are mixed; digits bounce as light does.

    Returns:
        (FRACTIONS, frames - first, 2).
    """
    part = np.linspace(0, 1, FRACTIONS)[:, None, None]
    start, speed = (
        each[0, :, first - 1] * (1 - part) + each[1, :, first - 1] * part
        for each in (pair.positions, pair.speeds)
    )
    time = np.arange(1, pair.positions.shape[2] - first + 1)[:, None, None]
    straight = start[:, None] + time * speed[:, None]  # (FRACTIONS, t, digits, 2)
    folded = ROOM - np.abs(straight % (2 * ROOM) - ROOM)
    centre = centres(torch.from_numpy(pair.images.astype(np.float64))).numpy()
    mass = pair.images.sum(axis=(1, 2), dtype=np.float64)
    return torch.from_numpy(np.average(folded + centre, axis=2, weights=mass))


def between(first: Tensor, last: Tensor) -> Tensor:
    """Mix in equal steps: (t, ...) and (t, ...) become (FRACTIONS, t, ...), ends included."""
    part = torch.linspace(0, 1, FRACTIONS, dtype=first.dtype, device=first.device)
    return torch.lerp(first, last, part.reshape(-1, *[1] * first.ndim))
