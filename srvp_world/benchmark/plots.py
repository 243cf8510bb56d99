"""Plots that commands leave in their run folders."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.figure
import numpy as np

from srvp_world.data.files import write_atomically


def plot_returns(returns: Mapping[int, Sequence[float]], dream_return: float, path: Path) -> None:
    """Draw real returns against dream steps: each episode, their means, and the final dream return.

    Args:
        returns: Returns of real episodes by dream steps of training.
        dream_return: Mean return of the final policy in the dream.
        path: Where to write the PNG.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = matplotlib.figure.Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    steps = sorted(returns)
    for step in steps:
        axes.plot(
            [step] * len(returns[step]),
            returns[step],
            "o",
            color="tab:blue",
            alpha=0.25,
            markersize=4,
        )
    means = [float(np.mean(returns[step])) for step in steps]
    axes.plot(steps, means, "-o", color="tab:blue", label="real return, mean (dots: episodes)")
    axes.axhline(
        dream_return, color="tab:red", linestyle="--", label="dream return of the final policy"
    )
    axes.set(
        xlabel="dream steps",
        ylabel="return of an episode",
        title="No real step was used to train the agent",
    )
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_atomically(path, picture.getvalue())
