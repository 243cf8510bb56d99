"""What is in a folder of episodes, in plain words, and everything that is wrong with it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from tqdm import tqdm

from srvp_world.data.check import check_file
from srvp_world.data.episodes import SUFFIX, read_header, read_slice
from srvp_world.data.foreign import BEGINS
from srvp_world.data.importing import SPLITS
from srvp_world.data.index import INDEX, Record, episode_files, read_index, record_of
from srvp_world.data.info import DESCRIPTION, DatasetInfo, read_info, way_out
from srvp_world.data.video import list_videos
from srvp_world.data.video_episode import STAGING
from srvp_world.errors import DataError

LOOKED_AT = 100  # files whose first, middle and last frames are looked at
LONG_WINDOW = 20  # frames; the longest that a preset trains on, though some validate on up to 53

_LEFT = "{} was left by a writer that was stopped, if none is running: delete it"
_OURS = (DESCRIPTION, INDEX, "results.json")


@dataclass
class Report:
    """What a data set holds.

    Attributes:
        facts: Lines for people, each with a heading.
        wrong: What has to be mended before anything is learnt from the data.
        notes: What may well be meant.
    """

    facts: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def report(folder: Path, *, progress: bool = True) -> dict[Path, Report]:
    """Look at a data set, or at the train, validation and test data sets in a folder.

    Nothing is written, and the first thing that is wrong does not end it.

    Args:
        folder: With a data set, or with folders of data sets.
        progress: Whether to show bars.

    Raises:
        DataError: Where there is no data set at all, telling what is there instead.
    """
    for folders in ([folder], [folder / split for split in SPLITS]):
        found = [path for path in folders if _is_dataset(path)]
        if found:
            reports = {path: _report(path, progress) for path in found}
            if folder not in reports:  # imports write beside the splits
                left = (_LEFT.format(path) for path in folder.glob(f"{STAGING}*"))
                reports[found[0]].notes.extend(left)
            return reports
    try:
        count = len(list_videos(folder))
    except DataError:
        hint = f"{DESCRIPTION} is missing): {way_out(folder)}"
        raise DataError(f"{folder} is no data set ({hint}") from None
    raise DataError(
        f"{folder} holds no data set but {count} video{'s'[: count > 1]}: import with "
        f"`srvp-world data import {folder} --out DATA`"
    )


def _is_dataset(folder: Path) -> bool:
    return (folder / DESCRIPTION).exists() or any(folder.glob(f"*-part[0-9]*{SUFFIX}"))


def _report(folder: Path, progress: bool) -> Report:
    result = Report(notes=list(_leftovers(folder)))
    try:
        info = read_info(folder)
    except DataError as error:
        result.wrong.append(str(error))
        result.facts["files"] = f"{len(episode_files(folder))} that look like episodes"
        return result
    records: list[Record] = []
    values: dict[str, list[np.ndarray]] = {"actions": [], "rewards": []}
    files = episode_files(folder)
    for path in tqdm(files, desc=str(folder), unit="file", delay=2, disable=not progress):
        try:
            records.append(record_of(path, info))
            for name, array in check_file(path, info).arrays.items():
                if name in values and len(array):
                    values[name].append(np.stack([array.min(axis=0), array.max(axis=0)]))
        except DataError as error:
            result.wrong.append(str(error))
    if not records:
        result.wrong.append(f"{folder} holds no episode that can be read: {way_out(folder)}")
        return result
    result.facts = dict(_facts(info, records))
    _judge_records(folder, info, records, result)
    for name, extremes in values.items():
        if extremes:
            _judge_values(name, np.stack(extremes), result)
    step = -(-len(records) // LOOKED_AT)
    for record in tqdm(records[::step], desc="frames", delay=2, disable=not progress):
        _judge_frames(folder / record.name, record, result)
    return result


def _facts(info: DatasetInfo, records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    lengths = _lengths(records)
    size = sum(record.size for record in records)
    yield "holds", "videos" if info.action is None else "experience"
    yield (
        "episodes",
        f"{len(lengths):,} in {len(records):,} files, {sum(lengths):,} frames, {_size(size)}",
    )
    colour = "grey" if info.channels == 1 else "colour"
    rate = "" if info.frame_rate is None else f", {info.frame_rate:g} per second"
    yield "frames", f"{info.frame_size} x {info.frame_size} {colour}{rate}"
    yield (
        "lengths",
        f"{min(lengths):,} to {max(lengths):,} frames, median {median(lengths):,.0f}",
    )
    if info.action is not None:
        last = {record.episode: str(record.ending) for record in records}
        endings = Counter(last.values())
        yield "endings", ", ".join(f"{count:,} {ending}" for ending, count in endings.items())
    source = info.source or (info.pixels and info.pixels.env_id)
    if source:
        yield "source", source


def _lengths(records: Sequence[Record]) -> list[int]:
    """Give the frames of whole episodes, whose parts share a frame."""
    transitions: Counter[str] = Counter()
    for record in records:
        transitions[record.episode] += record.transitions
    return [count + 1 for count in transitions.values()]


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def _leftovers(folder: Path) -> Iterator[str]:
    """Name what a kill left, what is not ours, and an index that tells of other files."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            yield _LEFT.format(path)
        elif path.suffix != SUFFIX and path.name not in _OURS:
            yield f"{path} does not belong to a data set"
    there = {path.name: path.stat().st_size for path in episode_files(folder)}
    indexed = {record.name: record.size for record in read_index(folder).values()}
    differing = len(dict(there.items() ^ indexed.items()))
    if differing:
        yield f"{folder / INDEX} is wrong about {differing} files: it is mended when data is read"


