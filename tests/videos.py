"""Tiny videos for tests: frame i of `ramp` has brightness 10 i on the left, 255 - 10 i right."""

from fractions import Fraction

import av
import numpy as np
from PIL import Image

CODECS = {  # and the pixel formats that they are given
    "mp4": ("mpeg4", "yuv420p"),
    "avi": ("mjpeg", "yuvj420p"),
    "mov": ("mpeg4", "yuv420p"),
    "mkv": ("ffv1", "gray"),
    "webm": ("libvpx", "yuv420p"),
    "gif": ("gif", "gray"),
}


def ramp(count=12, height=48, width=64, channels=3):
    frames = np.empty((count, height, width, channels), np.uint8)
    level = 10 * np.arange(count)[:, None, None, None]
    frames[:, :, : width // 2], frames[:, :, width // 2 :] = level, 255 - level
    return frames


def noise(count=12, height=48, width=64, channels=3, seed=0):
    draws = np.random.default_rng(seed)
    return draws.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def write_movie(path, frames, rate=25, rotation=0, **options):
    """Encode frames (t, h, w, 3) with the codec that fits the file's name."""
    codec, pixels = CODECS[path.suffix[1:]]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        if codec in ("mpeg4", "mjpeg"):
            stream.codec_context.qmin = stream.codec_context.qmax = 2
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pixels)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def write_images(folder, frames, suffix="png"):
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame).save(
            folder / f"{i}.{suffix}"
        )
    return folder


def cut(path, share=0.5):
    """Keep only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path
