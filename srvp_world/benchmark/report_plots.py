"""The page of plots of a report."""

import math
from collections.abc import Callable
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib.figure
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes

from srvp_world.benchmark.figures import save_figure
from srvp_world.benchmark.report import Report
from srvp_world.benchmark.report_table import shown

_COLUMNS = 5
_OURS, _MEAN, _OTHER, _FLOOR = "tab:blue", "tab:orange", "tab:red", "0.45"

Panel = tuple[str, Callable[[Axes, Report], None]]


def draw_page(report: Report, title: str, path: Path) -> None:
    """Draw all that was measured on one page, and say below what was not.

    Args:
        report: What to draw.
        title: What world, on what data.
        path: Where to write the PNG.

    Raises:
        OutputError: If the file cannot be written.
    """
    panels = _panels(report)
    rows = math.ceil(len(panels) / _COLUMNS)
    columns = math.ceil(len(panels) / rows)
    size = (4.4 * columns, 3.9 * rows + 0.9)
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one, (heading, draw) in zip(axes, panels, strict=False):
        draw(one, report)
        one.set_title(heading, fontsize=11)
        one.grid(alpha=0.3)
    for one in axes[len(panels) :]:
        one.set_axis_off()
    if report.left_out:
        words = "; ".join(f"{name}: {reason}" for name, reason in report.left_out.items())
        figure.supxlabel(fill(f"Left out: {words}.", 45 * columns), fontsize=10)
    config, data = report.config, report.numbers["data"]
    figure.suptitle(
        f"{title}\n{data['clips']} clips of {data['episodes']} episodes, {config.watched} frames "
        f"watched, {config.horizon} imagined, {config.samples} futures; "
        "bands: 95 % confidence of the mean",
        fontsize=12,
    )
    save_figure(figure, path)


def _panels(report: Report) -> list[Panel]:
    """Choose the plots for which there are numbers."""
    possible: dict[str, list[Panel]] = {
        "open_loop": [("Open loop", _open_loop)],
        "actions": [("Action sensitivity", _sensitivity)],
        "reward": [("Reward of imagined steps", _reward), ("Return of imagined parts", _returns)],
        "continuation": [("Continuation of imagined steps", _continuation)],
        "age": [("Filter: one step ahead", _age_psnr), ("Filter: surprise of a step", _age_kl)],
        "coverage": [("Coverage by the start clips", _coverage)],
        "uncertainty": [("Uncertainty", _uncertainty), ("Error by uncertainty", _doubt)],
    }
    panels = [panel for name, some in possible.items() if name in report.numbers for panel in some]
    if "age" in report.numbers and "kl" not in report.numbers["age"]["curves"]:
        panels = [panel for panel in panels if panel[1] is not _age_kl]
    if report.actions is not None:
        panels.append(("Actions of the data", _actions))
    if report.rewards is not None:
        panels.append(("Rewards of the data", _rewards))
    return panels


def _line(axes: Axes, x: np.ndarray, curve: Any, label: str, colour: str, style: str = "-") -> None:
    """Draw a mean with its band; single points have markers, as lines would not show them."""
    mean, interval = curve["mean"], curve["interval"]
    axes.plot(x, mean, style, color=colour, label=label, marker="o" if len(x) == 1 else None)
    axes.fill_between(x, mean - interval, mean + interval, color=colour, alpha=0.2, linewidth=0)


def _open_loop(axes: Axes, report: Report) -> None:
    curves = report.numbers["open_loop"]["curves"]
    step = curves["step"]
    _line(axes, step, curves["mean_prediction"], "mean prediction", _MEAN)
    _line(axes, step, curves["one_sample"], "one sample", _OURS)
    _line(axes, step, curves["copy_last_frame"], "copying the last frame", _FLOOR, "--")
    axes.set(xlabel="steps after the last watched frame", ylabel="PSNR (dB), higher is better")
    axes.legend(fontsize=8)


def _sensitivity(axes: Axes, report: Report) -> None:
    step = report.numbers["open_loop"]["curves"]["step"]
    curves = report.numbers["actions"]["curves"]
    mean = report.numbers["open_loop"]["curves"]["mean_prediction"]
    _line(axes, step, mean, "its own actions", _MEAN)
    _line(axes, step, curves["psnr_shuffled"], "another clip's actions", _OTHER, "--")
    ratio = curves["error_ratio"]
    axes.set(
        xlabel="steps after the last watched frame",
        ylabel="PSNR of the mean prediction (dB)",
    )
    words = f"error x {ratio[0]:.2f} at step 1, x {ratio[-1]:.2f} at step {len(ratio)}"
    axes.legend(fontsize=8, title=f"{words}\n(x 1: actions do not matter)", title_fontsize=8)


def _diagonal(axes: Axes) -> None:
    """Draw where predictions are right, as far as the data reach."""
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], ":", color="black", linewidth=1, label="right")
    axes.set(xlim=(low, high), ylim=(low, high))


def _reward(axes: Axes, report: Report) -> None:
    imagined, numbers = report.imagined, report.numbers
    assert imagined.predicted_reward is not None and imagined.reward is not None
    valid = imagined.valid
    predicted, truth = imagined.predicted_reward.mean(1)[valid], imagined.reward[valid]
    axes.plot(predicted, truth, ".", color=_OURS, alpha=0.2, markersize=4, label="steps")
    curve = numbers["reward_curve"]
    axes.plot(curve["predicted"], curve["truth"], "-o", color=_MEAN, markersize=4, label="bins")
    _agreement(axes, numbers["reward"], "reward")


