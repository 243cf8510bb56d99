"""A folder of episodes: `dataset.json`, the episode files, and an index that can be rebuilt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from srvp_world.data.episodes import Episode, read_array, read_slice
from srvp_world.data.index import Record, scan
from srvp_world.data.info import DatasetInfo, read_info, way_out
from srvp_world.data.info import create_dataset as create_dataset
from srvp_world.data.writer import EpisodeWriter as EpisodeWriter
from srvp_world.errors import DataError, MissingFileError


@dataclass(frozen=True)
class Dataset:
    """A data set to read from, one record a file. No frames are kept in memory.

    Attributes:
        folder: Where the files are.
        info: What all episodes have in common.
        records: One for each file, ordered by episode and part.
        live: Whether others record while this is read: files that vanish are passed over then.
    """

    folder: Path
    info: DatasetInfo
    records: tuple[Record, ...]
    live: bool = False

    @classmethod
    def open(cls, folder: str | Path, *, live: bool = False) -> "Dataset":
        """Open a folder of episodes.

        Raises:
            DataError: Where there is no data set, no episode, or a broken file.
        """
        folder = Path(folder)
        info = read_info(folder)
        records = scan(folder, info)
        if not records:
            raise DataError(f"{folder} holds no episodes yet: {way_out(folder)}")
        return cls(folder, info, records, live)

    def __len__(self) -> int:
        """Number of files."""
        return len(self.records)

    def path(self, i: int) -> Path:
        """Where the file of record i is."""
        return self.folder / self.records[i].name

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Episode:
        """Read frames [start, stop) of record i and the transitions between them.

        Raises:
            DataError: Where the file is gone or broken.
        """
        episode = read_slice(self.path(i), start, stop)
        if self.info.action is None and episode.actions is not None:
            return replace(episode, actions=None, rewards=None, vector=None)
        return episode

    def frames_only(self) -> "Dataset":
        """Give the same episodes as videos, without actions, rewards, vectors and environment."""
        info = replace(self.info, action=None, rewards=False, vector_dim=0, pixels=None)
        return replace(self, info=info)

    @cached_property
    def episodes(self) -> tuple[str, ...]:
        """Names of the whole episodes."""
        return tuple(dict.fromkeys(record.episode for record in self.records))

    @property
    def transitions(self) -> int:
        """Number of steps from frame to frame in all episodes."""
        return sum(record.transitions for record in self.records)

    @property
    def mean_length(self) -> float:
        """Mean number of transitions of a whole episode."""
        return self.transitions / max(len(self.episodes), 1)

    def split(self, validation_fraction: float, seed: int) -> tuple["Dataset", "Dataset"]:
        """Split into training and validation by whole episodes.

        Both have an episode at least; the validation of a single episode is empty. Validation
        takes no beginning of an episode where it would take them all.
        """
        count = len(self.episodes)
        wanted = min(max(round(count * validation_fraction), 1), count - 1)
        order = np.random.default_rng(seed).permutation(count)
        held_out = {self.episodes[i] for i in order[:wanted]}
        begun = {record.episode for record in self.records if record.part == 0}
        if begun <= held_out:
            held_out -= begun
        train = tuple(record for record in self.records if record.episode not in held_out)
        validation = tuple(record for record in self.records if record.episode in held_out)
        return replace(self, records=train), replace(self, records=validation)

    def reward_statistics(self) -> tuple[float, float]:
        """Mean and standard deviation of the rewards; 1 for the deviation of constant ones.

        Raises:
            DataError: Where the data set has no rewards.
        """
        mean, std = _moments(self._arrays("rewards"))
        return float(mean), float(std)

    def reward_range(self) -> tuple[float, float]:
        """Smallest and largest reward.

        Raises:
            DataError: Where the data set has no rewards.
        """
        ends = [(block.min(), block.max()) for block in self._arrays("rewards") if len(block)]
        lows, highs = zip(*ends, strict=True)
        return float(min(lows)), float(max(highs))

    def vector_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (d,) of the vectors; 1 for the deviation of constant ones.

        Raises:
            DataError: Where the data set has no vectors.
        """
        return _moments(self._arrays("vector"))

    def beginnings(
        self, count: int, seed: int, length: int | None = None, *, by_frames: bool = False
    ) -> list[Episode]:
        """Read the first frames of episodes that are chosen at random.

        Args:
            count: Episodes at most.
            seed: Of the choice.
            length: Frames of each; None means all of its first part.
            by_frames: Whether longer episodes are likelier, so that all frames are as likely: those
                of a good agent would else be lost among the short ones of random play.

        Raises:
            DataError: Where no episode has its beginning here, or a file is broken.
        """
        wholes = [i for i, record in enumerate(self.records) if record.part == 0]
        chosen: list[Episode] = []
        rng = np.random.default_rng(seed)
        order = rng.permutation(wholes)
        if by_frames and wholes:
            frames = np.array([self.records[i].frames for i in wholes], float)
            order = rng.choice(wholes, len(wholes), replace=False, p=frames / frames.sum())
        for i in order:
            if len(chosen) == count:
                break
            try:
                chosen.append(self.read(int(i), 0, length))
            except MissingFileError:
                if not self.live:
                    raise
        if not chosen:
            raise DataError(f"{self.folder} holds no beginning of an episode: record one")
        return chosen

    def _arrays(self, name: str) -> Iterator[np.ndarray]:
        """Read one array of each file, one after the other."""
        if not (self.info.rewards if name == "rewards" else self.info.vector_dim):
            raise DataError(f"{self.folder} holds no {name}: record experience with them")
        for i in range(len(self)):
            try:
                yield read_array(self.path(i), name)
            except MissingFileError:
                if not self.live:
                    raise


def _moments(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the rows of all blocks, merged one by one in float64."""
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for block in blocks:
        if not len(block):
            continue
        rows = block.astype(np.float64)
        total = count + len(rows)
        delta = rows.mean(axis=0) - mean
        squares = squares + len(rows) * rows.var(axis=0) + delta**2 * count * len(rows) / total
        mean = mean + delta * len(rows) / total
        count = total
    std = np.sqrt(squares / max(count, 1))
    return mean, np.where(std > 1e-6, std, 1.0)
