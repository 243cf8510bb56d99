"""BAIR robot pushing, from the TFRecord files of `softmotion30_44k` or the archive of them.

A record is a video of 30 frames from two cameras, of which papers on video prediction use
`image_aux1`, with an action and the end effector's position beside each. Actions lie between
frames, so the last one is dropped. As in the original, test/traj_0_to_255 is for testing, and which
of the others are for validation depends on how many there are.
"""

import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
from einops import rearrange
from tqdm import tqdm

from srvp_world.data.conversion import (
    LeftOut,
    Plan,
    RawVideo,
    made_info,
    require_raw,
    split_source,
    validated_on,
    videos_there,
)
from srvp_world.data.episodes import Ending, Episode
from srvp_world.data.files import files_below
from srvp_world.data.info import DatasetInfo
from srvp_world.data.tfrecord import TFRecord, byte_strings, find_records, floats, read_features
from srvp_world.errors import DataError
from srvp_world.spaces import ActionSpec

FRAMES = 30
CAMERA = "image_aux1"
VIDEOS = {"train": 43_264, "test": 256}

_SIZE, _CHANNELS, _ACTION, _POSITION = 64, 3, 4, 3
_IMAGE = _SIZE * _SIZE * _CHANNELS
_NAME = re.compile(r"traj_(\d+)_to_(\d+)\.tfrecords")
_SOURCE = f"BAIR robot pushing (softmotion30_44k), {CAMERA}"


@dataclass(frozen=True)
class _File:
    """A TFRecord file, alone or in an archive.

    Attributes:
        split: `train` or `test`, the name of its folder.
        name: Of the file.
        path: Of the file or archive.
        start: Byte that it begins with there.
        stop: Byte after its last one; None means the end of the file at the path.
    """

    split: str
    name: str
    path: Path
    start: int = 0
    stop: int | None = None

    @property
    def count(self) -> int:
        """Videos that it should hold by its name; 0 for a name of another kind."""
        match = _NAME.fullmatch(self.name)
        return max(int(match[2]) - int(match[1]) + 1, 0) if match else 0

    def video(self, number: int) -> str:
        """Name a video; names sort as the original's files."""
        return video_name(self.name, number)

    def records(self, left_out: list[LeftOut]) -> dict[int, TFRecord]:
        """Find the videos by number; those that are not there are left out."""
        shown = str(self.path) if self.stop is None else f"{self.path}/{self.name}"
        found: dict[int, TFRecord] = {}
        reason = f"{shown} ends before it, copy the file again"
        try:
            for record in find_records(self.path, name=shown, start=self.start, stop=self.stop):
                found[len(found)] = record
        except DataError as error:
            reason = str(error)
        missing = range(len(found), self.count)
        for name in map(self.video, missing):
            left_out.append(LeftOut(name, f"{name} cannot be found: {reason}"))
        for number in range(self.count, len(found)):
            del found[number]
            name = self.video(number)
            reason = f"{name} is left over: {shown} has more videos than its name says, rename it"
            left_out.append(LeftOut(name, reason))
        return found


def plan_bair(raw: Path, out: Path, *, progress: bool = True) -> Plan:
    """Say what is to become of the videos in a folder, at any depth, or in the tar archive.

    The bounds of the actions are those of all videos: of those that are converted already, and of
    the new ones, which are read for it once.

    Args:
        raw: Folder or archive.
        out: Where the data sets are to be; some may be there already.
        progress: Whether to show bars.

    Raises:
        DataError: Where there is no video, a file is for training and for tests, or the data sets
            cannot be read.
    """
    begin = perf_counter()
    require_raw(raw)
    left_out: list[LeftOut] = []
    videos: dict[str, tuple[str, TFRecord]] = {}
    train = 0
    files = _files(raw, left_out)
    if not files:
        raise DataError(
            f"{raw} holds no videos of BAIR, such as softmotion30_44k/test/traj_0_to_255.tfrecords:"
            " see docs/datasets.md"
        )
    counts = {split: sum(f.count for f in files if f.split == split) for split in VIDEOS}
    held_out = validated_on(counts["train"])
    for file in tqdm(files, desc="finding", unit="file", delay=2, disable=not progress):
        for number, record in file.records(left_out).items():
            split = file.split
            if split == "train" and train + number in held_out:
                split = "validation"
            videos[file.video(number)] = (split, record)
        train += file.count if file.split == "train" else 0
    for split, count in counts.items():
        if count < VIDEOS[split]:
            few = f"{raw} has {count:,} of the {VIDEOS[split]:,} videos of the folder {split!r}"
            left_out.append(LeftOut(split, f"{few}: unpack all of the archive there"))
    made = made_info(out)
    info = DatasetInfo(
        frame_size=_SIZE,
        channels=_CHANNELS,
        action=made.action if made else None,
        vector_dim=_POSITION,
        source=split_source(_SOURCE, counts["train"]),
    )
    if made in (None, info):  # other data are refused, which needs no bounds
        there = videos_there(out)
        new = [record for name, (_, record) in videos.items() if name not in there]
        info = replace(info, action=_action(new, info.action, progress))
    return Plan(
        info=info,
        videos=[
            RawVideo(name, split, partial(_read, record, name))
            for name, (split, record) in videos.items()
        ],
        left_out=left_out,
        seconds=perf_counter() - begin,
    )


