"""One clip to look at: a video, a folder of images, an array, an episode file, or a test clip."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from srvp_world.data.episodes import SUFFIX, read_header, read_slice
from srvp_world.data.frame_format import FrameFormat
from srvp_world.data.mnist import test_digits
from srvp_world.data.moving_mnist import (
    STOCHASTIC,
    TEST_LENGTH,
    TEST_VIDEOS,
    draw,
    test_trajectories,
)
from srvp_world.data.video import read_video
from srvp_world.errors import ConfigError, DataError


class Clip(NamedTuple):
    """Frames in a world's format, with what experience has beside them.

    Attributes:
        frames: (t, h, w, c) uint8.
        source_shape: (h, w, c) of a frame as it was stored.
        actions: (t - 1, ...) between the frames, or None.
        vector: (t, d) float32, or None.
        begins_episode: Whether the first frame begins an episode of experience.
    """

    frames: np.ndarray
    source_shape: tuple[int, int, int]
    actions: np.ndarray | None = None
    vector: np.ndarray | None = None
    begins_episode: bool = False


def read_clip(
    path: Path,
    frame_format: FrameFormat,
    *,
    number: int = 0,
    start: int = 0,
    every: int = 1,
    first: int | None = None,
    last: int | None = None,
) -> Clip:
    """Read a clip and turn its frames into a world's format.

    Args:
        path: An episode file (.safetensors), anything that `read_video` reads, or `smmnist` or
            `mmnist` for the test sets of Moving MNIST.
        frame_format: Size, channels and crop of the frames.
        number: Which clip of a test set.
        start: Frame to begin with.
        every: Keep every nth frame; 1 for experience, whose actions lie between all frames.
        first: Frames to keep from the start on; None means all. Those after it are not read.
        last: Frames to keep at the end of these; None means all.

    Raises:
        ConfigError: For a negative start, `every` below one, a crop outside the image, or a clip
            that the test set does not have.
        DataError: For a clip that cannot be read or ends before its start.
    """
    if start < 0:
        raise ConfigError(f"start must not be negative, got {start}")
    if every < 1:
        raise ConfigError(f"every must be at least 1, got {every}")
    if path.suffix == SUFFIX:
        return _read_episode(path, frame_format, start, every, first, last)
    stop = None if first is None else start + first * every
    kept: deque[np.ndarray] = deque(maxlen=last)
    shape, count = None, 0
    for image in islice(_images(path, number), stop):
        if count >= start and (count - start) % every == 0:
            kept.append(frame_format.apply(image, str(path)))
            shape = image.shape
        count += 1
    if shape is None:
        raise _too_short(path, count, start)
    height, width, channels = shape
    return Clip(np.stack(kept), (height, width, channels))


def _images(path: Path, number: int) -> Iterator[np.ndarray]:
    """Yield the frames of a test clip or of a video."""
    name = str(path)
    if name not in STOCHASTIC:
        return read_video(path)
    if not 0 <= number < TEST_VIDEOS:
        raise ConfigError(f"{name} has test clips 0 to {TEST_VIDEOS - 1}, not {number}")
    movement = test_trajectories(
        stochastic=STOCHASTIC[name], length=TEST_LENGTH[name], videos=number + 1
    )
    images = test_digits().images[movement.digits[number:]]
    return iter(draw(images, movement.positions[number:])[0, ..., None])


def _read_episode(
    path: Path,
    frame_format: FrameFormat,
    start: int,
    every: int,
    first: int | None,
    last: int | None,
) -> Clip:
    """Read a slice of an episode file; that of a video has neither actions nor vector."""
    header = read_header(path)
    if start >= header.frames:
        raise _too_short(path, header.frames, start)
    experience = "actions" in header.layout
    if experience and every > 1:
        raise ConfigError(
            f"{path} has an action between all frames, so every must be 1, got {every}"
        )
    stop = header.frames if first is None else min(start + first * every, header.frames)
    skipped = 0 if last is None else max(0, -(-(stop - start) // every) - last)
    start += skipped * every
    episode = read_slice(path, start, stop)
    frames = [frame_format.apply(frame, str(path)) for frame in episode.frames[::every]]
    height, width, channels = episode.frames.shape[1:]
    return Clip(
        np.stack(frames),
        (height, width, channels),
        episode.actions,
        episode.vector,
        experience and episode.part == 0,
    )


def _too_short(path: Path, count: int, start: int) -> DataError:
    return DataError(f"{path} has {count} frames, so none from frame {start} on: start earlier")
