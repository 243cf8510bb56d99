"""A world learnt from a folder: what it freezes, and what it carries."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import CONFIG

from srvp_world.checkpoint import load
from srvp_world.config import PixelConfig, TrainConfig
from srvp_world.data.dataset import Dataset
from srvp_world.data.mnist import Digits, shipped_digits
from srvp_world.envs import learn
from srvp_world.envs.collect import collect
from srvp_world.envs.learn import VALIDATION_FRACTION, learn_moving_mnist, learn_world
from srvp_world.envs.policies import policy_factory
from srvp_world.errors import DataError, MissingFileError

# Unlike the data in all that should follow them.
MODEL = replace(CONFIG, frame_size=64, reward=False, continuation=False)
TRAIN = TrainConfig(iterations=3, batch_size=4, window=6, validate_every=2, save_every=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "counter"
    pixels = PixelConfig(env_id="counter_world:Counter-v0", frame_size=32)
    collect(pixels, folder, policy_factory("random"), episodes=6, progress=False)
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def learnt(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    return learn_world(
        data,
        MODEL,
        TRAIN,
        run,
        start_clips=3,
        start_length=4,
        pool_episodes=4,
        progress=False,
    )


def test_the_model_follows_the_data(data, learnt):
    config = learnt.world.model.config
    assert config.frame_size == 32
    assert config.action == data.info.action
    assert config.reward
    assert config.continuation


def test_features_are_normalised_over_the_pool(learnt):
    features = learnt.world.model.features(learnt.pool.states)
    torch.testing.assert_close(features.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(6), atol=1e-3, rtol=0)


def test_rewards_have_the_statistics_and_the_range_of_the_data(data, learnt):
    rewards = np.concatenate([data.read(i).rewards for i in range(len(data))])
    normaliser = learnt.world.model.reward_normaliser
    assert normaliser.mean.item() == pytest.approx(rewards.mean(), rel=1e-5)
    assert normaliser.std.item() == pytest.approx(rewards.std(), rel=1e-5)
    assert (normaliser.low.item(), normaliser.high.item()) == (rewards.min(), rewards.max())


def test_the_world_carries_beginnings_of_episodes(data, learnt):
    starts = learnt.world.starts
    assert starts.begin_episodes
    assert starts.frames.shape[:2] == (3, 4)
    beginnings = [data.read(i, 0, 4).frames for i in range(len(data))]
    for clip in starts.frames.numpy():
        assert any(np.array_equal(clip, beginning) for beginning in beginnings)
    assert learnt.world.episode_length == 5


def test_the_saved_world_is_the_learnt_world(learnt, tmp_path):
    back = load(learnt.world.save(tmp_path / "world.safetensors"))
    assert back.fingerprint == learnt.world.fingerprint


def test_held_out_episodes_are_those_that_are_given(data, tmp_path):
    """A validation that never sees the training data does not change when these do."""
    train, held_out = data.split(0.5, seed=3)
    runs = []
    for name, training in (("a", train), ("b", train.split(0.5, seed=0)[0])):
        config = replace(TRAIN, iterations=1, learning_rate=1e-12)
        run = tmp_path / name
        learn_world(training, MODEL, config, run, held_out=held_out, progress=False)
        lines = (run / "scalars.jsonl").read_text().splitlines()
        runs.append([line for line in lines if "validation/frames" in line])
    frames = [json.loads(lines[-1])["validation/frames"] for lines in runs]
    assert frames[0] == pytest.approx(frames[1], rel=1e-3)


@pytest.mark.parametrize("live", [False, True])
def test_experience_is_learnt_from_as_videos_where_that_is_wanted(data, tmp_path, live):
    train, held_out = data.split(0.5, seed=3)
    if live:
        train, held_out = Dataset.open(data.folder, live=True), None
    config = replace(TRAIN, frames_only=True)
    learnt = learn_world(
        train, MODEL, config, tmp_path, held_out=held_out, pool_episodes=4, progress=False
    )
    config = learnt.world.model.config
    assert (config.action, config.reward, config.continuation) == (None, False, False)
    assert learnt.world.pixels is None and learnt.world.starts.actions is None


def test_data_without_a_beginning_are_refused_before_the_fit(data, tmp_path):
    records = tuple(replace(record, part=1) for record in data.records)
    with pytest.raises(DataError, match="no beginning of an episode"):
        learn_world(replace(data, records=records), MODEL, TRAIN, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_held_out_episodes_of_live_data_may_vanish_before_they_are_read(data, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(data.folder, folder)
    live = Dataset.open(folder, live=True)
    _, held_out = live.split(VALIDATION_FRACTION, TRAIN.seed)
    for record in held_out.records:
        (folder / record.name).unlink()
    learn_world(live, MODEL, TRAIN, tmp_path / "run", progress=False)
    assert "validation/frames" in (tmp_path / "run" / "scalars.jsonl").read_text()
    with pytest.raises(MissingFileError):
        learn_world(replace(live, live=False), MODEL, TRAIN, tmp_path / "other", progress=False)


@pytest.mark.parametrize("stochastic", [True, False])
def test_a_world_of_moving_digits_carries_clips_to_dream_from(tmp_path, stochastic):
    learnt = learn_moving_mnist(
        shipped_digits(),
        replace(MODEL, action=None),
        TRAIN,
        tmp_path,
        stochastic=stochastic,
        start_clips=3,
        pool_clips=8,
        progress=False,
    )
    world = learnt.world
    assert world.model.frame_shape == (1, 64, 64) and world.action is None
    assert world.starts.frames.shape == (3, CONFIG.content_frames, 64, 64, 1)
    assert world.starts.frames.max() > 200
    assert learnt.pool.states.batch_size == 8
    features = world.model.features(learnt.pool.states)
    torch.testing.assert_close(features.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    assert load(world.save(tmp_path / "world.safetensors")).fingerprint == world.fingerprint


def test_digits_do_not_move_in_validation_as_they_did_in_training(tmp_path, monkeypatch):
    seen = {}

    def fit(model, batches, config, run, *, validation, **rest):
        seen["training"], seen["validation"] = batches(0), validation[0]
        raise StopIteration

    monkeypatch.setattr(learn, "fit", fit)
    one = Digits(np.full((100, 28, 28), 255, np.uint8), np.zeros(100, np.uint8), "one digit")
    with pytest.raises(StopIteration):
        learn.learn_moving_mnist(one, MODEL, TRAIN, tmp_path, stochastic=True)
    assert not seen["training"].frames.equal(seen["validation"].frames)
