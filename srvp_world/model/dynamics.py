"""What moves the state: the learned prior of the innovation, and the update that it drives."""

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


class NoPrior(nn.Module):
    """Stands in for the prior where a world has no innovations."""

    def forward(self, y: Tensor, context: Context) -> Gaussian:
        """Give the distribution of nothing after states y (..., state_dim)."""
        return Gaussian.nothing(y)


class ResidualDynamics(nn.Module):
    """y_{t+dt} = y_t + dt f(y_t, z, a) with dt = 1 / substeps (paper, equations 4 and 7)."""

    def __init__(self, config: ModelConfig):
        """Build f."""
        super().__init__()
        self.network = _build_f(config)

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


class MLPDynamics(nn.Module):
    """y_{t+1} = f(y_t, z, a): the paper's ablation without the identity beside f."""

    def __init__(self, config: ModelConfig):
        """Build f as residual dynamics have it."""
        super().__init__()
        self.network = _build_f(config)

    def forward(
        self, y: Tensor, z: Tensor, context: Context, substeps: int
    ) -> tuple[Tensor, Tensor]:
        """Move states one frame ahead; see `ResidualDynamics`, but there are no residuals."""
        return _moved(self.network(context.join(y, z)), substeps)


class GRUDynamics(nn.Module):
    """y_{t+1} = GRU(input (z, a), hidden y_t): the paper's ablation with a recurrent cell.

    The cell keeps PyTorch's initialisation: `dynamics_gain` is for f.
    """

    def __init__(self, config: ModelConfig):
        """Build the cell."""
        super().__init__()
        self.cell = nn.GRUCell(config.innovation_dim + context_dim(config), config.state_dim)

    def forward(
        self, y: Tensor, z: Tensor, context: Context, substeps: int
    ) -> tuple[Tensor, Tensor]:
        """Move states one frame ahead; see `ResidualDynamics`, but there are no residuals."""
        return _moved(self.cell(context.join(z), y), substeps)


Dynamics = ResidualDynamics | MLPDynamics | GRUDynamics
DYNAMICS: dict[str, type[Dynamics]] = {
    "residual": ResidualDynamics,
    "mlp": MLPDynamics,
    "gru": GRUDynamics,
}


def _build_f(config: ModelConfig) -> MLP:
    inputs = config.state_dim + config.innovation_dim + context_dim(config)
    network = MLP(inputs, config.dynamics_hidden, config.state_dim, config.dynamics_layers)
    initialise_dynamics(network, config.dynamics_gain)
    return network


def _moved(y: Tensor, substeps: int) -> tuple[Tensor, Tensor]:
    """Give what dynamics return, with residuals of size 0: nothing is added to anything."""
    assert substeps == 1, f"only residual dynamics have substeps, got {substeps}"
    return y[:, None], y[:, None, :0]
