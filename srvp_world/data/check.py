"""Checks of what files hold beyond their headers, for data that others may have written."""

from typing import Any

import numpy as np
from tqdm import tqdm

from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Episode, read_array


def check_values(dataset: Dataset, *, progress: bool = True) -> None:
    """Refuse actions, rewards and vectors that no writer of ours would have stored.

    Frames are not read: uint8 can hold nothing wrong, and shapes are known from the headers.

    Raises:
        DataError: For values that are NaN or infinite, and for actions outside the space.
    """
    info = dataset.info
    present = {"actions": info.action, "rewards": info.rewards, "vector": info.vector_dim}
    names = [name for name, value in present.items() if value]
    bar = tqdm(dataset.records, desc="checking values", unit="file", delay=2, disable=not progress)
    for i, record in enumerate(bar):
        path = dataset.path(i)
        blank = np.broadcast_to(np.uint8(0), (record.frames, *info.frame_shape))  # takes no memory
        arrays: dict[str, Any] = {name: read_array(path, name) for name in names}
        Episode(frames=blank, **arrays).validate(info, str(path))
