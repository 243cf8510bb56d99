"""From the raw videos of a benchmark to data sets: one after the other, whatever breaks."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from srvp_world.data.checksums import (
    append_checksums,
    file_checksum,
    read_checksums,
    write_checksums,
)
from srvp_world.data.episodes import SUFFIX, Episode, write_episode
from srvp_world.data.files import write_atomically
from srvp_world.data.importing import SPLITS
from srvp_world.data.index import append_record, episode_files, record_of
from srvp_world.data.info import DESCRIPTION, DatasetInfo, create_dataset, read_info, widen_bounds
from srvp_world.errors import DataError, OutputError

LONGEST = 20_000  # frames; more are no video of these benchmarks, and would fill the memory

_FIRST = f"-part000{SUFFIX}"


class LeftOut(NamedTuple):
    """What is not in the data sets, though it should be.

    Attributes:
        name: Of the raw file or video.
        reason: Why.
        absent: Whether it was never there, rather than broken.
    """

    name: str
    reason: str
    absent: bool = False


@dataclass(frozen=True)
class RawVideo:
    """A raw video, which can be sent to another process.

    Attributes:
        name: Of its first episode, which says that all of it is there.
        split: Which data set it belongs to: train, validation or test.
        read: Gives its episodes by name; raises DataError where it is broken.
    """

    name: str
    split: str
    read: Callable[[], Mapping[str, Episode]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be converted.

    Attributes:
        info: Of the data sets.
        videos: In order.
        left_out: What was seen to be missing, or wrong, without reading the videos.
        seconds: Time that planning took, where it reads much.
    """

    info: DatasetInfo
    videos: Sequence[RawVideo]
    left_out: Sequence[LeftOut]
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ConversionResult:
    """What became of the raw videos.

    Attributes:
        converted: Videos that are new.
        present: Videos that were there before.
        frames: In the new ones.
        left_out: What is not there, each with the reason.
        splits: Episodes in each data set now.
        seconds: Time that planning and this call took.
    """

    converted: int
    present: int
    frames: int
    left_out: tuple[LeftOut, ...]
    splits: Mapping[str, int]
    seconds: float


class Outcome(NamedTuple):
    """What became of one video.

    Attributes:
        name: Of the video.
        checksums: Of its files, by their paths in the folder; empty where it was left out.
        frames: In all of them.
        reason: Why it was left out.
    """

    name: str
    checksums: Mapping[str, str]
    frames: int = 0
    reason: str = ""


Job = Callable[[], Iterator[Outcome]]
Runner = Callable[[Sequence[Job]], Iterator[tuple[int, Outcome]]]


