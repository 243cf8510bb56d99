"""Interpolation of dynamics: states between those of two clips of Moving MNIST, with one content.

Two clips show the same digits on different paths. If y holds where digits are, then states between
the clips' states should show them between the clips' positions, evenly.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from tqdm import tqdm

from srvp_world.benchmark.experiment import (
    SEED,
    draw_rows,
    markdown,
    shown,
    state_space_model,
    summary,
    to_frames,
    to_pixels,
)
from srvp_world.checkpoint import World
from srvp_world.data.mnist import test_digits
from srvp_world.data.moving_mnist import DIGITS, FRAME, MAX_SPEED, ROOM, draw, move
from srvp_world.data.subpixel import centres
from srvp_world.errors import ConfigError, DataError
from srvp_world.model.srvp import SRVP
from srvp_world.world import Observation

FRACTIONS = 9  # from one clip to the other, both ends included
PICTURE = "interpolation.png"
DEFINITIONS = {
    "clips": "pairs of clips with the same test digits, which start and move anywhere and bounce "
    "as light does; numpy.random.default_rng((seed, pair))",
    "states": "y of both clips by the posterior's means, w and skips of the first one; y is mixed "
    "frame by frame in parts of 0, 1/8, .., 1",
    "linearity": "1 - sum |c - l|^2 / sum |l - m|^2 over all pairs, frames and fractions: c is the "
    "centre of the decoded frame, l lies in the same part between the true centres of both clips, "
    "m is the middle between these; 1 is perfect, 0 as good as staying in the middle",
    "straightness": "the same with l between the centres of what is decoded at both ends",
    "centre_error": "mean |c - l| in pixels, with l between the true centres",
    "black": "decoded frames that have no centre, because they are black; no fraction counts at "
    "the time of such a frame",
}
_SHOWN = 12


@torch.no_grad()
def measure_interpolation(
    world: World,
    out: Path,
    *,
    pairs: int,
    frames: int,
    digits: int = 1,
    seed: int = SEED,
    progress: bool = True,
) -> dict[str, Any]:
    """Mix the states of pairs of clips, measure where digits are, and leave a picture.

    Args:
        world: Of the kind `srvp`, without actions, for frames of Moving MNIST.
        out: Folder for the picture.
        pairs: How many, at least one.
        frames: Of each clip, at least as many as the world needs.
        digits: In each clip, 1 or 2.
        seed: Of digits and paths.
        progress: Whether to show a bar.

    Raises:
        ConfigError: If the world has actions or other states, or numbers are out of range.
        DataError: If it was trained on frames of another size.
    """
    model = state_space_model(world, "states apart from its frames to interpolate")
    _check(model, pairs, frames, digits)
    shown_at, true_at = [], []
    for pair in tqdm(range(pairs), desc="interpolation", unit="pair", disable=not progress):
        clips = to_frames(draw_pair(seed, pair, frames, digits), world.device)
        inference = model.infer(Observation(clips), sample=False)
        states = between(*inference.y)
        bank = inference.content.map(lambda rows: rows[:1].expand(FRACTIONS, *rows.shape[1:]))
        decoded = model.decode_clip(states, bank).clamp(0, 1)
        shown_at.append(centres(decoded[:, :, 0]).cpu().double())
        true_at.append(between(*centres(clips[:, :, 0])).cpu().double())
        if pair == 0:
            _draw(clips, decoded, out / PICTURE)
    return score_centres(torch.stack(shown_at).numpy(), torch.stack(true_at).numpy())


def draw_pair(seed: int, pair: int, frames: int, digits: int) -> np.ndarray:
    """Draw two clips (2, frames, 64, 64, 1) of the same digits on different paths."""
    rng = np.random.default_rng((seed, pair))
    images = test_digits().images[rng.integers(len(test_digits().images), size=digits)]
    starts = rng.integers(0, ROOM, (2 * digits, 2), endpoint=True)
    speeds = rng.integers(-MAX_SPEED, MAX_SPEED, (2 * digits, 2), endpoint=True)
    positions, _ = move(starts, speeds, frames, None)
    paths = rearrange(positions, "(clip digit) t yx -> clip t digit yx", clip=2)
    return draw(np.stack([images, images]), paths)[..., None]


def between(first: Tensor, last: Tensor) -> Tensor:
    """Mix in equal steps: (t, d) and (t, d) become (FRACTIONS, t, d), ends included."""
    part = torch.linspace(0, 1, FRACTIONS, dtype=first.dtype, device=first.device)
    return torch.lerp(first, last, rearrange(part, "n -> n 1 1"))


def score_centres(found: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """Compare centres with lines between the clips' own.

    Args:
        found: (pairs, FRACTIONS, t, 2), NaN where there is none.
        true: As `found`.
    """
    seen = ~np.isnan(found).any(axis=(1, 3))  # (pairs, t)
    black = int(np.isnan(found).any(axis=3).sum())
    if not seen.any():
        return {"linearity": None, "straightness": None, "centre_error": None, "black": black}
    ends = np.linspace(found[:, 0], found[:, -1], FRACTIONS, axis=1)
    error = np.linalg.norm(found - true, axis=-1)
    means = [one[:, ok].mean() for one, ok in zip(error, seen, strict=True) if ok.any()]
    return {
        "linearity": _explained(found, true, seen),
        "straightness": _explained(found, ends, seen),
        "centre_error": summary(np.array(means)),
        "black": black,
    }


def interpolation_table(numbers: Mapping[str, Any]) -> str:
    """Lay the numbers out in Markdown."""
    rows = [
        [name, "-" if numbers[name] is None else f"{numbers[name]:.4f}"]
        for name in ("linearity", "straightness")
    ]
    rows.append(["centre error (pixels)", shown(numbers["centre_error"], 2)])
    return "\n".join(markdown(["states between two clips", ""], rows))


def _explained(found: np.ndarray, line: np.ndarray, seen: np.ndarray) -> float | None:
    """Say which part of the squared way along lines is met; None where there is no way."""
    middle = line.mean(axis=1, keepdims=True)
    missed, way = (
        rearrange(np.square(rest).sum(axis=-1), "pair part t -> pair t part")[seen].sum()
        for rest in (found - line, line - middle)
    )
    return None if way == 0 else float(1 - missed / way)


def _check(model: SRVP, pairs: int, frames: int, digits: int) -> None:
    if model.frame_shape != (1, FRAME, FRAME):
        c, h, w = model.frame_shape
        raise DataError(
            f"the world was trained on frames of {h}x{w}x{c}, but those of Moving MNIST are "
            f"{FRAME}x{FRAME}x1: take a world of `srvp-world train mmnist`"
        )
    if digits not in range(1, DIGITS + 1):
        raise ConfigError(f"--digits must be 1 or {DIGITS}, got {digits}")
    if pairs < 1:
        raise ConfigError(f"--videos must be at least 1, got {pairs}")
    if frames < model.config.content_frames:
        raise ConfigError(
            f"the world needs {model.config.content_frames} frames, got {frames}: give more"
        )


def _draw(clips: Tensor, decoded: Tensor, path: Path) -> None:
    times = list(range(clips.shape[1]))[:: max(1, clips.shape[1] // _SHOWN)][:_SHOWN]
    rows = {"first clip": to_pixels(clips[0, times])}
    for i, video in enumerate(decoded):
        rows[f"{i / (FRACTIONS - 1):.3f}"] = to_pixels(video[times])
    rows["second clip"] = to_pixels(clips[1, times])
    words = "y from the first clip (0) to the second (1), w of the first"
    draw_rows(rows, [str(time + 1) for time in times], words, path)
