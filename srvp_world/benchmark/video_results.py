"""Reads what `srvp-world evaluate` left of videos."""

import contextlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srvp_world.benchmark.floors import FLOORS
from srvp_world.benchmark.published import Score
from srvp_world.benchmark.scores import estimate
from srvp_world.benchmark.video_protocol import FVD, protocol_hashes
from srvp_world.errors import DataError

RESULTS = "results.json"
_WAY_OUT = "evaluate its world again with `srvp-world evaluate`, or leave the file out"
COUNTS = ("conditioning", "horizon", "videos", "samples")


@dataclass(frozen=True, eq=False)
class Measured:
    """One evaluation of one world.

    Attributes:
        path: Of its `results.json`.
        protocol: As it lies there.
        numbers: Likewise.
        scores: Of the best sample of each clip, by metric; of FVD the mean of its samples.
        hashes: Of the protocol of each metric.
        each_clip: Of `scores`, what each clip got, by metric; empty in results of earlier versions.
        floors: What needs no world, by what it predicts, then by metric.
    """

    path: Path
    protocol: Mapping[str, Any]
    numbers: Mapping[str, Any]
    scores: Mapping[str, Score]
    hashes: Mapping[str, str]
    each_clip: Mapping[str, Sequence[float]]
    floors: Mapping[str, Mapping[str, Score]]

    @property
    def training(self) -> Mapping[str, Any]:
        """How the world was trained; empty where it does not say."""
        return self.protocol.get("training") or {}

    @property
    def name(self) -> str:
        """The preset that the world began with, or its fingerprint."""
        return str(self.training.get("preset") or f"world {self.protocol.get('world')}")

    @property
    def iterations(self) -> int | None:
        """Updates of the last training, where they are known."""
        found: int | None = self.training.get("train", {}).get("iterations")
        return found

    @property
    def clips_seen(self) -> int | None:
        """Training clips, those of earlier trainings too, where they are known."""
        found: int | None = self.training.get("clips_seen")
        return found

    @property
    def window(self) -> int | None:
        """Frames of training clips, where they are known."""
        found: int | None = self.training.get("train", {}).get("window")
        return found

    @property
    def substeps(self) -> int | None:
        """Euler steps per predicted frame."""
        found: int | None = self.protocol.get("substeps")
        return found

    @property
    def frames(self) -> int:
        """Of a clip, given and predicted ones."""
        return int(self.protocol["conditioning"] + self.protocol["horizon"])

    def as_json(self) -> dict[str, Any]:
        """Give everything that a table shows, number by number."""
        protocol = self.protocol
        return {
            "kind": "measured",
            "results": str(self.path),
            "method": self.name,
            "dataset": protocol["name"],
            "world": protocol.get("world"),
            "iterations": self.iterations,
            "clips_seen": self.clips_seen,
            "seed_of_training": self.training.get("train", {}).get("seed"),
            "substeps": self.substeps,
            "clips": protocol["videos"],
            "frames": self.frames,
            "conditioning": protocol["conditioning"],
            "horizon": protocol["horizon"],
            "samples": protocol["samples"],
            "temperature": protocol.get("temperature", 1.0),
            "scores": {
                metric: {"value": value, "interval": interval, "protocol_hash": self.hashes[metric]}
                for metric, (value, interval) in self.scores.items()
            },
            "floors": {
                floor: {
                    metric: {"value": value, "interval": interval}
                    for metric, (value, interval) in scores.items()
                }
                for floor, scores in self.floors.items()
            },
        }


def find_results(paths: Sequence[Path]) -> tuple[list[Measured], list[Path]]:
    """Read the evaluations that are named, or lie at any depth in folders that are.

    Returns:
        Evaluations, each file once; and files in folders that are something else.

    Raises:
        DataError: For a path without results, and a file that is broken, older, or, where it is
            named itself, of another kind.
    """
    found: dict[Path, Measured] = {}
    others: list[Path] = []
    for path in paths:
        files = sorted(path.rglob(RESULTS)) if path.is_dir() else [path]
        for file in files:
            content = _read_json(file)
            if path.is_dir() and not _is_evaluation(content):
                others.append(file)
            else:
                found.setdefault(file.resolve(), _measured(file, content))
        if path.is_dir() and all(file in others for file in files):
            raise DataError(
                f"{path} holds no {RESULTS} of `srvp-world evaluate` on videos: name a folder that "
                "does"
            )
    return [*found.values()], others


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {file} ({error.strerror}): name a {RESULTS}") from None
    except ValueError:
        raise DataError(f"{file} is broken, it is no JSON: {_WAY_OUT}") from None


def _is_evaluation(content: Any) -> bool:
    """Say whether results are of predicted videos; of what version is another question."""
    parts = [content.get(key) for key in ("numbers", "protocol")] if _is(content) else []
    return (
        bool(parts)
        and all(_is(part) for part in parts)
        and "scores" in parts[0]
        and {"conditioning", "horizon", "samples"} <= parts[1].keys()
    )


def _is(value: Any) -> bool:
    return isinstance(value, dict)