def run_here(jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
    """Do one job after the other in this process."""
    for index, job in enumerate(jobs):
        yield from ((index, outcome) for outcome in job())


def convert(
    plan: Plan,
    out: Path,
    *,
    progress: bool = True,
    workers: int = 1,
    run: Runner = run_here,
) -> ConversionResult:
    """Convert raw videos into the data sets OUT/train, OUT/validation and OUT/test.

    What breaks is left out, and the others go on; what is there is not converted again, so that a
    conversion that was stopped can go on. OUT/SHA256SUMS has the checksums of all episodes, and
    `left_out` in each `dataset.json` says what is missing. Only one conversion at a time may write
    into a folder. Where only its actions have wider bounds than the data sets, these get them.

    Args:
        plan: What to convert.
        out: New, or of a conversion of the same benchmark.
        progress: Whether to show a bar.
        workers: Jobs that the work is shared between.
        run: Runs the jobs, such as `srvp_world.envs.workers.run_jobs` in several processes.

    Raises:
        DataError: Where the folder holds other data sets.
        OutputError: Where the folder cannot be written, or is a data set itself.
    """
    begin = perf_counter()
    _settle(out, plan.info)
    there = videos_there(out)
    checksums = _known_checksums(out, there)
    wanted = [video for video in plan.videos if video.name not in there]
    left_out = [entry for entry in plan.left_out if entry.name not in there]
    converted = frames = 0
    shares = [wanted[i::workers] for i in range(workers)]
    jobs = [partial(_convert, share, out, plan.info) for share in shares if share]
    total = len(wanted)
    bar = tqdm(run(jobs), desc="converting", unit="video", total=total, disable=not progress)
    for _, outcome in bar:
        bar.set_postfix_str(outcome.name[-30:], refresh=False)
        if outcome.reason:
            left_out.append(LeftOut(outcome.name, outcome.reason))
            continue
        converted, frames = converted + 1, frames + outcome.frames
        checksums |= outcome.checksums
        append_checksums(out, outcome.checksums)
    _finish(out, checksums, left_out)
    counts = Counter(name.partition("/")[0] for name in checksums)
    return ConversionResult(
        converted=converted,
        present=len(plan.videos) - total,
        frames=frames,
        left_out=tuple(left_out),
        splits={split: counts[split] for split in SPLITS},
        seconds=plan.seconds + perf_counter() - begin,
    )


def validated_on(count: int) -> frozenset[int]:
    """Say which of so many training videos the original validates on: 5 %, seed 42."""
    order = list(range(count))
    np.random.RandomState(42).shuffle(order)
    return frozenset(order[int(0.95 * count) :])


def split_source(source: str, count: int) -> str:
    """Say where data come from, with the number of training videos that validation was split from.

    Conversions refuse a folder whose description differs. So a conversion does not go on with other
    training videos, of which others would be for validation than the original takes.
    """
    return f"{source}; 5 % of {count:,} training videos are for validation"


def made_info(out: Path) -> DatasetInfo | None:
    """Read what the data sets of an earlier conversion hold; None where there is none.

    A kill may leave wider bounds of actions in the first ones: these are read.

    Raises:
        DataError: Where the description is broken.
    """
    for split in SPLITS:
        if (out / split / DESCRIPTION).exists():
            return read_info(out / split)
    return None


def videos_there(out: Path) -> dict[str, str]:
    """Give the split of each video that is in the data sets, by name."""
    made = [split for split in SPLITS if (out / split / DESCRIPTION).exists()]
    return {
        path.name.removesuffix(_FIRST): split
        for split in made
        for path in episode_files(out / split)
    }


def require_raw(raw: Path) -> None:
    """Refuse raw data that do not exist, or lie where nobody may look.

    Raises:
        DataError: Naming the path.
    """
    try:
        there = raw.exists()
    except OSError as error:
        raise DataError(f"{raw} cannot be read ({error.strerror}): make it readable") from None
    if not there:
        raise DataError(f"{raw} does not exist: give the folder of the raw data")


def read_left_out(folder: Path) -> list[LeftOut]:
    """Give what a conversion has left out of a data set; nothing where none has made it."""
    try:
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        entries = [LeftOut(*entry) for entry in described["left_out"]]
        return [LeftOut(str(name), str(reason), absent is True) for name, reason, absent in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _finish(out: Path, checksums: Mapping[str, str], left_out: Sequence[LeftOut]) -> None:
    """Sort the checksums, and say in the description of each data set what is missing."""
    made = [out / split for split in SPLITS if (out / split / DESCRIPTION).exists()]
    for path in (folder / DESCRIPTION for folder in made):
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        described["left_out"] = [list(entry) for entry in left_out]
        write_atomically(path, (json.dumps(described, indent=2) + "\n").encode())
    if made:
        write_checksums(out, checksums)


def _settle(out: Path, info: DatasetInfo) -> None:
    """Widen the bounds of actions where only these differ; refuse a folder of other data."""
    if (out / DESCRIPTION).exists():
        raise OutputError(f"{out} holds a data set itself: choose another folder")
    for split in SPLITS:
        if (out / split / DESCRIPTION).exists():
            widen_bounds(out / split, info)
            create_dataset(out / split, info)  # refuses another one


def _known_checksums(out: Path, there: Mapping[str, str]) -> dict[str, str]:
    """Give the checksums of all episodes that are there, also of those that a kill left without."""
    known = read_checksums(out)
    names = [f"{split}/{name}{_FIRST}" for name, split in there.items()]
    return {name: known.get(name) or file_checksum(out / name) for name in names}


def _convert(videos: Sequence[RawVideo], out: Path, info: DatasetInfo) -> Iterator[Outcome]:
    """Convert videos, and say of each what became of it."""
    for video in videos:
        try:
            episodes = video.read()
            for name, episode in episodes.items():
                episode.validate(info, name)
            folder = out / video.split
            create_dataset(folder, info)
            checksums: dict[str, str] = {}
            # The first last: a kill in between leaves nothing that looks like all of the video.
            for name, episode in reversed(list(episodes.items())):
                (folder / f"{name}{_FIRST}").unlink(missing_ok=True)
                path = write_episode(folder, episode, stem=name)
                append_record(folder, record_of(path, info))
                checksums[f"{video.split}/{path.name}"] = file_checksum(path)
            frames = sum(len(episode.frames) for episode in episodes.values())
            yield Outcome(video.name, checksums, frames)
        except DataError as error:
            yield Outcome(video.name, {}, reason=str(error))
