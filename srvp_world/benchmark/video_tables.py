"""Published and measured numbers of video prediction: tables in Markdown and LaTeX, and curves.

Each table is either published or measured, never both, and a measured one holds only what can be
compared within it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from srvp_world.benchmark.protocols import PROTOCOLS
from srvp_world.benchmark.published import PUBLISHED, Score
from srvp_world.benchmark.scores import Estimate
from srvp_world.benchmark.tables import cell
from srvp_world.benchmark.video_blocks import Block
from srvp_world.benchmark.video_pairs import NOT_TOLD_APART, differences, reference, verdict
from srvp_world.benchmark.video_protocol import FVD
from srvp_world.benchmark.video_results import Measured
from srvp_world.metrics.frame import METRICS

UNKNOWN = "-"
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "->": r"$\to$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


class Column(NamedTuple):
    """How a metric is shown."""

    metric: str
    name: str
    better: str
    digits: int
    published_digits: int

    @property
    def heading(self) -> str:
        """Name, and which way is better."""
        return f"{self.name}, {self.better} is better"


COLUMNS = (
    *(Column(m.name, m.heading, m.better, m.digits, m.digits) for m in METRICS),
    Column("lpips", "LPIPS", "lower", 4, 4),
    Column("fvd", "FVD", "lower", 1, 0),
)


@dataclass(frozen=True)
class Table:
    """Words in rows.

    Attributes:
        title: What it shows.
        heads: Of its columns.
        rows: As many words each.
        notes: What to know in order to read it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def video_tables(blocks: Sequence[Block]) -> list[Table]:
    """Lay out what is published for each data set, and below it what was measured on it.

    Data sets of which nothing was measured are left out, unless nothing was measured at all.
    """
    measured = [block.name for block in blocks]
    tables = []
    for name in dict.fromkeys([*PROTOCOLS, *measured]):
        if name in PROTOCOLS and (name in measured or not blocks):
            tables.append(published_table(name))
        for block in (block for block in blocks if block.name == name):
            tables += [_measured(block), *_differences(block)]
    return tables


def published_table(name: str) -> Table:
    """Lay out what is published for a benchmark of the paper, and in which protocol."""
    paper, rows = PROTOCOLS[name], PUBLISHED[name]
    columns = _columns(metric for row in rows for metric in row.scores)
    samples = f"best of {paper.samples} samples" if paper.samples > 1 else "one sample"
    notes = [
        f"Published numbers, N = {paper.videos:,} clips, {paper.conditioning} -> {paper.horizon} "
        f"frames (T = {paper.length}), {samples}."
    ]
    if any(interval for row in rows for _, interval in row.scores.values()):
        notes[0] += f" {_intervals(columns)}"
    return Table(
        title=f"{name}: published",
        heads=("method", *(column.heading for column in columns), "published in"),
        rows=tuple(
            (
                row.method,
                *(_cell(row.scores.get(c.metric), c.published_digits) for c in columns),
                row.source,
            )
            for row in rows
        ),
        notes=tuple(notes),
    )


def _measured(block: Block) -> Table:
    columns = _columns(block.hashes)
    first = block.rows[0]
    protocol = first.protocol
    hashes = ", ".join(f"{column.metric} `{block.hashes[column.metric]}`" for column in columns)
    notes = [
        f"Measured with srvp-world, N = {protocol['videos']:,} clips, {protocol['conditioning']} "
        f"-> {protocol['horizon']} frames (T = {first.frames}), {samples_of(block)}. "
        f"{_intervals(columns)}",
        f"Protocol hashes: {hashes}.",
    ]
    if FVD in block.hashes:
        measured = next(row.numbers[FVD] for row in block.rows if FVD in row.hashes)
        notes.append(
            f"FVD: N = {protocol['videos']:,}, T = {first.frames}, {protocol['conditioning']} "
            f"conditioning frames included, resized {measured['resize']}."
        )
    if block.differences:
        notes.append(f"Not to be compared with other tables: {'; '.join(block.differences)}.")
    elif block.name not in PUBLISHED:
        notes.append("Nothing is published for these clips.")
    return Table(
        title=f"{block.title}: measured",
        heads=(
            "world",
            "updates",
            "clips seen",
            "substeps",
            *(column.heading for column in columns),
            "results",
        ),
        rows=(
            *(_measured_row(row, columns) for row in block.rows),
            *(
                _floor_row(floor, scores, columns)
                for floor, scores in first.floors.items()
                if scores
            ),
        ),
        notes=tuple(notes),
    )


