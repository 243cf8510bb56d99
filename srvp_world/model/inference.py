"""What is inferred from frames: the first state, the innovations, and the content."""

import torch
from einops import rearrange
from torch import Tensor, nn

from srvp_world.config import ModelConfig
from srvp_world.model.blocks import MLP
from srvp_world.model.gaussian import Gaussian

Memory = tuple[Tensor, Tensor]  # hidden and cell state of the filter, each (b, d); d may be 0


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
    """What frames say of innovations; it sees no future.

    `lstm` is the paper's q(z_t | x_1..x_t, a_1..a_{t-1}): an LSTM on (h_t, a_{t-1}), a_0 = 0. It
    does not know the states, so that their errors pile up, and is lost beyond the length that it
    was trained on. `state` is q(z_t | y_{t-1}, a_{t-1}, x_t), which is what the generative model
    implies: it remembers nothing but the state, sees where that is wrong, and corrects it.
    """

    def __init__(self, config: ModelConfig):
        """Build the networks of `config.filter`."""
        super().__init__()
        hidden, outputs = config.inference_hidden, 2 * config.innovation_dim
        inputs = config.code_dim + (config.action.width if config.action else 0)
        self.sees_state = config.filter == "state"
        if self.sees_state:
            self.output: nn.Module = MLP(inputs + config.state_dim, hidden, outputs, 3)
        else:
            self.lstm = nn.LSTM(inputs, hidden, batch_first=True)
            self.output = nn.Linear(hidden, outputs)

    def forward(
        self, codes: Tensor, previous_actions: Tensor | None, memory: Memory | None
    ) -> tuple[Tensor, Memory]:
        """Read codes (b, t, code_dim) and the encoded actions before each of them.

        Returns:
            What was seen at each frame, (b, t, d), and the memory after the last.
        """
        seen = codes if previous_actions is None else torch.cat([codes, previous_actions], dim=-1)
        if self.sees_state:
            nothing = codes.new_empty(len(codes), 0)
            return seen, (nothing, nothing)
        before = None if memory is None else (memory[0][None], memory[1][None])
        seen, (h, c) = self.lstm(seen, before)
        return seen, (h[0], c[0])

    def innovation(self, seen: Tensor, before: Tensor) -> Gaussian:
        """Give q(z) of frames.

        Args:
            seen: (..., d) at each frame.
            before: States y (..., state_dim) before each; the paper's filter does not look.
        """
        if self.sees_state:
            seen = torch.cat([seen, before], dim=-1)
        return Gaussian.from_raw(self.output(seen))


class NoFilter(nn.Module):
    """Stands in for the filter where a world has no innovations: frames tell nothing new."""

    sees_state = False

    def forward(
        self, codes: Tensor, previous_actions: Tensor | None, memory: Memory | None
    ) -> tuple[Tensor, Memory]:
        """Read codes (b, t, code_dim) and remember nothing of them; see `Filter`."""
        nothing = codes.new_empty(len(codes), 0)
        return codes, (nothing, nothing)

    def innovation(self, seen: Tensor, before: Tensor) -> Gaussian:
        """Give the distribution of nothing at frames (..., d)."""
        return Gaussian.nothing(seen)


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
