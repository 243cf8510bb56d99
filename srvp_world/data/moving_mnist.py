"""Moving MNIST as the SRVP paper has it: two digits of 28 x 28 pixels that bounce in 64 x 64.

A digit's position (row, column) is that of its upper left corner, in pixels from 0 to 36; its speed
is in whole pixels per frame, at most 4 along each axis. Digits bounce off the walls inside a frame
and move on with what is left of the frame's time. In the deterministic set they bounce as light
does; in the stochastic one a bounce draws a new speed, which leads away from the wall that was hit.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from tqdm import tqdm

from srvp_world.data.mnist import SIZE as DIGIT
from srvp_world.data.mnist import Digits, test_digits
from srvp_world.world import WHOLE, Batch, Shard

FRAME = 64
ROOM = FRAME - DIGIT  # largest position
MAX_SPEED = 4
DIGITS = 2
STOCHASTIC = {"smmnist": True, "mmnist": False}  # the two sets by name
TEST_LENGTH = {"smmnist": 25, "mmnist": 100}  # frames of a test video
TEST_SEED = 42
TEST_VIDEOS = 5000

_EPSILON = 1e-8
_DRAW_AT_ONCE = 100  # clips

Redraw = Callable[[int], np.ndarray]  # number of bounces -> new speeds (n, 2)


class Trajectories(NamedTuple):
    """How digits move.

    Attributes:
        positions: (n, t, digits, 2) float64, exact; digits are drawn at the nearest whole pixel.
        speeds: (n, t, digits, 2) int64 with which they leave their positions.
        digits: (n, digits) int64, which images they are.
    """

    positions: np.ndarray
    speeds: np.ndarray
    digits: np.ndarray


class MovingDigits:
    """Training clips, made on the fly; batch i depends on the seed and i alone."""

    def __init__(
        self, digits: Digits, *, stochastic: bool, batch_size: int, window: int, seed: int
    ) -> None:
        """Keep what clips are made of.

        Args:
            digits: Which digits move.
            stochastic: Whether bounces draw new speeds.
            batch_size: Clips per batch, over all processes.
            window: Frames per clip.
            seed: Not negative.
        """
        self.digits = digits
        self._stochastic, self._seed = stochastic, seed
        self._batch_size, self._window = batch_size, window

    def batch(self, iteration: int, shard: Shard = WHOLE) -> Batch:
        """Make the clips of an iteration that belong to a process.

        Raises:
            ConfigError: If the processes cannot share the batch evenly.
        """
        rng = np.random.default_rng([self._seed, iteration])
        movement = random_trajectories(
            rng,
            self._batch_size,
            self._window,
            stochastic=self._stochastic,
            images=len(self.digits.images),
        )
        rows = shard.rows(self._batch_size)  # moving is cheap, drawing is not
        pixels = draw(self.digits.images[movement.digits[rows]], movement.positions[rows])
        frames = rearrange(pixels, "b t h w -> b t 1 h w")
        count = len(frames)
        return Batch(
            frames=torch.from_numpy(np.divide(frames, 255, dtype=np.float32)),
            valid=torch.ones(count, self._window, dtype=torch.bool),
            episode_start=torch.zeros(count, dtype=torch.bool),
        )


def test_set(*, stochastic: bool, length: int, videos: int = TEST_VIDEOS) -> np.ndarray:
    """Make the paper's test set, or its first videos: equal to the original's bit for bit.

    The paper uses 25 frames of the stochastic set and 100 of the deterministic one. Stochastic
    videos of another length are other videos, for random numbers are drawn along the way.

    Returns:
        (videos, length, 64, 64) uint8.
    """
    movement = test_trajectories(stochastic=stochastic, length=length, videos=videos)
    return draw(test_digits().images[movement.digits], movement.positions)


def test_trajectories(
    *,
    stochastic: bool,
    length: int,
    videos: int = TEST_VIDEOS,
    substeps: int = 1,
    progress: bool = False,
) -> Trajectories:
    """Give true positions and speeds of the digits of `test_set`.

    With `substeps`, also between its frames; see `move`. The draws stay the same.
    """
    legacy = np.random.RandomState(TEST_SEED)
    digits = legacy.permutation(len(test_digits().images))[: videos * DIGITS]
    starts = np.empty((len(digits), 2), np.int64)
    times = (length - 1) * substeps + 1
    speeds = np.empty((len(digits), times, 2), np.int64)
    positions = np.empty((len(digits), times, 2))
    redraw = partial(_redraw, legacy)
    # One digit after the other, because the original drew its random numbers in that order.
    for i in tqdm(range(len(digits)), desc="test set", delay=2, disable=not progress):
        starts[i] = legacy.randint(0, ROOM + 1, 2)
        speeds[i, 0] = legacy.randint(-MAX_SPEED, MAX_SPEED + 1, 2)
        if stochastic:
            one = slice(i, i + 1)
            positions[one], speeds[one] = move(
                starts[one], speeds[one, 0], length, redraw, substeps
            )
    if not stochastic:
        positions, speeds = move(starts, speeds[:, 0], length, None, substeps)
    return Trajectories(
        rearrange(positions, "(n d) t yx -> n t d yx", d=DIGITS),
        rearrange(speeds, "(n d) t yx -> n t d yx", d=DIGITS),
        rearrange(digits, "(n d) -> n d", d=DIGITS),
    )


def random_trajectories(
    rng: np.random.Generator, videos: int, length: int, *, stochastic: bool, images: int
) -> Trajectories:
    """Draw digits among `images` and how they move, for training."""
    count = videos * DIGITS
    start = rng.integers(0, ROOM, (count, 2), endpoint=True)
    speed = rng.integers(-MAX_SPEED, MAX_SPEED, (count, 2), endpoint=True)

    def redraw(bounces: int) -> np.ndarray:
        return rng.integers(-MAX_SPEED, MAX_SPEED, (bounces, 2), endpoint=True)

    positions, speeds = move(start, speed, length, redraw if stochastic else None)
    return Trajectories(
        rearrange(positions, "(n d) t yx -> n t d yx", d=DIGITS),
        rearrange(speeds, "(n d) t yx -> n t d yx", d=DIGITS),
        rng.integers(images, size=(videos, DIGITS)),
    )


def move(
    position: np.ndarray,
    speed: np.ndarray,
    length: int,
    redraw: Redraw | None,
    substeps: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Move n digits through `length` frames, the first of which shows them where they start.

    Args:
        position: (n, 2).
        speed: (n, 2) whole numbers.
        length: Frames.
        redraw: Gives new speeds at bounces; None reflects the old ones.
        substeps: Times to show for each frame but the first, evenly apart. Digits move and bounce
            as they do without: every `substeps`-th time is a frame.

    Returns:
        Positions (n, times, 2) float64 and speeds (n, times, 2) int64, where times are
        (length - 1) * substeps + 1.
    """
    position, speed = position.astype(np.float64), speed.astype(np.int64)
    times = (length - 1) * substeps + 1
    positions = np.empty((len(position), times, 2))
    speeds = np.empty((len(position), times, 2), np.int64)
    for t in range(times):
        outside = _outside(position)
        while outside.any():
            rows = outside.nonzero()[0]
            position[rows], speed[rows] = _bounce(position[rows], speed[rows], redraw)
            outside = _outside(position)
        positions[:, t], speeds[:, t] = position, speed
        position = position + speed / substeps
    return positions, speeds


