import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from counting_data import record
from oracle import Count, Counter

from srvp_world.benchmark import imagination
from srvp_world.benchmark.imagination import cut_clips, imagine_clips, read_clips
from srvp_world.data.episodes import Ending
from srvp_world.errors import ConfigError, DataError
from srvp_world.world import Prediction

ONE_OFF = 20 * math.log10(255)  # decibels of an error of one count
STEPS = ([1, 2, 3, 0, 1, 2, 3], [3, 3, 0, 0, 2, 2, 1], [0, 1, 0, 2, 0, 3, 0])


class Adder(Counter):
    """Adds actions, or one, to its count; may add noise and be off by some counts."""

    has_uncertainty = False

    def __init__(self, *, follows=True, off=0.0, noisy=False, lag=False):
        super().__init__()
        self.follows, self.off, self.noisy, self.lag = follows, off, noisy, lag

    def step(self, state, action, *, noise, **_):
        number = state.number + (action[:, 0] if self.follows else 1)
        if self.noisy:
            number = number + 5 * noise[:, 0]
        counted = state.number if self.lag else number
        return Count(number), Prediction(100 * counted + action[:, 0], torch.ones(len(number)))

    def decode(self, state):
        return super().decode(Count(state.number + self.off))


def imagine(folder, model, *, steps=STEPS, watched=2, horizon=5, futures=2, **options):
    data = record(folder, *steps, **options)
    clips = cut_clips(data, watched, horizon)
    settings = {"watched": watched, "horizon": horizon, "futures": futures, "progress": False}
    return imagine_clips(model, data, clips, seed=0, **settings)


def test_a_perfect_world_has_no_error_and_knows_every_reward(tmp_path):
    found = imagine(tmp_path, Adder())
    assert found.valid.shape == (3, 5) and found.valid.all()
    assert (found.psnr_mean == 100).all() and (found.psnr_sample == 100).all()
    assert found.error_mean.max() < 1e-10 and found.error_sample.max() < 1e-10
    assert np.array_equal(found.predicted_reward, found.reward[:, None].repeat(2, 1))
    assert (found.continues == 1).all() and found.uncertainty is None


def test_copies_of_the_last_watched_frame_are_as_wrong_as_the_actions_move_it(tmp_path):
    found = imagine(tmp_path, Adder())
    moved = np.cumsum(np.array(STEPS)[:, 1:6], axis=1)  # the first action lies between watched ones
    expected = -20 * np.log10(moved.clip(min=1e-9) / 255)
    assert found.psnr_copy == pytest.approx(expected.clip(max=100), abs=1e-3)


def test_a_world_that_is_off_by_one_is_so_at_each_step(tmp_path):
    found = imagine(tmp_path, Adder(off=1))
    assert found.psnr_mean == pytest.approx(np.full((3, 5), ONE_OFF), abs=1e-3)
    assert found.psnr_sample == pytest.approx(found.psnr_mean)


def test_a_reward_that_comes_a_step_late_is_seen(tmp_path):
    found = imagine(tmp_path, Adder(lag=True))
    late = found.reward - found.predicted_reward[:, 0]
    assert np.array_equal(late, 100 * np.array(STEPS)[:, 1:6])


def test_a_world_that_ignores_its_actions_errs_alike_with_all_of_them(tmp_path):
    deaf = imagine(tmp_path / "a", Adder(follows=False))
    assert np.array_equal(deaf.error_shuffled, deaf.error_mean) and deaf.error_mean.max() > 0
    heeding = imagine(tmp_path / "b", Adder())
    others = np.roll(np.array(STEPS), 1, axis=0)  # of the clip half a batch away
    apart = np.cumsum((others - np.array(STEPS))[:, 1:6], axis=1)
    assert heeding.error_shuffled == pytest.approx((apart / 255) ** 2, abs=1e-9)


def test_the_mean_prediction_has_no_chance_and_futures_have_their_own(tmp_path):
    found = imagine(tmp_path / "a", Adder(noisy=True), futures=3)
    assert found.error_mean.max() < 1e-10 and found.error_sample.min() > 0
    spread = found.predicted_reward.std(axis=1)
    assert (spread > 0).all()
    again = imagine(tmp_path / "b", Adder(noisy=True), futures=3)
    assert np.array_equal(found.predicted_reward, again.predicted_reward)


