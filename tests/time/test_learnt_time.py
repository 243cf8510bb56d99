"""What is learnt from recordings: frames, rewards and ends follow the action, and no other one."""

import numpy as np
import pytest
import torch
from lamp import END
from worlds import CONFIG

from srvp_world.config import ModelConfig, PixelConfig, TrainConfig
from srvp_world.data.dataset import Dataset
from srvp_world.data.windows import to_batch
from srvp_world.envs.collect import collect
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.learn import learn_world
from srvp_world.envs.policies import RandomPolicy
from srvp_world.world import Observation

MODEL = {"filters": 4, "code_dim": 16, "inference_hidden": 32, "dynamics_hidden": 32}
TRAIN = TrainConfig(
    iterations=250,
    decay=125,
    batch_size=16,
    window=6,
    learning_rate=4e-3,
    clip_norm=1000.0,
    validate_every=250,
    save_every=250,
)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Give a world that was trained for some seconds, and episodes that it has not seen."""
    folder = tmp_path_factory.mktemp("lamp")
    pixels = PixelConfig(env_id="lamp:Lamp-v0", frame_size=32)
    data = []
    for name, episodes, seed in (("training", 80, 0), ("test", 40, 1000)):
        collect(pixels, folder / name, RandomPolicy, episodes=episodes, seed=seed, progress=False)
        data.append(Dataset.open(folder / name))
    config = ModelConfig(**{**vars(CONFIG), **MODEL})
    world = learn_world(data[0], config, TRAIN, folder / "run", progress=False).world
    return world, to_batch([data[1].read(i) for i in range(len(data[1]))])


def errors(world, batch, t: int, shift: int) -> tuple[float, float]:
    """Watch t frames, and imagine the next with the action `shift` rows from its own.

    Returns:
        Mean squared errors of brightness and reward.
    """
    model, rows = world.model, batch.valid[:, t + 1]  # where there is an action on each side
    start = torch.ones(len(rows), dtype=torch.bool)
    with torch.no_grad():
        watched = Observation(batch.frames[:, :t]), batch.actions[:, : t - 1]
        state = model.encode(*watched, episode_start=start, sample=False)
        still = torch.zeros(len(rows), model.noise_dim)
        state, said = model.step(state, batch.actions[:, t - 1 + shift], noise=still)
        bright = model.decode(state).mean((1, 2, 3))
    pairs = (bright, batch.frames[:, t].mean((1, 2, 3))), (said.reward, batch.rewards[:, t - 1])
    frame, reward = (float((one - other)[rows].square().mean()) for one, other in pairs)
    return frame, reward


@pytest.mark.parametrize("t", [2, 3, 6])
def test_the_action_of_its_own_time_tells_the_next_frame_and_reward(learnt, t):
    own = errors(*learnt, t, 0)
    for shift in (-1, 1):
        other = errors(*learnt, t, shift)
        assert own[0] < 0.1 * other[0]
        assert own[1] < 0.1 * other[1]


def test_a_dream_shines_as_it_is_told_in_the_frame_that_follows(learnt):
    """And its reward, and its end, come in that step, too."""
    world, _ = learnt
    dream = DreamVectorEnv(4, world, horizon=12, temperature=0.0, autoreset_mode="Disabled")
    dream.reset(seed=0)
    for brightness in (0.1, 0.7, 0.3, 0.5, 0.2, 0.8, 1.0):
        actions = np.full((4, 1), brightness, np.float32)
        frames, rewards, terminated, truncated, _ = dream.step(actions)
        np.testing.assert_allclose(frames.mean((1, 2, 3)) / 255, brightness, atol=0.1)
        np.testing.assert_allclose(rewards, brightness, atol=0.1)
        assert (terminated == (brightness > END)).all() and not truncated.any()
