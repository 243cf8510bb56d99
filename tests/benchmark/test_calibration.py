import numpy as np
import pytest

from srvp_world.benchmark.calibration import (
    agree,
    binned,
    binned_evenly,
    calibrate_continuation,
    calibrate_reward,
    calibrate_uncertainty,
    compare_ends,
    forecast_continuation,
    rank_correlation,
)

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=200)


def test_a_perfect_prediction_agrees_and_one_off_by_one_is_biased_by_one():
    perfect = agree(TRUTH, TRUTH)
    assert perfect.correlation == pytest.approx(1) and perfect.count == 200
    assert (perfect.bias, perfect.mae) == (0, 0) and perfect.std == pytest.approx(TRUTH.std())
    above = agree(TRUTH + 1, TRUTH)
    assert above.bias == above.mae == pytest.approx(1) and above.correlation == pytest.approx(1)
    assert agree(-TRUTH, TRUTH).correlation == pytest.approx(-1)
    assert abs(agree(RNG.permutation(TRUTH), TRUTH).correlation) < 0.2


def test_errors_of_both_signs_cancel_in_the_bias_and_not_in_the_error():
    found = agree(np.array([1.0, -1.0]), np.zeros(2))
    assert (found.bias, found.mae) == (0, 1)
    assert np.isnan(found.correlation)  # the truth is constant


@pytest.mark.parametrize("value", [1.0, -8.1, 1e6 + 0.1])
def test_constants_have_no_correlation(value):
    constant = np.full(7, value, np.float32)
    assert np.isnan(agree(constant, constant).correlation)
    assert np.isnan(rank_correlation(constant, TRUTH[:7]))


