"""Frame rate: a world that was trained at one dt, asked for the frames at dt, dt/2 and dt/4.

Nothing is trained on what lies between frames. On Moving MNIST it is known, and what the world
shows there is held against it, beside what needs no world: mixtures of the neighbouring frames.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from tqdm import tqdm

from srvp_world.benchmark.experiment import (
    BATCH_SIZE,
    SEED,
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
from srvp_world.benchmark.scores import ranking
from srvp_world.benchmark.video import draw_noise
from srvp_world.checkpoint import World
from srvp_world.data.subpixel import draw_between
from srvp_world.metrics.frame import METRICS
from srvp_world.model.sampling import Futures
from srvp_world.model.state import Inference

RATES = (1, 2, 4)  # how many times the frames of training
CONTRAST = "contrast"
KINDS = {
    "whole": "whole times",
    "between": "between",
    "blended": "between, blended",
    "between_less_blended": "between, less blended",
    "black": "between, black",
}
WANTS = "time between frames"
PICTURE = "frame-rate.png"
DEFINITIONS = {
    "rate": "Euler steps per frame as trained, times 1, 2 and 4: dt, dt/2 and dt/4; 1, 2 "
    "and 4 states per frame are decoded, innovations are held within a frame, and are the same at "
    "all rates",
    "whole": "predicted frames at the data's times; of the samples of a clip the one with the best "
    "mean of them, by each metric",
    "between": "frames of that same sample at the times between two predicted frames, against "
    "digits drawn at their true positions there, bilinearly; null where these are not known",
    "blended": "mixtures of that sample's two neighbouring frames at the data's times, in parts "
    "of the time to them, against the same truth",
    "between_less_blended": "the difference of these two, clip by clip",
    "black": "black frames against the truth between frames, which is blurred by bilinear drawing: "
    "what lies between is no harder than whole frames, but has another scale",
    "contrast": "sum of squared pixels, relative to its mean over the whole frames of the sample "
    "(the best by the first metric): what is as sharp has 1, mixtures have less",
}
_SHOWN, _SCALE = 4, 2  # frames of the data in the picture, and how large a pixel is


class Scores(NamedTuple):
    """Scores (clips, samples, times) by metric; all but the first None where truth is unknown.

    Those of `between` and `blended` have `contrast`, too.
    """

    whole: Mapping[str, np.ndarray]
    between: Mapping[str, np.ndarray] | None = None
    blended: Mapping[str, np.ndarray] | None = None
    black: Mapping[str, np.ndarray] | None = None


@torch.no_grad()
def measure_frame_rate(
    world: World,
    clips: Clips,
    protocol: Protocol,
    out: Path,
    *,
    seed: int = SEED,
    progress: bool = True,
) -> dict[str, Any]:
    """Predict clips at each rate, score them, and leave a picture.

    Args:
        world: Of the kind `srvp` with a dt, without actions.
        clips: That it can watch.
        protocol: What to predict from what; its substeps do not count.
        out: Folder for the picture.
        seed: Of all noise.
        progress: Whether to show a bar.

    Raises:
        ConfigError: If the world has actions, or no dt.
    """
    model = state_space_model(world, WANTS)
    trained = model.config.substeps
    futures = {
        rate: Futures(model, substeps=trained * rate, observed_substeps=protocol.observed_substeps)
        for rate in RATES
    }
    truth = moving_truth(protocol, clips, RATES[-1], progress=progress)
    parts: dict[int, list[Scores]] = {rate: [] for rate in RATES}
    total = len(RATES) * clips.count * protocol.samples
    with tqdm(total=total, desc="frame rate", unit="future", disable=not progress) as bar:
        for start in range(0, clips.count, BATCH_SIZE):
            stop = min(start + BATCH_SIZE, clips.count)
            frames = to_frames(clips.read(start, stop).frames, world.device)
            watched = futures[1].watch(frames[:, : protocol.conditioning])
            size = futures[1].noise_size(protocol.conditioning, protocol.horizon)
            noise = draw_noise(seed, range(start, stop), protocol.samples, size)
            rows: dict[int, Tensor] = {}
            for rate in RATES:
                true = _true_frames(frames, truth, slice(start, stop), rate, protocol)
                each = []
                for one in torch.split(noise.to(world.device), 1, dim=1):
                    predicted = _predict(futures[rate], watched, one, protocol.horizon)
                    rows.setdefault(rate, predicted[:, 0])
                    each.append(score_rate(predicted, true, rate))
                    bar.update(stop - start)
                parts[rate].append(_join(each, axis=1))
            if start == 0:
                _draw(rows, frames, truth, protocol, out / PICTURE)
    return {
        "rates": {
            str(rate): {"substeps": trained * rate, **best(_join(parts[rate], axis=0))}
            for rate in RATES
        }
    }


def _predict(futures: Futures, watched: Inference, noise: Tensor, horizon: int) -> Tensor:
    """Decode the states that the rate asks for: of the Euler steps every `trained`-th one."""
    trained = futures.model.config.substeps
    states = futures.imagine(watched, noise, horizon, intermediate=True)
    return futures.decode(watched, states[:, :, trained - 1 :: trained]).clamp(0, 1)


def score_rate(predicted: Tensor, true: Tensor, rate: int) -> Scores:
    """Score predictions at `rate` times the frames of the data.

    Args:
        predicted: (b, samples, horizon * rate, c, h, w).
        true: (b, horizon * rate, c, h, w), or (b, horizon, c, h, w) where no more is known.
        rate: Frames per frame of the data; the last of each `rate` is at the data's time.
    """
    whole = predicted[:, :, rate - 1 :: rate]
    known = rate > 1 and true.shape[1] == predicted.shape[2]
    true_whole = true[:, rate - 1 :: rate] if known else true

    def compare(frames: Tensor, truth: Tensor) -> dict[str, np.ndarray]:
        return {m.name: m.against(truth[:, None])(frames).cpu().numpy() for m in METRICS}

    if not known or whole.shape[2] < 2:
        return Scores(compare(whole, true_whole))
    inner, true_inner = _inner(predicted, 2, rate), _inner(true, 1, rate)
    mixed = blend(whole, rate)
    between, blended = (
        {**compare(frames, true_inner), CONTRAST: contrast(frames, whole)}
        for frames in (inner, mixed)
    )
    black = compare(torch.zeros_like(inner), true_inner)
    return Scores(compare(whole, true_whole), between, blended, black)


def contrast(frames: Tensor, whole: Tensor) -> np.ndarray:
    """Give sums of squared pixels (b, samples, t), relative to their mean over whole frames."""
    energy, unit = (each.square().sum(dim=(-3, -2, -1)) for each in (frames, whole))
    relative: np.ndarray = (energy / unit.mean(dim=-1, keepdim=True)).cpu().numpy()
    return relative


def blend(whole: Tensor, rate: int) -> Tensor:
    """Mix neighbours of frames (b, samples, t, ...): (b, samples, (t - 1) * (rate - 1), ...)."""
    parts = [torch.lerp(whole[:, :, :-1], whole[:, :, 1:], step / rate) for step in range(1, rate)]
    return torch.stack(parts, dim=3).flatten(2, 3)


def _inner(frames: Tensor, axis: int, rate: int) -> Tensor:
    """Take the frames between two that are at the data's times."""
    steps = torch.arange(rate, frames.shape[axis], device=frames.device)
    return frames.index_select(axis, steps[(steps + 1) % rate != 0])