def _measured_row(row: Measured, columns: Sequence[Column]) -> tuple[str, ...]:
    counts = (row.iterations, row.clips_seen, row.substeps)
    return (
        label(row),
        *(UNKNOWN if count is None else f"{count:,}" for count in counts),
        *(_cell(row.scores.get(column.metric), column.digits) for column in columns),
        row.path.parent.as_posix(),
    )


def _floor_row(
    floor: str, scores: Mapping[str, Score], columns: Sequence[Column]
) -> tuple[str, ...]:
    """Show what needs no world; it is the same for all rows, as their clips are."""
    cells = (_cell(scores.get(column.metric), column.digits) for column in columns)
    return (f"no world: {floor}", UNKNOWN, UNKNOWN, UNKNOWN, *cells, UNKNOWN)


def _differences(block: Block) -> Iterator[Table]:
    """Lay out by how much worlds differ from one of them, where results have each clip."""
    found = differences(block)
    columns = _columns(metric for metrics in found.values() for metric in metrics)
    if not found:
        return
    first = reference(block)
    silent = [label(row) for row in block.rows if row is not first and row not in found]
    left_out = f" Left out, without the scores of each clip: {', '.join(silent)}." if silent else ""
    yield Table(
        title=f"{block.title}: measured, less {label(first)}",
        heads=("world", *(heading for c in columns for heading in (c.name, f"by {c.name}"))),
        rows=tuple(
            (
                label(row),
                *(word for c in columns for word in _difference(metrics.get(c.metric), c)),
            )
            for row, metrics in found.items()
        ),
        notes=(
            "Differences clip by clip, ± the 95 % confidence interval of their mean; "
            f"`{NOT_TOLD_APART}` where it has 0 in it. Other seeds of training are not in it."
            + left_out,
        ),
    )


def _difference(found: Estimate | None, column: Column) -> tuple[str, str]:
    if found is None:
        return UNKNOWN, UNKNOWN
    mean, interval = map(float, found)
    shown = f"{mean:+.{column.digits}f} ± {interval:.{column.digits}f}"
    return shown, verdict(found, column.better)


def samples_of(block: Block) -> str:
    """Say how many samples of a clip the scores are the best of, and of what temperature."""
    protocol = block.rows[0].protocol
    samples, temperature = protocol["samples"], protocol.get("temperature", 1)
    shown = f"best of {samples:,} samples" if samples > 1 else "one sample"
    return shown if temperature == 1 else f"{shown} at temperature {temperature:g}"


def label(row: Measured) -> str:
    """Name a world for people: what it was trained as, and with which seed."""
    seed = row.training.get("train", {}).get("seed")
    return row.name if seed is None else f"{row.name}, seed {seed}"


def _columns(metrics: Iterable[str]) -> list[Column]:
    found = set(metrics)
    return [column for column in COLUMNS if column.metric in found]


def _intervals(columns: Sequence[Column]) -> str:
    """Say what follows the sign ±."""
    text = "± is the 95 % confidence interval over clips"
    fvd = any(column.metric == "fvd" for column in columns)
    return f"{text}, of FVD over samples of each clip." if fvd else f"{text}."


def _cell(score: Score | None, digits: int) -> str:
    return UNKNOWN if score is None else cell(digits, *score)


def as_markdown(tables: Sequence[Table]) -> str:
    """Write tables for a page."""
    parts = []
    for table in tables:
        rows = (table.heads, ("---",) * len(table.heads), *table.rows)
        lines = ["| " + " | ".join(_piped(word) for word in row) + " |" for row in rows]
        parts.append("\n".join([f"### {table.title}", "", *lines, "", *table.notes]))
    return "\n\n".join(parts) + "\n"


def _piped(word: str) -> str:
    return word.replace("|", "\\|")


def as_latex(tables: Sequence[Table]) -> str:
    """Write tables for a paper; they need the package `booktabs`."""
    return "\n\n".join(_latex(table) for table in tables) + "\n"


def _latex(table: Table) -> str:
    rows = [" & ".join(map(escaped, row)) + r" \\" for row in (table.heads, *table.rows)]
    caption = escaped(" ".join([f"{table.title}.", *table.notes]).replace("`", ""))
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.heads)}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def escaped(text: str) -> str:
    """Write text so that LaTeX shows it as it is."""
    pieces = text.split("->")
    shown = ["".join(_LATEX.get(letter, letter) for letter in piece) for piece in pieces]
    return _LATEX["->"].join(shown)
