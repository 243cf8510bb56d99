"""The dream as a Stable-Baselines3 environment."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracle import counting_world
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper
from worlds import KINDS, tiny_model, tiny_world

from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.errors import ConfigError

PPO_SIZE = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "device": "cpu", "seed": 0}


def counting(**options) -> DreamVecEnv:
    return DreamVecEnv(2, counting_world(1), obs="latent", horizon=3, **options)


def test_steps_are_those_of_the_dream():
    world = tiny_world("box")
    options = {"obs": "latent", "horizon": 4}
    env, dream = (
        DreamVecEnv(3, world, reward_scale=0.5, **options),
        DreamVectorEnv(3, world, **options),
    )
    assert isinstance(env, VecEnv)
    env.seed(7)
    np.testing.assert_array_equal(env.reset(), dream.reset(seed=7)[0])
    assert env.reset_infos == [{"start": "data"}] * 3
    env.action_space.seed(0)
    for _ in range(9):
        actions = np.stack([env.action_space.sample() for _ in range(3)])
        observation, rewards, dones, infos = env.step(actions)
        expected, reward, terminated, truncated, dream_infos = dream.step(actions)
        np.testing.assert_array_equal(observation, expected)
        np.testing.assert_allclose(rewards, 0.5 * reward)
        assert rewards.dtype == np.float32
        np.testing.assert_array_equal(dones, terminated | truncated)
        for i, info in enumerate(infos):
            if not dones[i]:
                assert info == {}
                continue
            np.testing.assert_array_equal(info["terminal_observation"], dream_infos["final_obs"][i])
            assert info["TimeLimit.truncated"] is bool(truncated[i] and not terminated[i])


def test_dicts_are_of_one_state_to_the_end():
    env = DreamVecEnv(2, counting_world(1), obs="dict", horizon=3)
    observation = env.reset()
    for t in (2, 3, 1):
        assert {name: x.shape for name, x in observation.items()} == {
            "pixels": (2, 32, 32, 1),
            "vector": (2, 1),
        }
        observation, _, dones, infos = env.step(np.zeros((2, 1), np.float32))
        assert (observation["pixels"] == t).all() and (observation["vector"] == 1000 + t).all()
    assert dones.all()
    for info in infos:
        last = info["terminal_observation"]
        assert (last["pixels"].shape, last["vector"].shape) == ((32, 32, 1), (1,))
        assert (last["pixels"] == 4).all() and last["vector"] == 1004


def test_unseeded_resets_go_on():
    env = DreamVecEnv(2, tiny_world("box"), obs="latent")
    env.seed(1)
    first = env.reset()
    assert not np.allclose(env.reset(), first)
    env.seed(1)
    np.testing.assert_array_equal(env.reset(), first)


def test_summaries_of_dreams_are_in_the_worlds_units():
    env = counting(reward_scale=0.01)
    env.reset()
    summaries = []
    for _ in range(7):
        *_, infos = env.step(np.ones((2, 1), np.float32))
        summaries += [info["episode"] for info in infos if info]
    assert [(x["r"], x["l"]) for x in summaries] == [(903, 3)] * 4
    assert all(x["t"] >= 0 for x in summaries)


@pytest.mark.parametrize("obs", ["latent", "pixels", "dict"])
def test_bootstrapping_here_is_bootstrapping_there(obs: str):
    """In one call the adapter adds what SB3 adds row by row, also where rows end together."""
    world = tiny_world("box", tiny_model("box", frame_size=64, vector_dim=3))
    world = replace(world, starts=replace(world.starts, vector=torch.randn(3, 6, 3)))
    policy = {"latent": "MlpPolicy", "pixels": "CnnPolicy", "dict": "MultiInputPolicy"}[obs]
    here, there = (
        DreamVecEnv(8, world, obs=obs, horizon=5, stagger=True, reward_scale=0.3) for _ in range(2)
    )
    model = PPO(policy, VecMonitor(here), gamma=0.9, **PPO_SIZE)
    here.bootstrap_with(model)
    for env in (here, there):
        env.seed(3)
        env.reset()
    added = 0
    here.action_space.seed(0)
    for _ in range(12):
        actions = np.stack([here.action_space.sample() for _ in range(8)])
        observation, rewards, dones, infos = here.step(actions)
        expected, plain, other_dones, other_infos = there.step(actions)
        np.testing.assert_equal(observation, expected)
        np.testing.assert_array_equal(dones, other_dones)
        for i, info in enumerate(other_infos):
            if info.get("TimeLimit.truncated", False):
                last = model.policy.obs_to_tensor(info["terminal_observation"])[0]
                value = model.policy.predict_values(last)[0].item()
                plain[i] += 0.9 * value
                added += abs(value) > 1e-4
            assert not infos[i].get("TimeLimit.truncated", False)
        np.testing.assert_allclose(rewards, plain, rtol=1e-4, atol=1e-5)
    assert added > 2


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_ppo_learns_in_it(kind: str, bootstrap: bool):
    env = DreamVecEnv(4, tiny_world(kind), obs="latent", horizon=6)
    model = PPO("MlpPolicy", env, **PPO_SIZE)
    if bootstrap:
        env.bootstrap_with(model)
    before = model.policy.mlp_extractor.policy_net[0].weight.clone()
    model.learn(128)
    assert model.num_timesteps == 128
    assert (model.policy.mlp_extractor.policy_net[0].weight != before).any()
    assert len(model.ep_info_buffer) > 5


def test_off_policy_models_bootstrap_by_themselves():
    env = DreamVecEnv(2, tiny_world("box"), obs="latent")
    model = SAC("MlpPolicy", env, buffer_size=100, device="cpu")
    with pytest.raises(ConfigError, match="SAC bootstraps by itself: leave this call out"):
        env.bootstrap_with(model)


def test_models_that_see_something_else_cannot_bootstrap():
    env = DreamVecEnv(2, tiny_world("box"), obs="latent")
    with pytest.raises(ConfigError, match="VecNormalize changes what the model sees"):
        env.bootstrap_with(PPO("MlpPolicy", VecNormalize(env), **PPO_SIZE))
    other = DreamVecEnv(2, tiny_world("box"), obs="latent")
    with pytest.raises(ConfigError, match="built on another env"):
        env.bootstrap_with(PPO("MlpPolicy", other, **PPO_SIZE))


def test_attributes_and_methods_are_those_of_the_dream():
    env = counting(render_mode="rgb_array")
    assert env.get_attr("horizon") == [3, 3]
    assert env.get_attr("horizon", 1) == [3]
    env.set_attr("horizon", 5)
    assert env.get_attr("horizon") == [5, 5]
    with pytest.raises(ConfigError, match="all rows share 'horizon': set it without indices"):
        env.set_attr("horizon", 6, indices=0)
    assert env.env_is_wrapped(VecEnvWrapper) == [False, False]
    env.reset()
    assert [len(frames) for frames in env.env_method("render")] == [2, 2]
    images = env.get_images()
    assert [(image.shape, image.dtype) for image in images] == [((32, 32, 3), np.uint8)] * 2
    assert env.render().shape == (64, 32, 3)
    assert counting().get_images() == [None, None]
    env.close()
    env.close()


def test_images_are_transposed_by_sb3():
    env = DreamVecEnv(2, tiny_world("box", tiny_model(frame_size=64)), obs="pixels")
    model = PPO("CnnPolicy", env, **PPO_SIZE)
    assert isinstance(model.env, VecTransposeImage)


@pytest.mark.parametrize("name", ["autoreset_mode", "output"])
def test_what_sb3_fixes_is_refused(name: str):
    with pytest.raises(ConfigError, match=f"{name} is fixed for SB3: leave it out"):
        counting(**{name: 1})


def test_options_reach_the_dream_once_and_for_all_rows():
    env = DreamVecEnv(2, counting_world(10), obs="latent", horizon=9)
    frame, vector = np.full((1, 32, 32, 1), 40, np.uint8), np.zeros((1, 1))
    env.set_options({"frames": frame, "vector": vector})
    assert env.reset()[:, 0].tolist() == [40, 40]
    assert env.reset_infos == [{"start": "frames"}] * 2
    assert env.reset()[:, 0].tolist() == [10, 10]
    env.set_options([{"frames": frame + i, "vector": vector} for i in range(2)])
    with pytest.raises(ConfigError, match="all rows share their options"):
        env.reset()
    env.set_options({"frame": frame})
    with pytest.raises(ConfigError, match="did you mean 'frames'"):
        env.reset()