def _returns(axes: Axes, report: Report) -> None:
    returns = report.numbers["returns"]
    axes.plot(returns["predicted"], returns["truth"], "o", color=_OURS, alpha=0.5, label="clips")
    _agreement(axes, report.numbers["return"], "return")


def _agreement(axes: Axes, row: Any, what: str) -> None:
    _diagonal(axes)
    axes.set(xlabel=f"predicted {what}", ylabel=f"true {what}")
    words = f"correlation {shown(row['correlation'], '.3f')}, MAE {row['mae']:.3g}, "
    words += f"bias {row['bias']:.2g}"
    axes.legend(fontsize=8, title=words, title_fontsize=8)


def _continuation(axes: Axes, report: Report) -> None:
    found = report.numbers["continuation"]
    curve, ends = found["curve"], found["ends"]
    axes.plot(curve["predicted"], curve["truth"], "-o", color=_OURS, label="share that went on")
    for x, y, count in zip(curve["predicted"], curve["truth"], curve["count"], strict=True):
        axes.annotate(f"{count:,}", (x, y), (4, -10), textcoords="offset points", fontsize=7)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    _diagonal(axes)
    axes.set(xlabel="predicted probability to go on", ylabel="share that went on")
    off = ends["absolute_error"]
    words = f"Brier {found['brier']:.3g} (mean rate: {found['brier_of_mean_rate']:.3g})\n"
    words += f"{ends['found']} of {ends['true']} ends foreseen"
    words += f", {shown(off, '.1f')} steps off" if ends["found"] else ""
    axes.legend(fontsize=8, title=words, title_fontsize=8)


def _age_psnr(axes: Axes, report: Report) -> None:
    curves = report.numbers["age"]["curves"]
    _line(axes, curves["age"], curves["psnr"], "mean prediction of the next frame", _OURS)
    axes.set(xlabel=_seen(curves), ylabel="PSNR (dB), higher is better")


def _age_kl(axes: Axes, report: Report) -> None:
    curves = report.numbers["age"]["curves"]
    _line(axes, curves["age"], curves["kl"], "KL", _OURS)
    axes.set(xlabel=_seen(curves), ylabel="KL(q(z) || p(z)) (nats)")
    axes.set_ylim(bottom=0)


def _seen(curves: Any) -> str:
    """Say of how many episodes the ends of a curve are."""
    first, last = curves["episodes"][[0, -1]]
    count = f"{first} episodes" if first == last else f"{first} episodes, {last} at last"
    return f"frames seen by the filter ({count})"


def _coverage(axes: Axes, report: Report) -> None:
    coverage = report.coverage
    assert coverage is not None
    top = float(np.percentile(np.concatenate([coverage.data, coverage.starts]), 99.5))
    bins = np.linspace(0, top if top > 0 else 1, 40)
    for values, label, colour in (
        (coverage.starts, "start clips", _FLOOR),
        (coverage.data, "data of this report", _OURS),
    ):
        weights = np.full(len(values), 1 / len(values))
        clipped = values.clip(max=bins[-1])
        axes.hist(clipped, list(bins), weights=weights, color=colour, alpha=0.5, label=label)
    axes.axvline(coverage.limit, color="black", linestyle=":", label="95 % of the start clips")
    axes.set(xlabel="distance to the nearest (other) start clip", ylabel="share of states")
    words = f"{coverage.beyond:.0%} of states beyond; median x {coverage.ratio:.2f}"
    axes.legend(fontsize=8, title=words, title_fontsize=8)


def _uncertainty(axes: Axes, report: Report) -> None:
    found = report.numbers["uncertainty"]
    step = np.arange(1, len(found["rank_correlation"]) + 1)
    axes.plot(step, found["rank_correlation"], "-", color=_OURS)
    axes.axhline(0, color="black", linewidth=1)
    axes.set(
        xlabel="steps after the last watched frame",
        ylabel="rank correlation of uncertainty and error",
        ylim=(-1, 1),
    )


def _doubt(axes: Axes, report: Report) -> None:
    curve = report.numbers["uncertainty"]["curve"]
    axes.plot(curve["predicted"], curve["truth"], "-o", color=_OURS)
    axes.set(
        xlabel=f"uncertainty, summed over {report.config.horizon} steps",
        ylabel="mean squared error of the last frame",
    )


def _actions(axes: Axes, report: Report) -> None:
    assert report.actions is not None
    if report.choices:
        axes.bar(np.arange(report.actions.shape[1]), report.actions.mean(0), color=_OURS, alpha=0.7)
        axes.set(xlabel="choice (of several components: one after the other)", ylabel="share")
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        return
    for component in report.actions.T:
        axes.hist(component, 21, range=(-1, 1), histtype="step", linewidth=1.5)
    axes.set(xlabel="action, scaled to [-1, 1]; a line for each component", ylabel="number")


def _rewards(axes: Axes, report: Report) -> None:
    assert report.rewards is not None
    axes.hist(report.rewards, 40, color=_OURS, alpha=0.7)
    axes.set(xlabel="reward of a step", ylabel="number")
