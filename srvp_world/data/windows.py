"""Windows of episodes as batches: what a model is trained on."""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Ending, Episode
from srvp_world.data.index import Record
from srvp_world.errors import ConfigError, DataError
from srvp_world.world import WHOLE, Batch, Shard


class WindowSampler:
    """Draws windows at random; batch i depends on the seed and i alone, so that a run can resume.

    Every possible start of a window is equally likely. In experience, a share of the windows begins
    an episode; episodes shorter than the window are used whole; and windows of an episode that
    terminated run past its end, so that the end is seen at every position.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        window: int,
        episode_start_fraction: float,
        min_frames: int,
        seed: int,
        whole_windows: bool = False,
        with_first: bool = False,
    ) -> None:
        """Count the possible starts of every record.

        Args:
            dataset: Where the windows come from.
            batch_size: Windows per batch.
            window: Frames per window.
            episode_start_fraction: Share of windows of experience that begin an episode.
            min_frames: Real frames that a window needs where it does not begin an episode.
            seed: Not negative.
            whole_windows: Whether to refuse episodes shorter than the window and never run past an
                end. Always so for video.
            with_first: Whether windows of experience come with the first frame of their episode, or
                of what is left of it.

        Raises:
            ConfigError: Where the window is shorter than `min_frames`.
            DataError: For a clip shorter than the window where windows must be whole, and where no
                window can be drawn.
        """
        if window < min_frames:
            raise ConfigError(
                f"window is {window} frames, but the model needs {min_frames} to begin: "
                f"set window to {min_frames} or more"
            )
        self.dataset = dataset
        self._batch_size, self._window, self._seed = batch_size, window, seed
        experience = dataset.info.action is not None
        if whole_windows or not experience:
            _require_length(dataset, window)
        shortest = window if whole_windows or not experience else max(min_frames, 2)
        counts = np.array(
            [_possible_starts(record, window, shortest) for record in dataset.records], np.int64
        )
        if not counts.sum():
            raise DataError(
                f"{dataset.folder}: no episode is long enough for a window: record longer ones"
            )
        self._ends = np.cumsum(counts)  # a number below the last one names a record and a start
        first = experience & np.array([record.part == 0 for record in dataset.records])
        frames = np.array([record.frames for record in dataset.records])
        self._firsts = np.flatnonzero(first & (counts > 0))
        self._must_begin = first & (frames < shortest)
        self._origins = _origins(dataset) if with_first and experience else None
        self._begin_fraction = episode_start_fraction if len(self._firsts) else 0.0

    def batch(self, iteration: int, shard: Shard = WHOLE) -> Batch:
        """Draw the windows of an iteration, and read those of a shard.

        Returns:
            A batch on the CPU, `window` frames long.

        Raises:
            DataError: Where a file is gone or broken.
            ConfigError: Where the processes cannot share the batch evenly.
        """
        rng = np.random.default_rng([self._seed, iteration])
        numbers = rng.integers(self._ends[-1], size=self._batch_size)
        records = np.searchsorted(self._ends, numbers, side="right")
        starts = numbers - np.concatenate([[0], self._ends])[records]
        begins = rng.random(self._batch_size) < self._begin_fraction
        if begins.any():
            records[begins] = rng.choice(self._firsts, size=int(begins.sum()))
            starts[begins] = 0
        begins |= self._must_begin[records]
        own = shard.rows(self._batch_size)
        records, starts, begins = records[own], starts[own], begins[own]
        episodes = [
            self.dataset.read(int(record), int(start), int(start) + self._window)
            for record, start in zip(records, starts, strict=True)
        ]
        firsts = None
        if self._origins is not None:
            firsts = [self.dataset.read(int(self._origins[record]), 0, 1) for record in records]
        return to_batch(episodes, length=self._window, episode_start=begins, firsts=firsts)

    def refresh(self) -> Dataset:
        """Give the data set, which stays what it was."""
        return self.dataset


def to_batch(
    episodes: Sequence[Episode],
    *,
    length: int | None = None,
    episode_start: Sequence[bool] | np.ndarray | None = None,
    firsts: Sequence[Episode] | None = None,
) -> Batch:
    """Put episodes, or pieces of them, side by side and pad what is shorter.

    Past an end the last frame, vector and action repeat, rewards are 0 and `valid` is False.

    Args:
        episodes: Of one data set.
        length: Frames of the batch; those of the longest episode if None.
        episode_start: Which rows begin an episode for the model; if None, those of experience that
            begin with an episode's first frame.
        firsts: For each row the beginning of the episode that it was cut from.

    Returns:
        A batch on the CPU.
    """
    sizes = np.array([len(episode.frames) for episode in episodes])
    length = int(sizes.max()) if length is None else length
    assert sizes.max() <= length, f"episodes of {sizes.max()} frames do not fit into {length}"
    experience = episodes[0].actions is not None
    if episode_start is None:
        episode_start = [experience and episode.part == 0 for episode in episodes]
    frames = _frames([_stretch(e.frames, length) for e in episodes])
    first = None if firsts is None else to_batch([*firsts], length=1)
    rewards = _stack([e.rewards for e in episodes], length - 1)
    valid = torch.from_numpy(np.arange(length) < sizes[:, None])
    return Batch(
        frames=frames,
        valid=valid,
        episode_start=torch.from_numpy(np.asarray(episode_start, dtype=bool)),
        actions=_stack([e.actions for e in episodes], length - 1),
        rewards=None if rewards is None else rewards.where(valid[:, 1:], 0.0),
        continues=_continues(episodes, length) if experience else None,
        vector=_stack([e.vector for e in episodes], length),
        first_frame=None if first is None else first.frames[:, 0],
        first_vector=None if first is None or first.vector is None else first.vector[:, 0],
    )


def _frames(clips: Sequence[np.ndarray]) -> Tensor:
    """Stack uint8 clips (t, h, w, c) as floats (b, t, c, h, w) in [0, 1]."""
    pixels = rearrange(np.stack(clips), "b t h w c -> b t c h w")
    # NumPy, not torch: this runs in a thread beside training, whose cores torch would fight for.
    return torch.from_numpy(np.divide(pixels, 255, dtype=np.float32, order="C"))


def _origins(dataset: Dataset) -> np.ndarray:
    """Give for each record the first one of its episode, or of what is left of it."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(r.episode, i) for i, r in enumerate(dataset.records)])


