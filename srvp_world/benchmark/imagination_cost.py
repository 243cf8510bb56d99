"""What an imagined frame costs: a state-space world beside autoregressive SVG.

A state-space world moves a small state, and decodes only what somebody wants to see. SVG must
decode each frame, and encode it, before it can imagine the next one. Weights do not change how long
that takes, so that SVG is built without any training, with encoder and decoder of the same shape.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.figure
import torch
from tqdm import tqdm

from srvp_world.baselines.svg import SVG
from srvp_world.baselines.svg_config import SVGConfig
from srvp_world.benchmark.dream import ROUND_SECONDS, ROUNDS, take_turns
from srvp_world.benchmark.experiment import markdown, state_space_model
from srvp_world.benchmark.figures import save_figure
from srvp_world.checkpoint import World
from srvp_world.config import ModelConfig
from srvp_world.kinds import Network
from srvp_world.world import Observation

BATCHES = (1, 64)
PICTURE = "cost.png"
DEFINITIONS = {
    "latent": "model.step of the world: prior, innovation and dynamics, with nothing decoded",
    "decoded": "the same, and model.decode",
    "svg": "model.step of SVG-LP, which encodes the last frame and decodes the next; untrained, "
    "of its default sizes but for architecture, filters, frame size, channels and code",
    "ratio": "of SVG's time to the world's, median over rounds in which they take turns",
    "timing": f"medians of {ROUNDS} rounds of about {ROUND_SECONDS} s each; threads are torch's",
}
_WORKS = ("latent", "decoded", "svg")


def measure_cost(world: World, out: Path, *, progress: bool = True) -> dict[str, Any]:
    """Time one imagined frame, alone and in batches, and leave a picture.

    Args:
        world: Of the kind `srvp`, without actions.
        out: Folder for the picture.
        progress: Whether to show a bar.

    Raises:
        ConfigError: If the world takes actions or is SVG itself.
    """
    model = state_space_model(world, "state-space step to hold against its own: it is measured too")
    svg = svg_like(model.config).to(world.device).eval()
    numbers: dict[str, Any] = {"threads": torch.get_num_threads(), "batches": {}}
    for batch in tqdm(BATCHES, desc="cost", unit="batch", disable=not progress):
        works = (
            imagining(model, batch, decode=False),
            imagining(model, batch, decode=True),
            imagining(svg, batch, decode=True),
        )
        numbers["batches"][str(batch)] = compare(take_turns(*works), batch)
    _draw(numbers, out / PICTURE)
    return numbers


def svg_like(config: ModelConfig) -> SVG:
    """Build an untrained SVG for the same frames, with encoder and decoder of the same shape."""
    shape = SVGConfig(
        architecture=config.architecture,
        frame_size=config.frame_size,
        channels=config.channels,
        filters=config.filters,
        code_dim=config.code_dim,
    )
    return SVG(shape, seed=0)


def imagining(model: Network, batch: int, *, decode: bool) -> Callable[[], object]:
    """Give one imagined frame of each of `batch` rows, from states that are imagined on."""
    frames = model.config.content_frames
    shape = (batch, frames, *model.frame_shape)
    clips = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    with torch.no_grad():
        state = model.encode(Observation(clips)).forget()

    @torch.no_grad()
    def step() -> None:
        nonlocal state
        state, _ = model.step(state)
        if decode:
            model.decode(state)

    return step


def compare(seconds: list[list[float]], batch: int) -> dict[str, float]:
    """Give microseconds per frame, and the ratios of SVG's time, from the seconds of each round."""
    latent, decoded, svg = seconds
    times = {
        f"{name}_us": 1e6 * median(each) / batch for name, each in zip(_WORKS, seconds, strict=True)
    }
    ratios = {
        f"svg_over_{name}": median(one / other for one, other in zip(svg, each, strict=True))
        for name, each in (("latent", latent), ("decoded", decoded))
    }
    return times | ratios


def cost_table(numbers: Mapping[str, Any]) -> str:
    """Lay the numbers out in Markdown."""
    heads = ["batch", "latent (µs/frame)", "decoded", "SVG", "SVG / latent", "SVG / decoded"]
    rows = [
        [batch]
        + [f"{row[f'{name}_us']:,.1f}" for name in _WORKS]
        + [f"{row[f'svg_over_{name}']:.2f}" for name in _WORKS[:2]]
        for batch, row in numbers["batches"].items()
    ]
    return "\n".join([*markdown(heads, rows), "", f"{numbers['threads']} CPU threads"])


def _draw(numbers: Mapping[str, Any], path: Path) -> None:
    """Draw bars from zero, a panel for each batch, and write on them how much less they are."""
    batches = numbers["batches"]
    figure = matplotlib.figure.Figure(figsize=(5.0 * len(batches), 3.2), layout="constrained")
    panels = figure.subplots(1, len(batches), squeeze=False)[0]
    words = {"latent": "latent step", "decoded": "and decoded", "svg": "SVG"}
    for axes, (batch, row) in zip(panels, batches.items(), strict=True):
        times = [row[f"{name}_us"] for name in _WORKS]
        bars = axes.barh([*words.values()], times, color=["tab:blue", "tab:cyan", "tab:gray"])
        ratios = [row.get(f"svg_over_{name}") for name in _WORKS]
        labels = [
            f" {time:,.0f} µs" + (f", SVG / {ratio:.1f}" if ratio else "")
            for time, ratio in zip(times, ratios, strict=True)
        ]
        axes.bar_label(bars, labels)
        axes.set_xlim(0, 1.25 * max(times))
        axes.invert_yaxis()
        axes.set(title=f"batch {batch}", xlabel="µs for an imagined frame, less is better")
    figure.suptitle(f"medians, {numbers['threads']} CPU threads")
    save_figure(figure, path)
