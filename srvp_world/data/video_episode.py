"""One video as one episode: written beside the data sets, moved there when all of it is right.

The name of an episode's file ends in a digest of the video's content, so that a folder knows which
videos it has, whatever they were called.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from srvp_world.data.episodes import SUFFIX, Ending
from srvp_world.data.files import make_folder
from srvp_world.data.index import append_record, record_of
from srvp_world.data.info import DatasetInfo, create_dataset
from srvp_world.data.video import Video, image_files
from srvp_world.data.writer import EpisodeWriter
from srvp_world.errors import DataError, OutputError

STAGING = ".importing-"  # begins the names of folders in which an episode is being written

_GREY = 6  # largest difference of a grey pixel's channels, after lossy compression
_DIGEST = 16  # hexadecimal digits, enough for a hundred million videos


def write_video(
    frames: Iterator[np.ndarray],
    folder: Path,
    info: DatasetInfo,
    *,
    stem: str,
    provenance: Mapping[str, str | int | float],
    min_frames: int,
) -> tuple[int, bool]:
    """Write an episode; where anything fails, nothing is left.

    Args:
        frames: (h, w, c) uint8 as the data set wants them.
        folder: Of the data set.
        info: Of the data set, which is made where there is none.
        stem: What `stem` gave.
        provenance: Kept with the episode; `source` names the video.
        min_frames: Fewer are refused.

    Returns:
        Number of frames, and whether none of them shows a colour.

    Raises:
        DataError: For too few frames, and whatever reading them raises.
        OutputError: Where the folder cannot be written.
    """
    with _staging(folder.parent) as staging:
        writer = EpisodeWriter(staging, info, stem=stem, provenance=provenance)
        count, grey = 0, True
        for count, frame in enumerate(frames, start=1):
            grey = grey and int(np.ptp(frame, axis=2).max()) <= _GREY
            if count == 1:
                writer.start(frame)
            else:
                writer.add(None, None, frame)
        if count < min_frames:
            raise DataError(
                f"{provenance['source']} has {count} frames to keep, but {min_frames} are needed: "
                "leave it out"
            )
        paths = writer.finish(Ending.UNFINISHED)
        create_dataset(folder, info)
        # The first part last: a kill in between leaves nothing that `videos_in` takes for a video.
        for path in reversed(paths):
            moved = path.replace(folder / path.name)
            append_record(folder, record_of(moved, info))
    return count, grey


def videos_in(folder: Path) -> set[str]:
    """Give the digests of the videos that a data set has."""
    pattern = re.compile(rf"-([0-9a-f]{{{_DIGEST}}})-000000-part000{re.escape(SUFFIX)}$")
    matches = (pattern.search(path.name) for path in folder.glob(f"*{SUFFIX}"))
    return {match[1] for match in matches if match}


def stem(name: str, digest: str) -> str:
    """Begin the name of an episode's file: readable, and known by the digest of its content."""
    words = re.sub(r"[^\w.-]+", "_", name)[-40:].lstrip(".-") or "video"
    return f"{words}-{digest}"


def digest(video: Video) -> str:
    """Tell videos apart by all of their content.

    Raises:
        DataError: Where a file cannot be read.
    """
    try:
        paths = image_files(video.path) if video.path.is_dir() else [video.path]
        parts = [_file_digest(path, path.stat().st_mtime_ns) for path in paths]
    except OSError as error:
        raise DataError(f"{video.path} cannot be read ({error.strerror}): check it") from None
    clip = video.clip and (video.clip.entry, video.clip.axes, video.clip.index)
    return hashlib.blake2b(repr((parts, clip)).encode()).hexdigest()[:_DIGEST]


@lru_cache(maxsize=1)  # the clips of a stack share their file
def _file_digest(path: Path, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """Make a folder on the same disk, and remove it again with whatever is in it."""
    make_folder(out)
    try:
        for left in out.glob(f"{STAGING}*"):  # by a kill
            shutil.rmtree(left)
        with TemporaryDirectory(prefix=STAGING, dir=out) as folder:
            yield Path(folder)
    except OSError as error:
        raise OutputError(
            f"cannot write {out} ({error.strerror}): choose a folder that you can write to"
        ) from None
