"""Policies on disk, and agents that act on real frames with them."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from worlds import KINDS, tiny_world

from srvp_world.agents.policy import FrameAgent, LatentAgent, LatentPolicy, SavedAgent
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.checkpoint import read_tensors, write_tensors
from srvp_world.config import to_json
from srvp_world.envs.latent import Watcher
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.errors import ConfigError, WorldFileError


def sb3_model(world, algorithm=PPO, **kwargs):
    dream = DreamVecEnv(2, world, obs="latent")
    return algorithm("MlpPolicy", dream, seed=0, device="cpu", **kwargs)


def features(world, n=7):
    return torch.randn(n, world.model.feature_dim, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_draws_follow_the_distribution_and_the_generator(kind):
    world = tiny_world(kind)
    policy = policy_from_sb3(sb3_model(world), world)
    seen = features(world, 1).expand(4000, -1)
    one, two = (policy.choose(seen, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, two)
    assert len(torch.unique(one.reshape(4000, -1)[:, 0])) > 1
    world.action.check(one.numpy())
    if kind == "discrete":
        wanted = policy.network(seen[:1]).softmax(-1)[0]
        shares = torch.bincount(one, minlength=3) / 4000
        torch.testing.assert_close(shares, wanted, atol=0.04, rtol=0)
    if kind == "multibinary":
        wanted = policy.network(seen[:1]).sigmoid()[0]
        torch.testing.assert_close(one.float().mean(0), wanted, atol=0.04, rtol=0)


def test_features_travel_to_the_weights_and_actions_back():
    world = tiny_world("box")
    policy = policy_from_sb3(sb3_model(world), world).to("meta")  # from where nothing comes back
    assert policy.choose(features(world).to("meta")).device.type == "meta"
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        policy.choose(features(world))


def test_an_agent_that_draws_does_so_where_the_weights_lie(monkeypatch):
    world = tiny_world("box")
    policy = policy_from_sb3(sb3_model(world), world).to("meta")
    real, asked = torch.Generator, []
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": (asked.append(device), real())[1])
    LatentAgent(world, policy, deterministic=False)
    assert asked == [torch.device("meta")]


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": [10**12, 64]},
        {"hidden": [64, 64, 64]},
        {"feature_dim": 7},
        {"action": to_json(tiny_world("wide").action)},
    ],
)
def test_a_header_that_tells_of_another_network_is_refused(tmp_path, changes):
    world = tiny_world("box")
    path = policy_from_sb3(sb3_model(world), world).save(tmp_path / "policy.safetensors")
    tensors, metadata = read_tensors(path, "")
    header = {**json.loads(metadata["srvp_world_policy"]), **changes}
    write_tensors(path, tensors, {"srvp_world_policy": json.dumps(header)})
    with pytest.raises(WorldFileError, match="another network than it holds.*copy it again"):
        LatentPolicy.load(path, world)


@pytest.mark.parametrize("changes", [{"hidden": [-1]}, {"feature_dim": 0}])
def test_layers_of_nothing_are_refused(tmp_path, changes):
    world = tiny_world("box")
    path = policy_from_sb3(sb3_model(world), world).save(tmp_path / "policy.safetensors")
    tensors, metadata = read_tensors(path, "")
    header = {**json.loads(metadata["srvp_world_policy"]), **changes}
    write_tensors(path, tensors, {"srvp_world_policy": json.dumps(header)})
    with pytest.raises(WorldFileError, match="need a width of at least 1.*copy it again"):
        LatentPolicy.load(path, world)


def test_another_world_is_refused(tmp_path):
    world, other = tiny_world("box"), tiny_world("box")
    torch.nn.init.ones_(other.model.prior.network[0].weight)
    path = policy_from_sb3(sb3_model(world), world).save(tmp_path / "policy.safetensors")
    with pytest.raises(WorldFileError, match=f"{world.fingerprint}, not {other.fingerprint}"):
        LatentPolicy.load(path, other)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "truncated"), (b"\x00" * 64, "truncated"), (None, "no file")],
)
def test_broken_files_are_refused(tmp_path, content, message):
    path = tmp_path / "policy.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WorldFileError, match=message):
        LatentPolicy.load(path, tiny_world("box"))


def test_a_world_is_no_policy(tmp_path):
    world = tiny_world("box")
    path = world.save(tmp_path / "world.safetensors")
    with pytest.raises(WorldFileError, match="holds no policy"):
        LatentPolicy.load(path, world)


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_asks_its_policy_about_what_it_watched(kind):
    world = tiny_world(kind)
    policy = policy_from_sb3(sb3_model(world), world)
    agent, watcher = LatentAgent(world, policy), Watcher(world)
    frames = world.starts.frames[0].numpy()
    for episode in range(2):  # a second episode owes nothing to the first
        agent.reset(episode)
        seen = watcher.begin(frames[0])
        for t in range(3):
            action = agent.act(frames[t])
            expected = policy.choose(torch.from_numpy(seen)[None])[0].numpy()
            np.testing.assert_array_equal(action, expected)
            assert np.shape(action) == world.action.shape
            seen = watcher.follow(frames[t + 1], action)


def test_a_saved_agent_travels_as_two_paths(tmp_path):
    made = tiny_world("box")
    world = made.save(tmp_path / "world.safetensors")
    policy = policy_from_sb3(sb3_model(made), made).save(tmp_path / "policy.safetensors")
    agent = SavedAgent(world, policy)(made.action)
    frame = made.starts.frames[0, 0].numpy()
    np.testing.assert_array_equal(
        agent.act(frame), LatentAgent(made, LatentPolicy.load(policy, made)).act(frame)
    )
    with pytest.raises(ConfigError, match="the env takes Discrete"):
        SavedAgent(world, policy)(tiny_world("discrete").action)


def test_an_sb3_model_on_frames_acts_in_process():
    world = tiny_world("discrete")
    env = DreamVecEnv(1, world, obs="latent")
    frames = gym.spaces.Box(0, 255, (32, 32, 1), np.uint8)
    env.observation_space = frames
    model = PPO("MlpPolicy", env, seed=0, device="cpu", n_steps=8, batch_size=8)
    agent = FrameAgent(model)
    agent.reset(0)
    frame = world.starts.frames[0, 0].numpy()
    assert agent.act(frame) == model.predict(frame, deterministic=True)[0]


def test_an_agent_explores_by_a_share_and_watches_what_it_really_did():
    world = tiny_world("box")
    policy = policy_from_sb3(sb3_model(world), world)
    frames = world.starts.frames[0].numpy()

    def play(explore: float, steps: int = 60) -> tuple[list[np.ndarray], int]:
        agent, watcher = LatentAgent(world, policy, explore=explore), Watcher(world)
        agent.reset(3)
        seen, actions, own = watcher.begin(frames[0]), [], 0
        for t in range(steps):
            actions.append(agent.act(frames[t % 5]))
            chosen = policy.choose(torch.from_numpy(seen)[None])[0].numpy()
            own += np.array_equal(actions[-1], chosen)
            seen = watcher.follow(frames[(t + 1) % 5], actions[-1])
        return actions, own

    assert play(0.0)[1] == 60
    assert play(1.0)[1] == 0
    assert 20 < play(0.5)[1] < 40
    np.testing.assert_array_equal(play(0.5)[0], play(0.5)[0])
    with pytest.raises(ConfigError, match=r"explore must be in \[0, 1\], got 1.5"):
        LatentAgent(world, policy, explore=1.5)
