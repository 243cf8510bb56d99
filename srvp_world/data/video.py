"""Videos wherever they come from, frame by frame: files, folders of images, NumPy arrays."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from einops import rearrange
from PIL import Image

from srvp_world.data.arrays import ARRAY_SUFFIXES, ArrayClip, list_clips
from srvp_world.errors import DataError

VIDEO_SUFFIXES = (".mp4", ".avi", ".gif", ".mov", ".webm", ".mkv", ".m4v", ".mpg", ".mpeg")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")

# Nothing else is opened, least of all playlists, which could make the reader open other files.
_SAFE = {
    "protocol_whitelist": "file",
    "format_whitelist": "avi,gif,matroska,webm,mov,mp4,mpeg,mpegvideo",
}
_KINDS = f"give {' '.join(VIDEO_SUFFIXES + ARRAY_SUFFIXES)} files or folders of images"


@dataclass(frozen=True)
class Video:
    """One clip: a video file, a folder of images, or a clip of an array.

    Attributes:
        path: The file or folder.
        name: For people: from the last part of the source that it was found in.
        clip: Which clip of an array; None elsewhere.
        problem: Why it cannot be read, where that was seen when it was found.
    """

    path: Path
    name: str
    clip: ArrayClip | None = None
    problem: str | None = None

    @property
    def frame_rate(self) -> float | None:
        """Frames per second, on average; None where nothing tells.

        Raises:
            DataError: For a file that cannot be opened.
        """
        if self.clip is not None or self.problem is not None or self.path.is_dir():
            return None
        with _opened(self.path) as (_, stream):
            rate = stream.average_rate
        return float(rate) if rate else None

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames (h, w, c) uint8, all of the same shape, c being 1 for grey.

        No more than a few frames are in memory, but for arrays in npz files.

        Raises:
            DataError: For a broken or truncated file, one without frames, and frames that differ
                in size; in the middle, too.
        """
        if self.problem is not None:
            raise DataError(self.problem)
        if self.clip is not None:
            frames = self.clip.frames()
        else:
            frames = _images(self.path) if self.path.is_dir() else _decoded(self.path)
        first: tuple[int, ...] | None = None
        for i, frame in enumerate(frames):
            first = first or frame.shape
            if frame.shape != first:
                sizes = (
                    f"{frame.shape[0]} x {frame.shape[1]}, but the first {first[0]} x {first[1]}"
                )
                raise DataError(f"{self.path}: frame {i} is {sizes}: bring them to one size")
            yield frame
        if first is None:
            raise DataError(f"{self.path} has no frames: leave it out")


