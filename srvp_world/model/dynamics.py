"""What moves the state: the learned prior of the innovation, and the residual (Euler) update."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from srvp_world.config import ModelConfig
from srvp_world.model.blocks import MLP, initialise_dynamics
from srvp_world.model.gaussian import Gaussian


class Context(NamedTuple):
    """What prior, f and heads see beside the state, each (..., d) or None.

    Attributes:
        action: Encoded action taken at the state.
        content: Content w, where the configuration gives it to the dynamics.
    """

    action: Tensor | None
    content: Tensor | None

    def join(self, *tensors: Tensor) -> Tensor:
        """Concatenate tensors with whatever there is of the context."""
        return torch.cat([*tensors, *(part for part in self if part is not None)], dim=-1)


def context_dim(config: ModelConfig) -> int:
    """Size of what `Context.join` appends."""
    action = config.action.width if config.action else 0
    return action + (config.inference_hidden if config.content_in_dynamics else 0)


class Prior(nn.Module):
    """p(z_{t+1} | y_t, a_t): evaluated once per frame, at whole times only (paper, equation 3)."""

    def __init__(self, config: ModelConfig):
        """Build the network."""
        super().__init__()
        inputs = config.state_dim + context_dim(config)
        outputs = 2 * config.innovation_dim
        self.network = MLP(inputs, config.dynamics_hidden, outputs, config.dynamics_layers)

    def forward(self, y: Tensor, context: Context) -> Gaussian:
        """Give the distribution of z after states y (..., state_dim)."""
        return Gaussian.from_raw(self.network(context.join(y)))


class ResidualDynamics(nn.Module):
    """y_{t+dt} = y_t + dt f(y_t, z, a) with dt = 1 / substeps (paper, equations 4 and 7)."""

    def __init__(self, config: ModelConfig):
        """Build f."""
        super().__init__()
        inputs = config.state_dim + config.innovation_dim + context_dim(config)
        self.network = MLP(inputs, config.dynamics_hidden, config.state_dim, config.dynamics_layers)
        initialise_dynamics(self.network, config.dynamics_gain)

    def forward(
        self, y: Tensor, z: Tensor, context: Context, substeps: int
    ) -> tuple[Tensor, Tensor]:
        """Move states one frame ahead; z and the context are held for all substeps.

        The original counts time in floats and loses frames for 3, 5, 6, 7, 9 and 10 substeps; an
        integer counter cannot.

        Args:
            y: (b, state_dim).
            z: (b, innovation_dim).
            context: Of the frame.
            substeps: Euler steps per frame.

        Returns:
            The states after each substep and the residuals dt f, both (b, substeps, state_dim).
        """
        states, residuals = [], []
        for _ in range(substeps):
            residual = self.network(context.join(y, z)) / substeps
            y = y + residual
            states.append(y)
            residuals.append(residual)
        if substeps == 1:  # nothing to copy, which dreams would feel
            return states[0][:, None], residuals[0][:, None]
        return torch.stack(states, dim=1), torch.stack(residuals, dim=1)
