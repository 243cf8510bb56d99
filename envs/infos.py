"""Infos of a vector environment as Gymnasium lays them out: values beside masks of their rows."""

from typing import Any

import numpy as np


def row_info(name: str, value: str, mask: Any) -> dict[str, Any]:
    """Tell a word of the rows in `mask`."""
    return {name: np.full(len(mask), value, dtype=object), f"_{name}": mask}


def final_infos(last: Any, ended: np.ndarray, infos: dict[str, Any], start: str) -> dict[str, Any]:
    """Move what belongs to episodes that ended into `final_obs` and `final_info`.

    Args:
        last: Batch of observations before rows began anew; a dict of arrays, or an array.
        ended: (n,) bool.
        infos: Of the step, for all rows.
        start: How the new episodes began.

    Returns:
        Infos with one object a row, None where the episode goes on, as of Gymnasium's own.
    """
    final = np.full(len(ended), None, dtype=object)
    for i in np.flatnonzero(ended):
        final[i] = {k: v[i].copy() for k, v in last.items()} if isinstance(last, dict) else last[i]
    values = {name: value for name, value in infos.items() if not name.startswith("_")}
    final_info: dict[str, Any] = {}
    for name, value in values.items():
        final_info |= {name: value.copy(), f"_{name}": ended.copy()}
    return {
        **values,
        **{f"_{name}": ~ended for name in values},
        **row_info("start", start, ended.copy()),
        "final_obs": final,
        "_final_obs": ended.copy(),
        "final_info": final_info,
        "_final_info": ended.copy(),
    }
