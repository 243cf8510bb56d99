"""Frame encoders: DCGAN and VGG as in the original, for frames of 32, 64 and 128 pixels."""

from itertools import pairwise
from typing import Protocol

from torch import Tensor, nn

from srvp_world.errors import DataError
from srvp_world.model.blocks import conv_block, initialise_frames
from srvp_world.model.convolutions import WholeMapConv

VGG_DEPTHS = (2, 2, 3, 3, 3)  # convolutions of each resolution, finest first


class FrameNetConfig(Protocol):
    """What encoders and decoders read of a model's configuration; see `config.ModelConfig`."""

    @property
    def architecture(self) -> str:
        """`dcgan` or `vgg`."""
        ...

    @property
    def frame_size(self) -> int:
        """Height and width of a frame."""
        ...

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (colour)."""
        ...

    @property
    def filters(self) -> int:
        """Filters of the first convolution."""
        ...

    @property
    def skips(self) -> bool:
        """Whether the decoder sees the encoder's maps."""
        ...

    @property
    def code_dim(self) -> int:
        """Size of the code of a frame."""
        ...


def stage_widths(config: FrameNetConfig) -> list[int]:
    """Channels of each stage, finest first: doubling from `filters` up to eight times as many.

    Stages halve the frame until it is 4 x 4: three for 32 pixels, four for 64 (the paper's), five
    for 128.
    """
    stages = config.frame_size.bit_length() - 3
    return [config.filters * min(2**i, 8) for i in range(stages)]


class Encoder(nn.Module):
    """Turns frames into codes.

    The original's quirks are kept: no biases before batch norms, no norm in DCGAN's first layer,
    and a tanh that bounds the code after its norm. SVG, where they come from, has both.
    """

    def __init__(self, config: FrameNetConfig, *, bias: bool = False, first_norm: bool = False):
        """Build the stages of `config.architecture`.

        Args:
            config: Of the model.
            bias: Whether convolutions have biases.
            first_norm: Whether DCGAN's first layer has a norm.
        """
        super().__init__()
        widths = stage_widths(config)
        channels = [config.channels, *widths]
        if config.architecture == "dcgan":
            stages = [
                _dcgan_stage(*pair, bias, norm=i > 0 or first_norm)
                for i, pair in enumerate(pairwise(channels))
            ]
        else:
            stages = [_vgg_stage(i, *pair, bias) for i, pair in enumerate(pairwise(channels))]
        self.stages = nn.ModuleList(stages)
        code = conv_block(WholeMapConv(widths[-1], config.code_dim, 4, bias=bias), last=nn.Tanh())
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


def check_frames(frames: Tensor, shape: tuple[int, int, int]) -> None:
    """Refuse clips that an encoder cannot read, without looking at values.

    Args:
        frames: (b, t, c, h, w).
        shape: (c, h, w) that the encoder wants.

    Raises:
        DataError: If they are no floats or have another shape.
    """
    given = tuple(frames.shape)
    fits = len(given) == 5 and given[1] > 0 and given[2:] == shape
    if not (fits and frames.is_floating_point()):
        wanted = ", ".join(map(str, shape))
        raise DataError(
            f"frames must be floats in [0, 1] (b, t, {wanted}), got {frames.dtype} "
            f"{given}: resize them, and divide uint8 by 255"
        )


def _dcgan_stage(inputs: int, outputs: int, bias: bool, *, norm: bool) -> nn.Module:
    return conv_block(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias), norm=norm)


def _vgg_stage(i: int, inputs: int, outputs: int, bias: bool) -> nn.Module:
    layers: list[nn.Module] = [nn.MaxPool2d(2)] if i > 0 else []
    for j in range(VGG_DEPTHS[i]):
        layers.append(conv_block(nn.Conv2d(outputs if j else inputs, outputs, 3, 1, 1, bias=bias)))
    return nn.Sequential(*layers)
