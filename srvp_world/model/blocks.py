"""Building blocks that all networks share, and their initialisation."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear


def conv_block(
    conv: nn.Conv2d | nn.ConvTranspose2d, *, norm: bool = True, last: nn.Module | None = None
) -> nn.Module:
    """Follow a convolution by batch normalisation and an activation (leaky ReLU, or `last`)."""
    layers: list[nn.Module] = [conv]
    if norm:
        layers.append(nn.BatchNorm2d(conv.out_channels))
    layers.append(last or nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*layers)


class MLP(nn.Sequential):
    """Linear layers with ReLUs between them and none after the last.

    Called layer by layer, on one row half of the time would go into calling modules.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int):
        """Stack `layers` linear layers."""
        sizes = [inputs] + [hidden] * (layers - 1) + [outputs]
        modules: list[nn.Module] = []
        for size, following in zip(sizes[:-1], sizes[1:], strict=True):
            modules += [nn.Linear(size, following), nn.ReLU()]
        super().__init__(*modules[:-1])
        self._linear = tuple(modules[::2])  # a tuple hides from state_dict, where they are already

    def forward(self, value: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        *hidden, last = self._linear
        for layer in hidden:
            parameters: Any = layer._parameters  # attributes of modules are slow to find
            value = linear(value, parameters["weight"], parameters["bias"]).relu_()
        result: Tensor = last(value)
        return result


def initialise_frames(module: nn.Module) -> None:
    """Draw a layer's weights as DCGAN does: N(0, 0.02), or N(1, 0.02) for norms; no bias."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def initialise_dynamics(network: nn.Module, gain: float) -> None:
    """Make the linear layers of f orthogonal: steps then neither vanish nor explode at first."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.orthogonal_(module.weight, gain)
            nn.init.zeros_(module.bias)
