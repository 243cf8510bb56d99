"""A data set of bounded size: the oldest episodes go when new ones come."""

import contextlib
from pathlib import Path

from srvp_world.data.index import Record, scan
from srvp_world.data.info import DatasetInfo
from srvp_world.errors import ConfigError


class Ring:
    """The bound of a data set, kept by one writer or by several in turn.

    Trimming looks at every file, so that it waits until a hundredth of the bound was written; the
    first time it does not wait, as nobody knows how full the folder was.
    """

    def __init__(self, max_transitions: int | None) -> None:
        """Set the bound.

        Args:
            max_transitions: Steps from frame to frame that may stay; None keeps all.

        Raises:
            ConfigError: For a bound that keeps nothing.
        """
        if max_transitions is not None and max_transitions < 1:
            raise ConfigError(f"max_transitions must be at least 1, got {max_transitions}")
        self._bound = max_transitions
        self._untrimmed = max_transitions or 0  # transitions written since

    def wrote(self, folder: Path, info: DatasetInfo, transitions: int) -> None:
        """Count what was written, and trim where that is enough.

        Raises:
            DataError: For a file that is broken.
        """
        self._untrimmed += transitions
        if self._bound is not None and self._untrimmed > self._bound // 100:
            self.trim(folder, info)

    def trim(self, folder: Path, info: DatasetInfo) -> None:
        """Bring a data set within the bound.

        Raises:
            DataError: For a file that is broken.
        """
        if self._bound is not None:
            trim(folder, info, self._bound)
            self._untrimmed = 0


def trim(folder: Path, info: DatasetInfo, max_transitions: int) -> tuple[str, ...]:
    """Delete whole episodes, the oldest first, until a data set is within its bound.

    An episode is as old as its last part; the newest stays, however long it is. Several writers may
    trim the same folder, and readers may be at it: a file that is mapped stays readable until it is
    let go.

    Args:
        folder: Of the data set.
        info: Of the data set.
        max_transitions: Steps from frame to frame that may stay.

    Returns:
        Names of the episodes that went.

    Raises:
        DataError: For a file that is broken.
    """
    episodes: dict[str, list[Record]] = {}
    for record in scan(folder, info):
        episodes.setdefault(record.episode, []).append(record)
    total = sum(record.transitions for records in episodes.values() for record in records)
    gone: list[str] = []
    for name in sorted(episodes, key=lambda name: _age(folder, episodes[name]))[:-1]:
        if total <= max_transitions:
            break
        for record in episodes[name]:  # the first part first: what is left begins no episode
            (folder / record.name).unlink(missing_ok=True)
            total -= record.transitions
        gone.append(name)
    return tuple(gone)


def _age(folder: Path, records: list[Record]) -> tuple[int, str]:
    """Order episodes by when their last part was written."""
    with contextlib.suppress(FileNotFoundError):  # another writer was quicker
        return (folder / records[-1].name).stat().st_mtime_ns, records[-1].name
    return 0, records[-1].name
