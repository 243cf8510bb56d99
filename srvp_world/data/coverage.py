"""What cannot be learnt from a data set, because it was never seen to happen."""

import warnings

import numpy as np

from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Ending, read_array
from srvp_world.errors import MissingFileError


class CoverageWarning(UserWarning):
    """A world can be learnt from the data, but something that agents need cannot."""


def warn_of_coverage(data: Dataset) -> None:
    """Warn of experience whose actions or rewards never change; video is left alone."""
    if data.info.action is None:
        return
    messages = [_about_actions(data), _about_rewards(data)]
    for message in messages:
        if message:
            warnings.warn(message, CoverageWarning, stacklevel=2)


def _about_actions(data: Dataset) -> str | None:
    """Tell of components of the actions that never change."""
    still = _still_actions(data)
    if still is None or not still.any():
        return None
    if still.all():
        return (
            f"all actions in {data.folder} are the same: how things move by themselves can be "
            "learnt, but not what actions do, and so no agent: record other actions, too"
        )
    names = np.flatnonzero(still).tolist()
    return (
        f"components {names} of the actions in {data.folder} never change: what they do cannot be "
        "learnt, so agents may do anything with them: record actions that move them"
    )


def _still_actions(data: Dataset) -> np.ndarray | None:
    """Give whether each component (n,) has one value only; None where there are no actions.

    Reads no more files than it takes to see all of them change.
    """
    low = high = None
    for i in range(len(data)):
        try:
            actions = read_array(data.path(i), "actions")
        except MissingFileError:
            if not data.live:
                raise
            continue
        if not len(actions):
            continue
        rows = actions.reshape(len(actions), -1)
        low = rows.min(0) if low is None else np.minimum(low, rows.min(0))
        high = rows.max(0) if high is None else np.maximum(high, rows.max(0))
        if (low < high).all():
            break
    return None if low is None else np.asarray(low == high)


def _about_rewards(data: Dataset) -> str | None:
    """Tell of rewards that are all the same, and of what is left to learn from then."""
    if not data.info.rewards or not data.transitions:
        return None
    low, high = data.reward_range()
    if low < high:
        return None
    if any(record.ending is Ending.TERMINATED for record in data.records):
        return (
            f"all rewards in {data.folder} are {low:g}: only where episodes end can teach an agent "
            "anything: record episodes of very different lengths, or give dreams a reward_fn"
        )
    return (
        f"all rewards in {data.folder} are {low:g} and no episode terminates: a world can be "
        "learnt, but an agent has nothing to learn: record what earns other rewards, or give "
        "dreams a reward_fn"
    )
