"""Every kind of agent behind one interface: made in a world's dream, left in one file."""

import inspect
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from srvp_world.agents.actor_critic import ActorCritic
from srvp_world.agents.dyna_config import AGENTS
from srvp_world.agents.planning import METHODS, Planner, PlannerConfig
from srvp_world.agents.rehearsal import rehearsal_world
from srvp_world.agents.saved import PLANNER, POLICY
from srvp_world.agents.sb3 import ALGORITHMS, KINDS, SETTINGS, prepare, train_in_dream
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.checkpoint import World
from srvp_world.config import from_json, to_json
from srvp_world.data.files import write_atomically
from srvp_world.envs.starts import StartPool
from srvp_world.errors import ConfigError, UnknownNameError, did_you_mean
from srvp_world.spaces import ActionSpec

ACTOR_CRITIC = "actor-critic"

_GIVEN = ("world", "algorithm", "steps", "seed", "pool", "on_rollout", "progress", "settings")
_UNUSED = ("log", "evaluate_every", "real_episodes", "policy", "env", "_init_setup_model")
_DREAM = ("num_envs", "horizon", "temperature", "penalty", "max_uncertainty")


class Improved(NamedTuple):
    """An agent that was made.

    Attributes:
        file: Of the agent.
        steps: Dream steps that it learnt from, rounded up to whole rollouts; 0 of a planner.
    """

    file: Path
    steps: int


def improve(
    agent: str,
    world: World,
    folder: Path,
    *,
    steps: int,
    seed: int,
    pool: StartPool,
    settings: dict[str, Any],
    progress: bool = True,
) -> Improved:
    """Make an agent for a world, in its dream alone, and write it into a folder.

    Args:
        agent: Kind of agent, one of `AGENTS`.
        world: That it is to act in.
        folder: Gets `agent.safetensors`, or `planner.json` of a planner, which has nothing to
            learn.
        steps: Dream steps that it learns from, at least.
        seed: Of its networks and of its dreams.
        pool: States that its dreams begin from.
        settings: Of the agent.
        progress: Whether to show a bar.

    Returns:
        The file, and the steps that were done.

    Raises:
        ConfigError: For settings that it does not have, and what the kind of agent refuses.
        OutputError: If the folder cannot be written.
    """
    if world.action is not None:
        check_agent(agent, settings, world.action, uncertainty=world.model.has_uncertainty)
    if agent in METHODS:
        config = _planner(agent, settings)
        content = json.dumps(to_json(config), indent=2) + "\n"
        write_atomically(folder / PLANNER, content.encode())
        return Improved(folder / PLANNER, 0)
    with one_thread():
        if agent == ACTOR_CRITIC:
            learner = ActorCritic(world, pool=pool, seed=seed, **settings)
            learner.learn(steps, progress_bar=progress)
            return Improved(learner.save(folder / POLICY), learner.num_timesteps)
        model = train_in_dream(
            world, agent.upper(), steps=steps, seed=seed, pool=pool, progress=progress, **settings
        )
        return Improved(policy_from_sb3(model, world).save(folder / POLICY), model.num_timesteps)


def learns(agent: str) -> bool:
    """Say whether a kind of agent has anything to learn; planners have not."""
    return agent not in METHODS


def learning_at_once(agent: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Give settings with which an agent learns from its first steps as it does from later ones."""
    waits = "learning_starts" in SETTINGS.get(agent.upper(), {})
    return {**settings, "learning_starts": 0} if waits else settings


def check_agent(
    agent: str, settings: dict[str, Any], action: ActionSpec, *, uncertainty: bool = True
) -> None:
    """Refuse a kind of agent that does not exist or cannot be made, before any work.

    It is made once, in the smallest world that takes the actions, so that everything that would
    refuse its settings later does so now.

    Args:
        agent: Kind of agent.
        settings: Of it.
        action: That the world will take.
        uncertainty: Whether the world will tell how uncertain it is.

    Raises:
        UnknownNameError: With the nearest kind.
        ConfigError: For actions that it does not take, with those kinds that do, for settings that
            it does not have or refuses, and for those that make an agent that cannot be stored.
    """
    if agent not in AGENTS:
        raise UnknownNameError(f"no agent {agent!r}: {did_you_mean(agent, AGENTS)}")
    able = [kind for kind in AGENTS if _takes(kind, action)]
    if agent not in able:
        raise ConfigError(
            f"agent {agent!r} does not take the actions {action.space}: use {', '.join(able)}"
        )
    world = rehearsal_world(action, uncertainty=uncertainty)
    if agent in METHODS:
        Planner(world.model, _planner(agent, settings))
    elif agent == ACTOR_CRITIC:
        ActorCritic(world, **settings)
    else:
        _rehearse(agent.upper(), world, settings)


def _takes(agent: str, action: ActionSpec) -> bool:
    """Say whether a kind of agent takes these actions."""
    if agent in METHODS:
        return agent == "cem" or action.kind == "box"
    return agent == ACTOR_CRITIC or action.kind in KINDS[agent.upper()]


def _rehearse(algorithm: str, world: World, settings: dict[str, Any]) -> None:
    """Make a model of SB3 on the dream of a world, and see whether what it learns can be stored."""
    ours = inspect.signature(train_in_dream).parameters
    known = {*ours, *inspect.signature(ALGORITHMS[algorithm]).parameters} - {*_GIVEN, *_UNUSED}
    for name in settings:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"{algorithm.lower()} has no setting {name!r}: {hint}")
    usual = {name: ours[name].default for name in _DREAM}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever learns with it hears it again
        model = prepare(world, algorithm, **{**usual, **settings, "verbose": 0})
        policy_from_sb3(model, world)


def _planner(method: str, settings: dict[str, Any]) -> PlannerConfig:
    return from_json(PlannerConfig, {**settings, "method": method})


@contextmanager
def one_thread() -> Iterator[None]:
    """Give small networks one thread: they lose more than they gain from a second one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
