"""PPO learns in a dream whose best policy is known, and returns are counted to the first end."""

import numpy as np
import torch
from oracle import BOX, Count, counting_world
from stable_baselines3 import PPO
from worlds import tiny_world

from srvp_world.agents.evaluate import evaluate_in_dream, roll
from srvp_world.agents.policy import LatentPolicy
from srvp_world.agents.ppo import train_ppo
from srvp_world.checkpoint import World
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.model.normaliser import Normaliser
from srvp_world.world import Prediction


class Target:
    """Shows a number in {-1, 1}, and rewards the action for being close to it."""

    action, frame_shape = BOX, (1, 32, 32)
    noise_dim = start_noise_dim = feature_dim = 1
    device = torch.device("cpu")

    def __init__(self):
        self.reward_normaliser = Normaliser(1)

    def encode(self, observation, actions=None, **_):
        return Count(torch.ones(len(observation.frames)))

    def step(self, state, action, *, noise, **_):
        reward = -(action[:, 0] - state.number).square()
        return Count(noise[:, 0].sign()), Prediction(reward, None)

    def features(self, state):
        return state.number[:, None].clone()

    def state_dict(self):
        return {"none": torch.zeros(1)}


def test_ppo_finds_the_known_optimum():
    clips = counting_world(0, 0).starts
    world = World(Target(), clips, episode_length=10)
    calls = []
    model = train_ppo(
        world,
        steps=30_000,
        horizon=10,
        on_rollout=lambda model: calls.append(model.num_timesteps),
        progress=False,
    )
    policy = LatentPolicy.from_sb3(model, world)
    actions = policy.choose(torch.tensor([[-1.0], [1.0]]))
    np.testing.assert_allclose(actions.numpy(), [[-1.0], [1.0]], atol=0.3)
    rollout = model.n_steps * model.n_envs
    assert calls == list(range(rollout, model.num_timesteps + 1, rollout))


def test_the_same_seed_trains_the_same_policy():
    world = tiny_world("box")
    one, two, other = (
        train_ppo(world, steps=2048, num_envs=16, horizon=6, seed=seed, progress=False)
        for seed in (0, 0, 1)
    )
    weights = [LatentPolicy.from_sb3(m, world).network[0].weight for m in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_returns_are_summed_to_the_first_end():
    world = counting_world(0, 5, end=8)
    dream = DreamVectorEnv(
        2, world, obs="latent", start="first", output="torch", autoreset_mode="Disabled"
    )
    # Rewards are 100 * the count at arrival + the action; episodes end on arrival at 8.
    returns, lengths = roll(dream, lambda seen: torch.full((len(seen), 1), 0.5), seed=3)
    begins = 8 - lengths
    assert set(begins.tolist()) <= {0.0, 5.0}
    expected = [sum(100 * n + 0.5 for n in range(int(b) + 1, 9)) for b in begins]
    assert returns.tolist() == expected


def test_dream_returns_are_in_real_units_and_repeat():
    world = tiny_world("box")
    dream = DreamVecEnv(2, world, obs="latent", reward_scale=7.0)
    policy = LatentPolicy.from_sb3(PPO("MlpPolicy", dream, seed=0, device="cpu"), world)
    one, two = (evaluate_in_dream(world, policy, episodes=5, seed=2) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (5,)


def test_without_temperature_dreams_from_one_start_are_alike():
    world = tiny_world("box", lengths=(6,))
    dream = DreamVecEnv(2, world, obs="latent")
    policy = LatentPolicy.from_sb3(PPO("MlpPolicy", dream, seed=0, device="cpu"), world)
    cold, warm = (evaluate_in_dream(world, policy, episodes=4, temperature=t) for t in (0.0, 1.0))
    np.testing.assert_allclose(cold, cold[0], rtol=1e-5)
    assert np.ptp(warm) > 0
