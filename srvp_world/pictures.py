"""Frames for people: borders, layouts, strips, and films as GIF, MP4, PNG or NPZ.

Everything here is uint8, time before height and width, channels last. A green border marks what
was given, a red one what was imagined.
"""

import io
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from einops import rearrange, repeat
from PIL import Image
from torch import Tensor

from srvp_world.data.files import make_folder, write_atomically
from srvp_world.errors import OutputError

WATCHED = (0, 170, 0)
IMAGINED = (210, 0, 0)
UNSEEN = (128, 128, 128)  # real frames that the model did not get to see
BORDER = 2
PAPER = 255  # where there is no frame
GIF_FPS = 50  # most viewers slow down what is meant to be faster

_GAP = 4  # pixels between the pieces of a wrapped strip
_STRIP_COLUMNS = 20
_ROW_OF_CLIPS = 6  # as many stand in one row; more make a square


def bordered(
    frames: np.ndarray, context: int, after: tuple[int, int, int] = IMAGINED
) -> np.ndarray:
    """Draw a green border around the first frames and a red one around the rest.

    Args:
        frames: (..., t, h, w, c) uint8, grey or RGB.
        context: How many frames were watched.
        after: Colour of the other borders.

    Returns:
        (..., t, h + 4, w + 4, 3) uint8.
    """
    *lead, time, height, width, _ = frames.shape
    shape = (*lead, time, height + 2 * BORDER, width + 2 * BORDER, 3)
    canvas = np.empty(shape, np.uint8)
    canvas[..., :context, :, :, :] = WATCHED
    canvas[..., context:, :, :, :] = after
    canvas[..., BORDER:-BORDER, BORDER:-BORDER, :] = frames  # grey spreads over three channels
    return canvas


def side_by_side(truth: Tensor, prediction: Tensor, context: int) -> np.ndarray:
    """Lay out truth (left) and prediction (right), one pair below the other.

    A green border marks frames that the model watched, a red one frames that it imagined.

    Args:
        truth: (b, t, c, h, w) in [0, 1], grey or RGB.
        prediction: As `truth`.
        context: How many frames were watched.

    Returns:
        (t, b * (h + 4), 2 * (w + 4), 3) uint8, ready for `frames_to_gif`.
    """
    pair = torch.stack([truth, prediction]).detach().float().cpu()
    pixels = (pair.clamp(0, 1) * 255).round().to(torch.uint8)
    framed = bordered(rearrange(pixels, "side b t c h w -> side b t h w c").numpy(), context)
    layout: np.ndarray = rearrange(framed, "side b t h w c -> t (b h) (side w) c")
    return layout


def grid(clips: np.ndarray) -> np.ndarray:
    """Lay out clips (n, t, h, w, c) in one row, or more than six in a square: (t, H, W, c)."""
    n = len(clips)
    columns = n if n <= _ROW_OF_CLIPS else math.ceil(math.sqrt(n))
    paper = np.full((-n % columns, *clips.shape[1:]), PAPER, np.uint8)
    filled = np.concatenate([clips, paper])
    layout: np.ndarray = rearrange(filled, "(y x) t h w c -> t (y h) (x w) c", x=columns)
    return layout


def strip(rows: np.ndarray, scale: int = 1) -> np.ndarray:
    """Lay out clips as rows of one picture, with time from left to right.

    More than 20 frames continue below, after a gap.

    Args:
        rows: (n, t, h, w, c) uint8, grey or RGB.
        scale: How many pixels wide and high a pixel becomes.

    Returns:
        (H, W, 3) uint8.
    """
    time = rows.shape[1]
    pieces = math.ceil(time / _STRIP_COLUMNS)
    columns = math.ceil(time / pieces)
    ends = [(0, 0)] * rows.ndim
    ends[1] = (0, pieces * columns - time)
    filled = np.pad(_enlarged(rows, scale), ends, constant_values=PAPER)
    layout = rearrange(filled, "n (piece t) h w c -> piece (n h) (t w) c", piece=pieces)
    gapped = np.pad(layout, [(0, 0), (0, _GAP * scale), (0, 0), (0, 0)], constant_values=PAPER)
    picture: np.ndarray = rearrange(gapped, "piece h w c -> (piece h) w c")[: -_GAP * scale]
    return np.broadcast_to(picture, (*picture.shape[:2], 3))


