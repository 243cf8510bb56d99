"""Open loop: a world watches pieces of real episodes, and imagines how each of them goes on.

The pieces, clips, are laid such that their imagined parts follow one another: each frame of an
episode but the first watched ones is imagined once, and so is each end.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor
from tqdm import tqdm

from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Ending
from srvp_world.data.windows import to_batch
from srvp_world.errors import ConfigError, DataError
from srvp_world.metrics.frame import PSNR_LIMIT, psnr
from srvp_world.world import Batch, Observation, Prediction, State, WorldModel

BATCH_SIZE = 16

S = TypeVar("S", bound=State)


class Clip(NamedTuple):
    """Where a clip lies: in which record of a data set, and from which frame on."""

    record: int
    start: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Imagined:
    """What a world imagined in h steps for each of n clips, beside what happened.

    Attributes:
        valid: (n, h) bool, False past the end of an episode.
        psnr_sample: (n, h) decibels of a future, mean over futures.
        psnr_mean: (n, h) of the mean prediction.
        psnr_copy: (n, h) of copies of the last watched frame.
        error_sample: (n, h) mean squared error of a future, mean over futures.
        error_mean: (n, h) of the mean prediction.
        psnr_shuffled: (n, h) of the mean prediction with another clip's actions.
        error_shuffled: The same as a mean squared error.
        reward: (n, h) as it happened.
        predicted_reward: (n, futures, h).
        continues: (n, h), 0.0 from the arrival at a termination on.
        predicted_continuation: (n, futures, h).
        uncertainty: (n, h), mean over futures.
    """

    valid: np.ndarray
    psnr_sample: np.ndarray
    psnr_mean: np.ndarray
    psnr_copy: np.ndarray
    error_sample: np.ndarray
    error_mean: np.ndarray
    psnr_shuffled: np.ndarray | None = None
    error_shuffled: np.ndarray | None = None
    reward: np.ndarray | None = None
    predicted_reward: np.ndarray | None = None
    continues: np.ndarray | None = None
    predicted_continuation: np.ndarray | None = None
    uncertainty: np.ndarray | None = None


def cut_clips(data: Dataset, watched: int, horizon: int) -> list[Clip]:
    """Lay clips over all episodes; one is shorter only where its episode terminated.

    Raises:
        ConfigError: For fewer than one watched or imagined frame.
        DataError: If fewer than two clips are whole, with what would fit.
    """
    for name, value in (("watched", watched), ("horizon", horizon)):
        if value < 1:
            raise ConfigError(f"--{name} must be at least 1, got {value}")
    if sum(_whole(data, watched, horizon)) < 2:
        raise _too_short(data, watched, horizon)
    clips = []
    for number, record in enumerate(data.records):
        for start in range(0, record.frames - watched, horizon):
            whole = record.frames - start >= watched + horizon
            if whole or record.ending is Ending.TERMINATED:
                clips.append(Clip(number, start))
    return clips


def _whole(data: Dataset, watched: int, horizon: int) -> list[int]:
    """Count the whole clips of each record."""
    return [max(record.frames - watched, 0) // horizon for record in data.records]


def _too_short(data: Dataset, watched: int, horizon: int) -> DataError:
    """Say which horizon would give two whole clips, or how long episodes must be."""
    fitting = (h for h in range(horizon - 1, 0, -1) if sum(_whole(data, watched, h)) >= 2)
    longest = max(record.frames for record in data.records)
    way_out = f"give --horizon {fits}" if (fits := next(fitting, 0)) else "lower --watched"
    return DataError(
        f"{data.folder}: {watched} watched + {horizon} imagined frames fit fewer than twice into "
        f"{len(data.episodes)} episodes of up to {longest} frames: {way_out}, or give more and "
        "longer episodes"
    )


def read_clips(data: Dataset, clips: Sequence[Clip], length: int) -> Batch:
    """Read clips, padded to `length` frames where their episode ends before.

    Raises:
        DataError: Where a file is gone or broken.
    """
    pieces = [data.read(clip.record, clip.start, clip.start + length) for clip in clips]
    return to_batch(pieces, length=length)


@torch.no_grad()
def imagine_clips(
    model: WorldModel[S],
    data: Dataset,
    clips: Sequence[Clip],
    *,
    watched: int,
    horizon: int,
    futures: int,
    seed: int,
    progress: bool = True,
) -> Imagined:
    """Watch the first frames of each clip with the posterior's means, and imagine the rest.

    Imagined with the clip's own actions are the mean prediction, which takes every innovation at
    its mean, and `futures` samples; with those of another clip the mean prediction again. Past an
    end the last action is held, so that late predicted ends are seen.

    Raises:
        ConfigError: For fewer than one future.
        DataError: Where a file is gone or broken.
    """
    if futures < 1:
        raise ConfigError(f"--samples must be at least 1, got {futures}")
    generator = torch.Generator().manual_seed(seed)
    # Of nearly equal size, so that there always is another clip whose actions to take.
    groups = np.array_split(np.arange(len(clips)), math.ceil(len(clips) / BATCH_SIZE))
    parts: list[Mapping[str, np.ndarray]] = []
    with tqdm(total=len(clips), desc="imagining", unit="clip", disable=not progress) as bar:
        for group in groups:
            batch = read_clips(data, [clips[i] for i in group], watched + horizon)
            parts.append(_imagine(model, batch.to(model.device), watched, futures, generator))
            bar.update(len(group))
    return Imagined(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _imagine(
    model: WorldModel[S], batch: Batch, watched: int, futures: int, generator: torch.Generator
) -> Mapping[str, np.ndarray]:
    """Imagine one batch; give the arrays of `Imagined` that there are."""
    n, length = batch.valid.shape
    actions = _actions_of_rows(batch, futures)
    means = 1 if actions is None else 2  # rows without chance: own actions, another clip's
    state = _watch(model, batch, watched).repeat(means + futures)
    steps: dict[str, list[Tensor]] = {}
    for t in range(watched, length):
        noise = torch.randn(n, means + futures, model.noise_dim, generator=generator)
        noise[:, :means] = 0
        noise = rearrange(noise, "n r d -> (n r) d").to(model.device)
        action = None
        if actions is not None:
            action = rearrange(actions[:, :, t - 1], "n r ... -> (n r) ...")
        doubt = model.uncertainty(state, action) if model.has_uncertainty else None
        state, prediction = model.step(state, action, noise=noise)
        frames = rearrange(model.decode(state), "(n r) c h w -> n r c h w", n=n)
        last = batch.frames[:, watched - 1]
        measured = _compare(frames, batch.frames[:, t], last, means)
        measured |= _futures(prediction, doubt, n, means)
        for name, value in measured.items():
            steps.setdefault(name, []).append(value)
    arrays = {name: torch.stack(values, dim=-1) for name, values in steps.items()}
    arrays |= {"valid": batch.valid[:, watched:]}
    # Without a prediction there is nothing to hold the truth against, nor the other way round.
    for truth, predicted, values in (
        ("reward", "predicted_reward", batch.rewards),
        ("continues", "predicted_continuation", batch.continues),
    ):
        if predicted in arrays and values is not None:
            arrays[truth] = values[:, watched - 1 :]
        else:
            arrays.pop(predicted, None)
    return {name: value.cpu().numpy() for name, value in arrays.items()}


def _watch(model: WorldModel[S], batch: Batch, watched: int) -> S:
    """Watch the first frames of a batch, as dreams begin: by the means of the posterior."""
    vector = None if batch.vector is None else batch.vector[:, :watched]
    return model.encode(
        Observation(batch.frames[:, :watched], vector),
        None if batch.actions is None else batch.actions[:, : watched - 1],
        episode_start=batch.episode_start,
        sample=False,
    )


def _actions_of_rows(batch: Batch, futures: int) -> Tensor | None:
    """Give each row of a clip its actions (n, rows, t - 1, ...): the second takes another's."""
    if batch.actions is None:
        return None
    rows = repeat(batch.actions, "n t ... -> n r t ...", r=2 + futures).clone()
    # Clips of an episode lie side by side, so the one half a batch away is of another.
    rows[:, 1] = batch.actions.roll(len(batch.actions) // 2, dims=0)
    return rows


def _compare(frames: Tensor, truth: Tensor, last: Tensor, means: int) -> dict[str, Tensor]:
    """Compare frames (n, rows, c, h, w) and the last watched one with the truth (n, c, h, w)."""
    ratio = psnr(frames, truth[:, None], limit=PSNR_LIMIT)
    error = (frames - truth[:, None]).square().mean(dim=(-3, -2, -1))
    compared = {
        "psnr_mean": ratio[:, 0],
        "psnr_sample": ratio[:, means:].mean(1),
        "psnr_copy": psnr(last, truth, limit=PSNR_LIMIT),
        "error_mean": error[:, 0],
        "error_sample": error[:, means:].mean(1),
    }
    if means == 2:
        compared |= {"psnr_shuffled": ratio[:, 1], "error_shuffled": error[:, 1]}
    return compared


def _futures(prediction: Prediction, doubt: Tensor | None, n: int, means: int) -> dict[str, Tensor]:
    """Give what is said of the futures, (n, futures) each; of uncertainty (n,), their mean."""
    said = {
        "predicted_reward": prediction.reward,
        "predicted_continuation": prediction.continuation,
        "uncertainty": doubt,
    }
    rows = {
        name: rearrange(value, "(n r) -> n r", n=n)[:, means:]
        for name, value in said.items()
        if value is not None
    }
    if "uncertainty" in rows:
        rows["uncertainty"] = rows["uncertainty"].mean(1)
    return rows
