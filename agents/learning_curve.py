"""Dream and real returns of a policy while it learns, side by side."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from srvp_world.agents.evaluate import dreams_of_episodes, roll
from srvp_world.agents.policy import LatentAgent, LatentPolicy
from srvp_world.checkpoint import World
from srvp_world.data.files import write_atomically
from srvp_world.envs.collect import run_episodes
from srvp_world.envs.starts import StartPool
from srvp_world.errors import ConfigError
from srvp_world.train.log import Logger

REAL_SEED = 20_000  # of the first real episode of each evaluation
DREAMS = 100  # of each evaluation


class LearningCurve:
    """Scores a policy now and then, always on the same dreams and real episodes, and logs it.

    Dreams are as long as real episodes, begin where these began and have the world's own
    temperature, so that the two returns can be compared. Scalars for TensorBoard (`dream/return`,
    `dream/length`, `real/return`, `real/length`) and `curve.json` go into a folder; what an earlier
    curve left there is replaced.
    """

    def __init__(
        self,
        folder: Path,
        world: World,
        *,
        pool: StartPool | None = None,
        real_episodes: int = 5,
        about: Mapping[str, Any] | None = None,
    ):
        """Prepare to score policies of a world.

        Args:
            folder: For what is logged.
            world: That the policies learn in.
            pool: Start states, by default those of the world's own clips.
            real_episodes: Real episodes of each evaluation; 0 for none.
            about: What else `curve.json` tells of the training.

        Raises:
            ConfigError: If real episodes are wanted, but the world names no real environment.
            OutputError: If the folder cannot be written.
        """
        if real_episodes < 0:
            raise ConfigError(f"real_episodes must not be negative, got {real_episodes}")
        if real_episodes and world.pixels is None:
            raise ConfigError(
                "this world names no real environment to play in: give real_episodes=0"
            )
        self.folder, self.world, self.real_episodes = folder, world, real_episodes
        self.about = {**(about or {}), "world": world.fingerprint}
        self.points: list[dict[str, float]] = []
        self._dream = dreams_of_episodes(world, DREAMS, pool=pool)
        self._logger = Logger(folder, start=-1)

    def score(self, policy: LatentPolicy, dream_steps: int) -> dict[str, float]:
        """Play dreams and real episodes with the likeliest actions; log and give what they earned.

        Args:
            policy: Of the world.
            dream_steps: What it has learnt from so far.
        """
        scores: dict[str, float] = {}
        if self.real_episodes:
            scores = self._play(policy)
        returns, lengths = roll(self._dream, policy.choose, seed=0)
        scores["dream/return"], scores["dream/std"] = _spread(returns.cpu().numpy())
        scores["dream/length"] = float(lengths.mean())
        self._logger.scalars(scores, dream_steps)
        self.points.append({"dream_steps": dream_steps, **scores})
        content = json.dumps({**self.about, "points": self.points}, indent=2) + "\n"
        write_atomically(self.folder / "curve.json", content.encode())
        return scores

    def close(self) -> None:
        """Write what is pending and close the files."""
        self._logger.close()

    def _play(self, policy: LatentPolicy) -> dict[str, float]:
        """Score real episodes."""
        assert self.world.pixels is not None
        seeds = range(REAL_SEED, REAL_SEED + self.real_episodes)
        agent = LatentAgent(self.world, policy)
        results = run_episodes(self.world.pixels, agent, seeds, progress=False)
        mean, std = _spread([result.episode_return for result in results])
        length = float(np.mean([result.decisions for result in results]))
        return {"real/return": mean, "real/std": std, "real/length": length}


def _spread(returns: Any) -> tuple[float, float]:
    return float(np.mean(returns)), float(np.std(returns))
