"""The smallest world that takes given actions, to try agents in before there is a real one."""

import torch

from srvp_world.checkpoint import StartClips, World
from srvp_world.config import ModelConfig
from srvp_world.model.srvp import SRVP
from srvp_world.spaces import ActionSpec


def rehearsal_world(action: ActionSpec, *, uncertainty: bool) -> World:
    """Make a world that has learnt nothing, with rewards and ends.

    Args:
        action: That it takes.
        uncertainty: Whether it tells how uncertain it is.
    """
    config = ModelConfig(
        frame_size=32,
        filters=1,
        code_dim=1,
        state_dim=1,
        innovation_dim=1,
        content_frames=1,
        inference_hidden=1,
        dynamics_hidden=1,
        action=action,
        reward=True,
        continuation=True,
        ensemble=2 if uncertainty else 0,
    )
    model = SRVP(config).eval().requires_grad_(False)
    frames = torch.zeros(1, 1, 32, 32, 1, dtype=torch.uint8)
    actions = torch.as_tensor(action.space.sample())[None, None, ...][:, :0]
    starts = StartClips(frames, torch.ones(1, dtype=torch.int64), actions, begin_episodes=True)
    return World(model=model, starts=starts)
