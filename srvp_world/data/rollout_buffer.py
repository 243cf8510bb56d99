"""Rollout buffers of Stable-Baselines3, whose episodes lose their last step."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from einops import rearrange

from srvp_world.data.episodes import Ending
from srvp_world.data.observations import by_key
from srvp_world.data.source import ForeignEpisode


def rollout_pieces(buffer: Any, env: int, count: int) -> Iterator[ForeignEpisode]:
    """Cut the steps of one env where episodes begin; a piece's last step leads nowhere."""
    columns = _columns(buffer, env, count)
    starts = columns["starts"]
    cuts = np.flatnonzero(starts[1:]) + 1
    for start, stop in zip([0, *cuts], [*cuts, len(starts)], strict=True):
        observations: Mapping[str, np.ndarray] = {
            key.removeprefix("seen/"): array[start:stop]
            for key, array in columns.items()
            if key.startswith("seen/")
        }
        yield ForeignEpisode(
            name=f"env {env} step {start}",
            observations=observations,
            actions=columns["actions"][start : stop - 1],
            rewards=columns["rewards"][start : stop - 1],
            ending=Ending.UNFINISHED,
            begins=bool(starts[start]),
        )


def _columns(buffer: Any, env: int, count: int) -> dict[str, np.ndarray]:
    """Give the steps of one env; sampling from a rollout buffer flattens some of its arrays."""
    flat = bool(buffer.generator_ready)

    def column(array: np.ndarray) -> np.ndarray:
        if flat:
            array = rearrange(array, "(envs n) ... -> n envs ...", envs=buffer.n_envs)
        return array[:count, env]

    observations = by_key(buffer.observations)
    return {
        **{f"seen/{key}": column(array) for key, array in observations.items()},
        "actions": column(buffer.actions),
        "rewards": buffer.rewards[:count, env],  # these two are never flattened
        "starts": buffer.episode_starts[:count, env] > 0.5,
    }
