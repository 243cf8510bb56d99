"""Pictures that `srvp-world agent` leaves: returns, dream against reality, and the agent itself."""

import io
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.agents.dyna import DynaResult
from srvp_world.agents.phases import FINAL_SEED
from srvp_world.agents.saved import chooser, saved_agent
from srvp_world.checkpoint import World, load
from srvp_world.data.files import write_atomically
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.pixels import Observed, frame_and_vector, make_pixel_env
from srvp_world.envs.rollout import FrameRecorder, run_episode
from srvp_world.pictures import BORDER, frames_to_gif, side_by_side
from srvp_world.spaces import ActionSpec

RETURNS = "return_against_real_steps.png"
SCATTER = "dream_and_reality.png"
FILM = "agent.gif"

_FILM_WIDTH = 192  # pixels that a frame of the film should have at least
_REAL, _DREAM, _RANDOM = "tab:blue", "tab:red", "0.5"


def draw_agent(result: DynaResult) -> None:
    """Leave the pictures of a run in its folder; without a real env, only what dreams show.

    Raises:
        OutputError: If the folder cannot be written.
    """
    plot_learning(result.numbers, result.out / RETURNS)
    if result.pixels is not None:
        plot_dream_and_reality(result.numbers, result.out / SCATTER)
    world = load(result.world)
    film = _film(world, result)
    scale = max(1, round(_FILM_WIDTH / world.model.config.frame_size))
    write_atomically(result.out / FILM, frames_to_gif(film, world.fps, scale))


def plot_learning(numbers: dict[str, Any], path: Path) -> None:
    """Draw returns in reality and in the dream against the real steps that were learnt from.

    Args:
        numbers: Of the run.
        path: Where to write the PNG.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = matplotlib.figure.Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    rounds = numbers["rounds"]
    steps = [entry["real_steps"] for entry in rounds]
    means = [entry["dream"]["mean"] for entry in rounds]
    axes.plot(steps, means, "--s", color=_DREAM, markersize=5, label="in the dream, mean")
    if numbers["real_return"] is not None:
        for step, entry in zip(steps, rounds, strict=True):
            each = entry["real"]["each"]
            axes.plot([step] * len(each), each, "o", color=_REAL, alpha=0.25, markersize=4)
        means = [entry["real"]["mean"] for entry in rounds]
        axes.plot(steps, means, "-o", color=_REAL, label="in reality, mean (dots: episodes)")
        final, kept = numbers["real_return"], steps[numbers["kept_round"] - 1]
        what = f"the agent that is kept, {len(final['each'])} other episodes"
        axes.errorbar(
            kept, final["mean"], final["std"], fmt="*", color="k", ms=11, capsize=3, label=what
        )
    if numbers["random_return"] is not None:
        random = numbers["random_return"]["mean"]
        axes.axhline(random, color=_RANDOM, linestyle=":", label="random play")
    axes.set(xlabel="real steps", ylabel="return of an episode", xlim=(0, 1.08 * steps[-1]))
    write_figure(figure, axes, path)


def plot_dream_and_reality(numbers: dict[str, Any], path: Path) -> None:
    """Draw each round's dream return against its real one; on the diagonal they agree.

    Args:
        numbers: Of a run with a real env.
        path: Where to write the PNG.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = matplotlib.figure.Figure(figsize=(4.8, 4.8), layout="constrained")
    axes = figure.subplots()
    ends: list[float] = []
    for entry in numbers["rounds"]:
        real, dream = entry["real"], entry["dream"]
        ends += [part["mean"] + k * part["std"] for part in (real, dream) for k in (-1, 1)]
        axes.errorbar(
            real["mean"], dream["mean"], dream["std"], real["std"], fmt="o", color=_REAL, alpha=0.7
        )
        axes.annotate(
            f"round {entry['round']}",
            (real["mean"], dream["mean"]),
            xytext=(0, 7),
            ha="center",
            textcoords="offset points",
        )
    _draw_diagonal(axes, ends)
    axes.set_xlabel("return in reality (bars: standard deviation)")
    write_figure(figure, axes, path)


