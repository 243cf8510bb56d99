"""Learning curves of the agents' benchmark: real return against real steps."""

from pathlib import Path

import matplotlib.figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from srvp_world.agents.journal import Numbers
from srvp_world.benchmark.agent_parts import BASELINES, LABELS, LOOP
from srvp_world.benchmark.agent_plots import write_figure

_APART = 1.035  # factor between methods of the same real steps, so that points do not hide others


def plot_learning_curves(env_id: str, found: Numbers, path: Path) -> None:
    """Draw the loop's rounds as a line a seed, and what all methods came to as points.

    Args:
        env_id: For the title.
        found: What `results.json` holds of the environment.
        path: Where to write the PNG.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = matplotlib.figure.Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, (method, scores) in enumerate(found["methods"].items()):
        parts, colour = list(scores["seeds"].values()), f"C{index}"
        apart = 1.0 if method in BASELINES else _APART**index
        steps = [part["real_steps"] * apart for part in parts]
        if method == LOOP:
            for number, part in enumerate(parts):
                rounds = part["rounds"]
                label = None if number else f"{LABELS[LOOP]}: each round, a line a seed"
                axes.plot(
                    [entry["real_steps"] for entry in rounds],
                    [entry["real"]["mean"] for entry in rounds],
                    "-",
                    color=colour,
                    alpha=0.5,
                    label=label,
                )
        marker = "s" if method in BASELINES else "o"
        means = [part["real"]["mean"] for part in parts]
        axes.plot(
            steps,
            means,
            marker,
            color=colour,
            label=LABELS[method] + ", at the end" * (method == LOOP),
        )
    if found["random"] is not None:
        axes.axhline(found["random"]["mean"], color="0.5", linestyle=":", label="random play")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(
        xlabel="real steps (circles side by side have the same)",
        ylabel="return of a real episode, mean",
        title=env_id,
    )
    write_figure(figure, axes, path)
