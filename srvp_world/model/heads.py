"""Heads on the state: reward, continuation, the vector beside the frames, and doubt."""

import torch
from einops import rearrange
from torch import Tensor, nn

from srvp_world.config import ModelConfig
from srvp_world.model.blocks import MLP
from srvp_world.model.dynamics import Context, context_dim


class RewardHead(nn.Module):
    """r_{t+1} = r(y_t, a_t, y_{t+1}), normalised by the rewards' mean and deviation."""

    def __init__(self, config: ModelConfig):
        """Build the network."""
        super().__init__()
        self.network = MLP(2 * config.state_dim + context_dim(config), config.dynamics_hidden, 1, 3)

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
        self.network = MLP(config.state_dim + content, config.dynamics_hidden, 1, 3)

    def forward(self, y: Tensor, content: Tensor | None) -> Tensor:
        """Give logits (...) of going on at states (..., state_dim)."""
        logits: Tensor = self.network(Context(None, content).join(y))[..., 0]
        return logits


class CodeHead(MLP):
    """h_t from y_t: what the encoder saw, told from the state alone."""

    def __init__(self, config: ModelConfig):
        """Build the network."""
        super().__init__(config.state_dim, config.dynamics_hidden, config.code_dim, 3)


class VectorNets(nn.Module):
    """Reads a normalised vector into the code, and shows it again from content and state."""

    def __init__(self, config: ModelConfig):
        """Build both networks."""
        super().__init__()
        hidden = config.inference_hidden
        self.encoder = MLP(config.vector_dim, hidden, config.code_dim, 3)
        self.decoder = MLP(hidden + config.state_dim, hidden, config.vector_dim, 3)


class Ensemble(nn.Module):
    """Several guesses of y_{t+1} - y_t from (y_t, a_t), which agree where there was data.

    The heads learn apart from everything else: no gradient leaves them.
    """

    std: Tensor
    usual: Tensor

    def __init__(self, config: ModelConfig):
        """Build all heads, with weights side by side."""
        super().__init__()
        hidden, inputs = config.inference_hidden, config.state_dim + context_dim(config)
        sizes = [inputs, hidden, hidden, config.state_dim]
        shapes = [(config.ensemble, *pair) for pair in zip(sizes[:-1], sizes[1:], strict=True)]
        self.weights = nn.ParameterList(torch.randn(k, i, o) * (2 / i) ** 0.5 for k, i, o in shapes)
        self.biases = nn.ParameterList(torch.zeros(k, 1, o) for k, _, o in shapes)
        self.register_buffer("std", torch.ones(config.state_dim))  # of y_{t+1} - y_t in the data
        self.register_buffer("usual", torch.ones(()))  # disagreement on the data

    def forward(self, y: Tensor, context: Context) -> Tensor:
        """Guess the changes (heads, b, state_dim) of states (b, state_dim)."""
        value = context.join(y).expand(len(self.weights[0]), -1, -1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            value = torch.baddbmm(bias, value, weight).relu()
        changes: Tensor = torch.baddbmm(self.biases[-1], value, self.weights[-1])
        return changes

    def errors(self, y: Tensor, context: Context, happened: Tensor) -> Tensor:
        """Give squared errors (b, t - 1) of all heads, relative to the changes' own variance.

        Args:
            y: (b, t, state_dim), known and fixed.
            context: Of the transitions, (b, t - 1, ...).
            happened: (b, t - 1), 0 where a transition is padding, which counts for nothing.
        """
        b, change = y.shape[0], (y[:, 1:] - y[:, :-1]).detach()
        flat = [None if part is None else rearrange(part, "b t d -> (b t) d") for part in context]
        now = Context(*(None if part is None else part.detach() for part in flat))
        guess = self(rearrange(y[:, :-1].detach(), "b t d -> (b t) d"), now)
        guess = rearrange(guess, "k (b t) d -> k b t d", b=b)
        share = (happened / happened.sum().clamp(min=1))[..., None]
        mean = (change * share).sum((0, 1))
        std = ((change - mean).square() * share).sum((0, 1)).sqrt().clamp(min=1e-6)
        errors: Tensor = ((guess - change) / std).square().mean((0, 3))
        return errors

    def disagreement(self, y: Tensor, context: Context) -> Tensor:
        """Say how far apart the heads are at states (b, state_dim): (b,), 1 as on the data."""
        guess = self(y, context)
        apart: Tensor = (guess.std(0) / self.std).mean(-1) / self.usual
        return apart

    @torch.no_grad()
    def calibrate(self, y: Tensor, following: Tensor, context: Context) -> None:
        """Set what is usual from transitions (b, state_dim) of the data."""
        self.std.copy_((following - y).std(0).clamp(min=1e-6))
        self.usual.fill_(1.0)
        self.usual.copy_(self.disagreement(y, context).mean())
