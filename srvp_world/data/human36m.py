"""Human3.6M, from the mp4 files as its archives are unpacked: S1/Videos/Directions 1.54138969.mp4.

As in the original, which follows Minderer et al. (NeurIPS 2019), images are cropped to their middle
800 x 800, then resized to 64 x 64 by the Lanczos filter, one of eight frames is kept, and subjects
9 and 11 are for testing. Which training videos are for validation depends on how many there are.

A clip may begin with any raw frame, so all of them are kept: each video becomes eight episodes of
6.25 frames a second, which begin one raw frame after the other.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from srvp_world.data.conversion import (
    LONGEST,
    LeftOut,
    Plan,
    RawVideo,
    require_raw,
    split_source,
    validated_on,
)
from srvp_world.data.episodes import Episode
from srvp_world.data.frame_format import FrameFormat
from srvp_world.data.info import DatasetInfo
from srvp_world.data.raw_files import no_videos, unreadable
from srvp_world.data.video import Video
from srvp_world.errors import DataError

EVERY = 8
MIN_FRAMES = 53  # of the paper's test clips, after one of eight was kept
RAW_FRAMES = (MIN_FRAMES - 1) * EVERY + 1
TRAIN, TEST = (1, 5, 6, 7, 8), (9, 11)  # subjects
VIDEOS = 120  # of a subject: 15 actions, twice, from 4 cameras
OFTEN_DAMAGED = "S11-Directions.54138969"  # which many copies lack

_RATE = 50
_FIRST, _SIDE = 100, 800
_FORMAT = FrameFormat(64, 3, (_FIRST, _FIRST, _SIDE, _SIDE), "lanczos")
_NAME = re.compile(r"\w+( \d)?\.(54138969|55011271|58860488|60457274)\.(?i:mp4)")

INFO = DatasetInfo(
    frame_size=64,
    channels=3,
    source="Human3.6M, the middle 800 x 800 by Lanczos, one of eight frames",
    frame_rate=_RATE / EVERY,
)


def plan_human36m(raw: Path) -> Plan:
    """Say what is to become of the videos in RAW/S1/Videos, RAW/S5/Videos and so on.

    Raises:
        DataError: Where there is none.
    """
    require_raw(raw)
    left_out: list[LeftOut] = []
    train = [each for subject in TRAIN for each in _videos(raw, subject, left_out)]
    test = [each for subject in TEST for each in _videos(raw, subject, left_out)]
    if not (train or test):
        message = (
            f"{raw} holds no video of Human3.6M, such as S1/Videos/Walking.54138969.mp4: unpack "
            "its archives there, see docs/datasets.md"
        )
        raise no_videos(message, left_out)
    train.sort(key=lambda video: original_order(video[0]))
    held_out = validated_on(len(train))
    splits = ["validation" if i in held_out else "train" for i in range(len(train))]
    splits += ["test"] * len(test)
    return Plan(
        info=replace(INFO, source=split_source(INFO.source, len(train))),
        videos=[
            RawVideo(phase_name(name, 0), split, partial(_read, path, name, split == "test"))
            for (name, path), split in zip(train + test, splits, strict=True)
        ],
        left_out=left_out,
    )


def phase_name(video: str, phase: int) -> str:
    """Name the episode of a video that begins with this raw frame."""
    return f"{video}-phase{phase}"


def original_order(video: str) -> str:
    """Sort key of videos: the name that the original's files have, where ` 1.` is before `.`."""
    return f"{video}.npz"


def lacking(subject: int, names: Iterable[str]) -> str:
    """Say how many videos of a subject are there, and how many should be; nothing where all are.

    The one that many copies lack is not counted.

    Args:
        subject: Its number.
        names: Of videos, also of other subjects.
    """
    prefix = f"S{subject}-"
    known = VIDEOS - OFTEN_DAMAGED.startswith(prefix)
    found = sum(name.startswith(prefix) and name != OFTEN_DAMAGED for name in names)
    besides = f" besides {OFTEN_DAMAGED}" if known < VIDEOS else ""
    videos = "video" if found == 1 else "videos"
    return "" if found == known else f"{found} {videos} of subject {subject}, not {known}{besides}"


def _videos(raw: Path, subject: int, left_out: list[LeftOut]) -> list[tuple[str, Path]]:
    """List the videos of a subject by name, and what is wrong."""
    folder = raw / f"S{subject}" / "Videos"
    try:
        files = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        files = []
    except OSError as error:
        left_out.append(unreadable(folder, error))
        return []
    paths = [path for path in files if path.suffix.lower() == ".mp4" and path.name[0] not in "._"]
    if not paths:
        reason = f"{folder} holds no videos: unpack the archive of subject {subject} there"
        left_out.append(LeftOut(f"S{subject}", reason, absent=True))
    videos: dict[str, Path] = {}
    for path in paths:
        name = f"S{subject}-{path.stem}"
        if not _NAME.fullmatch(path.name):
            reason = f"{path} is no name of Human3.6M, such as Walking.54138969.mp4: rename it"
            left_out.append(LeftOut(str(path), reason))
        elif videos.setdefault(name, path) != path:
            left_out.append(LeftOut(str(path), f"{path} is {videos[name]} again: delete one"))
    few = lacking(subject, videos)
    if paths and few:
        reason = f"{folder} has {few}: unpack all of the archive there"
        left_out.append(LeftOut(f"S{subject}", reason))
    return list(videos.items())


def _read(path: Path, name: str, test: bool) -> Mapping[str, Episode]:
    """Read the eight episodes of a video."""
    video = Video(path, str(path))
    rate = video.frame_rate
    if rate is None or abs(rate - _RATE) > 0.5:
        raise DataError(f"{path} has {rate} frames a second, but Human3.6M has {_RATE}")
    # In one piece: small frames between large images would keep these images' memory from reuse,
    # which took 1.2 MB a frame. What is not written to takes none.
    frames, count = np.empty((LONGEST, *INFO.frame_shape), np.uint8), 0
    for image in video.frames():
        if min(image.shape[:2]) < _FIRST + _SIDE:
            size = " x ".join(str(side) for side in image.shape[:2])
            raise DataError(f"{path} has images of {size}, but Human3.6M has 1000 x 1000")
        if count == LONGEST:
            raise DataError(f"{path} has more than {LONGEST:,} frames: this is not Human3.6M")
        frames[count] = _FORMAT.apply(image, str(path))
        count += 1
    if count < RAW_FRAMES:
        raise DataError(
            f"{path} has {count} frames, but {RAW_FRAMES} are needed to keep one of {EVERY}"
        )
    episodes = {
        phase_name(name, phase): Episode(
            frames=frames[phase:count:EVERY].copy(),
            provenance={"source": path.name, "every": EVERY, "first": phase},
        )
        for phase in range(EVERY)
    }
    # Test clips are drawn by the length of the whole video. Elsewhere every episode must be as long
    # as what models are validated on.
    return {
        key: episode
        for key, episode in episodes.items()
        if test or len(episode.frames) >= MIN_FRAMES
    }
