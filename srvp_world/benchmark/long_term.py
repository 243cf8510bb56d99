"""Long-term prediction: scores frame by frame, far past the length of training clips."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.figure
import matplotlib.ticker
import numpy as np

from srvp_world.benchmark.curves import draw_floors, draw_line, fit_height
from srvp_world.benchmark.experiment import SEED, check_video_world, markdown, shown, summary
from srvp_world.benchmark.figures import save_figure
from srvp_world.benchmark.floors import FLOORS
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
    "within": "mean over the predicted frames up to the length of training clips; null where that "
    "length is not known, or no predicted frame is that early",
    "beyond": "mean over those behind it; null where there is none",
    "trained_frames": "length of the clips that the world was trained on, read from its run",
    "floors": "predictions that need no world, of the same clips; parted where all worlds whose "
    "length is known share it",
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
    any_scores = next(iter(results.values()))
    lengths = set(trained.values()) - {None}
    shared = lengths.pop() if len(lengths) == 1 else None
    return {
        "frame": np.arange(protocol.conditioning, protocol.length) + 1,
        "worlds": {
            name: _numbers(scores, "best", trained[name]) for name, scores in results.items()
        },
        "floors": {floor: _numbers(any_scores, floor, shared) for floor in FLOORS},
    }


def _numbers(scores: VideoScores, row: str, trained: int | None) -> dict[str, Any]:
    rows = {metric.name: scores.rows(metric)[row] for metric in METRICS}
    first = scores.protocol.conditioning
    return {
        "trained_frames": trained,
        "scores": {name: parts(values, first, trained) for name, values in rows.items()},
        "curves": {name: estimate(values)._asdict() for name, values in rows.items()},
    }


def parts(values: np.ndarray, conditioning: int, trained: int | None) -> dict[str, Any]:
    """Average scores (clips, horizon) over all frames, and up to and behind the trained length."""
    within = beyond = None
    if trained is not None:
        early, late = np.split(values, [max(0, trained - conditioning)], axis=1)
        within, beyond = (summary(part) if part.shape[1] else None for part in (early, late))
    return {"all": summary(values), "within": within, "beyond": beyond}


def long_term_table(numbers: Mapping[str, Any]) -> str:
    """Lay the numbers out in Markdown."""
    heads = [f"{metric.heading}, {part}" for metric in METRICS for part in _PARTS.values()]
    named = {
        f"{name} ({row['trained_frames'] or '?'} frames)": row
        for name, row in numbers["worlds"].items()
    }
    named |= {f"no world: {floor}": row for floor, row in numbers["floors"].items()}
    rows = [
        [name]
        + [
            shown(row["scores"][metric.name][part], metric.digits)
            for metric in METRICS
            for part in _PARTS
        ]
        for name, row in named.items()
    ]
    return "\n".join(markdown(["world (trained on)", *heads], rows))


_PARTS = {"all": "all frames", "within": "as trained", "beyond": "beyond"}


def draw_long_term(
    results: Mapping[str, VideoScores],
    trained: Mapping[str, int | None],
    protocol: Protocol,
    path: Path,
) -> None:
    """Draw each metric against the frame: worlds, floors in grey, a bar where training clips end.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = matplotlib.figure.Figure(figsize=(6.4 * len(METRICS), 5.0), layout="constrained")
    axes = figure.subplots(1, len(METRICS))
    frame = np.arange(protocol.conditioning, protocol.length) + 1
    any_scores = next(iter(results.values()))
    bars = sorted({length for length in trained.values() if length and length in frame})
    for metric, one in zip(METRICS, axes, strict=True):
        lines = {name: estimate(scores.rows(metric)["best"]) for name, scores in results.items()}
        for name, line in lines.items():
            draw_line(one, frame, line, label=name)
        floors = {floor: estimate(any_scores.rows(metric)[floor]) for floor in FLOORS}
        draw_floors(one, frame, floors)
        fit_height(one, [*lines.values()], [*floors.values()])
        for length in bars:
            one.axvline(length, color="black", linewidth=1, linestyle=":")
        one.set(xlabel="frame", ylabel=f"{metric.heading}, {metric.better} is better")
        one.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        one.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    clips = f"{any_scores.clips} clip{'' if any_scores.clips == 1 else 's'}"
    words = "; training clips end at the bar" if bars else ""
    figure.suptitle(f"{protocol.name}: {clips}, bands of 95 % confidence{words}")
    save_figure(figure, path)
