"""From an env to batches: each frame tells itself which action, reward and end belong to it."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from diary import ACTION, AGE, LABEL, OVER, TOTAL, Rules, diary, read, read_pixels, record
from knowing import knowing_world
from stable_baselines3 import DQN

from srvp_world.data.dataset import Dataset
from srvp_world.data.experience import from_sb3
from srvp_world.data.windows import WindowSampler, to_batch
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.envs.policies import RandomPolicy
from srvp_world.envs.record import RecordExperience
from srvp_world.envs.rollout import FrameRecorder, run_episode
from srvp_world.spaces import ActionSpec
from srvp_world.world import Batch

LENGTHS = (1, 2, 4, 7)  # at once, in the middle, at the last frame, and beyond windows of five


def check(batch: Batch) -> None:
    """Hold every row to what its own frames tell."""
    pages, happened = read(batch.frames), batch.valid[:, 1:]
    before, after = pages[:, :-1], pages[:, 1:]
    same = {
        "an action led to the next frame": batch.actions == after[..., ACTION],
        "a reward is of the arrival": (batch.rewards - (after - before)[..., TOTAL]).abs() < 0.05,
        "frames follow one another": after[..., AGE] > before[..., AGE],
        "episodes do not mix": after[..., LABEL] == before[..., LABEL],
        "nothing follows an end": before[..., OVER] == 0,
    }
    for what, holds in same.items():
        assert holds[happened].all(), what
    assert torch.equal(batch.continues, 1 - after[..., OVER])  # past the end, too
    assert (batch.rewards[~happened] == 0).all()
    assert torch.equal(after[~happened], before[~happened])
    assert (pages[batch.episode_start][:, 0, AGE] == 0).all()
    if batch.vector is not None:
        assert torch.equal(batch.vector, pages)


def check_windows(data: Dataset) -> list[Batch]:
    """Look at windows of all kinds, and at whole files."""
    sampler = WindowSampler(
        data, batch_size=48, window=5, episode_start_fraction=0.25, min_frames=2, seed=0
    )
    batches = [sampler.batch(i) for i in range(4)]
    batches.append(to_batch([data.read(i) for i in range(len(data))]))
    for batch in batches:
        check(batch)
    return batches


def check_delay(data: Dataset, delay: int) -> None:
    """The reward of an action comes `delay` arrivals after its own, within the episode."""
    for i in range(len(data)):
        episode = data.read(i)
        late = np.concatenate([np.zeros(delay), episode.actions])
        np.testing.assert_allclose(episode.rewards, late[: len(episode.rewards)], atol=0.05)


@pytest.mark.parametrize("ending", ["terminated", "truncated", "both"])
@pytest.mark.parametrize("delay", [0, 1, 3])
def test_collected_windows_tell_one_story(tmp_path, delay, ending):
    configs = [diary(length=n, delay=delay, ending=ending) for n in LENGTHS]
    data = record(tmp_path, *configs, episodes=3)
    check_delay(data, delay)
    batches = check_windows(data)
    over = torch.cat([batch.continues[:, :4] == 0 for batch in batches[:-1]])
    begun = torch.cat([batch.episode_start for batch in batches[:-1]])
    assert 0 < begun.sum() < len(begun)
    # Ends are at every position, and where both came together, the world itself ended.
    assert over.any(0).all() if ending != "truncated" else not over.any()


@pytest.mark.parametrize(("repeat", "decisions"), [(2, 4), (3, 3), (9, 1)])
def test_an_end_in_the_middle_of_a_repeat_is_the_arrivals(tmp_path, repeat, decisions):
    data = record(tmp_path, diary(repeat, vector=True, length=7, delay=1), episodes=8)
    assert [record.frames for record in data.records] == [decisions + 1] * 8
    assert {str(record.ending) for record in data.records} == {"terminated"}
    batch = check_windows(data)[-1]
    ages = read(batch.frames)[..., AGE]
    assert (ages == (repeat * torch.arange(decisions + 1)).clamp(max=7)).all()


def test_a_policy_acts_on_the_frame_that_its_action_follows():
    class Copycat(RandomPolicy):
        def act(self, shown):
            return np.int64(read_pixels(shown)[AGE] % 8)

    env, recorder = make_pixel_env(diary(2, length=9)), FrameRecorder()
    policy = Copycat(ActionSpec.from_space(env.action_space))
    result = run_episode(env, policy, 0, recorder)
    pages = read_pixels(recorder.frames)
    assert torch.equal(pages[1:, ACTION], pages[:-1, AGE] % 8)
    assert result.episode_return == pages[-1, TOTAL]


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_parts_of_an_episode_share_a_frame_and_no_transition(tmp_path, ending):
    env = make_pixel_env(diary(length=8, ending=ending, delay=1))
    env = RecordExperience(env, tmp_path, part_length=3)
    env.action_space.seed(1)
    for seed in range(4):
        env.reset(seed=seed)
        for _ in range(8 if seed else 5):  # the first one is left
            env.step(env.action_space.sample())
    env.close()
    data = Dataset.open(tmp_path)
    parts = to_batch([data.read(i) for i in range(len(data))])
    check_windows(data)
    assert parts.valid.sum(1).tolist() == [4, 3] + 3 * [4, 4, 3]
    assert parts.valid[:, 1:].sum() == 5 + 3 * 8
    ages = read(parts.frames)[..., AGE]
    assert torch.equal(ages[:, 0] == 0, parts.episode_start)
    ends = (parts.continues == 0).any(1)
    assert ends.tolist() == [False] * 2 + 3 * [False, False, ending == "terminated"]


def test_what_sb3_keeps_and_what_is_recorded_are_one(tmp_path):
    """A model of SB3 plays through a recorder; its replay buffer is imported beside."""
    pixels = diary(length=4, ending="terminated", delay=1)
    env = gym.wrappers.TimeLimit(make_pixel_env(pixels), 4)  # both ends in the same step
    env = RecordExperience(env, tmp_path / "live", stem="live")
    options = {"train_freq": 1, "learning_starts": 99, "buffer_size": 99, "device": "cpu"}
    model = DQN("MlpPolicy", env, seed=0, **options).learn(22)
    env.close()
    from_sb3(model, tmp_path / "buffer", progress=False)
    stories = []
    for name in ("live", "buffer"):
        data = Dataset.open(tmp_path / name)
        check_windows(data)
        check_delay(data, 1)
        episodes = [data.read(i) for i in range(len(data))]
        stories.append({int(read_pixels(e.frames)[0, LABEL]): e for e in episodes})
    live, bought = stories
    assert live.keys() == bought.keys() and len(live) == 6
    assert sorted(str(e.ending) for e in live.values()) == ["terminated"] * 5 + ["unfinished"]
    for label, episode in live.items():
        assert bought[label].ending == episode.ending
        for name, array in episode.arrays.items():
            np.testing.assert_array_equal(bought[label].arrays[name], array)


def test_a_recorded_dream_is_as_good_as_a_recorded_life(tmp_path):
    rules = Rules(length=5, delay=1)
    world = knowing_world(rules, record(tmp_path / "real", rules.pixels), horizon=9)
    dream = gym.make("srvp_world:SRVPDream-v0", world=world, start="first")
    env = RecordExperience(dream, tmp_path / "dreamt")
    env.action_space.seed(0)
    for seed in range(5):
        env.reset(seed=seed)
        while not any(env.step(env.action_space.sample())[2:4]):
            pass
    env.close()
    data = Dataset.open(tmp_path / "dreamt")
    ends = [(record.frames, str(record.ending)) for record in data.records]
    assert ends == [(6, "terminated")] * 5
    check_windows(data)
    check_delay(data, 1)
