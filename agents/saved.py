"""Agents on disk, of any kind: how they act in reality and in dreams."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from srvp_world.agents.evaluate import dreams_of_episodes, roll
from srvp_world.agents.planning import Plan, Planner, PlannerConfig
from srvp_world.agents.planning_agent import SavedPlanner
from srvp_world.agents.policy import LatentPolicy, SavedAgent
from srvp_world.checkpoint import World
from srvp_world.config import from_json
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.policies import PolicyFactory
from srvp_world.envs.starts import StartPool
from srvp_world.errors import WorldFileError

POLICY = "agent.safetensors"
PLANNER = "planner.json"


def saved_agent(world: Path, agent: Path, *, explore: float = 0.0) -> PolicyFactory:
    """Give what acts in reality for the files of a world and of an agent, in any process.

    Args:
        world: File of the world.
        agent: File of a policy, or the JSON of a planner.
        explore: Share of decisions that are random.

    Raises:
        WorldFileError: If the JSON is missing or broken.
    """
    if agent.suffix == ".json":
        return SavedPlanner(world, read_planner(agent), explore=explore)
    return SavedAgent(world, agent, explore=explore)


def read_planner(path: Path) -> PlannerConfig:
    """Read how a planner searches.

    Raises:
        WorldFileError: If the file is missing or broken.
    """
    try:
        return from_json(PlannerConfig, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise WorldFileError(
            f'{path} describes no planner ({error}): write one, such as {{"method": "cem"}}'
        ) from None


def chooser(dream: DreamVectorEnv, agent: Path, *, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """Give what acts in a torch dream of latents: the likeliest action, or the best plan.

    Args:
        dream: Where to act; a planner begins each plan with the last one.
        agent: File of a policy, or the JSON of a planner.
        seed: Of a planner.

    Raises:
        WorldFileError: If the file is missing or broken, or of another world.
        ConfigError: If a planner cannot plan in this world.
    """
    if agent.suffix != ".json":
        return LatentPolicy.load(agent, dream.world).to(dream.device).choose
    planner = Planner(dream.model, read_planner(agent), seed=seed)
    last: Plan | None = None

    def plan(_: Tensor) -> Tensor:
        nonlocal last
        last = planner.plan(dream.state, last)
        return last.action

    return plan


def dream_returns(
    world: World,
    agent: Path,
    *,
    episodes: int,
    seed: int = 0,
    temperature: float = 1.0,
    pool: StartPool | None = None,
) -> np.ndarray:
    """Dream episodes as long as real ones, from where real ones began; give their returns (n,).

    Args:
        world: That the agent is of.
        agent: File of a policy, or the JSON of a planner.
        episodes: How many.
        seed: Of the dreams.
        temperature: Factor of the prior's standard deviation.
        pool: Start states, by default those of the world's own clips.
    """
    dream = dreams_of_episodes(world, episodes, temperature=temperature, pool=pool)
    returns, _ = roll(dream, chooser(dream, agent, seed=seed), seed)
    return returns.cpu().numpy()
