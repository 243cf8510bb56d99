"""An actor-critic solves worlds whose optimum is known, and keeps the manners of SB3's models."""

import json

import numpy as np
import pytest
import torch
from lines import Chain, Point, play, world_of
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from worlds import KINDS, tiny_model, tiny_world

from srvp_world.agents.actor_critic import ActorCritic
from srvp_world.agents.evaluate import evaluate_in_dream
from srvp_world.agents.policy import LatentAgent, LatentPolicy, PolicyConfig, SavedAgent
from srvp_world.checkpoint import read_tensors, write_tensors
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.errors import ConfigError, DataError, TrainError, WorldFileError

SMALL = {"starts": 8, "horizon": 3, "hidden": (8,)}
QUICK = {"hidden": (32,), "learning_rate": 0.01, "critic_learning_rate": 0.01}


def small(world, **settings):
    return ActorCritic(world, **{**SMALL, **settings})


def weights(agent):
    return torch.nn.utils.parameters_to_vector(agent.policy.parameters()).detach()


def test_it_drives_a_point_to_the_origin():
    starts = torch.linspace(-2, 2, 41)
    world, pool = world_of(Point(), starts)
    agent = ActorCritic(world, pool=pool, starts=64, horizon=8, **QUICK)
    agent.learn(120 * 64 * 8, progress_bar=False)
    ours = play(world.model, starts, agent.policy.choose, 10)
    best = play(world.model, starts, lambda seen: -seen.clamp(-0.5, 0.5), 10)
    idle = play(world.model, starts, torch.zeros_like, 10)
    assert (best - ours).mean() < 0.02 * (best - idle).mean()


def test_pay_that_hardly_differs_is_not_blown_up():
    # 2 a step, give or take a hundredth: counted in deviations, a state would be worth 400.
    model = Point()
    model.reward = lambda arrival: torch.full_like(arrival, 2.0)
    model.reward_normaliser.freeze(torch.tensor([2.0]), torch.tensor([0.01]))
    starts = torch.linspace(-0.5, 0.5, 11)
    world, pool = world_of(model, starts)
    settings = {"horizon": 4, "gamma": 0.5, "target_rate": 0.5, **QUICK}
    agent = ActorCritic(world, pool=pool, starts=64, **settings)
    agent.learn(100 * 64 * 4, progress_bar=False)
    values = agent.value(starts[:, None])
    torch.testing.assert_close(values, torch.full((11,), 2 / (1 - 0.5)), atol=0.3, rtol=0)


def test_it_walks_past_a_little_to_the_end_of_a_chain():
    starts = torch.arange(5.0)
    world, pool = world_of(Chain(), starts)
    agent = ActorCritic(world, pool=pool, starts=64, horizon=8, gamma=0.8, **QUICK)
    agent.learn(120 * 64 * 8, progress_bar=False)
    assert agent.policy.choose(starts[:, None]).tolist() == [2] * 5
    assert play(world.model, starts, agent.policy.choose, 5).tolist() == [1] * 5
    expected = 0.8 ** torch.arange(4.0, -1, -1)
    torch.testing.assert_close(agent.value(starts[:, None]), expected, atol=0.1, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_it_acts_as_sb3s_models_do(kind):
    world = tiny_world(kind)
    agent = small(world).learn(1, progress_bar=False)
    rng = np.random.default_rng(0)
    one, many = (rng.standard_normal(shape, np.float32) for shape in (6, (5, 6)))
    action, state = agent.predict(one, state="kept", deterministic=True)
    assert state == "kept" and world.action.space.contains(action)
    actions, _ = agent.predict(many, episode_start=np.ones(5, bool), deterministic=True)
    assert actions.dtype == world.action.space.dtype
    assert actions.shape == (5, *world.action.shape)
    alone, _ = agent.predict(many[2], deterministic=True)
    np.testing.assert_allclose(actions[2], alone, rtol=1e-5)  # sums in another order
    draws = [agent.predict(many)[0] for _ in range(20)]
    assert any((draw != draws[0]).any() for draw in draws)


def test_sb3_evaluates_it():
    world = tiny_world("discrete")
    agent = small(world)
    dream = VecMonitor(DreamVecEnv(2, world, obs="latent"))
    returns, lengths = evaluate_policy(agent, dream, n_eval_episodes=4, return_episode_rewards=True)
    assert len(returns) == 4 and all(0 < length <= 9 for length in lengths)


def test_it_counts_dream_steps_and_stops_when_it_is_told_to():
    agent = small(tiny_world("box"))
    seen = []
    assert agent.learn(49, lambda a: seen.append(a.num_timesteps), False) is agent
    assert seen == [24, 48, 72]  # whole updates of 8 rollouts over 3 steps
    agent.learn(1000, lambda a: np.less(a.num_timesteps, 120), progress_bar=False)
    assert agent.num_timesteps == 120  # though NumPy's False is not Python's


def test_the_same_seed_learns_the_same_and_leaves_the_global_draws_alone():
    world = tiny_world("box")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = small(world, seed=1).learn(100, progress_bar=False)
    assert torch.rand(1) == expected
    two, other = (small(world, seed=s).learn(100, progress_bar=False) for s in (1, 2))
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))
    looked = small(world, seed=1)
    looked.learn(100, lambda a: a.predict(np.zeros(6, np.float32)) and None, progress_bar=False)
    assert torch.equal(weights(looked), weights(one))  # what acts draws from elsewhere


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_agent_is_a_policy_and_goes_on(kind, tmp_path):
    world = tiny_world(kind)
    agent = small(world, gamma=0.9).learn(48, progress_bar=False)
    path = agent.save(tmp_path / "agent.safetensors")
    features = torch.randn(5, 6)
    policy, again = LatentPolicy.load(path, world), ActorCritic.load(path, world)
    assert torch.equal(policy.choose(features), agent.policy.choose(features))
    np.testing.assert_array_equal(
        again.predict(features, deterministic=True)[0], policy.choose(features).numpy()
    )
    assert torch.equal(again.value(features), agent.value(features))
    assert (again.num_timesteps, again.config) == (48, agent.config)
    before = weights(again).clone()
    again.learn(24, progress_bar=False)
    assert again.num_timesteps == 72 and not torch.equal(weights(again), before)
    assert evaluate_in_dream(world, policy, episodes=2).shape == (2,)


