"""Content swap: the content w of one clip with the dynamics y of another.

Both come from the posterior of whole clips, by its means: nothing is predicted, so that the numbers
are about what w and y hold and not about how well the future is foretold. On Moving MNIST the video
that a perfect swap would show can be drawn: the digits of one clip on the paths of the other.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from tqdm import tqdm

from srvp_world.benchmark.batches import batches
from srvp_world.benchmark.experiment import (
    BATCH_SIZE,
    Truth,
    draw_rows,
    markdown,
    moving_truth,
    shown,
    state_space_model,
    summary,
    to_frames,
    to_pixels,
)
from srvp_world.benchmark.protocols import Clips, Protocol
from srvp_world.checkpoint import World
from srvp_world.data.moving_mnist import draw
from srvp_world.data.subpixel import centres
from srvp_world.errors import ConfigError
from srvp_world.metrics.frame import PSNR, PSNR_LIMIT, psnr
from srvp_world.model.sampling import Futures
from srvp_world.model.state import Inference
from srvp_world.world import Observation

WANTS = "content apart from what moves, so that none can be swapped"
PICTURE = "content-swap.png"
DEFINITIONS = {
    "swapped": "clip i + 1 gives w, and skips if there are any, from the last of its frames; clip "
    "i gives y; the last of a batch of about 16 clips takes the content of its first one",
    "ideal": "the digits of the clip that gave w on the paths of the one that gave y; which digit "
    "goes which way is not determined: the better way for the clip, by mean squared error",
    "psnr_ideal": "of swapped frames against the ideal",
    "psnr_others": "against the digits of a third clip, i + 2 of all, on the same paths, the "
    "better way as well: what the ideal would be worth if w counted for nothing; with two clips "
    "there is no third",
    "ideal_less_others": "the difference of these two, clip by clip",
    "ideal_less_dynamics": "psnr_ideal less psnr_dynamics, clip by clip",
    "psnr_content": "against the clip that gave w as it was: high if nothing but w counts",
    "psnr_dynamics": "against the clip that gave y as it was: high if nothing but y counts",
    "psnr_unswapped": "of frames decoded from own w and y against the clip itself: the ceiling",
    "centre_error": "distance in pixels of the centres of swapped and ideal frames",
    "centre_error_content": "the same to the clip that gave w, which moves otherwise",
    "black": "swapped frames that have no centre, because they are black; they do not count",
}
_LABELS = {
    "psnr_ideal": "PSNR to the ideal (dB)",
    "psnr_others": "PSNR to a third clip's digits on the ideal's paths (dB)",
    "ideal_less_others": "the ideal, less that (dB)",
    "psnr_content": "PSNR to the clip of w (dB)",
    "psnr_dynamics": "PSNR to the clip of y (dB)",
    "ideal_less_dynamics": "the ideal, less that (dB)",
    "psnr_unswapped": "PSNR without a swap (dB)",
    "centre_error": "centre error to the ideal (pixels)",
    "centre_error_content": "centre error to the clip of w (pixels)",
}
_SHOWN_CLIPS, _SHOWN_FRAMES = 3, 12


@torch.no_grad()
def measure_swap(
    world: World, clips: Clips, protocol: Protocol, out: Path, *, progress: bool = True
) -> dict[str, Any]:
    """Swap the contents of neighbouring clips, score what is shown, and leave a picture.

    Args:
        world: Of the kind `srvp`, without actions.
        clips: Two at least, that it can watch.
        protocol: All frames of its length are watched.
        out: Folder for the picture.
        progress: Whether to show a bar.

    Raises:
        ConfigError: If the world has actions or no content, or there is one clip alone.
    """
    model = state_space_model(world, WANTS)
    if clips.count < 2:
        raise ConfigError("one clip alone has none to swap with: give --videos 2 or more")
    truth, futures = moving_truth(protocol, clips, progress=progress), Futures(model)
    scores: dict[str, list[np.ndarray]] = {}
    with tqdm(total=clips.count, desc="swap", unit="clip", disable=not progress) as bar:
        for part in batches(clips.count, BATCH_SIZE, fewest=2):
            frames = to_frames(clips.read(part.start, part.stop).frames, world.device)
            inference = model.infer(
                Observation(frames), substeps=protocol.observed_substeps, sample=False
            )
            own, swapped = (
                futures.decode(each, each.y[:, None])[:, 0].clamp(0, 1)
                for each in (inference, with_next_content(inference))
            )
            aims = None if truth is None else ideal(truth, part).to(frames.device)
            measured = score_swap(swapped, frames, aims)
            if truth is not None and clips.count > 2:
                third = replace_digits(truth, part, clips.count)
                measured["psnr_others"] = psnr(
                    swapped, nearest(swapped, third.to(frames.device)), PSNR_LIMIT
                )
            measured["psnr_unswapped"] = psnr(own, frames, PSNR_LIMIT)
            for name, values in measured.items():
                scores.setdefault(name, []).append(values.cpu().numpy())
            if part.start == 0:
                _draw(frames, swapped, protocol.name, out / PICTURE)
            bar.update(part.stop - part.start)
    each = {name: np.concatenate(parts) for name, parts in scores.items()}
    for name in ("others", "dynamics"):
        if {"psnr_ideal", f"psnr_{name}"} <= each.keys():
            each[f"ideal_less_{name}"] = each["psnr_ideal"] - each[f"psnr_{name}"]
    return average(each)


def with_next_content(inference: Inference) -> Inference:
    """Give each clip the content of the next one, and the first one's to the last."""
    return replace(inference, content=inference.content.map(lambda rows: rows.roll(-1, 0)))


