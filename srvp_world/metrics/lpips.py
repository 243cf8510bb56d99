"""LPIPS: how far two frames are apart in the features of a network that knows images.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018;
version 0.1, "net-lin". Version 0.0 had other linear weights and fed its network unscaled frames.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from einops import einsum, pack, rearrange, repeat, unpack
from torch import Tensor, nn

from srvp_world.metrics.frame import Comparison, Metric
from srvp_world.metrics.precision import without_tf32

_SHIFT = (-0.030, -0.088, -0.188)  # of frames in [-1, 1]: the mean of ImageNet, in them
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10  # beside the norm of a feature vector


class Backbone(Protocol):
    """A network that gives feature maps; see `metrics.alexnet.AlexNet`."""

    @property
    def channels(self) -> Sequence[int]:
        """Of each map."""
        ...

    def __call__(self, x: Tensor, /) -> list[Tensor]:
        """Turn frames (n, 3, h, w) into maps (n, c, h', w')."""
        ...


class LPIPS(nn.Module):
    """The distance; zero until linear weights are put into `linear`.

    Attributes:
        backbone: Gives the feature maps.
        linear: A weight for each channel of each map.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Make it for the channels of a backbone."""
        super().__init__()
        self.backbone = backbone
        self.linear = nn.ParameterList([torch.zeros(c) for c in backbone.channels])
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare frames (..., c, h, w) in [0, 1], grey or in colour; the order does not matter.

        Returns:
            (...), 0 where frames are equal.
        """
        return self.against(a)(b)

    def against(self, truth: Tensor) -> Comparison:
        """Prepare the comparison of one truth with many predictions, whose shapes broadcast."""
        own = self._features(truth)

        def compare(prediction: Tensor) -> Tensor:
            layers = zip(self.linear, own, self._features(prediction), strict=True)
            distance = torch.zeros((), device=prediction.device)
            for weights, a, b in layers:
                apart = einsum((a - b).square(), weights, "... c h w, c -> ... h w")
                distance = distance + apart.mean(dim=(-2, -1))
            return distance

        return compare

    def metric(self) -> Metric:
        """Describe it for tables and results."""
        return Metric(
            name="lpips",
            label="LPIPS",
            unit="",
            better="lower",
            digits=4,
            definition=(
                "version 0.1, AlexNet, net-lin; frames scaled to [-1, 1], grey ones repeated three "
                "times, not resized; differences of unit-normalised features after the five ReLUs, "
                "weighted by channel, mean over places, sum over layers"
            ),
            against=self.against,
        )

    def _features(self, frames: Tensor) -> list[Tensor]:
        """Give maps (..., c, h', w') of frames, their vectors of unit length."""
        if frames.shape[-3] == 1:
            frames = repeat(frames, "... 1 h w -> ... c h w", c=3)
        shift, scale = (
            rearrange(torch.tensor(values, device=frames.device), "c -> c 1 1")
            for values in (_SHIFT, _SCALE)
        )
        flat, batch = pack([(2 * frames - 1 - shift) / scale], "* c h w")
        with without_tf32():
            maps = self.backbone(flat)
        unit = [each / (each.norm(dim=1, keepdim=True) + _EPSILON) for each in maps]
        return [unpack(each, batch, "* c h w")[0] for each in unit]