def read_video(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames (h, w, c) uint8 of the one video at a path, c being 1 for grey.

    Raises:
        DataError: Where there is no video or more than one, and where it cannot be read.
    """
    return _only(path).frames()


def frame_rate(path: Path) -> float | None:
    """Frames per second of the one video at a path; None for images and arrays.

    Raises:
        DataError: Where there is no video or more than one, and where it cannot be read.
    """
    return _only(path).frame_rate


def list_videos(source: Path, axes: str | None = None) -> list[Video]:
    """Find the videos at a path, in natural order: `clip2` comes before `clip10`.

    A folder of images is one video. Folders are searched at any depth; what is hidden is not.

    Args:
        source: A file or a folder.
        axes: Letter of each axis of arrays, such as `tchw`; None guesses.

    Raises:
        DataError: Where there is none.
        ConfigError: For axes that make no sense.
    """
    root = Path(os.path.normpath(Path(source).absolute()))  # so that `.` has a name, too
    if not root.exists():
        raise DataError(f"{source} does not exist: check the path")
    if root.is_file():
        if root.suffix.lower() not in VIDEO_SUFFIXES + ARRAY_SUFFIXES:
            raise DataError(f"{source} is no video that can be read: {_KINDS}")
        return _videos(Path(source), root.name, axes)
    found: list[Video] = []
    for folder, folders, names in os.walk(source):
        folders[:] = sorted((name for name in folders if name[0] != "."), key=natural)
        inside = root.name / Path(folder).relative_to(source)
        files = sorted((name for name in names if name[0] != "."), key=natural)
        if any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in files):
            found.append(Video(Path(folder), str(inside)))
        for name in files:
            found += _videos(Path(folder, name), str(inside / name), axes)
    if not found:
        raise DataError(f"{source} holds no videos: {_KINDS}")
    return found


def decode(path: Path) -> Iterator[av.VideoFrame]:
    """Yield the frames of a video file as its decoder gives them.

    Raises:
        DataError: For a broken or truncated file; in the middle, too.
    """
    count, end = 0, 0.0
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        step = 1 / stream.average_rate if stream.average_rate else 0
        for packet in container.demux(stream):
            frames = packet.decode()
            if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                raise DataError(f"{path} is truncated or damaged after {end:.1f} s: copy it again")
            for frame in frames:
                count += 1
                end = float((frame.time or 0.0) + step)
                yield frame
        _check_end(path, container, stream, count, end)


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that compares the numbers in names by value."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def image_files(folder: Path) -> list[Path]:
    """List the images of a folder in natural order."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    shown = (path for path in files if not path.name.startswith("."))
    return sorted(shown, key=lambda path: natural(path.name))


def _only(path: Path) -> Video:
    videos = list_videos(path)
    if len(videos) > 1:
        raise DataError(f"{path} holds {len(videos)} videos, such as {videos[0].name}: give one")
    return videos[0]


def _videos(path: Path, name: str, axes: str | None) -> list[Video]:
    """List what is in one file: nothing, a video, or clips."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return [Video(path, name)]
    if suffix in ARRAY_SUFFIXES:
        try:
            clips = list_clips(path, axes)
        except DataError as error:  # told where it is read, so that others can be read before
            return [Video(path, name, problem=str(error))]
        return [Video(path, name + clip.place, clip) for clip in clips]
    return []


def _images(folder: Path) -> Iterator[np.ndarray]:
    """Yield the images of a folder, all grey or all in colour."""
    files = image_files(folder)
    grey = all(_mode(path) == "L" for path in files)
    for path in files:
        with _picture(path) as picture:
            image = np.array(picture.convert("L" if grey else "RGB"))
        yield rearrange(image, "h w -> h w 1") if grey else image


def _mode(path: Path) -> str:
    """Say from an image's header whether it is grey, `L`, or in colour, `RGB`."""
    with _picture(path) as picture:
        mode = picture.mode
    if mode[0] in "IF":
        raise DataError(f"{path} has more than 8 bits a pixel: convert it to 8")
    return "L" if mode in ("1", "L", "LA") else "RGB"


@contextmanager
def _picture(path: Path) -> Iterator[Image.Image]:
    """Open an image; what goes wrong while it is open is named, too."""
    try:
        with warnings.catch_warnings():
            # Large is fine; Pillow refuses what is too large.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path)
        with picture:
            yield picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is broken or no image ({error}): replace it") from None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file; what goes wrong while it is open is named, too."""
    try:
        # Titles and such need not be UTF-8.
        with av.open(str(path.absolute()), options=_SAFE, metadata_errors="replace") as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise DataError(
                    f"{path} is truncated, or has no video that can be decoded: copy it again"
                )
            yield container, container.streams.video[0]
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{path} is truncated or no video ({reason}): copy it again") from None


def _decoded(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of a video file, as upright as a player shows them."""
    for frame in decode(path):
        grey = frame.format.name.startswith("gray")
        image = frame.to_ndarray(format="gray" if grey else "rgb24")
        image = np.rot90(image, frame.rotation // 90)
        yield rearrange(image, "h w -> h w 1") if grey else image


def _check_end(
    path: Path, container: InputContainer, stream: VideoStream, count: int, end: float
) -> None:
    """Refuse formats that end early without any error, where the decoded part tells."""
    name = container.format.name
    length = (container.duration or 0) / av.time_base
    # Headers of mp4, mov and avi count the frames, but also those that an editor has cut off or a
    # camera has dropped, which takes nothing from the length.
    counted = "mov" in name or name == "avi"
    few = counted and count < 0.9 * stream.frames
    # An avi also says how many bytes there are, so that there no frame is too little to be missed.
    cut = name == "avi" and count < stream.frames and _ends_early(path)
    if cut or (("matroska" in name or few) and end < 0.9 * length):
        raise DataError(
            f"{path} is truncated: it ends at {end:.1f} s of {length:.1f} s: copy it again"
        )
    if name != "gif":
        return
    with path.open("rb") as file:
        file.seek(-min(64, path.stat().st_size), os.SEEK_END)
        marked = file.read().rstrip(b"\0").endswith(b";")
    if not marked:
        raise DataError(f"{path} is truncated: its end mark is missing: copy it again")


def _ends_early(path: Path) -> bool:
    """Say whether a file has fewer bytes than its RIFF header counts behind itself."""
    with path.open("rb") as file:
        head = file.read(8)
    return head[:4] == b"RIFF" and path.stat().st_size < 8 + int.from_bytes(head[4:], "little")
