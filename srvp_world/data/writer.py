"""Writing episodes while they happen."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from srvp_world.data.episodes import SUFFIX, Ending, Episode, Provenance, write_episode
from srvp_world.data.index import append_record, record_of
from srvp_world.data.info import DatasetInfo, create_dataset
from srvp_world.data.ring import Ring
from srvp_world.errors import DataError


class EpisodeWriter:
    """Records one episode after the other into a data set.

    Very long episodes become several files, and each is committed when the first frame beyond it
    arrives, so a kill loses the running part and nothing else. A part begins with the last frame of
    the part before. Several writers may share a folder, each with a stem of its own; a new writer
    with an old stem goes on counting.
    """

    def __init__(
        self,
        folder: Path,
        info: DatasetInfo,
        *,
        stem: str,
        part_length: int = 1000,
        provenance: Provenance | None = None,
        ring: Ring | None = None,
    ) -> None:
        """Create the data set where there is none.

        Args:
            folder: Of the data set.
            info: What all of its episodes have in common.
            stem: Beginning of the names of this writer's files.
            part_length: Transitions of the longest file.
            provenance: Kept with every episode.
            ring: Bound of the data set, which the writers of one process may share: the oldest
                episodes, whoever wrote them, are deleted where it is exceeded by a hundredth. None
                keeps all.

        Raises:
            DataError: Where the folder holds another data set, or the stem is no file name.
            OutputError: Where the folder cannot be written.
        """
        if not re.fullmatch(r"\w[\w.-]*", stem):
            raise DataError(f"stem {stem!r} is no file name: use letters, digits, '.', '-' and '_'")
        create_dataset(folder, info)
        self.folder = Path(folder)
        self.info = info
        self._stem = stem
        self._counter = _next_counter(self.folder, stem)
        self._part_length = part_length
        self._provenance = dict(provenance or {})
        self._ring = ring or Ring(None)
        self.running = False  # whether there is an episode to finish

    def start(self, frame: np.ndarray, vector: np.ndarray | None = None) -> None:
        """Begin an episode with its first frame (h, w, c) uint8 and vector (d,).

        Raises:
            DataError: For a frame or vector that does not fit, or while an episode is running.
        """
        if self.running:
            raise DataError("an episode is running: finish it before the next one starts")
        action = self.info.action
        first = Episode(
            frames=np.array(frame)[None],
            actions=None if action is None else np.empty((0, *action.shape), action.dtype),
            rewards=np.empty(0, np.float32) if self.info.rewards else None,
            vector=None if vector is None else _cast(np.array(vector)[None], np.float32),
        )
        first.validate(self.info, "first frame")
        self._blocks = {name: [array] for name, array in first.arrays.items()}
        self._part = self._length = 0
        self._paths: list[Path] = []
        self.running = True

    def add(
        self, action: Any, reward: float | None, frame: np.ndarray, vector: np.ndarray | None = None
    ) -> None:
        """Add an action, and the reward, frame and vector that it led to.

        What does not fit is refused before it is added, so the episode can still be finished.

        Raises:
            DataError: For values that do not fit, or where no episode is running.
            OutputError: Where a full part cannot be written; the step is then not added.
        """
        self._require_running()
        dtype = np.float32 if self.info.action is None else self.info.action.dtype
        step = Episode(  # of one transition; the new frame stands for the one before it, too
            frames=np.stack([frame, frame]),
            actions=None if action is None else _cast(np.array(action)[None], dtype),
            rewards=None if reward is None else _cast(np.array([reward]), np.float32),
            vector=None if vector is None else _cast(np.stack([vector, vector]), np.float32),
        )
        step.validate(self.info, f"step {self._part * self._part_length + self._length + 1}")
        if self._length == self._part_length:
            self._commit(Ending.UNFINISHED)
            self._ring.wrote(self.folder, self.info, self._part_length)
        for name, array in step.arrays.items():
            self._blocks[name].append(array[-1:].copy())
        self._length += 1

    def finish(self, ending: Ending) -> list[Path]:
        """Commit what is left of the episode and return the files of all its parts.

        Raises:
            DataError: Where no episode is running.
            OutputError: Where the file cannot be written; the episode is then still running.
        """
        self._require_running()
        length = self._length
        self._commit(ending)
        self.drop()
        self._ring.wrote(self.folder, self.info, length)
        return self._paths

    def drop(self) -> None:
        """Forget what is not committed of the episode that runs, where one does."""
        if self.running:
            self.running = False
            self._counter += bool(self._paths)

    def _require_running(self) -> None:
        if not self.running:
            raise DataError("no episode is running: start one with its first frame")

    def _commit(self, ending: Ending) -> None:
        """Write the running part; the next one begins with its last frame."""
        arrays = {name: np.concatenate(blocks) for name, blocks in self._blocks.items()}
        episode = Episode(**arrays, ending=ending, provenance=self._provenance, part=self._part)
        path = write_episode(self.folder, episode, stem=f"{self._stem}-{self._counter:06d}")
        append_record(self.folder, record_of(path, self.info))
        self._paths.append(path)
        kept = {"frames": 1, "vector": 1, "actions": 0, "rewards": 0}  # the frame that parts share
        self._blocks = {
            name: [array[len(array) - kept[name] :].copy()] for name, array in arrays.items()
        }
        self._part += 1
        self._length = 0


def _cast(array: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Change the precision, never the kind: a float that is no choice is left to be refused."""
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        return array
    with np.errstate(over="ignore"):  # infinite then, and refused
        return array.astype(dtype)


def _next_counter(folder: Path, stem: str) -> int:
    """One more than the highest episode number that the stem has."""
    pattern = re.compile(rf"{re.escape(stem)}-(\d+)-part\d+{re.escape(SUFFIX)}")
    matches = (pattern.fullmatch(path.name) for path in folder.iterdir())
    return 1 + max((int(match[1]) for match in matches if match), default=-1)
