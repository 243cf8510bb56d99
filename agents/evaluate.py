"""How well an agent does, in reality and in the dream, over episodes that begin and last alike."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from srvp_world.agents.policy import LatentPolicy, SavedAgent
from srvp_world.checkpoint import World
from srvp_world.envs.collect import run_episodes
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.rollout import EpisodeResult
from srvp_world.envs.starts import StartPool
from srvp_world.errors import ConfigError


def evaluate_in_reality(
    world: World,
    world_path: Path,
    policy_path: Path,
    *,
    seeds: Sequence[int],
    workers: int = 1,
    frames_of: Collection[int] = (),
    progress: bool = True,
) -> list[EpisodeResult]:
    """Play real episodes, one a seed, with a saved policy on a saved world.

    Raises:
        ConfigError: If the world was learnt from video.
    """
    if world.pixels is None:
        raise ConfigError("this world was learnt from video and has no real environment")
    agent = SavedAgent(world_path, policy_path)
    return run_episodes(
        world.pixels, agent, seeds, workers=workers, frames_of=frames_of, progress=progress
    )


def evaluate_in_dream(
    world: World,
    policy: LatentPolicy,
    *,
    episodes: int = 100,
    seed: int = 0,
    temperature: float = 1.0,
    pool: StartPool | None = None,
) -> np.ndarray:
    """Dream episodes as long as real ones, from where real ones began; give their returns (n,)."""
    dream = dreams_of_episodes(world, episodes, temperature=temperature, pool=pool)
    returns, _ = roll(dream, policy.choose, seed)
    return returns.cpu().numpy()


def dreams_of_episodes(
    world: World, episodes: int, *, temperature: float = 1.0, pool: StartPool | None = None
) -> DreamVectorEnv:
    """Open torch dreams on latents, as long as real episodes, from where real ones began."""
    return DreamVectorEnv(
        episodes,
        world,
        obs="latent",
        start="first",
        output="torch",
        autoreset_mode="Disabled",
        temperature=temperature,
        pool=pool,
    )


@torch.no_grad()
def roll(
    dream: DreamVectorEnv, choose: Callable[[Tensor], Tensor], seed: int
) -> tuple[Tensor, Tensor]:
    """Play every row of a torch dream to its first end.

    Returns:
        The returns and the lengths of the rows, both (n,).
    """
    observation, _ = dream.reset(seed=seed)
    running = torch.ones(dream.num_envs, dtype=torch.bool, device=dream.device)
    returns = torch.zeros(dream.num_envs, device=dream.device)
    lengths = torch.zeros(dream.num_envs, device=dream.device)
    for _ in range(dream.horizon):
        observation, reward, terminated, truncated, _ = dream.step(choose(observation))
        returns += torch.where(running, reward, 0)  # after its end a dream may break
        lengths += running
        running = running & ~terminated & ~truncated
    return returns, lengths