def best(scores: Scores) -> dict[str, Any]:
    """Choose samples by their whole frames, and average."""
    numbers: dict[str, Any] = {}
    chosen = {m.name: ranking(scores.whole[m.name], m)[:, 0] for m in METRICS}
    chosen[CONTRAST] = chosen[METRICS[0].name]
    for name, sample in chosen.items():
        clip = np.arange(len(sample))
        each = {
            kind: values[name][clip, sample]
            for kind, values in scores._asdict().items()
            if values is not None and name in values
        }
        if {"between", "blended"} <= each.keys():
            each["between_less_blended"] = each["between"] - each["blended"]
        numbers[name] = {kind: summary(each[kind]) if kind in each else None for kind in KINDS}
    return numbers


def frame_rate_table(numbers: Mapping[str, Any]) -> str:
    """Lay the numbers out in Markdown."""
    digits = {metric.name: (metric.heading, metric.digits) for metric in METRICS}
    digits[CONTRAST] = (CONTRAST, 3)
    lines = [
        (f"{heading}, {words}", name, kind, places)
        for name, (heading, places) in digits.items()
        for kind, words in KINDS.items()
        if name != CONTRAST or kind in ("between", "blended")
    ]
    rates = numbers["rates"]
    rows = [
        [head, *(shown(row[name][kind], places) for row in rates.values())]
        for head, name, kind, places in lines
    ]
    heads = ["dt" if rate == "1" else f"dt/{rate}" for rate in rates]
    return "\n".join(markdown(["frame rate", *heads], rows))


