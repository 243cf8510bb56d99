"""Interpolation of dynamics: states between those of two clips of Moving MNIST, with one content.

Two clips show the same digits on different paths. If y holds where digits are, then states between
the clips' states should show them between the clips' positions, evenly. Mixed are the whole
trajectories of y, or the last watched y alone, from which the world then goes on by itself.

The centre of mass cannot tell a digit that has moved from two half ones that have not: of mixed
pixels it lies on the line, too. So the same numbers of mixed pixels stand beside, and how far mass
lies from its centre.
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
from srvp_world.benchmark.interpolation_pairs import FRACTIONS, between, draw_pair, true_path
from srvp_world.checkpoint import World
from srvp_world.data.moving_mnist import DIGITS, FRAME
from srvp_world.data.subpixel import centres, spread
from srvp_world.errors import ConfigError, DataError, UnknownNameError, did_you_mean
from srvp_world.model.srvp import SRVP
from srvp_world.model.state import SRVPState
from srvp_world.world import Observation

MIXES = ("trajectory", "start")
WATCHED = 5  # frames, before a mixed start goes on
APART = 16  # pixels
PICTURE = "interpolation.png"
DEFINITIONS = {
    "clips": "pairs of clips with the same test digits, which start and move anywhere and bounce "
    "as light does; numpy.random.default_rng((seed, pair))",
    "states": "y of both clips by the posterior's means, w and skips of the first one; mixed in "
    "parts of 0, 1/8, .., 1",
    "mix": "trajectory: y of whole clips, frame by frame; start: y of the last watched frame, from "
    "which the prior's means go on, and frames after that count",
    "line": "trajectory: between the true centres of both clips, in the same parts; start: the "
    "true path of digits whose position and speed at the last watched frame are mixed, with their "
    "bounces",
    "linearity": "1 - sum |c - l|^2 / sum |l - m|^2 over all pairs, frames and fractions: c is the "
    "centre of the decoded frame, l that of the line, m the mean of l over fractions; 1 is "
    "perfect, 0 as good as staying at m",
    "straightness": "the same with l between the centres of what is decoded at both ends; null "
    "for mixed starts, whose lines bend",
    "centre_error": "mean |c - l| in pixels",
    "cross_fade": "the same of mixtures of the frames that are decoded at both ends, in the same "
    "parts: what needs no state in between",
    "spread": f"root mean square distance of mass from its centre, in pixels: at both ends, "
    f"half-way, and half-way in the cross-fade, where the centres at both ends are {APART} pixels "
    "apart or more; null where none are",
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
    mix: str = MIXES[0],
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
        mix: What is mixed; one of `MIXES`.
        seed: Of digits and paths.
        progress: Whether to show a bar.

    Raises:
        ConfigError: If the world has actions or other states, or numbers are out of range.
        DataError: If it was trained on frames of another size.
    """
    model = state_space_model(world, "states apart from its frames to interpolate")
    first = WATCHED if mix == "start" else 0
    _check(model, pairs, frames, digits, mix)
    centres_of: dict[str, list[Tensor]] = {"world": [], "faded": [], "true": []}
    spreads = []
    for pair in tqdm(range(pairs), desc="interpolation", unit="pair", disable=not progress):
        drawn = draw_pair(seed, pair, frames, digits)
        clips = to_frames(drawn.clips, world.device)
        decoded = _mixed(model, clips, first)
        faded = between(decoded[0], decoded[-1])
        true = true_path(drawn, first) if first else between(*centres(clips[:, :, 0]))
        where = centres(decoded[:, :, 0])
        found = {"world": where, "faded": centres(faded[:, :, 0]), "true": true}
        for name, each in found.items():
            centres_of[name].append(each.cpu().double())
        spreads.append(_spread(decoded[:, :, 0], faded[:, :, 0], where))
        if pair == 0:
            _draw(clips[:, first:], decoded, first, out / PICTURE)
    world_at, faded_at, line = (torch.stack(each).numpy() for each in centres_of.values())
    straight = mix == "trajectory"
    return {
        **score_centres(world_at, line, straight=straight),
        "cross_fade": score_centres(faded_at, line, straight=straight),
        "spread": average_spread(np.concatenate(spreads)),
    }


