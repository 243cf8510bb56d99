"""Frame decoders: the mirrors of the encoders, with optional skip connections."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from srvp_world.model.blocks import conv_block, initialise_frames
from srvp_world.model.convolutions import SinglePixelTransposedConv, TransposedConv
from srvp_world.model.encoder import VGG_DEPTHS, FrameNetConfig, stage_widths


class Decoder(nn.Module):
    """Turns what is shown, (n, d), into frames in [0, 1]; g of content and state in the paper."""

    def __init__(self, config: FrameNetConfig, inputs: int, *, bias: bool = False):
        """Build the stages of `config.architecture`, coarsest first.

        Args:
            config: Of the model.
            inputs: Size d of what is decoded.
            bias: Whether convolutions have biases.
        """
        super().__init__()
        widths = stage_widths(config)[::-1]
        factor = 2 if config.skips else 1  # skips double the input of each stage
        stem = conv_block(SinglePixelTransposedConv(inputs, widths[0], 4, bias=bias))
        outputs = [*widths[1:], config.channels]
        if config.architecture == "dcgan":
            self.stem = stem
            stages = [
                _dcgan_stage(w * factor, o, bias)
                for w, o in zip(widths[:-1], outputs[:-1], strict=True)
            ]
            stages.append(TransposedConv(widths[-1] * factor, config.channels, 4, 2, 1, bias=bias))
        else:
            self.stem = nn.Sequential(stem, nn.Upsample(scale_factor=2))
            depths = VGG_DEPTHS[: len(widths)][::-1]
            stages = [
                _vgg_stage(depth, width * factor, width, output, bias, last=i == len(widths) - 1)
                for i, (depth, width, output) in enumerate(
                    zip(depths, widths, outputs, strict=True)
                )
            ]
        self.stages = nn.ModuleList(stages)
        self.apply(initialise_frames)

    def forward(self, latents: Tensor, skips: Sequence[Tensor] | None = None) -> Tensor:
        """Decode latents (n, d), with one map (n, c, h, w) a stage where the model has skips.

        Returns:
            Means of the pixels (n, c, h, w).
        """
        hidden = self.stem(rearrange(latents, "n d -> n d 1 1"))
        for i, stage in enumerate(self.stages):
            if skips is not None:
                hidden = torch.cat([hidden, skips[i]], dim=1)
            hidden = stage(hidden)
        frames: Tensor = hidden.sigmoid()
        return frames


def _dcgan_stage(inputs: int, outputs: int, bias: bool) -> nn.Module:
    return conv_block(TransposedConv(inputs, outputs, 4, 2, 1, bias=bias))


def _vgg_stage(
    depth: int, inputs: int, width: int, outputs: int, bias: bool, *, last: bool
) -> nn.Module:
    """Convolve `depth` times and double the resolution; the last stage ends in the frame."""
    layers: list[nn.Module] = [
        conv_block(nn.Conv2d(width if j else inputs, width, 3, 1, 1, bias=bias))
        for j in range(depth - 1)
    ]
    if last:
        layers.append(TransposedConv(width, outputs, 3, 1, 1, bias=bias))
    else:
        layers += [
            conv_block(nn.Conv2d(width, outputs, 3, 1, 1, bias=bias)),
            nn.Upsample(scale_factor=2),
        ]
    return nn.Sequential(*layers)
