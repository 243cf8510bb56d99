"""Pictures of an evaluation: strips of truth and samples, and scores frame by frame."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np
from einops import repeat

from srvp_world.benchmark.floors import FLOORS
from srvp_world.benchmark.scores import KeptClip, VideoScores, estimate
from srvp_world.data.files import make_folder, write_atomically
from srvp_world.metrics.frame import Metric
from srvp_world.pictures import UNSEEN, bordered

PAGE = "page.png"
CURVES = "curves.png"
SAMPLES = "samples.npz"

_SCALE = 2
_PAGE_CLIPS = 4
_GIVEN_COLUMNS = 4
_IMAGINED_COLUMNS = 12
_GAP = 2  # pixels of paper around a frame, before scaling
_CLIP_GAP = 16
_LEFT, _TOP, _BOTTOM = 110, 34, 30  # pixels for words
_DPI = 100
_COLOURS = {"best": "tab:blue", "mean": "tab:orange"}
_FLOOR_LINES = ("--", "-.", ":")


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
    figure = matplotlib.figure.Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
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


def draw_curves(scores: VideoScores, path: Path, *, trained_frames: int | None = None) -> None:
    """Draw each metric against the number of the frame, with bands of 95 % confidence.

    Args:
        scores: What to draw.
        path: Where to write the PNG.
        trained_frames: Length of the clips in training, where it is known.

    Raises:
        OutputError: If the file cannot be written.
    """
    metrics = scores.metrics
    figure = matplotlib.figure.Figure(figsize=(6.4 * len(metrics), 4.6), layout="constrained")
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    for metric, one in zip(metrics, axes, strict=True):
        _draw_metric(scores, metric, one)
        predicted = range(scores.protocol.conditioning + 1, scores.protocol.length + 1)
        if trained_frames in predicted:
            one.axvline(trained_frames, color="black", linewidth=1, linestyle=":")
            one.annotate(
                " length of training clips ",
                (trained_frames, 0.02),
                xycoords=("data", "axes fraction"),
                fontsize=8,
            )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    protocol = scores.protocol
    figure.suptitle(
        f"{protocol.name}: {scores.clips} clips, {protocol.samples} "
        f"{'samples' if protocol.samples > 1 else 'sample'} each, bands of 95 % confidence"
    )
    save_figure(figure, path)


def _draw_metric(scores: VideoScores, metric: Metric, axes: matplotlib.axes.Axes) -> None:
    protocol = scores.protocol
    frame = np.arange(protocol.conditioning, protocol.length) + 1
    rows = scores.rows(metric)
    styles = {row: (colour, "-") for row, colour in _COLOURS.items() if row in rows}
    styles |= {floor: ("0.45", line) for floor, line in zip(FLOORS, _FLOOR_LINES, strict=True)}
    for row, (colour, line) in styles.items():
        score = estimate(rows[row])
        label = row
        if row in _COLOURS:
            label = f"{row} of {protocol.samples}" if protocol.samples > 1 else "prediction"
        axes.plot(frame, score.mean, line, color=colour, label=label)
        low, high = score.mean - score.interval, score.mean + score.interval
        axes.fill_between(frame, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel="frame", ylabel=f"{metric.heading}, {metric.better} is better")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def save_figure(figure: matplotlib.figure.Figure, path: Path) -> None:
    """Write a figure as PNG, atomically.

    Raises:
        OutputError: If the file cannot be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    make_folder(path.parent)
    write_atomically(path, picture.getvalue())