def test_rank_correlation_sees_order_alone_and_shares_ranks():
    assert rank_correlation(np.exp(5 * TRUTH), TRUTH) == pytest.approx(1)
    assert rank_correlation(-(TRUTH**3), TRUTH) == pytest.approx(-1)
    tied = rank_correlation(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    assert tied == pytest.approx(np.sqrt(3) / 2)  # Pearson's of (0.5, 0.5, 2) and (0, 1, 2)


def test_bins_hold_equal_numbers_and_the_means_of_their_predictions():
    curve = binned(np.arange(100.0), 2 * np.arange(100.0))
    assert curve.count.tolist() == [10] * 10
    assert curve.predicted.tolist() == [4.5 + 10 * i for i in range(10)]
    assert np.array_equal(curve.truth, 2 * curve.predicted)
    constant = binned(np.ones(5), np.arange(5.0))
    assert (constant.predicted, constant.truth, constant.count) == ([1], [2], [5])


def test_bins_of_probabilities_have_equal_widths():
    curve = binned_evenly(np.array([0.0, 0.05, 0.55, 1.0]), np.array([0, 1, 1, 1]))
    assert curve.count.tolist() == [2, 1, 1]
    assert curve.predicted == pytest.approx([0.025, 0.55, 1])
    assert curve.truth.tolist() == [0.5, 1, 1]


def test_rewards_are_forecast_by_the_mean_of_the_futures_and_only_where_they_happened():
    truth = RNG.normal(size=(4, 7))
    spread = np.array([-3.0, 3.0])[None, :, None]
    valid = np.ones((4, 7), bool)
    valid[0, 5:] = False
    wrong = np.where(valid, 0, 99)  # past an end
    found = calibrate_reward(truth[:, None] + spread + wrong[:, None], truth, valid)
    assert found["reward"]["mae"] == pytest.approx(0, abs=1e-12)
    assert found["reward"]["count"] == 26
    assert found["return"]["mae"] == pytest.approx(0, abs=1e-12)
    assert found["returns"]["truth"] == pytest.approx((truth * valid).sum(1))
    assert list(found["reward_by_step"]) == ["1", "2-5", "6-7"]
    assert [row["count"] for row in found["reward_by_step"].values()] == [4, 16, 6]


def test_an_error_of_one_step_is_found_in_its_bucket():
    truth = np.zeros((2, 10))
    predicted = np.zeros((2, 1, 10))
    predicted[..., 5] = 2.0  # of the sixth step
    by_step = calibrate_reward(predicted, truth, truth == 0)["reward_by_step"]
    assert {name: row["bias"] for name, row in by_step.items()} == {
        "1": 0,
        "2-5": 0,
        "6-10": pytest.approx(0.4),
    }


def test_a_future_that_ended_says_nothing_of_later_steps():
    futures = np.array([[[1.0, 0.0, 1.0], [1.0, 1.0, 0.5]]])
    assert forecast_continuation(futures)[0] == pytest.approx([1, 0.5, 0.5])
    assert forecast_continuation(np.zeros((1, 2, 3)))[0].tolist() == [0, 0, 0]


def test_a_true_hazard_is_calibrated_and_overconfidence_is_not():
    truth, valid = episodes(hazard=0.25, count=4000, horizon=6)
    right = calibrate_continuation(np.full((4000, 2, 6), 0.75), truth, valid)
    assert right["brier"] == pytest.approx(0.1875, abs=0.01)
    assert right["curve"]["truth"] == pytest.approx([0.75], abs=0.02)
    assert right["brier_of_mean_rate"] == pytest.approx(0.1875, abs=0.01)
    sure = calibrate_continuation(np.full((4000, 2, 6), 1.0), truth, valid)
    assert sure["brier"] == pytest.approx(0.25, abs=0.02)


def episodes(hazard, count, horizon):
    """Draw how long episodes last; the arrival at the end is valid, what follows is not."""
    last = RNG.geometric(hazard, count)[:, None] - 1
    step = np.arange(horizon)
    return (step < last).astype(float), step <= last


def test_ends_are_early_late_missed_or_false():
    horizon, step = 8, np.arange(8)
    true = np.array([3, 3, 3, 99])[:, None]  # the last episode goes on
    said = np.array([3, 5, 99, 2])[:, None]
    truth, valid = (step < true).astype(float), step <= true
    predicted = (step != said).astype(float)[:, None]
    found = compare_ends(predicted, truth, valid)
    assert (found["true"], found["found"], found["false"], found["without"]) == (3, 2, 1, 1)
    assert found["errors"].tolist() == [0, 2] and found["error"] == found["absolute_error"] == 1
    early = compare_ends(np.where(step >= 1, 0.0, 1.0)[None, None], truth[:1], valid[:1])
    assert (early["error"], early["absolute_error"]) == (-2, 2)
    assert found["errors"].max() < horizon


def test_an_end_is_predicted_at_the_median_of_the_futures():
    step = np.arange(6)
    ends = np.array([1, 4, 99])[:, None]
    predicted = (step < ends).astype(float)[None]
    truth = np.ones((1, 6))
    truth[0, 4:] = 0
    assert compare_ends(predicted, truth, (step <= 4)[None])["errors"].tolist() == [0]
    half = predicted[:, [0, 2]]
    assert compare_ends(half, truth, (step <= 4)[None])["found"] == 0


def test_uncertainty_that_orders_the_errors_has_rank_correlation_one_at_each_step():
    doubt = RNG.uniform(1, 2, size=(40, 5))
    total = doubt.cumsum(1)
    valid = np.ones((40, 5), bool)
    found = calibrate_uncertainty(doubt, total**3, valid)
    assert found["rank_correlation"] == pytest.approx([1] * 5)
    assert calibrate_uncertainty(doubt, -total, valid)["rank_correlation"] == pytest.approx(
        [-1] * 5
    )
    assert np.all(np.diff(found["curve"]["truth"]) > 0) and len(found["mean"]) == 5


def test_that_both_grow_with_the_horizon_is_no_correlation():
    step = np.arange(1.0, 6)[None].repeat(40, 0)
    found = calibrate_uncertainty(np.ones((40, 5)), step, np.ones((40, 5), bool))
    assert np.isnan(found["rank_correlation"]).all()
