"""Scores against the number of the frame: of an evaluation, and lines for other pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from srvp_world.benchmark.figures import save_figure
from srvp_world.benchmark.floors import FLOORS
from srvp_world.benchmark.protocols import temperature_of
from srvp_world.benchmark.scores import Estimate, VideoScores, estimate
from srvp_world.metrics.frame import Metric

CURVES = "curves.png"

_COLOURS = {"best": "tab:blue", "mean": "tab:orange"}
_FLOOR_STYLES = dict(zip(FLOORS, ("--", "-.", ":"), strict=True))
_SHOWN_OF_FLOORS = (5, 95)  # percentiles


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
        f"{temperature_of(protocol)}"
    )
    save_figure(figure, path)


def _draw_metric(scores: VideoScores, metric: Metric, axes: matplotlib.axes.Axes) -> None:
    protocol = scores.protocol
    frame = np.arange(protocol.conditioning, protocol.length) + 1
    lines = {row: estimate(values) for row, values in scores.rows(metric).items()}
    worlds = {row: colour for row, colour in _COLOURS.items() if row in lines}
    for row, colour in worlds.items():
        label = f"{row} of {protocol.samples}" if protocol.samples > 1 else "prediction"
        draw_line(axes, frame, lines[row], color=colour, label=label)
    floors = {floor: lines[floor] for floor in FLOORS}
    draw_floors(axes, frame, floors)
    fit_height(axes, [lines[row] for row in worlds], [*floors.values()])
    axes.set(xlabel="frame", ylabel=f"{metric.heading}, {metric.better} is better")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def draw_line(axes: matplotlib.axes.Axes, frame: np.ndarray, score: Estimate, **style: Any) -> None:
    """Draw one line with its band of 95 % confidence."""
    (line,) = axes.plot(frame, score.mean, **style)
    low, high = score.mean - score.interval, score.mean + score.interval
    axes.fill_between(frame, low, high, color=line.get_color(), alpha=0.2, linewidth=0)


def draw_floors(
    axes: matplotlib.axes.Axes, frame: np.ndarray, floors: Mapping[str, Estimate]
) -> None:
    """Draw predictions that need no world in grey, in the same way in all pictures."""
    for floor, score in floors.items():
        style = _FLOOR_STYLES[floor]
        draw_line(axes, frame, score, color="0.45", linestyle=style, label=floor)


def fit_height(
    axes: matplotlib.axes.Axes, worlds: Sequence[Estimate], floors: Sequence[Estimate]
) -> None:
    """Make room for all that worlds score, and for floors but where they are exceptional.

    Deterministic Moving MNIST repeats itself: at some frames a copy of the last observed one is
    perfect, and its 100 dB would leave no height for anything else.
    """
    ends = [end for mean, interval in worlds for end in (mean - interval, mean + interval)]
    shown = [np.nanpercentile(mean, _SHOWN_OF_FLOORS) for mean, _ in floors]
    heights = np.concatenate([*ends, *shown])
    low, high = np.nanmin(heights), np.nanmax(heights)
    margin = 0.05 * (high - low)
    if margin > 0:
        axes.set_ylim(low - margin, high + margin)
