"""Heads on the state: reward, continuation, and the vector beside the frames."""

from torch import Tensor, nn

from srvp_world.config import ModelConfig
from srvp_world.model.blocks import mlp
from srvp_world.model.dynamics import Context, context_dim


class RewardHead(nn.Module):
    """r_{t+1} = r(y_t, a_t, y_{t+1}), normalised by the rewards' mean and deviation."""

    def __init__(self, config: ModelConfig):
        """Build the network."""
        super().__init__()
        self.network = mlp(2 * config.state_dim + context_dim(config), config.dynamics_hidden, 1, 3)

    def forward(self, y: Tensor, following: Tensor, context: Context) -> Tensor:
        """Give the rewards (...) of transitions between states (..., state_dim)."""
        rewards: Tensor = self.network(context.join(y, following))[..., 0]
        return rewards


class ContinuationHead(nn.Module):
    """c_{t+1} = c(y_{t+1}): whether the episode goes on at an arrival."""

    def __init__(self, config: ModelConfig):
        """Build the network."""
        super().__init__()
        content = config.inference_hidden if config.content_in_dynamics else 0
        self.network = mlp(config.state_dim + content, config.dynamics_hidden, 1, 3)

    def forward(self, y: Tensor, content: Tensor | None) -> Tensor:
        """Give logits (...) of going on at states (..., state_dim)."""
        logits: Tensor = self.network(Context(None, content).join(y))[..., 0]
        return logits


class VectorNets(nn.Module):
    """Reads a normalised vector into the code, and shows it again from content and state."""

    def __init__(self, config: ModelConfig):
        """Build both networks."""
        super().__init__()
        hidden = config.inference_hidden
        self.encoder = mlp(config.vector_dim, hidden, config.code_dim, 3)
        self.decoder = mlp(hidden + config.state_dim, hidden, config.vector_dim, 3)
