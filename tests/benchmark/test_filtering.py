from dataclasses import replace

import numpy as np
import pytest
import torch
from counting_data import record
from oracle import Counter, counting_world
from worlds import random_batch, tiny_model, tiny_world

from srvp_world.benchmark import filtering
from srvp_world.benchmark.filtering import (
    Filtered,
    cover,
    filter_episodes,
    filter_starts,
    one_step_ahead,
    surprise,
)
from srvp_world.envs.latent import Watcher


def test_a_world_that_counts_right_is_right_at_every_age(tmp_path):
    data = record(tmp_path, [1] * 6, [1] * 3)
    found = filter_episodes(counting_world(7, 8), data, progress=False)
    assert found.first == 1 and found.kl is None
    expected = np.full((2, 6), 100.0)
    expected[1, 3:] = np.nan
    assert np.array_equal(found.psnr, expected, equal_nan=True)
    counts = 50 + np.arange(7.0)
    assert np.array_equal(found.features[0, :, 0], counts)
    assert np.array_equal(found.features[1, :4, 0], counts[:4] + 10)
    assert np.isnan(found.features[1, 4:]).all()


def test_errors_belong_to_the_age_at_which_they_happen(tmp_path):
    data = record(tmp_path, [1, 1, 5, 1], [1, 1, 5, 1])  # a jump after three frames were seen
    found = filter_episodes(counting_world(7, 8), data, progress=False)
    assert (found.psnr[:, [0, 1, 3]] == 100).all() and (found.psnr[:, 2] < 40).all()


def test_each_feature_is_what_a_watcher_sees(tmp_path):
    world = tiny_world()
    found = filter_starts(world)
    starts = world.starts
    for row, length in enumerate(starts.lengths.tolist()):
        watcher = Watcher(world)
        seen = [watcher.begin(starts.frames[row, 0].numpy())]
        for t in range(1, length):
            action = starts.actions[row, t - 1].numpy()
            seen.append(watcher.follow(starts.frames[row, t].numpy(), action))
        assert found.features[row, :length] == pytest.approx(np.stack(seen), abs=1e-5)
        assert np.isnan(found.features[row, length:]).all()
        assert np.isnan(found.kl[row, length - 1 :]).all()
        assert (found.kl[row, : length - 1] > 0).all()


@pytest.mark.parametrize(("action", "first"), [("box", 1), ("none", 2)])
def test_nothing_is_told_by_later_frames(action, first):
    model = tiny_model(action)
    batch = random_batch(model, lengths=(7, 7))
    batch = replace(batch, episode_start=torch.full((2,), action == "box"))
    cut = replace(
        batch,
        frames=batch.frames[:, :4],
        valid=batch.valid[:, :4],
        actions=None if batch.actions is None else batch.actions[:, :3],
    )
    assert torch.allclose(
        surprise(model, cut, first), surprise(model, batch, first)[:, : 4 - first]
    )
    for some, whole in zip(
        one_step_ahead(model, cut, first), one_step_ahead(model, batch, first), strict=True
    ):
        assert torch.allclose(some, whole[:, : some.shape[1]], atol=1e-5)


def test_surprise_is_the_kl_of_posterior_and_prior():
    model = tiny_model()
    batch = random_batch(model, lengths=(5, 5))
    batch = replace(batch, episode_start=torch.ones(2, dtype=torch.bool))
    inference = model.infer(
        batch.observation, batch.actions, episode_start=batch.episode_start, sample=False
    )
    q, p = inference.q_z, inference.p_z
    variance = (q.std / p.std) ** 2
    expected = 0.5 * (variance + ((q.mean - p.mean) / p.std) ** 2 - 1 - variance.log()).sum(-1)
    assert torch.allclose(surprise(model, batch, 1), expected, atol=1e-6)


def test_video_ages_begin_after_the_frames_that_content_comes_from():
    model = tiny_model("none")
    world = tiny_world("none", model=model)
    found = filter_starts(world)
    assert found.first == model.config.content_frames == 2
    assert found.psnr.shape[1] == found.kl.shape[1] == world.starts.frames.shape[1] - 2
    for values in (found.psnr, found.kl, found.features[:, 1:, 0]):
        lengths = np.isfinite(values).sum(axis=1) + 2
        assert np.array_equal(lengths, world.starts.lengths)


def points(*clips):
    """Filtered features on a line, one list a clip."""
    longest = max(map(len, clips))
    features = np.full((len(clips), longest, 1), np.nan, np.float32)
    for row, values in enumerate(clips):
        features[row, : len(values), 0] = values
    return Filtered(first=1, psnr=np.empty((0, 0)), kl=None, features=features)


def test_states_of_a_clip_do_not_count_as_near_to_one_another():
    starts = points([0, 0.1, 0.2], [3, 3.1])
    assert cover(starts, starts).starts == pytest.approx([3, 2.9, 2.8, 2.8, 2.9])


def test_coverage_is_relative_to_the_start_clips_own_distances():
    starts = points([0], [1], [2], [3])
    assert (cover(starts, starts).ratio, cover(starts, starts).beyond) == (0, 0)
    far = cover(points([5, 7], [-4]), starts)
    assert far.data == pytest.approx([2, 4, 4]) and far.ratio == 4 and far.beyond == 1
    half = cover(points([0.5, 9], [1.5, 8]), starts)
    assert half.beyond == 0.5 and half.limit == 1
    same = points([1], [1])
    assert np.isnan(cover(same, same).ratio)


def test_many_states_are_thinned_out_evenly(monkeypatch):
    monkeypatch.setattr(filtering, "_STATES", 4)
    clips = points(np.arange(6), np.arange(10, 15))
    found = cover(clips, clips)
    assert len(found.data) == len(found.starts) == 4  # states 0, 3, 10 and 13 of eleven


def test_episodes_are_filtered_alike_in_batches_of_any_size(tmp_path, monkeypatch):
    data = record(tmp_path, [1, 2, 1], [1] * 5, [2, 1])
    whole = filter_episodes(counting_world(7, 8), data, progress=False)
    monkeypatch.setattr(filtering, "_FRAMES_AT_ONCE", 1)
    parts = filter_episodes(counting_world(7, 8), data, progress=False)
    assert np.array_equal(whole.psnr, parts.psnr, equal_nan=True)
    assert np.array_equal(whole.features, parts.features, equal_nan=True)


def test_a_single_frame_can_be_filtered():
    batch = random_batch(tiny_model(), lengths=(1,))
    quality, features = one_step_ahead(Counter(), replace(batch, actions=torch.zeros(1, 0, 1)), 1)
    assert quality.shape == (1, 0) and features.shape == (1, 1, 1)
