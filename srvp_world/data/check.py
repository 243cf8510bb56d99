"""Checks of what files hold beyond their headers, for data that others may have written."""

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Episode, read_array, read_header
from srvp_world.data.info import DatasetInfo
from srvp_world.errors import DataError, MissingFileError


def check_values(dataset: Dataset, *, progress: bool = True) -> None:
    """Refuse actions, rewards and vectors that no writer of ours would have stored.

    Frames are not read: uint8 can hold nothing wrong, and shapes are known from the headers.

    Raises:
        DataError: For values that are NaN or infinite, and for actions outside the space.
    """
    bar = tqdm(dataset.records, desc="checking values", unit="file", delay=2, disable=not progress)
    for i, _ in enumerate(bar):
        try:
            check_file(dataset.path(i), dataset.info)
        except MissingFileError:
            if not dataset.live:
                raise


def check_file(path: Path, info: DatasetInfo) -> Episode:
    """Refuse a file as `check_values` does.

    Returns:
        Its episode, with blank frames.

    Raises:
        DataError: Naming the first thing that is wrong.
    """
    present = {"actions": info.action, "rewards": info.rewards, "vector": info.vector_dim}
    arrays: dict[str, Any] = {name: read_array(path, name) for name, has in present.items() if has}
    frames = read_header(path).frames
    blank = np.broadcast_to(np.uint8(0), (frames, *info.frame_shape))  # takes no memory
    episode = Episode(frames=blank, **arrays)
    episode.validate(info, str(path))
    return episode


def check_alike(info: DatasetInfo, other: DatasetInfo, folder: Path) -> None:
    """Refuse data that one model cannot take beside other data.

    Raises:
        DataError: Naming `folder`, which `info` is of, and the first difference.
    """
    for name in ("frame_size", "channels", "action", "vector_dim", "rewards"):
        mine, theirs = getattr(info, name), getattr(other, name)
        if mine != theirs:
            raise DataError(
                f"{folder}: {name} is {mine}, but the training data has {theirs}: make both alike"
            )
