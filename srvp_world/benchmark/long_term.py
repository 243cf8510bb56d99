"""Long-term prediction: scores frame by frame, far past the length of training clips."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np

from srvp_world.benchmark.curves import draw_line
from srvp_world.benchmark.experiment import SEED, check_video_world, markdown, shown, summary
from srvp_world.benchmark.figures import save_figure
from srvp_world.benchmark.protocols import Clips, Protocol
from srvp_world.benchmark.scores import VideoScores, estimate
from srvp_world.benchmark.video import evaluate_video
from srvp_world.checkpoint import World
from srvp_world.kinds import KINDS, kind_of
from srvp_world.metrics.frame import METRICS

PICTURE = "long-term.png"
DEFINITIONS = {
    "curves": "best sample of each clip by its mean over predicted frames, frame by frame, mean "
    "over clips, with bands of 95 % confidence",
    "within": "mean over the predicted frames up to the length of training clips",
    "beyond": "mean over those behind it; null where that length is not known",
    "trained_frames": "length of the clips that the world was trained on, read from its run",
}


def measure_long_term(
    worlds: Mapping[str, World],
    trained: Mapping[str, int | None],
    clips: Clips,
    protocol: Protocol,
    out: Path,
    *,
    seed: int = SEED,
    progress: bool = True,
) -> dict[str, Any]:
    """Evaluate worlds on the same clips, and draw their curves into one picture.

    Args:
        worlds: Without actions, by the names to show.
        trained: Lengths of the clips that they were trained on, where they are known.
        clips: That all of them can watch.
        protocol: What to predict from what.
        out: Folder for the picture.
        seed: Of all noise.
        progress: Whether to show a bar for each world.

    Raises:
        ConfigError: If a world takes actions.
    """
    for world in worlds.values():
        check_video_world(world)
    results = {
        name: evaluate_video(
            KINDS[kind_of(world.model.config)].futures(
                world.model,
                substeps=protocol.substeps,
                observed_substeps=protocol.observed_substeps,
            ),
            clips,
            protocol,
            seed=seed,
            keep=1,
            progress=progress,
        )
        for name, world in worlds.items()
    }
    draw_long_term(results, trained, protocol, out / PICTURE)
    first = protocol.conditioning
    numbers = {
        name: {
            "trained_frames": trained[name],
            "scores": {
                metric.name: parts(scores.rows(metric)["best"], first, trained[name])
                for metric in METRICS
            },
            "curves": {
                metric.name: estimate(scores.rows(metric)["best"])._asdict() for metric in METRICS
            },
        }
        for name, scores in results.items()
    }
    return {"frame": np.arange(first, protocol.length) + 1, "worlds": numbers}


def parts(values: np.ndarray, conditioning: int, trained: int | None) -> dict[str, Any]:
    """Average scores (clips, horizon) over all frames, and up to and behind the trained length."""
    split = None if trained is None else trained - conditioning
    within = beyond = None
    if split is not None and 0 < split < values.shape[1]:
        within, beyond = summary(values[:, :split]), summary(values[:, split:])
    return {"all": summary(values), "within": within, "beyond": beyond}


def long_term_table(numbers: Mapping[str, Any]) -> str:
    """Lay the numbers out in Markdown."""
    heads = [f"{metric.heading}, {part}" for metric in METRICS for part in _PARTS.values()]
    rows = [
        [f"{name} ({row['trained_frames'] or '?'} frames)"]
        + [
            shown(row["scores"][metric.name][part], metric.digits)
            for metric in METRICS
            for part in _PARTS
        ]
        for name, row in numbers["worlds"].items()
    ]
    return "\n".join(markdown(["world (trained on)", *heads], rows))


_PARTS = {"all": "all frames", "within": "as trained", "beyond": "beyond"}


def draw_long_term(
    results: Mapping[str, VideoScores],
    trained: Mapping[str, int | None],
    protocol: Protocol,
    path: Path,
) -> None:
    """Draw each metric against the frame, one line a world, and a bar where training clips end.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = matplotlib.figure.Figure(figsize=(6.4 * len(METRICS), 4.6), layout="constrained")
    axes = figure.subplots(1, len(METRICS))
    frame = np.arange(protocol.conditioning, protocol.length) + 1
    for metric, one in zip(METRICS, axes, strict=True):
        for name, scores in results.items():
            draw_line(one, frame, estimate(scores.rows(metric)["best"]), label=name)
        for length in sorted({length for length in trained.values() if length is not None}):
            one.axvline(length, color="black", linewidth=1, linestyle=":")
        one.set(xlabel="frame", ylabel=f"{metric.heading}, {metric.better} is better")
        one.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    clips = next(iter(results.values())).clips
    figure.suptitle(
        f"{protocol.name}: {clips} clips, bands of 95 % confidence; training clips end at the bar"
    )
    save_figure(figure, path)