def frames_to_gif(frames: np.ndarray, fps: float, scale: int = 1) -> bytes:
    """Encode frames as a GIF that loops for ever.

    Neighbouring frames that are equal become one, shown for as long as all of them. A GIF counts
    in hundredths of a second: single frames are rounded, the length of the film is not.

    Args:
        frames: (t, h, w, c) uint8, grey or RGB.
        fps: Frames per second, at most 50; what is faster is played at 50.
        scale: How many pixels wide and high a pixel becomes.
    """
    large = _enlarged(frames, scale)
    pictures = [
        Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in large
    ]
    times = np.arange(len(pictures) + 1) / min(fps, GIF_FPS)
    encoded = io.BytesIO()
    pictures[0].save(
        encoded,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=(10 * np.diff(np.round(100 * times).astype(int))).tolist(),
        loop=0,
    )
    return encoded.getvalue()


def frames_to_mp4(frames: np.ndarray, fps: float, scale: int = 1) -> bytes:
    """Encode frames as an MP4: H.264 where the codec is there, else MPEG-4.

    Codecs want even heights and widths: the last row or column is doubled where one is odd.

    Args:
        frames: (t, h, w, c) uint8, grey or RGB.
        fps: Frames per second.
        scale: How many pixels wide and high a pixel becomes.
    """
    encoded = io.BytesIO()
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(encoded, "w", format="mp4") as film:
        stream: Any = film.add_stream(codec, rate=Fraction(fps).limit_denominator(1000))
        height, width = (scale * size for size in frames.shape[1:3])
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "16"}
        for frame in frames:
            large = _enlarged(np.broadcast_to(frame, (*frame.shape[:2], 3)), scale)
            even = np.pad(large, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
            film.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        film.mux(stream.encode())
    return encoded.getvalue()


def check_movie_path(path: Path) -> None:
    """Refuse a name whose ending no film has.

    Raises:
        OutputError: Naming the endings.
    """
    if path.suffix not in _WRITERS and path.suffix != ".npz":
        known = " ".join([*_WRITERS, ".npz"])
        raise OutputError(f"cannot write a film as {str(path)!r}: use a name that ends in {known}")


def write_movie(
    path: Path,
    frames: np.ndarray,
    fps: float,
    *,
    scale: int = 1,
    arrays: Mapping[str, Any] | None = None,
) -> None:
    """Write clips as the ending of the name says, atomically.

    A .gif or .mp4 shows the clips side by side; a .png is a strip, one row a clip; an .npz holds
    arrays as they are.

    Args:
        path: Its folder is made if it does not exist.
        frames: (..., t, h, w, c) uint8, grey or RGB; axes before the time count clips.
        fps: Frames per second.
        scale: How many pixels wide and high a pixel becomes in a picture.
        arrays: What an .npz holds; None means `frames` and `fps`.

    Raises:
        OutputError: For another ending, or a file that cannot be written.
    """
    check_movie_path(path)
    if path.suffix == ".npz":
        stored = io.BytesIO()
        np.savez(stored, **({"frames": frames, "fps": fps} if arrays is None else arrays))
        content = stored.getvalue()
    else:
        clips = rearrange(frames, "... t h w c -> (...) t h w c")
        content = _WRITERS[path.suffix](clips, fps, scale)
    make_folder(path.parent)
    write_atomically(path, content)


def _enlarged(frames: np.ndarray, scale: int) -> np.ndarray:
    """Make each pixel a square of pixels."""
    large: np.ndarray = repeat(frames, "... h w c -> ... (h i) (w j) c", i=scale, j=scale)
    return large


def _gif(clips: np.ndarray, fps: float, scale: int) -> bytes:
    return frames_to_gif(grid(clips), fps, scale)


def _mp4(clips: np.ndarray, fps: float, scale: int) -> bytes:
    return frames_to_mp4(grid(clips), fps, scale)


def _png(clips: np.ndarray, fps: float, scale: int) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(strip(clips, scale)).save(encoded, format="PNG")
    return encoded.getvalue()


_WRITERS: Mapping[str, Callable[[np.ndarray, float, int], bytes]] = {
    ".gif": _gif,
    ".mp4": _mp4,
    ".png": _png,
}
