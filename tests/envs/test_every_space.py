"""Every space of actions goes from a real env through data and a model into dreams and back."""

import numpy as np
import pytest
from spaces_world import ACTIONS
from worlds import CONFIG

from srvp_world.agents.evaluate import evaluate_in_dream
from srvp_world.agents.planning import PlannerConfig
from srvp_world.agents.planning_agent import PlanningAgent
from srvp_world.agents.policy import LatentAgent
from srvp_world.agents.sb3 import train_in_dream
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.config import PixelConfig, TrainConfig
from srvp_world.data.dataset import Dataset
from srvp_world.envs.collect import collect, run_episodes
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.latent import make_real_env
from srvp_world.envs.learn import learn_world
from srvp_world.envs.policies import RandomPolicy

TRAIN = TrainConfig(iterations=2, batch_size=2, window=3, validate_every=2, save_every=2)


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_go_from_reality_into_dreams_and_back(name, tmp_path):
    pixels = PixelConfig(
        env_id="spaces_world:Spaces-v0", env_kwargs={"action": name}, frame_size=32
    )
    collect(pixels, tmp_path / "data", RandomPolicy, episodes=4, progress=False)
    data, space = Dataset.open(tmp_path / "data"), ACTIONS[name]
    recorded = np.concatenate([data.read(i).actions for i in range(len(data))])
    assert recorded.shape == (16, *space.shape) and data.info.action.space == space
    assert all(np.asarray(row, space.dtype) in space for row in recorded)
    assert len(np.unique(recorded.reshape(16, -1), axis=0)) > 1
    world = learn_world(data, CONFIG, TRAIN, tmp_path / "run", progress=False).world

    dream = DreamVectorEnv(3, world)
    dream.reset(seed=0)
    assert dream.single_action_space == space
    dream.action_space.seed(0)
    assert np.isfinite(dream.step(dream.action_space.sample())[1]).all()

    model = train_in_dream(world, steps=64, num_envs=2, horizon=4, batch_size=64, progress=False)
    policy = policy_from_sb3(model, world)
    assert len(evaluate_in_dream(world, policy, episodes=2)) == 2
    config = PlannerConfig(horizon=3, samples=8, elites=2)
    for agent in (LatentAgent(world, policy), PlanningAgent(world, config)):
        assert run_episodes(pixels, agent, [0], progress=False)[0].decisions == 4
    env = make_real_env(world)
    observation, _ = env.reset(seed=0)
    action, _ = model.predict(observation)
    assert env.step(action)[0] in env.observation_space
    env.close()
