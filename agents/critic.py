"""What a state is worth to a policy: a network, and a slow copy of it that targets come from."""

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from srvp_world.agents.policy import mlp


class Critic(nn.Module):
    """Reads features (..., d) and gives discounted returns (...), in units of the rewards' size."""

    def __init__(
        self, feature_dim: int, hidden: tuple[int, ...], activation: Literal["tanh", "relu"]
    ):
        """Begin with a copy that is equal."""
        super().__init__()
        self.network = mlp(feature_dim, hidden, 1, activation)
        self.slow = copy.deepcopy(self.network).requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Value states by the network that learns."""
        values: Tensor = self.network(features)
        return values[..., 0]

    def target(self, features: Tensor) -> Tensor:
        """Value states by the slow copy, which may be differentiated by the features."""
        values: Tensor = self.slow(features)
        return values[..., 0]

    @torch.no_grad()
    def follow(self, rate: float) -> None:
        """Let the slow copy take over a share of the network."""
        for slow, fast in zip(self.slow.parameters(), self.network.parameters(), strict=True):
            slow.lerp_(fast, rate)