def _continues(episodes: Sequence[Episode], length: int) -> Tensor:
    """(b, length - 1): 0 from the arrival in a terminated frame on, 1 elsewhere."""
    continues = torch.ones(len(episodes), length - 1)
    for row, episode in zip(continues, episodes, strict=True):
        if episode.ending is Ending.TERMINATED:
            row[max(len(episode.frames) - 2, 0) :] = 0.0
    return continues


def _stack(arrays: Sequence[np.ndarray | None], length: int) -> Tensor | None:
    """Stretch and stack arrays that all episodes have, or none."""
    present = [_stretch(array, length) for array in arrays if array is not None]
    return torch.from_numpy(np.stack(present)) if present else None


def _stretch(array: np.ndarray, length: int) -> np.ndarray:
    """Repeat the last row until there are `length` rows; zeros where there is none."""
    if len(array) == length:
        return array
    if not len(array):
        return np.zeros((length, *array.shape[1:]), array.dtype)
    return array[np.minimum(np.arange(length), len(array) - 1)]


def _possible_starts(record: Record, window: int, shortest: int) -> int:
    """Count where a window may start that has `shortest` real frames at least.

    An episode that has fewer is used from its first frame, if there is a transition to learn from;
    the end of a long one that is cut into parts cannot be, as no frame there begins the episode.
    """
    if record.frames < shortest:
        return int(record.part == 0 and record.frames >= 2)
    runs_past = record.ending is Ending.TERMINATED
    return max(record.frames - (shortest if runs_past else window) + 1, 1)


def _require_length(dataset: Dataset, window: int) -> None:
    for record in dataset.records:
        if record.frames < window and record.part == 0:  # ends of long ones are just not drawn
            raise DataError(
                f"{dataset.folder / record.name} has {record.frames} frames, but {window} are "
                "needed: leave the clip out or use shorter windows"
            )
