"""How well predictions of reward, return, ends and doubt agree with what happened.

All is NumPy, of `Imagined` arrays: n clips, h imagined steps.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BUCKETS = ((1, 1), (2, 5), (6, 10), (11, 20), (21, 40), (41, 100))  # of steps, both included
BINS = 10
END = 0.5  # a dream ends where its continuation falls below this


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement:
    """How m predictions agree with the truth, in its own units.

    Attributes:
        count: How many predictions.
        correlation: Pearson's; NaN where either side is constant.
        bias: Mean of prediction - truth.
        mae: Mean of |prediction - truth|.
        std: Standard deviation of the truth, to compare the error with.
    """

    count: int
    correlation: float
    bias: float
    mae: float
    std: float


def agree(predicted: np.ndarray, truth: np.ndarray) -> Agreement:
    """Compare predictions (m,) with the truth (m,); m is 1 at least."""
    predicted, truth = predicted.astype(np.float64), truth.astype(np.float64)
    error = predicted - truth
    return Agreement(
        count=len(truth),
        correlation=_correlation(predicted, truth),
        bias=float(error.mean()),
        mae=float(np.abs(error).mean()),
        std=float(truth.std()),
    )


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Compute Spearman's rank correlation of (m,) and (m,); NaN where either side is constant."""
    return _correlation(_ranks(a), _ranks(b))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    spread = a.std() * b.std()
    if not spread > 1e-12 * (1 + abs(a.mean() * b.mean())):
        return math.nan
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank values from 0; equal ones share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    return ranks


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve:
    """Predictions in bins, beside what happened there.

    Attributes:
        predicted: (bins,) mean prediction.
        truth: (bins,) mean truth.
        count: (bins,) predictions in it.
    """

    predicted: np.ndarray
    truth: np.ndarray
    count: np.ndarray


def binned(predicted: np.ndarray, truth: np.ndarray, bins: int = BINS) -> Curve:
    """Sort predictions (m,) into bins of equal numbers; equal predictions share a bin."""
    inner = np.quantile(predicted, np.linspace(0, 1, bins + 1)[1:-1])
    return _curve(predicted, truth, np.searchsorted(np.unique(inner), predicted, side="left"))


def binned_evenly(predicted: np.ndarray, truth: np.ndarray, bins: int = BINS) -> Curve:
    """Sort probabilities (m,) into bins of equal width, of which empty ones are left out."""
    return _curve(predicted, truth, np.minimum((predicted * bins).astype(int), bins - 1))


def _curve(predicted: np.ndarray, truth: np.ndarray, where: np.ndarray) -> Curve:
    count = np.bincount(where)
    full = count > 0
    sums = [np.bincount(where, values.astype(np.float64))[full] for values in (predicted, truth)]
    return Curve(predicted=sums[0] / count[full], truth=sums[1] / count[full], count=count[full])


def calibrate_reward(predicted: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> dict[str, Any]:
    """Compare predicted rewards with true ones, step by step, and summed over each clip.

    Args:
        predicted: (n, futures, h); the prediction of a step is the mean over futures.
        truth: (n, h).
        valid: (n, h) bool.
    """
    forecast = predicted.mean(axis=1)
    steps = np.arange(1, truth.shape[1] + 1)
    by_step = {}
    for first, last in BUCKETS:
        inside = valid & (steps >= first) & (steps <= last)
        if inside.any():
            name = str(first) if first == last else f"{first}-{min(last, len(steps))}"
            by_step[name] = asdict(agree(forecast[inside], truth[inside]))
    returns = [(values * valid).sum(axis=1) for values in (forecast, truth)]
    return {
        "reward": asdict(agree(forecast[valid], truth[valid])),
        "reward_by_step": by_step,
        "reward_curve": asdict(binned(forecast[valid], truth[valid])),
        "return": asdict(agree(*returns)),
        "returns": {"predicted": returns[0], "truth": returns[1]},
    }


def forecast_continuation(predicted: np.ndarray) -> np.ndarray:
    """Give the probability (n, h) that an episode goes on at a step if it did so up to there.

    A future counts as much as is left of it: one that ended says no more of later steps.

    Args:
        predicted: (n, futures, h) probabilities of each future.
    """
    survival = np.cumprod(predicted.astype(np.float64), axis=2)
    left = np.concatenate([np.ones_like(survival[..., :1]), survival[..., :-1]], axis=2)
    left = np.maximum(left, 1e-12)  # where none is left, all count alike
    forecast: np.ndarray = (left * predicted).sum(axis=1) / left.sum(axis=1)
    return forecast


def calibrate_continuation(
    predicted: np.ndarray, truth: np.ndarray, valid: np.ndarray
) -> dict[str, Any]:
    """Compare the predicted continuation with what happened, and predicted ends with true ones.

    Args:
        predicted: (n, futures, h).
        truth: (n, h), 0 from the arrival at a termination on.
        valid: (n, h) bool, True up to that arrival.
    """
    forecast = forecast_continuation(predicted)[valid]
    happened = truth[valid]
    return {
        "steps": int(valid.sum()),
        "brier": float(np.square(forecast - happened).mean()),
        "brier_of_mean_rate": float(happened.var()),
        "curve": asdict(binned_evenly(forecast, happened)),
        "ends": compare_ends(predicted, truth, valid),
    }


def compare_ends(predicted: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> dict[str, Any]:
    """Say by how many steps predicted ends miss true ones; arguments as above.

    A future ends at its first step with a continuation below 0.5, as a dream does; a clip's end is
    predicted at the median of its futures' ends, and not at all where half of them go on.
    """
    horizon = truth.shape[1]
    said = _first(predicted < END)
    guess = np.sort(said, axis=1)[:, said.shape[1] // 2]
    true = _first(valid & (truth < END))
    ended, whole = true < horizon, valid.all(axis=1) & (true == horizon)
    found = ended & (guess < horizon)
    error = (guess - true)[found]
    return {
        "true": int(ended.sum()),
        "found": int(found.sum()),
        "false": int((whole & (guess < horizon)).sum()),
        "without": int(whole.sum()),
        "error": float(error.mean()) if len(error) else None,
        "absolute_error": float(np.abs(error).mean()) if len(error) else None,
        "errors": error,
    }


def _first(over: np.ndarray) -> np.ndarray:
    """Give the first True along the last axis, or its length where there is none."""
    first: np.ndarray = np.where(over.any(-1), over.argmax(-1), over.shape[-1])
    return first


def calibrate_uncertainty(
    uncertainty: np.ndarray, error: np.ndarray, valid: np.ndarray
) -> dict[str, Any]:
    """Rank clips by uncertainty summed up to each step, and by the error of that step.

    Args:
        uncertainty: (n, h) of each step.
        error: (n, h) mean squared error of frames.
        valid: (n, h) bool.
    """
    total = np.cumsum(uncertainty, axis=1)
    ranks = [
        rank_correlation(total[rows, step], error[rows, step]) for step, rows in enumerate(valid.T)
    ]
    last = valid[:, -1]
    return {
        "mean": [float(uncertainty[rows, step].mean()) for step, rows in enumerate(valid.T)],
        "rank_correlation": ranks,
        "curve": asdict(binned(total[last, -1], error[last, -1], bins=5)),
    }
