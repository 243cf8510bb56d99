"""Every kind of agent is made, stored and found again, and acts in reality and in dreams."""

import json

import numpy as np
import pytest
import torch
from worlds import ACTIONS, tiny_world

from srvp_world.agents.dyna_config import AGENTS
from srvp_world.agents.improve import check_agent, improve
from srvp_world.agents.saved import dream_returns, read_planner, saved_agent
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
            steps=32,
            seed=3,
            pool=pool,
            settings=SETTINGS[agent],
            progress=False,
        )
        paths.append(made)
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


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"methd": "cem"})])
def test_a_broken_planner_is_told(tmp_path, content):
    if content is not None:
        (tmp_path / "planner.json").write_text(content)
    with pytest.raises(WorldFileError, match="describes no planner"):
        read_planner(tmp_path / "planner.json")
