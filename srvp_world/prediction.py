"""Futures of one clip, for people: as many as wanted, and at a higher frame rate than the data's.

Time runs evenly: where each step of time takes `n` frames in the imagined part, each frame of the
clip is held for `n` frames in the watched part.
"""

import math
from typing import Any

import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor
from tqdm import tqdm

from srvp_world.errors import ConfigError
from srvp_world.model.srvp import SRVP
from srvp_world.model.state import SRVPState
from srvp_world.pictures import PAPER, UNSEEN, bordered
from srvp_world.world import Observation, State, WorldModel


@torch.no_grad()
def predict_clip(
    model: WorldModel[Any],
    frames: np.ndarray,
    horizon: int,
    *,
    samples: int = 1,
    substeps: int | None = None,
    actions: np.ndarray | None = None,
    vector: np.ndarray | None = None,
    episode_start: bool = False,
    sample: bool = True,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Watch a clip and imagine what may follow.

    Each future watches the clip anew, with the trained number of Euler steps, and draws its noise
    after the one before it: more of them do not change the first.

    Args:
        model: In evaluation mode.
        frames: (t, h, w, c) uint8 to watch, of the model's size; at least its `content_frames`,
            but where they start an episode.
        horizon: Steps of time to imagine.
        samples: Futures.
        substeps: Euler steps, and frames, for each imagined step of time; None means the trained
            number of Euler steps, and one frame. A world that was trained with one moves a little
            differently with more: the shipped pendulum loses 5 dB at the third step.
        actions: (t - 1 + horizon, ...) where the model takes actions.
        vector: (t, d) beside the frames, where the model has one.
        episode_start: Whether the first frame begins an episode of experience.
        sample: False takes every mean.
        temperature: Factor of the prior's standard deviation.
        generator: Source of the noise, on the model's device.
        progress: Whether to show a bar.

    Returns:
        (samples, 1 + (t - 1 + horizon) * n, h, w, c) uint8 with n frames for a step of time. The
        first 1 + (t - 1) * n show the clip as it was given.

    Raises:
        ConfigError: For a horizon, samples or substeps below one, a temperature that is negative or
            not finite, or a world that cannot watch one clip alone.
        DataError: If frames or vector are too few or of another shape.
        SpaceError: If actions are missing, not wanted or of another shape.
    """
    _check(horizon, samples, substeps, temperature)
    if model.fewest_rows > 1:
        raise ConfigError(
            "this world normalises clips by one another (batch_statistics), and cannot watch one "
            "alone: predict several by `srvp-world evaluate`, or train without batch_statistics"
        )
    watched = _to_tensor(frames, model.device) / 255
    observation = Observation(
        rearrange(watched, "t h w c -> 1 t c h w"),
        None if vector is None else _to_tensor(vector, model.device)[None],
    )
    given = None if actions is None else _to_tensor(actions, model.device)[None]
    before = None if given is None else given[:, : len(frames) - 1]
    start = torch.ones(1, dtype=torch.bool, device=model.device) if episode_start else None
    futures = []
    with tqdm(total=samples * horizon, desc="futures", disable=not progress) as bar:
        for _ in range(samples):
            state = model.encode(
                observation, before, episode_start=start, sample=sample, generator=generator
            )
            shown = []
            for i in range(horizon):
                action = None if given is None else given[:, len(frames) - 1 + i]
                noise = None if sample else torch.zeros(1, model.noise_dim, device=model.device)
                chance = {"noise": noise, "temperature": temperature, "generator": generator}
                state, imagined = _imagine(model, state, action, substeps, chance)
                shown.append(_to_pixels(imagined))
                bar.update()
            futures.append(np.concatenate(shown))
    held = hold(frames, substeps or 1)
    return np.concatenate([repeat(held, "t h w c -> n t h w c", n=samples), futures], axis=1)


def hold(frames: np.ndarray, times: int) -> np.ndarray:
    """Show each frame `times` times, but the last one once: t frames become 1 + (t - 1) times."""
    return np.repeat(frames, times, axis=0)[: 1 + (len(frames) - 1) * times]


def panels(futures: np.ndarray, clip: np.ndarray, watched: int, times: int = 1) -> np.ndarray:
    """Draw borders around futures and, where the clip goes on after what was watched, add it.

    The rest of the clip, which the model did not see, has a grey border.

    Args:
        futures: (n, t, h, w, c) uint8, as of `predict_clip`.
        clip: (t, h, w, c) uint8, of which the first frames were watched.
        watched: How many.
        times: Frames for each step of time.

    Returns:
        (n or 1 + n, t, h + 4, w + 4, 3) uint8, the clip first; white after its end.
    """
    given = 1 + (watched - 1) * times
    drawn = bordered(futures, given)
    if len(clip) <= watched:
        return drawn
    truth = bordered(np.repeat(clip, times, axis=0)[: futures.shape[1]], given, UNSEEN)
    end = np.full((futures.shape[1] - len(truth), *truth.shape[1:]), PAPER, np.uint8)
    return np.concatenate([np.concatenate([truth, end])[None], drawn])


def _check(horizon: int, samples: int, substeps: int | None, temperature: float) -> None:
    counts = {
        "horizon": horizon,
        "samples": samples,
        "substeps": 1 if substeps is None else substeps,
    }
    for name, value in counts.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    check_temperature(temperature)


def check_temperature(temperature: float) -> None:
    """Refuse a factor of the prior's standard deviation that is none.

    Raises:
        ConfigError: For a negative or infinite one, or NaN.
    """
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ConfigError(f"temperature must be finite and not negative, got {temperature}")


def _to_tensor(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _imagine(
    model: WorldModel[Any],
    state: State,
    action: Tensor | None,
    substeps: int | None,
    chance: dict[str, Any],
) -> tuple[State, Tensor]:
    """Imagine a step of time; give the state after it, and frames (1, substeps or 1, c, h, w)."""
    if substeps is None or not isinstance(model, SRVP):  # others know no time between frames
        state, _ = model.step(state, action, substeps=substeps, **chance)
        return state, model.decode(state)[:, None]
    assert isinstance(state, SRVPState)
    path, _ = model.advance(state, action, substeps=substeps, **chance)
    return state.imagined(path[:, -1]), model.decode_clip(path, state.bank)


def _to_pixels(frames: Tensor) -> np.ndarray:
    """Turn frames (1, t, c, h, w) into (t, h, w, c) uint8."""
    pixels = (frames[0].clamp(0, 1) * 255).round().byte()
    shown: np.ndarray = rearrange(pixels, "t c h w -> t h w c").cpu().numpy()
    return shown