def test_uncertainty_is_asked_before_the_step_with_its_own_action(tmp_path):
    class Doubting(Adder):
        has_uncertainty = True

    found = imagine(tmp_path, Doubting())
    actions = np.array(STEPS)[:, 1:6]
    before = 50 + 10 * np.arange(3)[:, None] + np.cumsum(np.array(STEPS), axis=1)[:, :5]
    assert found.uncertainty == pytest.approx(before + actions / 100, abs=1e-3)


def test_worlds_without_heads_and_data_without_rewards_leave_them_out(tmp_path):
    class Silent(Adder):
        def step(self, state, action, **options):
            return super().step(state, action, **options)[0], Prediction(None, None)

    found = imagine(tmp_path, Silent())
    assert found.predicted_reward is found.reward is None
    assert found.predicted_continuation is found.continues is None


def test_each_frame_after_the_watched_ones_is_imagined_once_and_each_end_is_seen(tmp_path):
    record(tmp_path, [1] * 11, [1] * 3, ending=Ending.TERMINATED)
    data = record(tmp_path, [1] * 11)
    clips = cut_clips(data, 2, 4)
    imagined = {i: [] for i in range(3)}
    for clip in clips:
        stop = min(clip.start + 6, data.records[clip.record].frames)
        imagined[clip.record] += range(clip.start + 2, stop)
    by_ending = {data.records[i].name[:13]: frames for i, frames in imagined.items()}
    assert by_ending == {
        "terminated000": list(range(2, 12)),
        "terminated001": [2, 3],
        "truncated000-": list(range(2, 10)),  # what is left over ends in nothing to be seen
    }
    batch = read_clips(data, clips, 6)
    assert batch.episode_start.sum() == 3 and (batch.continues[:, 1:] == 0).any(1).sum() == 2


def test_ends_are_valid_up_to_the_arrival_and_the_last_action_is_held_after_it(tmp_path):
    record(tmp_path, [1, 2, 3], ending=Ending.TERMINATED, start=70)
    found = imagine(tmp_path, Adder(), steps=([1] * 7, [2] * 7), watched=1)
    assert found.valid[0].tolist() == [True, True, True, False, False]
    assert found.continues[0].tolist() == [1, 1, 0, 0, 0]
    held = 70 + np.cumsum([1, 2, 3, 3, 3])
    assert found.predicted_reward[0, 0] == pytest.approx(100 * held + [1, 2, 3, 3, 3])


def test_what_fits_is_told_and_does_fit(tmp_path):
    data = record(tmp_path, [1] * 9, [1] * 7)  # 10 and 8 frames
    with pytest.raises(DataError, match="8 imagined frames .* give --horizon 6, or"):
        cut_clips(data, 2, 8)
    assert len(cut_clips(data, 2, 6)) == 2
    with pytest.raises(DataError, match="--horizon 6"):
        cut_clips(data, 2, 7)
    with pytest.raises(DataError, match="10 watched .* up to 10 frames: lower --watched"):
        cut_clips(data, 10, 1)
    for watched, horizon in ((0, 5), (2, 0)):
        with pytest.raises(ConfigError, match="at least 1, got 0"):
            cut_clips(data, watched, horizon)
    with pytest.raises(ConfigError, match="--samples must be at least 1, got 0"):
        imagine(tmp_path / "other", Adder(), futures=0)


def test_clips_are_scored_alike_in_batches_of_any_size(tmp_path, monkeypatch):
    steps = [[i % 4, 1, (i // 4) % 4, 2, 0, 3] for i in range(7)]
    whole = imagine(tmp_path / "a", Adder(off=1), steps=steps, watched=1)
    monkeypatch.setattr(imagination, "BATCH_SIZE", 3)
    parts = imagine(tmp_path / "b", Adder(off=1), steps=steps, watched=1)
    for name in ("valid", "psnr_mean", "psnr_copy", "reward", "predicted_reward"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


def test_video_has_no_actions_to_shuffle(tmp_path):
    class Video(Adder):
        action = None

        def step(self, state, action, *, noise, **_):
            assert action is None
            return Count(state.number + 1), Prediction(None, None)

    data = record(tmp_path, [1] * 9, [1] * 9)
    blind = replace(data, info=replace(data.info, action=None))

    def read(i, start=0, stop=None):
        return replace(type(data).read(data, i, start, stop), actions=None, rewards=None)

    object.__setattr__(blind, "read", read)
    found = imagine_clips(
        Video(), blind, cut_clips(data, 2, 4), watched=2, horizon=4, futures=1, seed=0
    )
    assert found.error_shuffled is None and found.error_mean.max() < 1e-10
