"""The open loop of a report, as a film and as a strip: truth, dream, error."""

import math
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch
from einops import rearrange, repeat

from srvp_world.benchmark.figures import DPI, save_figure
from srvp_world.benchmark.page import shown_frames
from srvp_world.benchmark.report import Report
from srvp_world.data.files import write_atomically
from srvp_world.pictures import bordered, frames_to_gif

_SIDES = ("truth", "dream", "error")
_STRIP_CLIPS = 2
_PANEL = 128  # pixels that a frame of the film should have at least
_GAP = 6  # pixels of paper between films of clips
_CELL = 100  # pixels that a frame of the strip may have
_LEFT, _TOP, _BOTTOM = 70, 34, 30  # pixels for words


def _sides(report: Report) -> np.ndarray:
    """Give truth, dream and their difference with borders: (3, clips, t, h, w, 3) uint8."""
    truth, dream = report.truth, report.dream.clamp(0, 1)
    sides = torch.stack([truth, dream, (truth - dream).abs()])
    pixels = rearrange((sides * 255).round().byte(), "s n t c h w -> s n t h w c").numpy()
    return bordered(pixels, report.config.watched)


def write_film(report: Report, fps: float, path: Path) -> None:
    """Write the clips as a GIF, one below the other: truth, dream, absolute difference.

    Raises:
        OutputError: If the file cannot be written.
    """
    sides = _sides(report)
    gap = [*3 * [(0, 0)], (0, _GAP), *2 * [(0, 0)]]
    spaced = np.pad(sides, gap, constant_values=255)
    film = rearrange(spaced, "s n t h w c -> t (n h) (s w) c")[:, :-_GAP]
    scale = max(1, math.ceil(_PANEL / report.truth.shape[-1]))
    write_atomically(path, frames_to_gif(film, fps, scale))


def draw_strip(report: Report, path: Path) -> None:
    """Draw some frames of some clips: truth, dream and absolute difference below each other.

    Raises:
        OutputError: If the file cannot be written.
    """
    config = report.config
    columns = shown_frames(config.watched, config.horizon)
    sides = _sides(report)[:, :_STRIP_CLIPS, columns]
    spaced = np.pad(sides, [*3 * [(0, 0)], *2 * [(2, 2)], (0, 0)], constant_values=255)
    scale = max(1, _CELL // spaced.shape[3])
    picture = repeat(spaced, "s n t h w c -> (n s h i) (t w j) c", i=scale, j=scale)
    cell = scale * spaced.shape[3]
    height, width = picture.shape[0] + _TOP + _BOTTOM, picture.shape[1] + _LEFT
    figure = matplotlib.figure.Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(picture, xo=_LEFT, yo=_BOTTOM, origin="upper")
    for i, frame in enumerate(columns):
        x = (_LEFT + (i + 0.5) * cell) / width
        figure.text(x, 1 - _TOP / 2 / height, str(frame + 1), ha="center", va="center", size=13)
    for i, label in enumerate(sides.shape[1] * _SIDES):
        y = (height - _TOP - (i + 0.5) * cell) / height
        figure.text((_LEFT - 8) / width, y, label, ha="right", va="center", size=13)
    words = "green was watched, red is imagined (one future, true actions); error: |truth - dream|"
    figure.text(_LEFT / width, _BOTTOM / 2 / height, words, ha="left", va="center", size=12)
    save_figure(figure, path)
