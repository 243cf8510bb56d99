"""The table of one evaluation of video prediction: ours, and the floors."""

import numpy as np

from srvp_world.benchmark.protocols import temperature_of
from srvp_world.benchmark.scores import FVDScore, VideoScores, estimate
from srvp_world.metrics.frame import Metric


def video_table(scores: VideoScores) -> str:
    """Lay the scores out in Markdown, with floors below."""
    protocol, metrics = scores.protocol, scores.metrics
    heads = " | ".join(f"{metric.heading}, {metric.better} is better" for metric in metrics)
    lines = [f"| {_title(scores)} | {heads} |", "|---" * (len(metrics) + 1) + "|"]
    by_metric = {metric.name: scores.rows(metric) for metric in metrics}
    for row in by_metric[metrics[0].name]:
        cells = [_ours(metric, by_metric[metric.name][row]) for metric in metrics]
        lines.append(f"| {_label(row, protocol.samples)} | {' | '.join(cells)} |")
    lines += ["", "± is the 95 % confidence interval of the mean over clips."]
    if protocol.samples > 1:
        apart = estimate(scores.diversity.mean(axis=1))
        lines.append(
            f"diversity: two samples of a clip differ by {float(apart.mean):.3g} ± "
            f"{float(apart.interval):.2g} (mean squared difference of pixels)"
        )
    if scores.fvd:
        lines.append(_fvd(scores.fvd))
    return "\n".join(lines)


def _fvd(fvd: FVDScore) -> str:
    """Say the distance with all that it depends on: papers differ in every part."""
    samples = len(fvd.each)
    many = f" ± {fvd.interval:.1f} over {samples} samples of each clip (first: {fvd.each[0]:.1f})"
    return (
        f"FVD, lower is better: {fvd.mean:.1f}{many if samples > 1 else ' (one sample)'}; N = "
        f"{fvd.videos} clips, T = {fvd.frames} frames, {fvd.conditioning_frames} conditioning "
        f"frames included, {fvd.resize}"
    )


def _title(scores: VideoScores) -> str:
    protocol = scores.protocol
    return (
        f"{protocol.name}, {scores.clips} clips, {protocol.conditioning} -> {protocol.horizon} "
        f"frames{temperature_of(protocol)}"
    )


def _label(row: str, samples: int) -> str:
    if row in ("mean", "worst") or (row == "best" and samples > 1):
        return f"{row} of {samples} samples"
    return "one sample" if row == "best" else row


def _ours(metric: Metric, frames: np.ndarray) -> str:
    score = estimate(frames.mean(axis=1, dtype=np.float64))
    return cell(metric.digits, float(score.mean), float(score.interval))


def cell(digits: int, mean: float, interval: float | None) -> str:
    """Show a score, and half of its confidence interval where there is one."""
    shown = f"{mean:.{digits}f}"
    return shown if interval is None else f"{shown} ± {interval:.{digits}f}"
