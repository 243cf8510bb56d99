"""Evaluation of video prediction as the paper does it: best of many samples, clip by clip.

Memory does not grow with clips or samples, but for their scores and for those of the few clips that
are shown: clips are read in batches, some of their futures are drawn as latents, and a few of these
are decoded and scored at a time.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Generic, NamedTuple, TypeVar
from typing import Protocol as Interface

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from tqdm import tqdm

from srvp_world.benchmark.batches import batches
from srvp_world.benchmark.floors import FLOORS
from srvp_world.benchmark.protocols import ClipBatch, Clips, Protocol
from srvp_world.benchmark.scores import KeptClip, VideoScores, ranking
from srvp_world.benchmark.video_distance import VideoDistance
from srvp_world.errors import ConfigError, DataError
from srvp_world.metrics.frame import METRICS, Metric
from srvp_world.metrics.fvd import Network

SEED = 1  # the original's
BATCH_SIZE = 16
KEPT_CLIPS = 4
KEPT_SAMPLES = 2  # beside the best and the worst
IMAGINED_AT_ONCE = 256  # futures; one of SVG is frames, 330 kB where they are 20
SCORED_AT_ONCE = 256  # frames

W = TypeVar("W")


class VideoModel(Interface[W]):
    """A model that draws futures of clips; see `model.sampling.Futures`."""

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        ...

    @property
    def fewest_rows(self) -> int:
        """Clips that it must watch together; see `world.WorldModel`."""
        ...

    def noise_size(self, observed: int, horizon: int) -> int:
        """Count the standard normal numbers that one future consumes."""
        ...

    def watch(self, frames: Tensor, actions: Tensor | None = None) -> W:
        """Watch frames (b, t, c, h, w) once, for all samples."""
        ...

    def imagine(
        self, watched: W, noise: Tensor, horizon: int, actions: Tensor | None = None
    ) -> Tensor:
        """Turn noise (b, samples, noise_size) into latents (b, samples, horizon, d)."""
        ...

    def decode(self, watched: W, states: Tensor) -> Tensor:
        """Show latents (b, samples, t, d) as frames (b, samples, t, c, h, w)."""
        ...


@torch.no_grad()
def evaluate_video(
    model: VideoModel[W],
    clips: Clips,
    protocol: Protocol,
    *,
    metrics: Sequence[Metric] = METRICS,
    i3d: Network | None = None,
    seed: int = SEED,
    batch_size: int = BATCH_SIZE,
    keep: int = KEPT_CLIPS,
    progress: bool = True,
) -> VideoScores:
    """Predict every clip many times and score each predicted frame.

    The noise of a sample depends on the seed and on the numbers of clip and sample alone, so
    neither batches nor the number of clips or samples change it.

    Args:
        model: Whose predictions to score.
        clips: Test clips; `Clips.check_fits` says whether the model can watch them.
        protocol: What to predict from what.
        metrics: How to compare; pictures go by the first.
        i3d: Measures the Frechet video distance, where it is given.
        seed: Of all noise.
        batch_size: Clips that are watched at once; one more where else the last would be alone and
            the model cannot have that.
        keep: Clips, the first ones, whose truth, best, worst and two other samples are kept.
        progress: Whether to show a bar.

    Raises:
        ConfigError: For a negative seed, an empty batch, no clip to keep, or fewer clips than the
            model must watch together.
        DataError: For clips that cannot be read or are too few or short for `i3d`, or predictions
            that are not finite.
    """
    if seed < 0 or keep < 1 or batch_size < 1:
        raise ConfigError(
            "seed must not be negative, keep and batch-size at least 1, got "
            f"{seed}, {keep} and {batch_size}"
        )
    begin, n = perf_counter(), clips.count
    digest, actions = hashlib.sha256(), hashlib.sha256()
    parts = batches(n, batch_size, fewest=model.fewest_rows)
    distance = None if i3d is None else VideoDistance(i3d, protocol, n)
    results: list[_Scored] = []
    kept: list[KeptClip] = []
    frames = n * protocol.samples * protocol.horizon
    bar = tqdm(
        total=frames, desc=protocol.name, unit="frame", unit_scale=True, disable=not progress
    )
    with bar:
        for part in parts:
            batch = clips.read(part.start, part.stop)
            digest.update(batch.frames.tobytes())
            if batch.actions is not None:
                actions.update(batch.actions.tobytes())
            futures = _Futures(model, batch, protocol, part.start, seed, keep)
            results.append(futures.score(metrics, bar, distance))
            kept += futures.keep(results[-1].values, metrics[0])
    return VideoScores(
        protocol=protocol,
        metrics=metrics,
        values=_join([result.values for result in results]),
        floors={floor: _join([result.floors[floor] for result in results]) for floor in FLOORS},
        diversity=np.concatenate([result.diversity for result in results]),
        kept=kept,
        clips_sha256=digest.hexdigest(),
        actions_sha256=None if clips.action is None else actions.hexdigest(),
        seconds=perf_counter() - begin,
        decoded=frames,
        fvd=None if distance is None else distance.score(),
    )


class _Scored(NamedTuple):
    """What `VideoScores` holds, for some clips."""

    values: Mapping[str, np.ndarray]
    floors: Mapping[str, Mapping[str, np.ndarray]]
    diversity: np.ndarray


class _Futures(Generic[W]):
    """Some clips, watched once, and their futures."""

    def __init__(
        self,
        model: VideoModel[W],
        batch: ClipBatch,
        protocol: Protocol,
        start: int,
        seed: int,
        keep: int,
    ) -> None:
        """Watch clips start, start + 1, ...; keep the futures of those before `keep`."""
        watched = protocol.conditioning
        self.model, self.batch, self.start = model, batch, start
        pixels = torch.from_numpy(batch.frames).to(model.device)
        self.pixels = rearrange(pixels, "b t h w c -> b t c h w")
        frames = self.pixels.float() / 255
        self.observed, self.truth = frames[:, :watched], frames[:, watched:]
        before, self.actions = None, None
        if batch.actions is not None:
            actions = torch.from_numpy(batch.actions).to(model.device)
            before, self.actions = actions[:, : watched - 1], actions[:, watched - 1 :]
        self.watched = model.watch(self.observed, before)
        size = model.noise_size(watched, protocol.horizon)
        clips = range(start, start + len(frames))
        self.noise = draw_noise(seed, clips, protocol.samples, size).to(model.device)
        self.horizon = protocol.horizon
        self.shown = min(max(keep - start, 0), len(clips))
        self.kept: list[Tensor] = []

    def score(
        self, metrics: Sequence[Metric], bar: tqdm, distance: VideoDistance | None
    ) -> _Scored:
        """Decode and score a few samples of all clips at a time."""
        b, samples, horizon = *self.noise.shape[:2], self.horizon
        compare = {metric.name: metric.against(self.truth[:, None]) for metric in metrics}
        values = {name: np.empty((b, samples, horizon), np.float32) for name in compare}
        spread = _Spread()
        if distance:
            distance.add_truth(self.pixels)
        count = max(1, SCORED_AT_ONCE // (b * horizon))
        for part, states in self._imagine(count):
            frames = self.model.decode(self.watched, states).clamp(0, 1)
            for name, comparison in compare.items():
                values[name][:, part] = comparison(frames).cpu().numpy()
            spread.add(frames)
            if distance:
                distance.add_samples(part.start, self.pixels, frames)
            bar.update(frames.shape[:3].numel())
        for clip, one in enumerate(np.stack(list(values.values()), axis=1), self.start):
            if not np.isfinite(one).all():
                raise DataError(
                    f"predictions for clip {clip} are not finite: the world diverges with this "
                    "horizon and these substeps"
                )
        floors = {
            floor: {
                name: comparison(predict(self.observed)[:, None]).cpu().numpy()[:, 0]
                for name, comparison in compare.items()
            }
            for floor, predict in FLOORS.items()
        }
        return _Scored(values, floors, spread.mean_squared_difference())

    def _imagine(self, count: int) -> Iterator[tuple[slice, Tensor]]:
        """Draw the latents of a few samples of all clips at a time, and keep those to be shown."""
        together = max(1, IMAGINED_AT_ONCE // (len(self.noise) * count)) * count
        first = 0
        for noise in torch.split(self.noise, together, dim=1):
            states = self.model.imagine(self.watched, noise, self.horizon, self.actions)
            self.kept.append(states[: self.shown].clone())
            for part in torch.split(states, count, dim=1):
                yield slice(first, first + part.shape[1]), part
                first += part.shape[1]

    def keep(self, values: Mapping[str, np.ndarray], metric: Metric) -> list[KeptClip]:
        """Decode the best, the worst and some other samples of the first clips once more."""
        if not self.shown:
            return []
        order = ranking(values[metric.name], metric)[: self.shown]
        chosen = {f"sample {i + 1}": np.full(len(order), i) for i in range(order.shape[1])}
        chosen = dict(list(chosen.items())[:KEPT_SAMPLES])
        if order.shape[1] > 1:
            chosen = {"best": order[:, 0], **chosen, "worst": order[:, -1]}
        picked = np.stack(list(chosen.values()), axis=1)
        states = torch.cat(self.kept, dim=1)
        states = states[torch.arange(len(order))[:, None], torch.from_numpy(picked)]
        frames = self.model.decode(self.watched, states).clamp(0, 1)
        pixels = rearrange((255 * frames).round().byte(), "b s t c h w -> b s t h w c").cpu()
        means = {name: each.mean(axis=2) for name, each in values.items()}
        return [
            KeptClip(
                clip=self.start + i,
                truth=self.batch.frames[i],
                samples=dict(zip(chosen, rows, strict=True)),
                scores={
                    label: {name: float(mean[i, sample[i]]) for name, mean in means.items()}
                    for label, sample in chosen.items()
                },
            )
            for i, rows in enumerate(pixels.numpy())
        ]


class _Spread:
    """How far the samples of a clip are apart, without keeping them.

    Sums are of differences from the first sample, so that equal samples give exactly zero.
    """

    def __init__(self) -> None:
        """Begin without samples."""
        self.count = 0

    def add(self, frames: Tensor) -> None:
        """Take in samples (b, samples, t, c, h, w)."""
        if not self.count:
            self.first = frames[:, :1]
            self.total = self.squares = torch.zeros_like(frames[:, 0])
        difference = frames - self.first
        self.count += frames.shape[1]
        self.total = self.total + difference.sum(dim=1)
        self.squares = self.squares + difference.square().sum(dim=1)

    def mean_squared_difference(self) -> np.ndarray:
        """Average over pairs of samples, and pixels: (b, t); NaN for a single sample."""
        n = self.count
        if n < 2:
            return np.full(self.total.shape[:2], np.nan)
        variance = (self.squares - self.total.square() / n) / (n - 1)
        apart: np.ndarray = 2 * variance.clamp(min=0).mean(dim=(-3, -2, -1)).cpu().numpy()
        return apart


def draw_noise(seed: int, clips: Sequence[int], samples: int, size: int) -> Tensor:
    """Draw standard normal noise (clips, samples, size), each row from a stream of its own."""
    rows = [
        np.random.default_rng((seed, clip, sample)).standard_normal(size, np.float32)
        for clip in clips
        for sample in range(samples)
    ]
    return rearrange(torch.from_numpy(np.stack(rows)), "(b s) d -> b s d", s=samples)


def _join(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
