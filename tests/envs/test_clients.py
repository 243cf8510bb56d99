"""Programs that others wrote, run in dreams: SB3's algorithms and Gymnasium's wrappers."""

import sys
from dataclasses import replace
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import RecordVideo, vector
from oracle import counting_world
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize
from worlds import tiny_model, tiny_world

from srvp_world.checkpoint import World
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.sb3 import DreamVecEnv

ON_POLICY = {"n_steps": 16, "device": "cpu", "seed": 0}
OFF_POLICY = {"learning_starts": 64, "buffer_size": 200, "batch_size": 16, "device": "cpu"}
OFF_POLICY |= {"seed": 0}
RUNS = {
    "PPO": (PPO, "MlpPolicy", "multibinary", "latent", ON_POLICY | {"batch_size": 32}),
    "A2C": (A2C, "MlpPolicy", "multidiscrete", "latent", ON_POLICY),
    "SAC": (SAC, "MlpPolicy", "wide", "latent", OFF_POLICY),
    "DQN": (DQN, "MlpPolicy", "discrete", "latent", OFF_POLICY),
    "PPO, pixels": (PPO, "CnnPolicy", "box", "pixels", ON_POLICY | {"batch_size": 32}),
    "DQN, pixels": (DQN, "CnnPolicy", "discrete", "pixels", OFF_POLICY),
    "PPO, dict": (PPO, "MultiInputPolicy", "box", "dict", ON_POLICY | {"batch_size": 32}),
    "SAC, dict": (SAC, "MultiInputPolicy", "box", "dict", OFF_POLICY),
}


def world_of(kind: str) -> World:
    world = tiny_world(kind, tiny_model(kind, frame_size=64, vector_dim=2))
    starts = replace(world.starts, vector=torch.randn(*world.starts.frames.shape[:2], 2))
    return replace(world, starts=starts)


@pytest.mark.parametrize(("algorithm", "policy", "kind", "obs", "options"), RUNS.values(), ids=RUNS)
def test_algorithms_of_sb3_learn(algorithm, policy, kind, obs, options):
    env = DreamVecEnv(4, world_of(kind), obs=obs, horizon=5, end="sample")
    model = algorithm(policy, env, **options)
    before = [weight.clone() for weight in model.policy.parameters() if weight.requires_grad]
    model.learn(128)
    after = [weight for weight in model.policy.parameters() if weight.requires_grad]
    assert model.num_timesteps == 128
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    assert all(torch.isfinite(weight).all() for weight in after)
    assert len(model.ep_info_buffer) > 10
    action, _ = model.predict(env.reset())
    assert all(one in env.action_space for one in np.asarray(action, env.action_space.dtype))


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_replay_buffers_hold_what_happened(scale):
    """From 1 dreams are cut at 4, from 3 they end at 5, from 4 too, with their first step."""
    world = counting_world(1, 3, 4, end=5)
    env = DreamVecEnv(3, world, obs="latent", horizon=3, reward_scale=scale)
    model = SAC("MlpPolicy", env, **OFF_POLICY | {"buffer_size": 900, "learning_starts": 270})
    model.learn(300)
    buffer = model.replay_buffer
    rows = buffer.pos
    now, following = buffer.observations[:rows, :, 0], buffer.next_observations[:rows, :, 0]
    np.testing.assert_array_equal(following, now + 1, "also where dreams ended")
    actions = 9 * buffer.actions[:rows, :, 0]
    np.testing.assert_allclose(
        buffer.rewards[:rows], scale * (100 * following + actions), rtol=1e-5
    )
    cut, ended = following == 4, following == 5
    cut &= ~begun_at(now, following, 3)
    np.testing.assert_array_equal(buffer.dones[:rows], cut | ended)
    np.testing.assert_array_equal(buffer.timeouts[:rows], cut)
    assert cut.sum() > 10 and ended.sum() > 10
    sampled = buffer._get_samples(np.arange(rows), None)
    assert (sampled.dones[:, 0].numpy() <= (sampled.next_observations[:, 0] == 5).numpy()).all()
    later = now[1:][buffer.dones[: rows - 1] == 1]
    assert set(later) == {1, 3, 4}


def begun_at(now, following, start):
    """Tell where a dream that began at `start` goes on, which is where 4 is no cut."""
    begun = np.zeros_like(now, bool)
    for row in range(now.shape[1]):
        first = now[0, row]
        for t in range(len(now)):
            if t and now[t, row] != following[t - 1, row]:
                first = now[t, row]
            begun[t, row] = first == start
    return begun


