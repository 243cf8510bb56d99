import math

import numpy as np
import pytest

from srvp_world.benchmark.averages import (
    average_ages,
    average_open_loop,
    average_sensitivity,
    over_rows,
)
from srvp_world.benchmark.filtering import Filtered
from srvp_world.benchmark.imagination import Imagined


def imagined(**changes):
    """Two clips of six steps; the second ends after the first one."""
    valid = np.ones((2, 6), bool)
    valid[1, 1:] = False
    step = np.arange(6.0)
    wrong = np.where(valid, 0, 1e6)  # past the end
    arrays = {
        "psnr_sample": 30 - step + wrong,
        "psnr_mean": np.array([[40.0], [20.0]]) + wrong,
        "psnr_copy": 10 + wrong,
        "error_sample": 3 + wrong,
        "error_mean": np.array([[1.0], [3.0]]) + wrong,
    }
    return Imagined(valid=valid, **(arrays | changes))


def test_curves_average_the_rows_that_are_there():
    found = over_rows(np.array([[1.0, 2.0], [3.0, math.nan]]))
    assert found["mean"].tolist() == [2, 2] and np.isnan(found["interval"][1])
    assert found["interval"][0] == pytest.approx(1.96 / math.sqrt(2))


def test_each_step_is_averaged_over_the_clips_that_last_so_long():
    found = average_open_loop(imagined())
    assert found["curves"]["clips"].tolist() == [2, 1, 1, 1, 1, 1]
    assert found["psnr"] == {
        "1": {"one_sample": 30, "mean_prediction": 30, "copy_last_frame": 10},
        "5": {"one_sample": 26, "mean_prediction": 40, "copy_last_frame": 10},
    }


def test_sensitivity_is_the_ratio_of_mean_errors_and_one_where_actions_do_not_matter():
    error, quality = imagined().error_mean, imagined().psnr_mean
    deaf = average_sensitivity(imagined(), error, quality)
    assert deaf["error_ratio"] == {"1": 1, "5": 1} and deaf["psnr_difference"] == {"1": 0, "5": 0}
    heeding = average_sensitivity(imagined(), 4 * error, quality - 6)
    assert heeding["error_ratio"] == {"1": 4, "5": 4}
    assert heeding["psnr_difference"] == {"1": 6, "5": 6}
    one = average_sensitivity(imagined(), error + np.array([[0], [4.0]]), quality)
    assert one["error_ratio"] == {"1": 2, "5": 1}  # (1 + 7) / (1 + 3), not a mean of ratios


def test_a_world_without_error_has_no_ratio():
    none = np.zeros((2, 6))
    found = average_sensitivity(imagined(error_mean=none), none, imagined().psnr_mean)
    assert math.isnan(found["error_ratio"]["1"])


def test_ages_count_from_the_first_one():
    psnr = np.array([[1.0, 2, 3, 4], [3.0, 4, math.nan, math.nan]])
    found = average_ages(Filtered(first=2, psnr=psnr, kl=psnr / 10, features=np.empty(0)))
    assert found["curves"]["age"].tolist() == [2, 3, 4, 5]
    assert found["curves"]["episodes"].tolist() == [2, 2, 1, 1]
    assert found["at"] == {"2": {"psnr": 2, "kl": 0.2}, "5": {"psnr": 4, "kl": 0.4}}
    assert "kl" not in average_ages(Filtered(first=1, psnr=psnr, kl=None, features=psnr))["curves"]