def ideal(truth: Truth, clips: slice) -> Tensor:
    """Draw the next clip's digits on each clip's paths, both ways: (b, ways, t, 1, h, w)."""
    return _both_ways(np.roll(truth.images[clips], -1, axis=0), truth.positions[clips])


def replace_digits(truth: Truth, clips: slice, count: int) -> Tensor:
    """Draw the digits of the clip after the next on each clip's paths, as `ideal` does."""
    after_next = np.arange(clips.start + 2, clips.stop + 2) % count
    return _both_ways(truth.images[after_next], truth.positions[clips])


def nearest(swapped: Tensor, aims: Tensor) -> Tensor:
    """Take the way (b, t, c, h, w) of aims (b, ways, t, c, h, w) with the least squared error."""
    error = (swapped[:, None] - aims).square().mean(dim=(-4, -3, -2, -1))
    return aims[torch.arange(len(aims), device=aims.device), error.argmin(dim=1)]


def _both_ways(images: np.ndarray, positions: np.ndarray) -> Tensor:
    ways = np.stack([draw(images, positions), draw(images[:, ::-1], positions)], axis=1)
    return rearrange(torch.from_numpy(ways).float() / 255, "b way t h w -> b way t 1 h w")


def score_swap(swapped: Tensor, frames: Tensor, aims: Tensor | None) -> dict[str, Tensor]:
    """Score swapped frames, each (b, t).

    Args:
        swapped: (b, t, c, h, w), with the dynamics of clip i and the content of clip i + 1.
        frames: The clips.
        aims: Of `ideal`, or None.
    """
    content = frames.roll(-1, 0)
    scores = {
        "psnr_content": psnr(swapped, content, PSNR_LIMIT),
        "psnr_dynamics": psnr(swapped, frames, PSNR_LIMIT),
    }
    if aims is None:
        return scores
    aim = nearest(swapped, aims)
    where, wanted, others = (centres(each[:, :, 0]) for each in (swapped, aim, content))
    return scores | {
        "psnr_ideal": psnr(swapped, aim, PSNR_LIMIT),
        "centre_error": (where - wanted).norm(dim=-1),
        "centre_error_content": (where - others).norm(dim=-1),
    }


def average(scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Average over frames and clips; frames without a centre are counted and left out."""
    numbers: dict[str, Any] = {}
    for name, values in scores.items():
        missing = np.isnan(values)
        clips = ~missing.all(axis=1)
        means = [row[~gone].mean() for row, gone in zip(values[clips], missing[clips], strict=True)]
        numbers[name] = summary(np.array(means)) if means else None
        if name == "centre_error":
            numbers["black"] = int(missing.sum())
    return numbers


def swap_table(numbers: Mapping[str, Any]) -> str:
    """Lay the numbers out in Markdown."""
    digits = PSNR.digits
    rows = [
        [label, shown(numbers[name], digits)] for name, label in _LABELS.items() if name in numbers
    ]
    return "\n".join(markdown(["content of one clip, dynamics of another", ""], rows))


def _draw(frames: Tensor, swapped: Tensor, name: str, path: Path) -> None:
    count = min(_SHOWN_CLIPS, len(frames))
    stride = 2 if frames.shape[1] >= 2 * _SHOWN_FRAMES else 1  # so that the eye can follow digits
    times = list(range(0, frames.shape[1], stride))[:_SHOWN_FRAMES]
    rows = {}
    for i in range(count):
        content = (i + 1) % len(frames)
        rows[f"y: clip {i + 1}"] = to_pixels(frames[i, times])
        rows[f"w: clip {content + 1} (pair {i + 1})"] = to_pixels(frames[content, times])
        rows[f"y {i + 1} with w {content + 1}"] = to_pixels(swapped[i, times])
    words = f"{name}: rows of three: dynamics, content, both"
    draw_rows(rows, [str(time + 1) for time in times], words, path)
