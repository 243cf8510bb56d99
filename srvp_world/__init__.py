"""Learned latent world models that you can step: SRVP as a Gymnasium environment.

`import srvp_world` is quick and registers `SRVPDream-v0`; everything else loads on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium as gym

if TYPE_CHECKING:
    from srvp_world.checkpoint import World as World
    from srvp_world.checkpoint import load as load

__version__ = "0.1.0"
__all__ = ["World", "__version__", "load"]

gym.register(
    id="SRVPDream-v0",
    entry_point="srvp_world.envs.single:DreamEnv",
    vector_entry_point="srvp_world.envs.dream:DreamVectorEnv",
)
gym.register(id="SRVPGoal-v0", entry_point="srvp_world.envs.toy:GoalEnv", max_episode_steps=20)


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that importing the package does not import torch."""
    if name in ("World", "load"):
        return getattr(import_module("srvp_world.checkpoint"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