def test_a_saved_agent_acts_on_frames(tmp_path):
    made = tiny_world("box")
    paths = made.save(tmp_path / "world.safetensors"), tmp_path / "agent.safetensors"
    small(made).save(paths[1])
    frame = made.starts.frames[0, 0].numpy()
    expected = LatentAgent(made, LatentPolicy.load(paths[1], made)).act(frame)
    np.testing.assert_array_equal(SavedAgent(*paths)(made.action).act(frame), expected)


def test_files_that_hold_no_agent_of_this_world_are_refused(tmp_path):
    world, other = tiny_world("box"), tiny_world("box", tiny_model("box", seed=1))
    agent = small(world)
    path = agent.save(tmp_path / "agent.safetensors")
    with pytest.raises(WorldFileError, match=f"{world.fingerprint}, not {other.fingerprint}"):
        ActorCritic.load(path, other)
    with pytest.raises(WorldFileError, match="no critic: use LatentPolicy"):
        ActorCritic.load(agent.policy.save(tmp_path / "policy.safetensors"), world)
    tensors, metadata = read_tensors(path, "")
    name = "srvp_world_actor_critic"
    header = json.loads(metadata[name])
    for broken, message in (
        ("{", "broken header"),
        (json.dumps({**header, "steps": "many"}), "_Header.steps must be int"),
        (json.dumps({**header, "version": 99}), "newer srvp-world: upgrade"),
        (json.dumps({**header, "version": 1}), "older srvp-world, whose critics had other units"),
        (json.dumps({**header, "config": {"gamma": 2.0}}), "gamma must be in"),
        (json.dumps({**header, "config": {"hidden": [10**12]}}), "policy of another shape"),
        (json.dumps({**header, "config": {**SMALL, "activation": "relu"}}), "another shape"),
    ):
        write_tensors(path, tensors, {**metadata, name: broken})
        with pytest.raises(WorldFileError, match=message):
            ActorCritic.load(path, world)
    tensors["critic.network.0.weight"] = tensors["critic.network.0.weight"] * torch.nan
    write_tensors(path, tensors, metadata)
    with pytest.raises(WorldFileError, match="NaN"):
        ActorCritic.load(path, world)


def test_scalars_go_to_tensorboard(tmp_path):
    agent = small(tiny_world("box"), tensorboard_log=tmp_path)
    agent.learn(51 * 24, progress_bar=False)
    agent.learn(24, progress_bar=False)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = {"dream/return", "actor/loss", "actor/entropy", "actor/return_scale", "critic/loss"}
    assert set(events.Tags()["scalars"]) == tags
    steps = [event.step for event in events.Scalars("dream/return")]
    assert steps == [50 * 24, 51 * 24, 52 * 24]


def test_a_world_that_teaches_nothing_is_refused():
    with pytest.raises(ConfigError, match="takes no actions"):
        ActorCritic(tiny_world("none"))
    with pytest.raises(ConfigError, match="predicts no rewards"):
        ActorCritic(tiny_world("box", tiny_model("box", reward=False)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gama": 0.9}, "no field 'gama': did you mean 'gamma'"),
        ({"horizon": 2.5}, "horizon must be int, got 2.5"),
        ({"activation": "gelu"}, "activation"),
        ({"seed": -1}, r"seed must be a whole number from 0 to 2\*\*32 - 1, got -1"),
        ({"seed": 2**32}, "seed must be .* got 4294967296"),
        ({"seed": 1.5}, "seed must be .* got 1.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        ActorCritic(tiny_world("box"), **settings)


def test_no_steps_and_losses_that_are_not_finite_are_refused():
    with pytest.raises(ConfigError, match="total_timesteps must be at least 1, got 0"):
        small(tiny_world("box")).learn(0)
    world, pool = world_of(Point(), torch.zeros(4))
    world.model.reward = lambda arrival: arrival / 0
    with pytest.raises(TrainError, match="not finite after 24 dream steps: lower"):
        small(world, pool=pool).learn(1, progress_bar=False)
    with pytest.raises(TrainError, match="not finite after 24 dream steps: lower"):
        small(world, pool=pool).learn(1000, lambda _: False, progress_bar=False)


@pytest.mark.parametrize(
    "observation", [np.zeros(5), np.zeros((2, 2, 6)), "latent", np.full(6, np.nan), {"pixels": 0}]
)
def test_what_is_no_latent_is_refused(observation):
    with pytest.raises(DataError, match=r"reads finite features \(6,\) or \(n, 6\)"):
        small(tiny_world("box")).predict(observation)


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [("box", "greedy", "choices and bits"), ("discrete", "squashed", "boxes")],
)
def test_policies_that_no_space_has_are_refused(kind, wrong, message):
    shape = {"feature_dim": 6, "hidden": (), "activation": "tanh", "world": ""}
    with pytest.raises(ConfigError, match=f"{wrong} policies are for {message}"):
        PolicyConfig(action=tiny_world(kind).action, **shape, **{wrong: True})