def _judge_records(
    folder: Path, info: DatasetInfo, records: Sequence[Record], result: Report
) -> None:
    """Look for missing parts, and for videos too short to train on."""
    parts: dict[str, list[int]] = {}
    for record in records:
        parts.setdefault(record.episode, []).append(record.part)
    for episode, numbers in parts.items():
        first = min(numbers)  # later than 0 where nobody recorded the beginning
        if first and not _begins_later(folder, episode, first):
            first = 0
        missing = set(range(first, max(numbers) + 1)) - set(numbers)
        if missing:
            result.wrong.append(
                f"{folder / episode} misses part {min(missing)}: restore it or delete the others"
            )
    lengths = _lengths(records)
    short = sum(length < LONG_WINDOW for length in lengths)
    if info.action is None and short:
        result.notes.append(
            f"{short:,} of {len(lengths):,} videos are shorter than {LONG_WINDOW} frames, and "
            f"windows must not be longer than the shortest, {min(lengths)} frames: use short "
            "windows, or import again with --min-frames"
        )


def _begins_later(folder: Path, episode: str, part: int) -> bool:
    """Whether this part is the first that there ever was of an imported episode."""
    header = read_header(folder / f"{episode}-part{part:03d}{SUFFIX}")
    return header.provenance.get(BEGINS) == part


def _judge_values(name: str, extremes: np.ndarray, result: Report) -> None:
    """Tell the range of actions or rewards, and which of them never change.

    Args:
        name: `actions` or `rewards`.
        extremes: (files, 2, ...) smallest and largest values of each file.
        result: Gets the lines.
    """
    low, high = extremes[:, 0].min(axis=0), extremes[:, 1].max(axis=0)
    result.facts[name] = f"from {low.min():g} to {high.max():g}"
    constant = np.flatnonzero(low == high)
    if name == "rewards" and len(constant):
        result.notes.append(f"all rewards are {float(low):g}: they do not tell good from bad")
    elif len(constant) and low.size > 1:
        result.wrong.append(
            f"components {constant.tolist()} of the actions never change: record other actions"
        )
    elif len(constant):
        result.wrong.append(f"all actions are {float(low.item()):g}: record other actions")


def _judge_frames(path: Path, record: Record, result: Report) -> None:
    """Look at the first, middle and last frame of a file."""
    numbers = sorted({0, record.frames // 2, record.frames - 1})
    try:
        frames = np.stack([read_slice(path, i, i + 1).frames[0] for i in numbers])
    except DataError as error:
        result.wrong.append(str(error))
        return
    if (frames == frames[:, :1, :1]).all():
        black = "black" if not frames.any() else "of one colour"
        result.wrong.append(f"{path} is {black} in the {len(frames)} frames looked at: delete it")
    elif len(frames) > 1 and (frames == frames[:1]).all():
        result.notes.append(f"{path} does not move in the {len(frames)} frames looked at")
