"""A copy of what acts of an SB3 model acts as the model does."""

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import VecNormalize
from worlds import KINDS, tiny_world

from srvp_world.agents.policy import LatentPolicy
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.errors import ConfigError

ALL = [(algorithm, kind) for algorithm in (PPO, A2C) for kind in (*KINDS, "wide")]
ALL += [(SAC, "box"), (SAC, "wide"), (DQN, "discrete")]


def sb3_model(world, algorithm=PPO, **settings):
    dream = DreamVecEnv(2, world, obs="latent")
    if algorithm in (SAC, DQN):
        settings = {"buffer_size": 100, "target_update_interval": 2, **settings}
    return algorithm("MlpPolicy", dream, seed=0, device="cpu", **settings)


def latents(world, n=50):
    return 3 * torch.randn(n, world.model.feature_dim, generator=torch.Generator().manual_seed(0))


def stir(model):
    """Give a model weights, biases and deviations that no initialisation has."""
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.policy.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=draws))


@pytest.mark.parametrize(("algorithm", "kind"), ALL)
@pytest.mark.parametrize("hidden", [[16, 8], []])
def test_a_stored_policy_acts_as_its_sb3_model(algorithm, kind, hidden, tmp_path):
    world = tiny_world(kind)
    model = sb3_model(world, algorithm, policy_kwargs={"net_arch": hidden})
    stir(model)
    path = policy_from_sb3(model, world).save(tmp_path / "policy.safetensors")
    actions = LatentPolicy.load(path, world).choose(latents(world)).numpy()
    expected, _ = model.predict(latents(world).numpy(), deterministic=True)
    assert actions.dtype == world.action.dtype
    assert len(np.unique(expected.reshape(50, -1), axis=0)) > 1
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_draws_spread_as_the_model_does(algorithm):
    world = tiny_world("box")
    model = sb3_model(world, algorithm)
    stir(model)
    seen = 0.1 * latents(world, 1).expand(4000, -1)  # a saturated tanh shows no spread
    ours = policy_from_sb3(model, world).choose(seen, torch.Generator().manual_seed(1)).numpy()
    torch.manual_seed(2)
    theirs, _ = model.predict(seen.numpy())
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.1)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.1)


def test_values_of_actions_are_no_distribution():
    world = tiny_world("discrete")
    policy = policy_from_sb3(sb3_model(world, DQN), world)
    drawn = policy.choose(latents(world), torch.Generator().manual_seed(0))
    assert torch.equal(drawn, policy.choose(latents(world)))


def test_a_copy_costs_the_model_no_random_numbers():
    world = tiny_world("box")
    model = sb3_model(world)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    policy_from_sb3(model, world)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        (TD3, {"buffer_size": 100}, "TD3 policy: use PPO, A2C, SAC or DQN"),
        (PPO, {"use_sde": True}, "gSDE: leave use_sde out"),
        (SAC, {"use_sde": True}, "gSDE: leave use_sde out"),
        (PPO, {"policy_kwargs": {"activation_fn": torch.nn.SiLU}}, "tanh or ReLU"),
        (SAC, {"policy_kwargs": {"activation_fn": torch.nn.SiLU}}, "tanh or ReLU"),
    ],
)
def test_what_cannot_be_stored_is_refused(algorithm, settings, message):
    world = tiny_world("box")
    with pytest.raises(ConfigError, match=message):
        policy_from_sb3(sb3_model(world, algorithm, **settings), world)


def test_normalised_observations_are_refused():
    world = tiny_world("box")
    dream = VecNormalize(DreamVecEnv(2, world, obs="latent"))
    with pytest.raises(ConfigError, match="VecNormalize scales: leave it out"):
        policy_from_sb3(PPO("MlpPolicy", dream, device="cpu"), world)


def test_models_of_other_worlds_are_refused():
    world = tiny_world("box")
    with pytest.raises(ConfigError, match=r"acts in Discrete\(3\), the world takes Box"):
        policy_from_sb3(sb3_model(tiny_world("discrete")), world)
    with pytest.raises(ConfigError, match="the world takes no actions"):
        policy_from_sb3(sb3_model(world), tiny_world("none"))
    frames = sb3_model(world)
    frames.observation_space = DreamVecEnv(2, world, obs="pixels").observation_space
    with pytest.raises(ConfigError, match="the world shows 6 latents"):
        policy_from_sb3(frames, world)
