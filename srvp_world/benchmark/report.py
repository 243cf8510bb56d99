"""What a world is worth: its open loop, rewards, ends, use of actions, filter, and coverage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from srvp_world.benchmark.averages import average_ages, average_open_loop, average_sensitivity
from srvp_world.benchmark.calibration import (
    calibrate_continuation,
    calibrate_reward,
    calibrate_uncertainty,
)
from srvp_world.benchmark.filtering import Coverage, Filtered, cover, filter_episodes, filter_starts
from srvp_world.benchmark.imagination import (
    Clip,
    Imagined,
    cut_clips,
    imagine_clips,
    read_clips,
)
from srvp_world.checkpoint import World
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import read_array
from srvp_world.errors import ConfigError, DataError

SHOWN = 4  # clips in the pictures


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """How to measure.

    Attributes:
        watched: Frames that the world watches before it imagines.
        horizon: Frames that it imagines.
        samples: Futures of each clip.
        seed: Of their noise.
    """

    watched: int = 10
    horizon: int = 40
    samples: int = 8
    seed: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """What was measured, and what pictures need.

    Attributes:
        config: How.
        numbers: For `results.json`; what a world cannot have is missing.
        left_out: Why something is missing, by its name.
        imagined: The open loop, step by step.
        filtered: The filter, frame by frame.
        coverage: Distances of states, where there are start clips enough.
        actions: (m, d) of the data as vectors: boxes in [-1, 1], choices one-hot.
        choices: Whether actions are choices.
        rewards: (m,) of the data.
        truth: (clips, t, c, h, w) in [0, 1], some clips.
        dream: As `truth`: reconstructions of watched frames, then one future.
    """

    config: ReportConfig
    numbers: dict[str, Any]
    left_out: dict[str, str]
    imagined: Imagined
    filtered: Filtered | None
    coverage: Coverage | None
    actions: np.ndarray | None
    choices: bool
    rewards: np.ndarray | None
    truth: torch.Tensor = field(repr=False)
    dream: torch.Tensor = field(repr=False)


def check_fits(world: World, data: Dataset, watched: int) -> None:
    """Refuse data that the world cannot watch.

    Raises:
        DataError: If frames, vectors or actions are other than the world's, or were seen otherwise
            where both tell how.
        ConfigError: If the world needs to watch more frames.
    """
    config, info = world.model.config, data.info
    size = config.frame_size
    compared = [
        ("frames of", info.frame_shape, (size, size, config.channels)),
        ("actions", info.action and info.action.space, config.action and config.action.space),
        ("vectors of size", info.vector_dim, config.vector_dim),
    ]
    if info.pixels is not None and world.pixels is not None:
        compared += [
            (name, getattr(info.pixels, name), getattr(world.pixels, name))
            for name in ("env_id", "env_kwargs", "crop", "action_repeat")
        ]
    for what, given, wanted in compared:
        if given != wanted:
            raise DataError(
                f"{data.folder} has {what} {given}, the world takes {wanted}: "
                "give data of the environment or videos that it was learnt from"
            )
    if watched < config.content_frames:
        raise ConfigError(
            f"the world needs to watch {config.content_frames} frames, got {watched}: "
            f"give --watched {config.content_frames}"
        )


def measure(
    world: World, data: Dataset, config: ReportConfig | None = None, *, progress: bool = True
) -> Report:
    """Measure a world on episodes, which it should not have been trained on.

    Raises:
        DataError: If the data do not fit the world, or its episodes are too few or too short.
        ConfigError: If the configuration makes no sense.
    """
    config = config or ReportConfig()
    check_fits(world, data, config.watched)
    clips = cut_clips(data, config.watched, config.horizon)
    imagined = imagine_clips(
        world.model,
        data,
        clips,
        watched=config.watched,
        horizon=config.horizon,
        futures=config.samples,
        seed=config.seed,
        progress=progress,
    )
    begins = any(record.part == 0 for record in data.records)
    filtered = filter_episodes(world, data, progress=progress) if begins else None
    several = len(world.starts.frames) > 1
    coverage = cover(filtered, filter_starts(world)) if filtered and several else None
    truth, dream = _show(world, data, clips, config)
    numbers: dict[str, Any] = {
        "data": _describe(data, clips),
        "open_loop": average_open_loop(imagined),
    }
    numbers |= _calibrations(imagined)
    if filtered is not None:
        numbers["age"] = average_ages(filtered)
    if coverage is not None:
        numbers["coverage"] = _coverage(coverage)
    return Report(
        config=config,
        numbers=numbers,
        left_out=_left_out(world, data, numbers),
        imagined=imagined,
        filtered=filtered,
        coverage=coverage,
        actions=_actions(data),
        choices=data.info.action is not None and data.info.action.kind != "box",
        rewards=_all(data, "rewards") if data.info.rewards else None,
        truth=truth,
        dream=dream,
    )


def _describe(data: Dataset, clips: Sequence[Clip]) -> dict[str, int]:
    return {
        "episodes": len(data.episodes),
        "frames": sum(record.frames for record in data.records),
        "clips": len(clips),
    }


def _calibrations(imagined: Imagined) -> dict[str, Any]:
    """Measure what the world has of rewards, ends, actions and uncertainty."""
    numbers: dict[str, Any] = {}
    valid = imagined.valid
    if imagined.predicted_reward is not None and imagined.reward is not None:
        numbers |= calibrate_reward(imagined.predicted_reward, imagined.reward, valid)
    predicted, happened = imagined.predicted_continuation, imagined.continues
    if predicted is not None and happened is not None and (happened[valid] == 0).any():
        numbers["continuation"] = calibrate_continuation(predicted, happened, valid)
    if imagined.error_shuffled is not None and imagined.psnr_shuffled is not None:
        numbers["actions"] = average_sensitivity(
            imagined, imagined.error_shuffled, imagined.psnr_shuffled
        )
    if imagined.uncertainty is not None:
        numbers["uncertainty"] = calibrate_uncertainty(
            imagined.uncertainty, imagined.error_sample, valid
        )
    return numbers


def _coverage(coverage: Coverage) -> dict[str, Any]:
    return {
        "ratio": coverage.ratio,
        "beyond": coverage.beyond,
        "states": len(coverage.data),
        "start_states": len(coverage.starts),
    }


def _left_out(world: World, data: Dataset, numbers: dict[str, Any]) -> dict[str, str]:
    """Say why something was not measured."""
    model, reasons = world.model, {}
    if "reward" not in numbers:
        reason = "the data have no rewards" if model.has_reward else "the world predicts none"
        reasons["reward"] = reason
    if "continuation" not in numbers:
        reasons["continuation"] = "the world predicts no ends"
        if model.has_continuation:
            reasons["continuation"] = "no episode terminated, there is nothing to calibrate"
    if "actions" not in numbers:
        reasons["actions"] = "the world takes none"
    if "age" not in numbers:
        reasons["age"] = f"{data.folder} holds no beginning of an episode"
    if "coverage" not in numbers:
        reasons["coverage"] = "the world has fewer than two start clips, or the data no beginning"
    if "uncertainty" not in numbers:
        reasons["uncertainty"] = "the world has no ensemble to tell it"
    return reasons


def _actions(data: Dataset) -> np.ndarray | None:
    if data.info.action is None:
        return None
    return data.info.action.encode(torch.from_numpy(_all(data, "actions"))).numpy()


def _all(data: Dataset, name: str) -> np.ndarray:
    """Read one array of all records."""
    return np.concatenate([read_array(data.path(i), name) for i in range(len(data))])


def _show(
    world: World, data: Dataset, clips: Sequence[Clip], config: ReportConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give truth and dream of whole clips at equal distances among all, on the CPU."""
    length = config.watched + config.horizon
    whole = [clip for clip in clips if data.records[clip.record].frames - clip.start >= length]
    chosen = sorted({round(at) for at in np.linspace(0, len(whole) - 1, SHOWN)})
    batch = read_clips(data, [whole[i] for i in chosen], length).to(world.device)
    generator = torch.Generator(world.device).manual_seed(config.seed)
    dream = world.model.preview(batch, config.watched, generator)
    return batch.frames.cpu(), dream.cpu()