def plot_gaps(groups: Mapping[str, Sequence[tuple[float, float]]], path: Path) -> None:
    """Draw dream returns against real ones for several kinds of agents at once.

    Args:
        groups: For each kind, its agents' mean returns in reality and in the dream.
        path: Where to write the PNG.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = matplotlib.figure.Figure(figsize=(4.8, 4.8), layout="constrained")
    axes = figure.subplots()
    for label, pairs in groups.items():
        real, dream = zip(*pairs, strict=True)
        axes.plot(real, dream, "o", alpha=0.7, label=label)
    _draw_diagonal(axes, [value for pairs in groups.values() for pair in pairs for value in pair])
    axes.set_xlabel("return in reality")
    write_figure(figure, axes, path)


def _draw_diagonal(axes: Any, values: Sequence[float]) -> None:
    """Draw where dream and reality agree, over the range of some returns."""
    margin = 0.08 * (max(values) - min(values)) + 1e-3
    span = (min(values) - margin, max(values) + margin)
    axes.plot(span, span, color=_RANDOM, linestyle=":", label="as promised")
    axes.set(
        xlim=span,
        ylim=span,
        aspect="equal",
        ylabel="return in the dream",
        title="Above the diagonal the dream promises too much",
    )
    axes.title.set_fontsize(10)
    axes.locator_params(nbins=6)


def write_figure(figure: matplotlib.figure.Figure, axes: Any, path: Path) -> None:
    """Add legend and grid, and write the PNG.

    Raises:
        OutputError: If the file cannot be written.
    """
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_atomically(path, picture.getvalue())


def _film(world: World, result: DynaResult) -> np.ndarray:
    """Show an episode of the final evaluation beside the agent's dream from the same frame.

    Where there is no real env the dream is alone, from where one of the data's episodes began.
    """
    if result.pixels is None:
        alone = _to_floats(_dream(world, result.agent, None, None))
        return side_by_side(alone, alone, 1)[:, :, : -alone.shape[-1] - 2 * BORDER]
    with closing(make_pixel_env(result.pixels)) as env:
        agent = saved_agent(result.world, result.agent)(ActionSpec.from_space(env.action_space))
        recorder = FrameRecorder()
        run_episode(env, agent, FINAL_SEED, recorder)
        first = env.reset(seed=FINAL_SEED)[0]
    real = recorder.frames
    dream = _dream(world, result.agent, first, len(real) - 1)
    missing = [(0, len(real) - len(dream)), *3 * [(0, 0)]]
    ended = np.pad(dream, missing, mode="edge")  # where the dream ends first, its last frame stays
    return side_by_side(_to_floats(real), _to_floats(ended), 1)


def _dream(world: World, agent: Path, first: Observed | None, steps: int | None) -> np.ndarray:
    """Dream an episode to its end; give its frames (t, h, w, c) uint8."""
    dream = DreamVectorEnv(
        1,
        world,
        obs="latent",
        start="first",
        output="torch",
        autoreset_mode="Disabled",
        horizon=None if steps is None else max(2, steps),  # no dream ends with its first step
        render_mode="rgb_array",
    )
    options: dict[str, np.ndarray] = {}
    if first is not None:
        frame, vector = frame_and_vector(first)
        options = {"frames": frame[None]} | ({} if vector is None else {"vector": vector[None]})
    seen, _ = dream.reset(seed=FINAL_SEED, options=options)
    choose, frames = chooser(dream, agent), _rendered(dream)
    over = False
    while not over:
        seen, _, terminated, truncated, _ = dream.step(choose(seen))
        frames += _rendered(dream)
        over = bool(terminated | truncated)
    return np.stack(frames if steps is None else frames[: steps + 1])


def _rendered(dream: DreamVectorEnv) -> list[np.ndarray]:
    return list(dream.render() or ())


def _to_floats(frames: np.ndarray) -> Tensor:
    """Turn frames (t, h, w, c) uint8 into one colour clip (1, t, 3, h, w) in [0, 1]."""
    colours = torch.tensor(np.broadcast_to(frames, (*frames.shape[:3], 3)))
    return rearrange(colours, "t h w c -> 1 t c h w") / 255
