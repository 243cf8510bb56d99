"""Evaluations sorted into what can be compared with one another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from srvp_world.benchmark.protocols import PROTOCOLS
from srvp_world.benchmark.video_protocol import ingredients
from srvp_world.benchmark.video_results import COUNTS, Measured


@dataclass(frozen=True, eq=False)
class Block:
    """Evaluations that can be compared with one another in every metric that they share.

    Attributes:
        rows: At least one.
        hashes: Of the protocol of each metric that any of them has.
        differences: What is not as in the paper, or not as in earlier blocks of the data set.
    """

    rows: list[Measured]
    hashes: dict[str, str]
    differences: list[str]

    @property
    def name(self) -> str:
        """Of the first row's data set."""
        return str(self.rows[0].protocol["name"])

    @property
    def title(self) -> str:
        """Names of the data set: folders with the same clips may have several."""
        return ", ".join(dict.fromkeys(str(row.protocol["name"]) for row in self.rows))


def sort_into_blocks(measured: Sequence[Measured]) -> list[Block]:
    """Put together what can be compared, data sets of the paper first, and say what differs.

    Evaluations belong together where all metrics that both have share their hashes.
    """
    names = [*PROTOCOLS, *sorted({row.protocol["name"] for row in measured} - PROTOCOLS.keys())]
    blocks: list[Block] = []
    for name in names:
        for row in (row for row in measured if row.protocol["name"] == name):
            block = next((block for block in blocks if _fits(row, block)), None)
            if block is None:
                earlier = [other for block in blocks if block.name == name for other in block.rows]
                block = Block([], {}, [*_differences(row, earlier)])
                blocks.append(block)
            block.rows.append(row)
            block.hashes.update(row.hashes)
    return blocks


def _fits(row: Measured, block: Block) -> bool:
    """Say whether an evaluation can be compared with all of a block; hashes know the data set."""
    shared = row.hashes.keys() & block.hashes.keys()
    return bool(shared) and all(row.hashes[metric] == block.hashes[metric] for metric in shared)


def _differences(row: Measured, earlier: Sequence[Measured]) -> Iterator[str]:
    """Tell what keeps an evaluation from the paper's numbers, and from earlier blocks."""
    ours, paper = row.protocol, PROTOCOLS.get(row.protocol["name"])
    if paper is not None:
        for name in COUNTS:
            if ours[name] != getattr(paper, name):
                yield f"{name} {ours[name]:,}, in the paper {getattr(paper, name):,}"
        if (temperature := ours.get("temperature", 1)) != paper.temperature:
            yield f"temperature {temperature:g}, in the paper {paper.temperature:g}"
    told: set[str] = set()
    for other in earlier:
        for metric in row.hashes.keys() & other.hashes.keys():
            here, there = ingredients(ours, metric), ingredients(other.protocol, metric)
            told |= {
                f"{part} of {metric}" if part in ("definition", "weights") else part
                for part in here.keys() | there.keys()
                if here.get(part) != there.get(part)
            }
    if told:
        yield f"not as in earlier tables of this data set: {', '.join(sorted(told))}"