def _true_frames(
    frames: Tensor, truth: Truth | None, clips: slice, rate: int, protocol: Protocol
) -> Tensor:
    """Give what predictions at a rate are held against: the clips' own frames at their times."""
    whole = frames[:, protocol.conditioning :]
    if truth is None or rate == 1:
        return whole
    first = (protocol.conditioning - 1) * RATES[-1]
    stride = RATES[-1] // rate
    positions = truth.positions[clips, first + stride :: stride]
    drawn = torch.from_numpy(draw_between(truth.images[clips], positions)).to(frames.device)
    true = rearrange(drawn, "b t h w -> b t 1 h w")
    true[:, rate - 1 :: rate] = whole
    return true


def _join(parts: Sequence[Scores], axis: int) -> Scores:
    def join(name: str) -> dict[str, np.ndarray] | None:
        each = [getattr(part, name) for part in parts]
        if each[0] is None:
            return None
        return {key: np.concatenate([one[key] for one in each], axis) for key in each[0]}

    whole, *others = map(join, Scores._fields)
    assert whole is not None
    return Scores(whole, *others)


def _draw(
    rows: Mapping[int, Tensor],
    frames: Tensor,
    truth: Truth | None,
    protocol: Protocol,
    path: Path,
) -> None:
    """Draw the clip that moves most: truth, its first sample at each rate, mixtures of frames."""
    fine, count = RATES[-1], min(_SHOWN, protocol.horizon)
    times = fine if truth else 1
    shown_frames = frames[:, protocol.conditioning - 1 :][:, : count + 1]
    clip = int(shown_frames.diff(dim=1).square().sum(dim=(1, 2, 3, 4)).argmax())
    true = _true_frames(frames, truth, slice(0, len(frames)), times, protocol)[clip]
    drawn = {"truth": true[: count * times]}
    for rate, row in reversed(list(rows.items())):
        drawn["dt" if rate == 1 else f"dt/{rate}"] = row[clip, : count * rate]
    drawn["dt, blended"] = _blended(rows[1][clip, :count], fine)
    strips = {name: _spread(to_pixels(row), count * fine) for name, row in drawn.items()}
    heads = [f"{protocol.conditioning + (i + 1) / fine:g}" for i in range(count * fine)]
    words = (
        f"{protocol.name}: clip {clip + 1}, sample 1; times in frames of the data, white where "
        "there is none"
    )
    draw_rows(strips, heads, words, path, _SCALE)


def _blended(whole: Tensor, rate: int) -> Tensor:
    """Mix frames (t, ...) and put them between: (t * rate, ...), paper before the first."""
    filled = whole.new_ones(len(whole) * rate, *whole.shape[1:])
    filled[rate - 1 :: rate] = whole
    if len(whole) > 1:
        steps = torch.arange(rate, len(filled))
        filled[steps[(steps + 1) % rate != 0]] = blend(whole[None, None], rate)[0, 0]
    return filled


def _spread(pixels: np.ndarray, times: int) -> np.ndarray:
    """Put frames (t, h, w, c) at their times, with paper between them."""
    stride = times // len(pixels)
    paper = np.full((times, *pixels.shape[1:]), 255, np.uint8)
    paper[stride - 1 :: stride] = pixels
    return paper
