"""What is inferred from frames: the first state, the innovations, and the content."""

import torch
from einops import rearrange
from torch import Tensor, nn

from srvp_world.config import ModelConfig
from srvp_world.model.blocks import MLP
from srvp_world.model.gaussian import Gaussian

Memory = tuple[Tensor, Tensor]  # hidden and cell state of the filter, each (b, inference_hidden)


class FirstState(nn.Module):
    """q(y_1 | x_1..x_k): an MLP on the codes of k frames, side by side."""

    def __init__(self, config: ModelConfig):
        """Build the network."""
        super().__init__()
        inputs = config.code_dim * config.content_frames
        self.network = MLP(
            inputs, config.inference_hidden, 2 * config.state_dim, config.inference_layers
        )

    def forward(self, codes: Tensor) -> Gaussian:
        """Give q(y_1) from codes (b, k, code_dim)."""
        return Gaussian.from_raw(self.network(rearrange(codes, "b k d -> b (k d)")))


class Filter(nn.Module):
    """q(z_t | x_1..x_t, a_1..a_{t-1}): an LSTM on (h_t, a_{t-1}), a_0 = 0. It sees no future."""

    def __init__(self, config: ModelConfig):
        """Build LSTM and output layer."""
        super().__init__()
        action = config.action.width if config.action else 0
        self.lstm = nn.LSTM(config.code_dim + action, config.inference_hidden, batch_first=True)
        self.output = nn.Linear(config.inference_hidden, 2 * config.innovation_dim)

    def forward(
        self, codes: Tensor, previous_actions: Tensor | None, memory: Memory | None
    ) -> tuple[Gaussian, Memory]:
        """Read codes (b, t, code_dim) and the encoded actions before each of them.

        Returns:
            q(z) of every frame, (b, t, innovation_dim), the first of which has no meaning at an
            episode's first frame, and the memory after the last.
        """
        inputs = codes if previous_actions is None else torch.cat([codes, previous_actions], dim=-1)
        before = None if memory is None else (memory[0][None], memory[1][None])
        hidden, (h, c) = self.lstm(inputs, before)
        return Gaussian.from_raw(self.output(hidden)), (h[0], c[0])


class ContentNet(nn.Module):
    """w from a few frames, in any order: the original sums (not averages) over frames."""

    def __init__(self, config: ModelConfig):
        """Build both layers."""
        super().__init__()
        self.frame = nn.Linear(config.code_dim, config.inference_hidden)
        self.output = nn.Linear(config.inference_hidden, config.inference_hidden)

    def forward(self, codes: Tensor) -> Tensor:
        """Give w (b, inference_hidden) from codes (b, k, code_dim)."""
        content: Tensor = self.output(self.frame(codes).relu().sum(dim=1)).tanh()
        return content
