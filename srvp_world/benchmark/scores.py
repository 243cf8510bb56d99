"""Scores of predicted videos, and what is said of them: best, mean, worst, and how sure that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from srvp_world.benchmark.protocols import Protocol
from srvp_world.metrics.frame import Metric

DEFINITIONS = {
    "best": "the sample of each clip with the best mean over predicted frames, by each metric",
    "mean": "mean over all samples of a clip",
    "worst": "as best, the other way round",
    "interval": "half of the 95 % confidence interval: 1.96 std / sqrt(clips), population std over "
    "clips",
    "diversity": "mean squared difference of two samples of a clip, over pairs, pixels and frames",
    "samples": "y_1 and all innovations drawn again, those of observed frames from the posterior; "
    "noise of a sample by numpy.random.default_rng((seed, clip, sample))",
    "frames": "clamped to [0, 1], not quantised; predicted frames only",
    "floors": "copies of the last observed frame, black, and the mean of the observed frames",
}


class Estimate(NamedTuple):
    """A mean over clips, and half of its 95 % confidence interval."""

    mean: np.ndarray
    interval: np.ndarray


def estimate(values: np.ndarray) -> Estimate:
    """Average (clips, ...) over clips; the interval takes the population's deviation (paper)."""
    values = values.astype(np.float64)
    interval = 1.96 * values.std(axis=0) / np.sqrt(len(values))
    return Estimate(values.mean(axis=0), interval)


@dataclass(frozen=True, eq=False)
class KeptClip:
    """Frames of a clip, for pictures.

    Attributes:
        clip: Its number in the test set.
        truth: (conditioning + horizon, h, w, c) uint8.
        samples: (horizon, h, w, c) uint8 by what the sample is.
        scores: Means over predicted frames of the same samples, by metric.
    """

    clip: int
    truth: np.ndarray
    samples: Mapping[str, np.ndarray]
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class FVDScore:
    """Frechet video distances of sets of predictions, one prediction of each clip to a set.

    Attributes:
        each: The distance of the set of first samples, of second samples and so on.
        videos: Clips on each side.
        frames: Of a clip, with those that were given.
        conditioning_frames: Those that were given; they are part of what is compared.
        resize: How frames became as large as the network wants them.
    """

    each: tuple[float, ...]
    videos: int
    frames: int
    conditioning_frames: int
    resize: str

    @property
    def mean(self) -> float:
        """Over sets of predictions."""
        return math.fsum(self.each) / len(self.each)

    @property
    def interval(self) -> float:
        """Half of the 95 % confidence interval over sets of predictions; NaN for a single one."""
        return float(estimate(np.array(self.each)).interval) if len(self.each) > 1 else math.nan

    def numbers(self) -> dict[str, Any]:
        """Give everything for `results.json`."""
        ours = {"mean": self.mean, "interval": self.interval, "first": self.each[0]}
        return {**ours, **asdict(self), "conditioning_frames_included": True}


@dataclass(frozen=True, eq=False)
class VideoScores:
    """What an evaluation measured, frame by frame.

    Attributes:
        protocol: What was done.
        metrics: What was measured.
        values: (clips, samples, horizon) by metric.
        floors: (clips, horizon) by floor, then by metric.
        diversity: (clips, horizon); NaN where there is one sample only.
        kept: Pictures of the first clips.
        clips_sha256: Of the uint8 frames (t, h, w, c) of all clips, one after the other.
        actions_sha256: Of the actions of all clips, likewise; None where worlds are told none.
        seconds: Of the whole evaluation.
        decoded: Frames that were predicted and scored.
        fvd: Distances of whole videos, where they were wanted.
    """

    protocol: Protocol
    metrics: Sequence[Metric]
    values: Mapping[str, np.ndarray]
    floors: Mapping[str, Mapping[str, np.ndarray]]
    diversity: np.ndarray
    kept: Sequence[KeptClip]
    clips_sha256: str
    seconds: float
    decoded: int
    actions_sha256: str | None = None
    fvd: FVDScore | None = None

    @property
    def clips(self) -> int:
        """Number of test clips."""
        return len(self.diversity)

    def rows(self, metric: Metric) -> dict[str, np.ndarray]:
        """Give (clips, horizon) for everything that tables and curves show of a metric."""
        values = self.values[metric.name]
        ours = {"best": values[:, 0]}
        if values.shape[1] > 1:
            order = ranking(values, metric)
            clip = np.arange(len(values))
            ours = {
                "best": values[clip, order[:, 0]],
                "mean": values.mean(axis=1, dtype=np.float64),
                "worst": values[clip, order[:, -1]],
            }
        return ours | {floor: scores[metric.name] for floor, scores in self.floors.items()}

    def numbers(self) -> dict[str, Any]:
        """Give everything for `results.json`."""
        scores, curves, at_limit = {}, {}, {}
        for metric in self.metrics:
            rows = self.rows(metric)
            scores[metric.name] = {
                row: estimate(frames.mean(axis=1, dtype=np.float64))._asdict()
                for row, frames in rows.items()
            }
            curves[metric.name] = {row: estimate(frames)._asdict() for row, frames in rows.items()}
            if metric.limit is not None:
                at_limit[metric.name] = self._at_limit(metric, metric.limit)
        first = self.protocol.conditioning + 1
        return {
            "scores": scores,
            "each_clip": {
                metric.name: self.rows(metric)["best"].mean(axis=1, dtype=np.float64).tolist()
                for metric in self.metrics
            },
            **({"fvd": self.fvd.numbers()} if self.fvd else {}),
            "diversity": estimate(self.diversity.mean(axis=1))._asdict(),
            "frames_at_limit": at_limit,
            "curves": {
                "frame": list(range(first, self.protocol.length + 1)),
                **curves,
                "diversity": estimate(self.diversity)._asdict(),
            },
            "seconds": self.seconds,
            "decoded_frames": self.decoded,
            "decoded_frames_per_second": self.decoded / self.seconds,
        }

    def _at_limit(self, metric: Metric, limit: float) -> dict[str, int]:
        """Count frames whose score stands for infinity."""
        floors = {floor: scores[metric.name] for floor, scores in self.floors.items()}
        everything = {"samples": self.values[metric.name], **floors}
        return {name: int((values >= limit).sum()) for name, values in everything.items()}


def ranking(values: np.ndarray, metric: Metric) -> np.ndarray:
    """Order the samples of each clip from best to worst: (clips, samples) numbers of samples."""
    means = values.mean(axis=2, dtype=np.float64)
    order: np.ndarray = np.argsort(-means if metric.better == "higher" else means, axis=1)
    return order