def _measured(file: Path, content: Any) -> Measured:
    """Check what was read."""
    if not _is_evaluation(content):
        raise DataError(
            f"{file} is of another kind, not of `srvp-world evaluate` on videos: leave it out"
        )
    protocol, numbers = content["protocol"], content["numbers"]
    try:
        hashes = protocol_hashes(protocol)
    except (DataError, KeyError) as error:
        raise DataError(f"{file} is older than this srvp-world ({error}): {_WAY_OUT}") from None
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise DataError(f"{file} is broken in its protocol: {_WAY_OUT}") from None
    # Results from before there were temperatures may be from before there were hashes.
    if (
        not hashes
        or protocol.get("protocol_hash", {} if "temperature" in protocol else hashes) != hashes
    ):
        raise DataError(f"{file} is broken, its hash is not that of its protocol: {_WAY_OUT}")
    for name in COUNTS:
        if type(protocol[name]) is not int or protocol[name] < 1:
            raise DataError(f"{file} is broken, {name} is {protocol[name]!r}: {_WAY_OUT}")
    if not (_is_number(temperature := protocol.get("temperature", 1.0)) and temperature >= 0):
        raise DataError(f"{file} is broken, temperature is {temperature!r}: {_WAY_OUT}")
    if not isinstance(protocol["name"], str):
        raise DataError(f"{file} is broken, name is {protocol['name']!r}: {_WAY_OUT}")
    training = protocol.get("training") or {}
    if not _is(training) or not _is(training.get("train", {})):
        raise DataError(f"{file} is broken, it does not tell the training: {_WAY_OUT}")
    scores = {metric: _score(file, numbers, metric) for metric in hashes}
    if not _sound_curves(numbers.get("curves", {}), [*hashes], protocol["horizon"]):
        raise DataError(f"{file} is broken in its curves: {_WAY_OUT}")
    each_clip = numbers.get("each_clip", {})
    if not _sound_clips(each_clip, protocol["videos"]):
        raise DataError(f"{file} is broken in the scores of its clips: {_WAY_OUT}")
    floors = {floor: _floor(file, numbers, hashes, floor) for floor in FLOORS}
    row = Measured(file, protocol, numbers, scores, hashes, each_clip, floors)
    budget = (row.iterations, row.clips_seen, row.substeps, row.window)
    if not all(value is None or (type(value) is int and value >= 0) for value in budget):
        raise DataError(f"{file} is broken, its budget or substeps are no numbers: {_WAY_OUT}")
    for metric, values in each_clip.items():
        mean, interval = estimate(np.array(values))
        told = scores.get(metric)
        if told and not np.allclose([told[0], told[1] or 0], [mean, interval], 1e-4, 1e-6):
            raise DataError(
                f"{file} is broken, its score of {metric!r} is not that of its clips: {_WAY_OUT}"
            )
    return row


def _is_number(value: Any) -> bool:
    """Say whether it is a finite number that a float holds."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def _sound_curves(curves: Any, metrics: Sequence[str], horizon: int) -> bool:
    """Say whether there is a number, or null, for each predicted frame where there are curves."""
    try:
        lines = [curves[metric] for metric in metrics if metric in curves]
        rows = [row for line in lines for row in (line["best"], *line.values())]
        parts = [part for row in rows for part in (curves["frame"], row["mean"], row["interval"])]
        return _is(curves) and all(
            isinstance(part, list)
            and len(part) == horizon
            and all(value is None or _is_number(value) for value in part)
            for part in parts
        )
    except (AttributeError, KeyError, TypeError):
        return False


def _sound_clips(each_clip: Any, clips: int) -> bool:
    """Say whether there is a number for each clip, by metric."""
    return _is(each_clip) and all(
        isinstance(values, list)
        and len(values) == clips
        and all(_is_number(value) for value in values)
        for values in each_clip.values()
    )


def _floor(
    file: Path, numbers: Mapping[str, Any], metrics: Iterable[str], floor: str
) -> dict[str, Score]:
    """Give the scores of a prediction without a world; FVD is not measured of them."""
    by_metric = {metric: numbers["scores"][metric] for metric in metrics if metric != FVD}
    return {
        metric: _sound_score(file, f"score of {floor!r} by {metric!r}", entry[floor])
        for metric, entry in by_metric.items()
        if floor in entry
    }


def _score(file: Path, numbers: Mapping[str, Any], metric: str) -> Score:
    entry: Any = None
    with contextlib.suppress(KeyError, TypeError):  # told below
        entry = numbers[FVD] if metric == FVD else numbers["scores"][metric]["best"]
    if metric == FVD and _is(entry) and not isinstance(entry.get("resize"), str):
        raise DataError(f"{file} is broken, it does not tell how FVD resized: {_WAY_OUT}")
    return _sound_score(file, f"score of {metric!r}", entry, alone=metric == FVD)


def _sound_score(file: Path, what: str, entry: Any, *, alone: bool = False) -> Score:
    """Check a mean and its interval; `alone` allows none, as of a single sample."""
    if _is(entry):
        mean, interval = entry.get("mean"), entry.get("interval", math.nan)
        values = (mean,) if alone and interval is None else (mean, interval)
        if all(map(_is_number, values)) and (interval is None or interval >= 0):
            return mean, interval
    raise DataError(f"{file} is broken, it has no {what}: {_WAY_OUT}")