def test_wrappers_of_sb3_see_what_happened():
    env = VecNormalize(VecMonitor(DreamVecEnv(2, counting_world(1), obs="latent", horizon=4)))
    env.reset()
    summaries = []
    for _ in range(8):
        *_, infos = env.step(np.zeros((2, 1), np.float32))
        summaries += [info["episode"] for info in infos if info]
    assert [(each["r"], each["l"]) for each in summaries] == [(1400, 4)] * 4


def batch(mode: str = "SameStep", obs: str = "latent", **options) -> DreamVectorEnv:
    world = counting_world(1)
    return DreamVectorEnv(2, world, obs=obs, horizon=3, autoreset_mode=mode, **options)


def play(env: gym.vector.VectorEnv, steps: int = 7) -> list[tuple]:
    env.reset(seed=0)
    return [env.step(np.zeros(env.action_space.shape, np.float32)) for _ in range(steps)]


REWARDS = {
    "SameStep": [200, 300, 400, 200, 300, 400, 200],
    "NextStep": [200, 300, 400, 0, 200, 300, 400],
}


@pytest.mark.parametrize("mode", REWARDS)
def test_wrappers_of_rewards(mode):
    clipped = [step[1][0] for step in play(vector.ClipReward(batch(mode), 0, 250))]
    assert clipped == np.minimum(REWARDS[mode], 250).tolist()
    halved = vector.TransformReward(batch(mode), lambda reward: reward / 2)
    assert [step[1][1] for step in play(halved)] == (np.array(REWARDS[mode]) / 2).tolist()
    normal = np.array([step[1] for step in play(vector.NormalizeReward(batch(mode)), 40)])
    assert np.isfinite(normal).all() and 0 < normal[20:].std() < 1


@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])  # they refuse the third
def test_wrappers_of_observations(mode):
    flat = vector.FlattenObservation(batch(mode, obs="dict"))
    observation = play(flat, 3)[-1][0]
    assert observation.shape == (2, 1025)
    assert (observation[:, 0] == 4).all() and (observation[:, -1] == 1004).all()
    floats = vector.DtypeObservation(batch(mode, obs="pixels"), np.float32)
    observation = play(floats, 3)[-1][0]
    assert observation.dtype == np.float32 and (observation == 4).all()


def test_observations_are_normalised_where_the_mode_allows_it():
    env = vector.NormalizeObservation(batch("NextStep"))
    seen = np.array([step[0] for step in play(env, 80)])[40:]
    assert abs(seen.mean()) < 0.3 and 0.5 < seen.std() < 1.5


def test_infos_as_lists_of_dicts():
    infos = [step[4] for step in play(vector.DictInfoToList(batch()), 3)]
    assert infos[:2] == [[{}, {}]] * 2
    for info in infos[2]:
        assert info["start"] == "data" and info["final_obs"].item() == 4


@pytest.fixture
def videos(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Stand in for moviepy, which only encodes: keep the frames that it is given."""
    kept = []

    class Clip:
        def __init__(self, frames, fps):
            kept.append((np.stack(frames), fps))

        def write_videofile(self, path, logger):
            assert path.endswith(".mp4")

    for name in ("moviepy", "moviepy.video", "moviepy.video.io"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    clips = ModuleType("moviepy.video.io.ImageSequenceClip")
    clips.ImageSequenceClip = Clip
    monkeypatch.setitem(sys.modules, clips.__name__, clips)
    return kept


def test_single_dreams_are_filmed_from_the_first_frame_to_the_last(videos, tmp_path):
    dream = gym.make(
        "SRVPDream-v0", world=counting_world(1), horizon=3, render_mode="rgb_array", obs="latent"
    )
    env = RecordVideo(dream, str(tmp_path / "film"), episode_trigger=lambda episode: True)
    for _ in range(2):
        env.reset()
        for _ in range(3):
            env.step(np.zeros(1, np.float32))
    env.close()
    assert [frames[:, 0, 0, 0].tolist() for frames, _ in videos] == [[1, 2, 3, 4]] * 2
    assert {(frames.shape[1:], fps) for frames, fps in videos} == {((32, 32, 3), 15)}


def test_batches_are_filmed_side_by_side(videos, tmp_path):
    env = vector.RecordVideo(
        batch("NextStep", render_mode="rgb_array"),
        str(tmp_path / "film"),
        video_aspect_ratio=(2, 1),
        episode_trigger=lambda episode: True,
    )
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    play(env, 8)
    env.close()
    frames, fps = videos[0]
    assert frames.shape[1:] == (32, 64, 3) and fps == 15
    assert frames[:, 0, 40, 0].tolist() == [1, 2, 3, 4]
