"""Every kind of agent is made, stored and found again, and acts in reality and in dreams."""

import json
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
from worlds import ACTIONS, tiny_world

from srvp_world.agents import improve as improving
from srvp_world.agents.dyna_config import AGENTS
from srvp_world.agents.improve import check_agent, improve
from srvp_world.agents.planning import METHODS
from srvp_world.agents.saved import dream_returns, read_planner, saved_agent
from srvp_world.agents.sb3 import train_in_dream
from srvp_world.checkpoint import read_tensors
from srvp_world.envs.starts import start_pool
from srvp_world.errors import ConfigError, UnknownNameError, WorldFileError

TAKES = {"sac": {"box"}, "dqn": {"discrete"}, "icem": {"box"}, "mppi": {"box"}}
KINDS = {"box", "discrete", "multidiscrete", "multibinary"}
SB3 = {"num_envs": 4, "horizon": 5}
SETTINGS = {
    "ppo": {**SB3, "n_steps": 8, "batch_size": 16},
    "a2c": SB3,
    "sac": SB3,
    "dqn": SB3,
    "actor-critic": {"starts": 4, "horizon": 3},
} | {name: {"horizon": 2, "samples": 6, "elites": 2} for name in ("cem", "icem", "mppi")}


def content(path):
    """What a file says, in whatever order: safetensors shuffles metadata."""
    if path.suffix == ".json":
        return path.read_text()
    tensors, metadata = read_tensors(path, "a policy file")
    return metadata, {name: tensor.tolist() for name, tensor in tensors.items()}


@pytest.mark.parametrize("agent", AGENTS)
def test_every_kind_of_agent(agent, tmp_path):
    kind = "discrete" if agent in ("dqn", "cem") else "box"
    world = tiny_world(kind)
    file = world.save(tmp_path / "world.safetensors")
    check_agent(agent, SETTINGS[agent], world.action)
    paths = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        pool = start_pool(world)
        made = improve(
            agent,
            world,
            folder,
            steps=30,
            seed=3,
            pool=pool,
            settings=SETTINGS[agent],
            progress=False,
        )
        paths.append(made.file)
        whole = {"actor-critic": 36}.get(agent, 32)  # of 12, 16 or 4 steps each
        assert made.steps == (0 if agent in METHODS else whole)
    assert content(paths[0]) == content(paths[1])
    threads = torch.get_num_threads()
    acting = saved_agent(file, paths[0], explore=0.5)(world.action)
    acting.reset(1)
    action = acting.act(np.zeros((32, 32, 1), np.uint8))
    world.action.check(np.asarray(action)[None], "its actions")
    returns = dream_returns(world, paths[0], episodes=3)
    assert returns.shape == (3,)
    np.testing.assert_array_equal(returns, dream_returns(world, paths[0], episodes=3))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("agent", AGENTS)
def test_actions_are_taken_or_refused_with_the_agents_that_take_them(agent):
    for kind in KINDS:
        if kind in TAKES.get(agent, KINDS):
            check_agent(agent, {}, ACTIONS[kind])
        else:
            with pytest.raises(ConfigError, match="use ppo, a2c"):
                check_agent(agent, {}, ACTIONS[kind])


def test_what_does_not_exist_is_refused_by_name():
    with pytest.raises(UnknownNameError, match="did you mean 'actor-critic'"):
        check_agent("actorcritic", {}, ACTIONS["box"])
    for agent, name, hint in (
        ("ppo", "n_step", "n_steps"),
        ("sac", "tua", "tau"),
        ("actor-critic", "startz", "starts"),
        ("mppi", "sample", "samples"),
    ):
        with pytest.raises(ConfigError, match=f"did you mean '{hint}'"):
            check_agent(agent, {name: 1}, ACTIONS["box"])
    with pytest.raises(ConfigError, match="samples"):
        check_agent("cem", {"samples": 1}, ACTIONS["box"])


UNSTORABLE = [
    ("ppo", {"policy_kwargs": {"activation_fn": torch.nn.SiLU}}, "tanh or ReLU"),
    ("a2c", {"use_sde": True}, "gSDE: leave use_sde out"),
    ("sac", {"use_sde": True}, "gSDE: leave use_sde out"),
]
REFUSED = [
    ("ppo", {"num_envs": 1, "n_steps": 1}, "PPO refuses its settings"),
    ("ppo", {"batch_size": 0}, "batch_size of PPO must be at least 1, got 0"),
    ("a2c", {"learning_rate": -1.0}, "A2C refuses its settings: Invalid learning rate"),
    ("sac", {"num_envs": 0}, "need num_envs >= 1 and temperature >= 0, got 0 and"),
    ("ppo", {"horizon": 1}, "horizon must be at least 2 steps, got 1"),
    ("ppo", {"horizon": "20"}, "horizon must be an int, got '20'"),
    ("a2c", {"temperature": -1.0}, "temperature >= 0, got 64 and -1.0"),
    ("sac", {"penalty": -2.0}, "need penalty >= 0"),
    ("ppo", {"penalty": "much"}, "need penalty >= 0"),
    ("ppo", {"max_uncertainty": 0}, "max_uncertainty > 0"),
    ("ppo", {"penalty": 1.0}, "cannot tell how uncertain it is"),
    ("cem", {"penalty": 1.0}, "cannot tell how uncertain it is"),
    ("actor-critic", {"horizon": 0}, "horizon must be at least 1, got 0"),
]


@pytest.mark.parametrize(("agent", "settings", "message"), [*UNSTORABLE, *REFUSED])
def test_what_cannot_be_built_or_stored_is_refused_before_any_work(
    agent, settings, message, tmp_path, monkeypatch
):
    world, training = tiny_world("box"), create_autospec(train_in_dream)
    monkeypatch.setattr(improving, "train_in_dream", training)
    with pytest.raises(ConfigError, match=message) as caught:
        check_agent(agent, settings, world.action, uncertainty=False)
    assert "\n" not in str(caught.value)
    given = {"steps": 32, "seed": 3, "pool": start_pool(world), "settings": settings}
    with pytest.raises(ConfigError, match=message):
        improve(agent, world, tmp_path, **given)
    training.assert_not_called()
    assert list(tmp_path.iterdir()) == []


def test_a_check_draws_and_shows_nothing(capsys):
    before = torch.get_rng_state()
    check_agent("ppo", {"verbose": 1}, ACTIONS["box"])
    assert torch.equal(before, torch.get_rng_state())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"methd": "cem"})])
def test_a_broken_planner_is_told(tmp_path, content):
    if content is not None:
        (tmp_path / "planner.json").write_text(content)
    with pytest.raises(WorldFileError, match="describes no planner"):
        read_planner(tmp_path / "planner.json")
