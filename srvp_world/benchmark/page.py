"""Pictures of an evaluation: strips of truth and samples."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.figure
import numpy as np
from einops import repeat

from srvp_world.benchmark.figures import DPI, save_figure
from srvp_world.benchmark.protocols import temperature_of
from srvp_world.benchmark.scores import KeptClip, VideoScores
from srvp_world.data.files import write_atomically
from srvp_world.pictures import UNSEEN, bordered

PAGE = "page.png"
SAMPLES = "samples.npz"

_SCALE = 2
_PAGE_CLIPS = 4
_GIVEN_COLUMNS = 4
_IMAGINED_COLUMNS = 12
_GAP = 2  # pixels of paper around a frame, before scaling
_CLIP_GAP = 16
_LEFT, _TOP, _BOTTOM = 110, 34, 30  # pixels for words


def draw_page(scores: VideoScores, path: Path) -> None:
    """Draw some clips: truth, then samples below it, as far as columns allow.

    Raises:
        OutputError: If the file cannot be written.
    """
    protocol = scores.protocol
    columns = shown_frames(protocol.conditioning, protocol.horizon)
    clips = scores.kept[:_PAGE_CLIPS]
    strips = [_strip(clip, columns, protocol.conditioning) for clip in clips]
    gap = np.full((_CLIP_GAP, *strips[0].shape[1:]), 255, np.uint8)
    pieces = [piece for strip in strips for piece in (strip, gap)]
    picture = np.concatenate(pieces[:-1])
    height, width = picture.shape[0] + _TOP + _BOTTOM, picture.shape[1] + _LEFT
    figure = matplotlib.figure.Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(picture, xo=_LEFT, yo=_BOTTOM, origin="upper")
    cell = picture.shape[1] // len(columns)
    for i, frame in enumerate(columns):
        x = (_LEFT + (i + 0.5) * cell) / width
        figure.text(x, 1 - _TOP / 2 / height, str(frame + 1), ha="center", va="center", size=13)
    y = height - _TOP - cell / 2  # of the middle of a row
    seen = sum(frame < protocol.conditioning for frame in columns)
    for clip in clips:
        for label in ("truth", *clip.samples):
            figure.text((_LEFT - 8) / width, y / height, label, ha="right", va="center", size=13)
            words = "\n".join(
                f"{metric.label} {clip.scores[label][metric.name]:.{metric.digits}f} {metric.unit}"
                for metric in scores.metrics
                if label in clip.scores
            )
            x = (_LEFT + seen * cell - 12) / width
            figure.text(x, y / height, words, ha="right", va="center", size=12, color="0.4")
            y -= cell
        y -= _CLIP_GAP
    words = f"{protocol.name}: green was given, red is imagined, grey is what happened"
    if protocol.samples > 1:
        words += f"; best and worst of {protocol.samples} samples by {scores.metrics[0].label}"
    words += temperature_of(protocol)
    figure.text(_LEFT / width, _BOTTOM / 2 / height, words, ha="left", va="center", size=12)
    save_figure(figure, path)


def shown_frames(conditioning: int, horizon: int) -> list[int]:
    """Choose frames for a page: the last that were given, then predicted ones at equal distances.

    >>> shown_frames(5, 20)
    [1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]
    """
    stride = math.ceil(horizon / _IMAGINED_COLUMNS)
    given = range(max(0, conditioning - _GIVEN_COLUMNS), conditioning)
    return [*given, *range(conditioning + stride - 1, conditioning + horizon, stride)]


def _strip(clip: KeptClip, columns: Sequence[int], conditioning: int) -> np.ndarray:
    """Draw the rows of a clip; a sample has nothing to show where frames were given."""
    shown = np.array(columns)
    seen = int((shown < conditioning).sum())
    rows = [bordered(clip.truth[shown], seen, after=UNSEEN)]
    for frames in clip.samples.values():
        imagined = bordered(frames[shown[seen:] - conditioning], 0)
        paper = np.full((seen, *imagined.shape[1:]), 255, np.uint8)
        rows.append(np.concatenate([paper, imagined]))
    spaced = np.pad(
        np.stack(rows), [(0, 0), (0, 0), *2 * [(_GAP, _GAP)], (0, 0)], constant_values=255
    )
    picture: np.ndarray = repeat(spaced, "row t h w c -> (row h i) (t w j) c", i=_SCALE, j=_SCALE)
    return picture


def save_samples(scores: VideoScores, path: Path) -> None:
    """Write what the page is drawn from: `clip` numbers, `truth` and each sample, uint8.

    Raises:
        OutputError: If the file cannot be written.
    """
    clips = scores.kept
    arrays = {"clip": np.array([clip.clip for clip in clips])}
    arrays["truth"] = np.stack([clip.truth for clip in clips])
    for label in clips[0].samples:
        arrays[label] = np.stack([clip.samples[label] for clip in clips])
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())