def draw(images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Draw digits where they are; where they overlap, they add up to white at most.

    Args:
        images: (n, digits, 28, 28) uint8.
        positions: (n, t, digits, 2).

    Returns:
        (n, t, 64, 64) uint8.
    """
    n, t, digits, _ = positions.shape
    frames = np.empty((n, t, FRAME, FRAME), np.uint8)
    rows, columns = np.moveaxis(np.rint(positions).astype(np.int64), -1, 0)
    for first in range(0, n, _DRAW_AT_ONCE):
        part = slice(first, first + _DRAW_AT_ONCE)
        canvas = np.zeros(frames[part].shape, np.uint16)
        places = np.lib.stride_tricks.sliding_window_view(
            canvas, (DIGIT, DIGIT), axis=(2, 3), writeable=True
        )
        clip, time = np.ogrid[: len(canvas), :t]
        for k in range(digits):
            places[clip, time, rows[part, :, k], columns[part, :, k]] += images[part, k][:, None]
        np.minimum(canvas, 255, out=frames[part], casting="unsafe")
    return frames


def _outside(position: np.ndarray) -> np.ndarray:
    """Say which digits (n,) are beyond a wall."""
    outside: np.ndarray = np.any((position < -_EPSILON) | (position > ROOM + _EPSILON), axis=-1)
    return outside


def _bounce(
    position: np.ndarray, speed: np.ndarray, redraw: Redraw | None
) -> tuple[np.ndarray, np.ndarray]:
    """Send digits that are beyond a wall back to where they hit it, and on from there.

    The operations and their order are those of the original, because test sets must not differ in
    a single rounding.
    """
    (x, y), (dx, dy) = position.T, speed.T
    low, high = position < -_EPSILON, position > ROOM + _EPSILON
    steep, flat = dx == 0, dy == 0
    with np.errstate(divide="ignore", invalid="ignore"):  # `steep` and `flat` choose what is used
        slope = dy / dx
        offset = y - slope * x
        hit = np.stack([x, y], axis=-1)
        walls: dict[tuple[int, int], np.ndarray] = {}  # by axis and wall: is it hit?
        for axis, wall, beyond in ((0, 0, low), (0, ROOM, high), (1, 0, low), (1, ROOM, high)):
            other = slope * wall + offset if axis == 0 else (wall - offset) / slope
            straight = flat if axis == 0 else steep
            inside = (other >= -_EPSILON) & (other <= ROOM + _EPSILON)
            struck = walls[axis, wall] = beyond[:, axis] & (straight | inside)
            hit[struck, axis] = wall
            along = struck & ~straight
            hit[along, 1 - axis] = other[along]
        left = np.where(steep, (y - hit[:, 1]) / dy, (x - hit[:, 0]) / dx)  # of the frame's time
    new = speed if redraw is None else redraw(len(speed))
    for (axis, wall), struck in walls.items():
        size = np.abs(new[:, axis])
        new[:, axis] = np.where(struck, size if wall == 0 else -size, new[:, axis])
    return hit + new * left[:, None], new


def _redraw(legacy: np.random.RandomState, bounces: int) -> np.ndarray:
    return legacy.randint(-MAX_SPEED, MAX_SPEED + 1, (bounces, 2))
