"""Logs of a run: scalars for TensorBoard and as JSON lines, and moving pictures.

Pictures are encoded here, as GIF, because TensorBoard's own `add_video` does nothing unless an old
version of another package is installed.
"""

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from einops import rearrange, repeat
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from srvp_world.data.files import write_atomically
from srvp_world.errors import OutputError

WATCHED = (0, 170, 0)
IMAGINED = (210, 0, 0)
BORDER = 2


class Logger:
    """Writes a run's numbers and pictures to `run/tensorboard` and `run/scalars.jsonl`.

    Args:
        run: Folder of the run, made if it does not exist.
        start: Updates done before; what an earlier process logged beyond them is taken back.

    Raises:
        OutputError: If the folder cannot be written.
    """

    def __init__(self, run: Path, start: int = 0) -> None:
        """Open the files."""
        lines = run / "scalars.jsonl"
        try:
            run.mkdir(parents=True, exist_ok=True)
            _keep_until(start, lines)
            self._lines = lines.open("a", buffering=1)
            self._writer: Any = SummaryWriter(str(run / "tensorboard"), purge_step=start + 1)
        except OSError as error:
            raise OutputError(f"cannot write to {run} ({error}): choose another folder") from error

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by name; those that are not finite become null in the JSON."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._lines.write(json.dumps({"step": step, **finite}) + "\n")

    def movie(self, name: str, frames: np.ndarray, step: int, fps: float = 8.0) -> None:
        """Log (t, h, w, c) uint8 frames as a picture that moves in TensorBoard."""
        _, height, width, channels = frames.shape
        picture = Summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=frames_to_gif(frames, fps),
        )
        summary = Summary(value=[Summary.Value(tag=name, image=picture)])
        self._writer.file_writer.add_summary(summary, step)

    def close(self) -> None:
        """Write what is pending and close the files."""
        self._writer.close()
        self._lines.close()

    def __enter__(self) -> Self:
        """Use the logger in a `with` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files."""
        self.close()


def frames_to_gif(frames: np.ndarray, fps: float, scale: int = 1) -> bytes:
    """Encode frames as a GIF that loops for ever.

    Neighbouring frames that are equal become one, shown for as long as all of them.

    Args:
        frames: (t, h, w, c) uint8, grey or RGB.
        fps: Frames per second; viewers slow down above 50.
        scale: How many pixels wide and high a pixel becomes.
    """
    grey = frames.shape[-1] == 1
    large = repeat(frames, "t h w c -> t (h i) (w j) c", i=scale, j=scale)
    pictures = [Image.fromarray(frame[..., 0] if grey else frame) for frame in large]
    encoded = io.BytesIO()
    pictures[0].save(
        encoded,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / fps),
        loop=0,
    )
    return encoded.getvalue()


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
    pixels = pixels.expand(-1, -1, -1, 3, -1, -1)
    *axes, height, width = pixels.shape
    canvas = pixels.new_empty(*axes, height + 2 * BORDER, width + 2 * BORDER)
    canvas[:, :, :context] = pixels.new_tensor(WATCHED)[:, None, None]
    canvas[:, :, context:] = pixels.new_tensor(IMAGINED)[:, None, None]
    canvas[..., BORDER:-BORDER, BORDER:-BORDER] = pixels
    layout: np.ndarray = rearrange(canvas, "side b t c h w -> t (b h) (side w) c").numpy()
    return layout


def _keep_until(step: int, path: Path) -> None:
    """Drop the lines of later steps, and a last line that a kill cut short."""
    if not path.exists():
        return
    kept = [line for line in path.read_text().splitlines() if _is_until(step, line)]
    write_atomically(path, "".join(line + "\n" for line in kept).encode())


def _is_until(step: int, line: str) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError, TypeError):
        return False
