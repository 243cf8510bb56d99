"""`index.jsonl`: a cache of what the files of a data set hold, one line each, that may be lost.

The files are the truth. Writers append a line after each file that they commit; whoever opens the
data set repairs what is missing, stale or broken from the headers of the files.
"""

import contextlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from srvp_world.data.episodes import SUFFIX, Ending, read_header
from srvp_world.data.files import write_atomically
from srvp_world.data.info import DatasetInfo
from srvp_world.errors import MissingFileError, OutputError

INDEX = "index.jsonl"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One file of a data set.

    Attributes:
        name: The file's name in the folder.
        frames: Number of frames.
        ending: What comes after the last frame.
        part: 0 where the file begins its episode.
        size: Bytes of the file, to notice that it was replaced or cut.
    """

    name: str
    frames: int
    ending: Ending
    part: int
    size: int

    @property
    def episode(self) -> str:
        """What the names of all parts of an episode have in common."""
        return re.sub(r"-part\d+$", "", self.name.removesuffix(SUFFIX))

    @property
    def transitions(self) -> int:
        """Number of steps from frame to frame."""
        return self.frames - 1


def append_record(folder: Path, record: Record) -> None:
    """Add a line to the index in a single write, so that lines of several writers never mix."""
    line = json.dumps(asdict(record)) + "\n"
    with contextlib.suppress(OSError):  # the index is a cache: whoever opens the data repairs it
        descriptor = os.open(folder / INDEX, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def episode_files(folder: Path) -> list[Path]:
    """List the files of a data set that should hold episodes."""
    shown = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in shown if path.suffix == SUFFIX)


def scan(folder: Path, info: DatasetInfo) -> tuple[Record, ...]:
    """List all episode files, from the index where it is right and from their headers elsewhere.

    Files that vanish meanwhile, as those of a bounded data set do, are left out.

    Raises:
        DataError: For a file that is not in the index and is broken or does not fit `info`.
    """
    sizes = {path.name: size for path in episode_files(folder) if (size := _size(path)) is not None}
    indexed = read_index(folder)
    known = {
        name: record
        for name, record in indexed.items()
        if name in sizes and record.size == sizes[name]
    }
    missing = sorted(sizes.keys() - known.keys())
    for name in tqdm(missing, desc="reading headers", unit="file", delay=2, leave=False):
        with contextlib.suppress(MissingFileError, FileNotFoundError):
            known[name] = record_of(folder / name, info)
    records = sorted(known.values(), key=lambda record: (record.episode, record.part))
    if missing or len(known) != len(indexed):
        lines = "".join(json.dumps(asdict(record)) + "\n" for record in records)
        with contextlib.suppress(OutputError):  # a read-only data set is fine: go on in memory
            write_atomically(folder / INDEX, lines.encode())
    return tuple(records)


def record_of(path: Path, info: DatasetInfo) -> Record:
    """Describe a file by its header.

    Raises:
        DataError: For a file that is broken or does not fit `info`.
    """
    header = read_header(path)
    header.check(info, str(path))
    return Record(
        name=path.name,
        frames=header.frames,
        ending=header.ending,
        part=header.part,
        size=path.stat().st_size,
    )


def read_index(folder: Path) -> dict[str, Record]:
    """Parse the lines that can be parsed, whether the files are as they say or not."""
    try:
        lines = (folder / INDEX).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    records = (_parse(line) for line in lines)
    return {record.name: record for record in records if record is not None}


def _size(path: Path) -> int | None:
    """Bytes of a file; None for one that has vanished."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _parse(line: str) -> Record | None:
    """Parse one line; None for one that a kill cut or an editor broke."""
    try:
        values: dict[str, Any] = json.loads(line)
        ending = Ending(values.pop("ending"))
        record = Record(ending=ending, **values)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    numbers = (record.frames, record.part, record.size)
    sound = isinstance(record.name, str) and all(isinstance(number, int) for number in numbers)
    return record if sound else None
