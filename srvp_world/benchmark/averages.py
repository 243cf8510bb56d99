"""Means over the clips or episodes that last up to a step, with their confidence."""

from typing import Any

import numpy as np

from srvp_world.benchmark.filtering import Filtered
from srvp_world.benchmark.imagination import Imagined
from srvp_world.benchmark.scores import estimate

HORIZONS = (1, 5, 10, 20, 40)
AGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def average_open_loop(imagined: Imagined) -> dict[str, Any]:
    """Average over the clips that last up to each step."""
    rows = {
        "one_sample": imagined.psnr_sample,
        "mean_prediction": imagined.psnr_mean,
        "copy_last_frame": imagined.psnr_copy,
    }
    valid = imagined.valid
    curves = {name: over_rows(np.where(valid, row, np.nan)) for name, row in rows.items()}
    steps = [step for step in HORIZONS if step <= valid.shape[1]]
    return {
        "psnr": {
            str(step): {name: curve["mean"][step - 1] for name, curve in curves.items()}
            for step in steps
        },
        "curves": {"step": np.arange(1, valid.shape[1] + 1), "clips": valid.sum(0), **curves},
    }


def over_rows(values: np.ndarray) -> dict[str, np.ndarray]:
    """Average (n, t) over the rows that are not NaN in each column; one alone has no interval."""
    columns = [column[~np.isnan(column)] for column in values.T]
    scores = [estimate(column) for column in columns]
    intervals = [
        score.interval if len(column) > 1 else np.nan
        for score, column in zip(scores, columns, strict=True)
    ]
    return {"mean": np.array([score.mean for score in scores]), "interval": np.array(intervals)}


def average_sensitivity(
    imagined: Imagined, error: np.ndarray, quality: np.ndarray
) -> dict[str, Any]:
    """Compare the mean predictions with own and with another clip's actions."""
    valid = imagined.valid
    own, shuffled = (
        over_rows(np.where(valid, row, np.nan))["mean"] for row in (imagined.error_mean, error)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # a world without error has no ratio
        ratio = shuffled / own
    gain = over_rows(np.where(valid, imagined.psnr_mean - quality, np.nan))
    steps = [step for step in HORIZONS if step <= valid.shape[1]]
    return {
        "error_ratio": {str(step): float(ratio[step - 1]) for step in steps},
        "psnr_difference": {str(step): float(gain["mean"][step - 1]) for step in steps},
        "curves": {
            "error_ratio": ratio,
            "psnr_difference": gain,
            "psnr_shuffled": over_rows(np.where(valid, quality, np.nan)),
        },
    }


def average_ages(filtered: Filtered) -> dict[str, Any]:
    """Average over the episodes that last up to each age."""
    curves = {"psnr": over_rows(filtered.psnr)}
    if filtered.kl is not None:
        curves["kl"] = over_rows(filtered.kl)
    age = filtered.first + np.arange(filtered.psnr.shape[1])
    named = {
        str(at): {name: curve["mean"][at - filtered.first] for name, curve in curves.items()}
        for at in AGES
        if at in age
    }
    return {
        "at": named,
        "curves": {"age": age, "episodes": (~np.isnan(filtered.psnr)).sum(0), **curves},
    }
