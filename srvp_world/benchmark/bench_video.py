"""What `srvp-world bench video` leaves: `results.json`, tables in two forms, and curves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from srvp_world.benchmark.curves import CURVES, draw_floors, draw_line, fit_height
from srvp_world.benchmark.figures import save_figure
from srvp_world.benchmark.floors import FLOORS
from srvp_world.benchmark.published import published_numbers
from srvp_world.benchmark.scores import Estimate
from srvp_world.benchmark.video_blocks import Block
from srvp_world.benchmark.video_pairs import differences
from srvp_world.benchmark.video_results import RESULTS, Measured
from srvp_world.benchmark.video_tables import (
    COLUMNS,
    Column,
    as_latex,
    as_markdown,
    label,
    samples_of,
)
from srvp_world.benchmark.video_tables import video_tables as tables_of
from srvp_world.data.files import make_folder, write_atomically
from srvp_world.errors import OutputError
from srvp_world.results import write_results

MARKDOWN, LATEX = "table.md", "table.tex"
_KINDS = {
    "published": "numbers as their citations give them; nothing of them was measured here",
    "measured": "best sample of each clip, by each metric; of FVD the mean over its samples",
    "interval": "half of the 95 % confidence interval, as the results that were gathered have it",
    "protocol_hash": "equal for numbers of a metric that can be compared, and for no others",
    "blocks": "what was measured in the same way; `differences` says what is otherwise than in the "
    "paper or in the first block of a data set",
    "less_the_first": "by how much rows of a block score more than the first that has the scores "
    "of each clip, clip by clip; with half of the 95 % confidence interval over clips, which knows "
    "of no other seeds of training",
}


def check_out(out: Path) -> None:
    """Refuse a folder whose results are not of this benchmark, before anything is written.

    Raises:
        OutputError: If it holds other results.
    """
    path = out / RESULTS
    if not path.exists():
        return
    try:
        ours = (
            json.loads(path.read_text(encoding="utf-8"))["protocol"]["kinds"].keys()
            == _KINDS.keys()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        ours = False
    if not ours:
        raise OutputError(
            f"{out} already holds another {RESULTS}: choose another folder with --out"
        )


def write_report(out: Path, blocks: Sequence[Block], command: str) -> list[str]:
    """Write everything into a folder; give the names of the files.

    Raises:
        OutputError: If it holds other results, or cannot be written.
    """
    check_out(out)
    make_folder(out)
    tables = tables_of(blocks)
    write_results(
        out / RESULTS,
        as_json(blocks),
        command=command,
        protocol={"kinds": _KINDS},
        seed=None,
        device="cpu",  # of gathering; each of the results tells where it was measured
    )
    write_atomically(out / MARKDOWN, as_markdown(tables).encode())
    write_atomically(out / LATEX, as_latex(tables).encode())
    drawn = draw_video_curves(blocks, out / CURVES)
    return [MARKDOWN, LATEX, RESULTS, *([CURVES] if drawn else [])]


def as_json(blocks: Sequence[Block]) -> dict[str, Any]:
    """Give all numbers, published and measured ones apart."""
    measured = [
        {
            "dataset": block.name,
            "protocol_hash": block.hashes,
            "differences": block.differences,
            "rows": [row.as_json() for row in block.rows],
            "less_the_first": {
                str(row.path): {metric: found._asdict() for metric, found in metrics.items()}
                for row, metrics in differences(block).items()
            },
        }
        for block in blocks
    ]
    return {"published": published_numbers(), "measured": {"blocks": measured}}


def draw_video_curves(blocks: Sequence[Block], path: Path) -> bool:
    """Draw scores frame by frame, a row of panels for each block; say whether there are any.

    A dotted line marks the length of training clips, where all worlds of a block have the same.

    Raises:
        OutputError: If the file cannot be written.
    """
    panels = [
        [
            (block, column)
            for column in COLUMNS
            if any(_curve(row, column, "best") for row in block.rows)
        ]
        for block in blocks
    ]
    panels = [row for row in panels if row]
    if not panels:
        return False
    width = max(map(len, panels))
    size = (6.4 * width, 4.6 * len(panels))
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(panels), width, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for row, line in zip(panels, grid, strict=True):
        for (block, column), axes in zip(row, line, strict=False):
            _draw(block, column, axes)
    save_figure(figure, path)
    return True


def _draw(block: Block, column: Column, axes: matplotlib.axes.Axes) -> None:
    axes.set_visible(True)
    first = block.rows[0]
    frame = np.arange(first.protocol["conditioning"], first.frames) + 1
    worlds = []
    for row in block.rows:
        score = _curve(row, column, "best")
        if score:
            draw_line(axes, frame, score, label=label(row))
            worlds.append(score)
    floors = {floor: _curve(first, column, floor) for floor in FLOORS}
    found = {floor: score for floor, score in floors.items() if score}
    draw_floors(axes, frame, found)
    fit_height(axes, worlds, [*found.values()])
    windows = {row.window for row in block.rows}
    trained = windows.pop() if len(windows) == 1 else None
    if trained and first.protocol["conditioning"] < trained <= first.frames:
        axes.axvline(trained, color="black", linewidth=1, linestyle=":")
    protocol = first.protocol
    axes.set(
        xlabel="frame",
        ylabel=column.heading,
        title=f"{block.title}: {protocol['videos']:,} clips, {protocol['conditioning']} -> "
        f"{protocol['horizon']} frames,\n{samples_of(block)}, {block.hashes[column.metric][:8]}",
    )
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)


def _curve(row: Measured, column: Column, what: str) -> Estimate | None:
    """Give the scores frame by frame of the best sample or a floor; None where there are none."""
    found = row.numbers.get("curves", {}).get(column.metric, {}).get(what)
    if found is None:
        return None
    return Estimate(*(np.array(found[part], np.float64) for part in ("mean", "interval")))