def _mixed(model: SRVP, clips: Tensor, first: int) -> Tensor:
    """Decode what lies between two clips: (FRACTIONS, frames - first, c, h, w).

    With `first`, so many frames are watched, and the world goes on from mixtures of the last y.
    """
    inference = model.infer(Observation(clips[:, :first] if first else clips), sample=False)
    bank = inference.content.map(lambda rows: rows[:1].expand(FRACTIONS, *rows.shape[1:]))
    states = between(*inference.y)
    if first:
        state = SRVPState(states[:, -1], bank, torch.arange(FRACTIONS, device=clips.device))
        path = []
        for _ in range(clips.shape[1] - first):
            state, _ = model.step(state, temperature=0)
            path.append(state.y)
        states = torch.stack(path, dim=1)
    return model.decode_clip(states, bank).clamp(0, 1)


def _spread(decoded: Tensor, faded: Tensor, where: Tensor) -> np.ndarray:
    """Give distances of centres at both ends, and spreads: at the ends, half-way, and faded.

    Args:
        decoded: (FRACTIONS, t, h, w).
        faded: Likewise.
        where: Centres of `decoded`, (FRACTIONS, t, 2).

    Returns:
        (t, 4).
    """
    half = FRACTIONS // 2
    ends = (spread(decoded[0]) + spread(decoded[-1])) / 2
    apart = (where[0] - where[-1]).norm(dim=-1)
    rows = torch.stack([apart, ends, spread(decoded[half]), spread(faded[half])], dim=-1)
    return rows.cpu().double().numpy()


def average_spread(rows: np.ndarray) -> dict[str, float | int] | None:
    """Average what `_spread` gave, (n, 4), where both ends are apart; None where none are."""
    far = rows[(rows[:, 0] >= APART) & np.isfinite(rows).all(axis=1)]
    if not len(far):
        return None
    ends, half_way, faded = map(float, far[:, 1:].mean(axis=0))
    return {"ends": ends, "half_way": half_way, "cross_fade": faded, "frames": len(far)}


def score_centres(found: np.ndarray, true: np.ndarray, *, straight: bool = True) -> dict[str, Any]:
    """Compare centres with lines between the clips' own.

    Args:
        found: (pairs, FRACTIONS, t, 2), NaN where there is none.
        true: As `found`.
        straight: Whether lines are straight, so that straightness means something.
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
        "straightness": _explained(found, ends, seen) if straight else None,
        "centre_error": summary(np.array(means)),
        "black": black,
    }


def interpolation_table(numbers: Mapping[str, Any]) -> str:
    """Lay the numbers out in Markdown."""
    both, apart = (numbers, numbers["cross_fade"]), numbers["spread"]
    rows = [
        [name, *("-" if each[name] is None else f"{each[name]:.4f}" for each in both)]
        for name in ("linearity", "straightness")
    ]
    rows.append(["centre error (pixels)", *(shown(each["centre_error"], 2) for each in both)])
    words = [f"{apart[name]:.1f}" if apart else "-" for name in ("half_way", "cross_fade", "ends")]
    rows.append([f"spread half-way, {APART} pixels apart (ends: {words[2]})", *words[:2]])
    return "\n".join(markdown(["between two clips", "mixed states", "mixed pixels"], rows))


def _explained(found: np.ndarray, line: np.ndarray, seen: np.ndarray) -> float | None:
    """Say which part of the squared way along lines is met; None where there is no way."""
    middle = line.mean(axis=1, keepdims=True)
    missed, way = (
        rearrange(np.square(rest).sum(axis=-1), "pair part t -> pair t part")[seen].sum()
        for rest in (found - line, line - middle)
    )
    return None if way == 0 else float(1 - missed / way)


def _check(model: SRVP, pairs: int, frames: int, digits: int, mix: str) -> None:
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
    if mix not in MIXES:
        raise UnknownNameError(f"--mix {mix!r} is unknown: {did_you_mean(mix, MIXES)}")
    watched = WATCHED if mix == "start" else frames
    if watched < model.config.content_frames:
        raise ConfigError(
            f"the world needs {model.config.content_frames} frames, got {watched}: "
            + ("give more" if watched == frames else "take --mix trajectory")
        )
    if mix == "start" and frames <= WATCHED:
        raise ConfigError(
            f"{WATCHED} frames are watched, got {frames}: give more, so that some are left"
        )


def _draw(clips: Tensor, decoded: Tensor, first: int, path: Path) -> None:
    times = list(range(clips.shape[1]))[:: max(1, clips.shape[1] // _SHOWN)][:_SHOWN]
    rows = {"first clip": to_pixels(clips[0, times])}
    for i, video in enumerate(decoded):
        rows[f"{i / (FRACTIONS - 1):.3f}"] = to_pixels(video[times])
    rows["second clip"] = to_pixels(clips[1, times])
    words = "y from the first clip (0) to the second (1), w of the first"
    draw_rows(rows, [str(first + time + 1) for time in times], words, path)
