"""Frame encoders: DCGAN and VGG as in the original, for frames of 32, 64 and 128 pixels."""

from torch import Tensor, nn

from srvp_world.config import ModelConfig
from srvp_world.model.blocks import conv_block, initialise_frames

VGG_DEPTHS = (2, 2, 3, 3, 3)  # convolutions of each resolution, finest first


def stage_widths(config: ModelConfig) -> list[int]:
    """Channels of each stage, finest first: doubling from `filters` up to eight times as many.

    Stages halve the frame until it is 4 x 4: three for 32 pixels, four for 64 (the paper's), five
    for 128.
    """
    stages = config.frame_size.bit_length() - 3
    return [config.filters * min(2**i, 8) for i in range(stages)]


class Encoder(nn.Module):
    """Turns frames into codes.

    The original's quirks are kept: no biases before batch norms, no norm in DCGAN's first layer,
    and a tanh that bounds the code after its norm.
    """

    def __init__(self, config: ModelConfig):
        """Build the stages of `config.architecture`."""
        super().__init__()
        widths = stage_widths(config)
        channels = [config.channels, *widths]
        build = _dcgan_stage if config.architecture == "dcgan" else _vgg_stage
        self.stages = nn.ModuleList(
            build(i, channels[i], channels[i + 1]) for i in range(len(widths))
        )
        code = conv_block(nn.Conv2d(widths[-1], config.code_dim, 4, bias=False), last=nn.Tanh())
        self.head = code if config.architecture == "dcgan" else nn.Sequential(nn.MaxPool2d(2), code)
        self.apply(initialise_frames)

    def forward(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Encode frames (n, c, h, w).

        Returns:
            Codes (n, code_dim), and the maps of all stages, coarsest first, for skip connections.
        """
        maps = []
        hidden = frames
        for stage in self.stages:
            hidden = stage(hidden)
            maps.append(hidden)
        return self.head(hidden).flatten(1), maps[::-1]


def _dcgan_stage(i: int, inputs: int, outputs: int) -> nn.Module:
    return conv_block(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), norm=i > 0)


def _vgg_stage(i: int, inputs: int, outputs: int) -> nn.Module:
    layers: list[nn.Module] = [nn.MaxPool2d(2)] if i > 0 else []
    for j in range(VGG_DEPTHS[i]):
        layers.append(conv_block(nn.Conv2d(outputs if j else inputs, outputs, 3, 1, 1, bias=False)))
    return nn.Sequential(*layers)