def video_name(file: str, number: int) -> str:
    """Name a video by its file and its number there."""
    return f"{Path(file).stem}-{number:03d}"


def _files(raw: Path, left_out: list[LeftOut]) -> list[_File]:
    """Find the TFRecord files in the original's order, files before those in archives.

    Videos are known by file and number, and would be for training what is for tests, so that no
    file may be in both folders.
    """
    files: dict[tuple[str, str], _File] = {}
    paths = files_below(raw)
    found = [_File(_folder_name(path), path.name, path) for path in paths]
    for path in paths:
        if path.suffix == ".tar":
            found += _members(path, left_out)
    for file in found:
        if Path(file.name).suffix != ".tfrecords" or file.name.startswith("."):
            continue
        if file.split in VIDEOS and file.count:
            files.setdefault((file.split, Path(file.name).stem), file)
        else:
            where = f"{file.path} ({file.split}/{file.name})" if file.stop else str(file.path)
            example = "test/traj_0_to_255.tfrecords"
            left_out.append(LeftOut(where, f"{where} is no name of BAIR, such as {example}"))
    for (split, stem), file in files.items():
        other = files.get(("test", stem))
        if split == "train" and other:
            raise DataError(
                f"{file.name} is in train ({file.path}) and in test ({other.path}), but is "
                "for one of both: delete the one that does not belong there"
            )
    return [files[key] for key in sorted(files)]


def _folder_name(path: Path) -> str:
    """Name the folder of a file, also from within it; a link counts as it is called."""
    folder = path.parent
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def _members(path: Path, left_out: list[LeftOut]) -> Iterator[_File]:
    """Find the files in a tar archive, which is not unpacked."""
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                inner = Path(member.name)
                stop = member.offset_data + member.size
                if member.isreg():
                    yield _File(inner.parent.name, inner.name, path, member.offset_data, stop)
    except (OSError, tarfile.TarError) as error:
        reason = f"{path} is no whole tar archive ({error}): download it again"
        left_out.append(LeftOut(str(path), reason))


def _action(records: Sequence[TFRecord], known: ActionSpec | None, progress: bool) -> ActionSpec:
    """Describe the actions by the least and the largest that occur, now or in what is known."""
    low, high = np.full(_ACTION, np.inf), np.full(_ACTION, -np.inf)
    if known is not None:
        low, high = np.array(known.low), np.array(known.high)
    bar = tqdm(records, desc="bounds of actions", unit="video", delay=2, disable=not progress)
    for record in bar:
        try:
            actions = _numbers(read_features(record.read(), record.name), "action", record.name)
        except DataError:  # told where it is converted
            continue
        if np.isfinite(actions).all():
            low, high = np.minimum(low, actions.min(0)), np.maximum(high, actions.max(0))
    if not np.isfinite(low).all():
        raise DataError(
            "no video has actions, so their bounds cannot be told: copy the files again"
        )
    still = low == high  # a box needs some width
    return ActionSpec(
        kind="box",
        shape=(_ACTION,),
        low=tuple((low - still).tolist()),
        high=tuple((high + still).tolist()),
    )


def _read(record: TFRecord, name: str) -> Mapping[str, Episode]:
    """Read the one episode of a video."""
    features = read_features(record.read(), record.name)
    frames = np.empty((FRAMES, _IMAGE), np.uint8)
    for i in range(FRAMES):
        key = f"{i}/{CAMERA}/encoded"
        if key not in features:
            raise DataError(f"{record.name} has no frame {i} ({key} is missing): copy it again")
        images = byte_strings(features[key], f"{record.name}, {key}")
        if len(images) != 1 or len(images[0]) != _IMAGE:
            sizes = [len(image) for image in images]
            raise DataError(f"{record.name}, {key} has {sizes} bytes, not {_IMAGE} of an image")
        frames[i] = np.frombuffer(images[0], np.uint8)
    shape = {"h": _SIZE, "w": _SIZE, "c": _CHANNELS}
    episode = Episode(
        frames=rearrange(frames, "t (h w c) -> t h w c", **shape),
        actions=_numbers(features, "action", record.name),
        vector=_numbers(features, "endeffector_pos", record.name),
        ending=Ending.TRUNCATED,
        provenance={"source": Path(record.name).name},
    )
    return {name: episode}


def _numbers(features: Mapping[str, memoryview], what: str, name: str) -> np.ndarray:
    """Read the actions between the frames, or the positions at the frames."""
    count, size = (FRAMES - 1, _ACTION) if what == "action" else (FRAMES, _POSITION)
    rows = np.empty((count, size), np.float32)
    for i in range(count):
        key = f"{i}/{what}"
        if key not in features:
            raise DataError(f"{name} has no {what} {i} ({key} is missing): copy it again")
        row = floats(features[key], f"{name}, {key}")
        if row.shape != (size,):
            raise DataError(f"{name}, {key} has {len(row)} numbers, but {size} are wanted")
        rows[i] = row
    return rows
