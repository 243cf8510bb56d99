"""The LSTMs of SVG, whose memories are given and returned and never kept."""

import torch
from einops import rearrange
from torch import Tensor, nn

from srvp_world.model.gaussian import Gaussian


class Recurrent(nn.Module):
    """A linear layer, then LSTMs on top of each other; their memory is given and returned."""

    def __init__(self, inputs: int, hidden: int, layers: int):
        """Build all layers."""
        super().__init__()
        self.embed = nn.Linear(inputs, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)

    def forward(self, sequence: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Read (b, t, inputs), t >= 0.

        Args:
            sequence: What to read.
            memory: (b, layers, 2, hidden) before it; None for an empty one.

        Returns:
            (b, t, hidden) of the last layer, and the memory after it.
        """
        b, t = sequence.shape[:2]
        hidden, layers = self.lstm.hidden_size, self.lstm.num_layers
        if memory is None:
            memory = sequence.new_zeros(b, layers, 2, hidden)
        if t == 0:
            return sequence.new_empty(b, 0, hidden), memory
        before = rearrange(memory, "b l part d -> part l b d").contiguous().unbind()
        outputs, after = self.lstm(self.embed(sequence), before)
        return outputs, rearrange(torch.stack(after), "part l b d -> b l part d")


class FramePredictor(nn.Module):
    """Tells the code to decode from the codes before it and z."""

    def __init__(self, code_dim: int, innovation_dim: int, hidden: int, layers: int):
        """Build the network."""
        super().__init__()
        self.recurrent = Recurrent(code_dim + innovation_dim, hidden, layers)
        self.output = nn.Linear(hidden, code_dim)

    def forward(self, codes: Tensor, z: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Give codes (b, t, code_dim) of the frames that follow, and the memory after them."""
        outputs, memory = self.recurrent(torch.cat([codes, z], dim=-1), memory)
        return self.output(outputs).tanh(), memory


class GaussianLSTM(nn.Module):
    """A distribution of z from codes: the posterior where they are up to date, else the prior."""

    def __init__(self, code_dim: int, innovation_dim: int, hidden: int, layers: int):
        """Build the network."""
        super().__init__()
        self.recurrent = Recurrent(code_dim, hidden, layers)
        self.mean = nn.Linear(hidden, innovation_dim)
        self.log_variance = nn.Linear(hidden, innovation_dim)

    def forward(self, codes: Tensor, memory: Tensor | None) -> tuple[Gaussian, Tensor]:
        """Give z (b, t, innovation_dim) after each of the codes, and the memory after them."""
        outputs, memory = self.recurrent(codes, memory)
        return Gaussian(self.mean(outputs), (0.5 * self.log_variance(outputs)).exp()), memory
