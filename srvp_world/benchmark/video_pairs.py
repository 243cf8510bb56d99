"""Worlds held against one another clip by clip, where that tells more than their means do.

Clips differ far more than worlds do: the intervals of two means may overlap where one world is
better on nearly every clip. All of a block predicted the same clips, so differences are taken clip
by clip first. What this does not know is how another seed of training would have come out.
"""

from collections.abc import Mapping

import numpy as np

from srvp_world.benchmark.scores import Estimate, estimate
from srvp_world.benchmark.video_blocks import Block
from srvp_world.benchmark.video_results import Measured

NOT_TOLD_APART = "not told apart"


def reference(block: Block) -> Measured:
    """Give the row that others are held against: the first that has the scores of each clip."""
    return next((row for row in block.rows if row.each_clip), block.rows[0])


def differences(block: Block) -> Mapping[Measured, Mapping[str, Estimate]]:
    """Give, by metric, by how much other worlds score more than `reference`, averaged over clips.

    Worlds and metrics whose results do not have the scores of each clip are left out.
    """
    first = reference(block)
    others = [row for row in block.rows if row is not first]
    found = {
        row: {
            metric: estimate(np.subtract(row.each_clip[metric], first.each_clip[metric]))
            for metric in block.hashes
            if metric in row.each_clip
            and metric in first.each_clip
            and len(row.each_clip[metric]) > 1  # of one clip nothing says how sure that is
        }
        for row in others
    }
    return {row: metrics for row, metrics in found.items() if metrics}


def verdict(difference: Estimate, better: str) -> str:
    """Say which world is better, where 0 lies outside the 95 % interval.

    Args:
        difference: Of the scores of one world, less those of another.
        better: `higher` or `lower`.
    """
    mean, interval = map(float, difference)
    if abs(mean) <= interval:
        return NOT_TOLD_APART
    return "better" if (mean > 0) == (better == "higher") else "worse"
