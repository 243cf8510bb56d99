"""Logs of a run: scalars for TensorBoard and as JSON lines, and moving pictures.

Pictures are encoded here, as GIF, because TensorBoard's own `add_video` does nothing unless an old
version of another package is installed.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from srvp_world.data.files import write_atomically
from srvp_world.errors import OutputError
from srvp_world.pictures import frames_to_gif


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
        lines = self._path = run / "scalars.jsonl"
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

    def has(self, name: str, step: int) -> bool:
        """Say whether a number was logged at a step, by this process or an earlier one."""
        lines = map(json.loads, self._path.read_text().splitlines())
        return any(line["step"] == step and name in line for line in lines)

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
