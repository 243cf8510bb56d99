"""Planning agents watch what is real, and act as the plans of what they watched say."""

import pickle
import re

import numpy as np
import pytest
import torch
from planned import BIT
from worlds import KINDS, tiny_model, tiny_world

import srvp_world
from srvp_world.agents.planning import Planner, PlannerConfig
from srvp_world.agents.planning_agent import PlanningAgent, SavedPlanner
from srvp_world.envs.collect import run_episodes
from srvp_world.envs.latent import Watcher
from srvp_world.errors import ConfigError

SMALL = PlannerConfig(horizon=3, samples=8, elites=2, iterations=2)


def play(agent, frames, seed, steps=5):
    """Act on frames that do not care."""
    agent.reset(seed)
    return [agent.act(frame) for frame in frames[:steps]]


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_plans_from_what_it_watched(kind):
    world = tiny_world(kind)
    agent, watcher = PlanningAgent(world, SMALL), Watcher(world)
    frames = world.starts.frames[0].numpy()
    for seed in (5, 6):  # a second episode owes nothing to the first
        planner, plan = Planner(world.model, SMALL, seed=seed), None
        watcher.begin(frames[0])
        for t, action in enumerate(play(agent, frames, seed)):
            plan = planner.plan(watcher.state, plan)
            np.testing.assert_array_equal(action, plan.action[0].numpy())
            world.action.check(np.asarray(action)[None])
            assert np.shape(action) == world.action.shape
            watcher.follow(frames[t + 1], action)


def test_all_draws_follow_from_the_seed_of_the_episode():
    world = tiny_world("box")
    frames = world.starts.frames[0].numpy()
    agent = PlanningAgent(world, SMALL, explore=0.5)
    first, other, again = (play(agent, frames, seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    new = PlanningAgent(world, SMALL, seed=1, explore=0.5)
    np.testing.assert_array_equal(first, [new.act(frame) for frame in frames[:5]])


def test_an_agent_explores_by_a_share_and_watches_what_it_really_did():
    world = tiny_world("box")
    frames = world.starts.frames[0].numpy()
    agent, watcher = PlanningAgent(world, SMALL, explore=1.0), Watcher(world)
    agent.reset(3)
    watcher.begin(frames[0])
    own = PlanningAgent(world, SMALL)
    for t in range(4):
        action = agent.act(frames[t])
        torch.testing.assert_close(agent.watcher.state.y, watcher.state.y)
        watcher.follow(frames[t + 1], action)
        assert not np.array_equal(action, own.act(frames[t]))
    with pytest.raises(ConfigError, match=r"explore must be in \[0, 1\], got -0.1"):
        PlanningAgent(world, SMALL, explore=-0.1)


def test_a_saved_planner_travels_as_a_path(tmp_path):
    world = tiny_world("box")
    path = world.save(tmp_path / "world.safetensors")
    saved = pickle.loads(pickle.dumps(SavedPlanner(path, SMALL, explore=0.5)))
    frames = world.starts.frames[0].numpy()
    here = PlanningAgent(world, SMALL, explore=0.5)
    np.testing.assert_array_equal(play(saved(world.action), frames, 4), play(here, frames, 4))
    with pytest.raises(ConfigError, match=re.escape("in Box") + ".* the env in Discrete"):
        saved(BIT)


def test_video_cannot_be_planned_in():
    with pytest.raises(ConfigError, match="takes no actions"):
        PlanningAgent(tiny_world("none", tiny_model("none", reward=False, continuation=False)))


def test_planning_in_the_shipped_world_swings_the_real_pendulum_up():
    """At random an episode returns about -1200, and -1000 if the pendulum never gets up."""
    world = srvp_world.load()
    cheap = PlannerConfig(horizon=12, samples=16, elites=4, iterations=1)
    (played,) = run_episodes(world.pixels, PlanningAgent(world, cheap), [10_001], progress=False)
    assert played.episode_return > -300
