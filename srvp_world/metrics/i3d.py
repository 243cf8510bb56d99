"""I3D: the inflated Inception-v1 of DeepMind that knows the 400 actions of Kinetics.

Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 224  # height and width of its frames
CLASSES = 400
SHORTEST = 9  # frames: eight become one step, and the last pooling needs two

_MIXED = {  # channels: in; out of 1x1x1; in and out of each 3x3x3; out of the pooled branch
    "mixed_3b": (192, 64, (96, 128), (16, 32), 32),
    "mixed_3c": (256, 128, (128, 192), (32, 96), 64),
    "mixed_4b": (480, 192, (96, 208), (16, 48), 64),
    "mixed_4c": (512, 160, (112, 224), (24, 64), 64),
    "mixed_4d": (512, 128, (128, 256), (24, 64), 64),
    "mixed_4e": (512, 112, (144, 288), (32, 64), 64),
    "mixed_4f": (528, 256, (160, 320), (32, 128), 128),
    "mixed_5b": (832, 256, (160, 320), (32, 128), 128),
    "mixed_5c": (832, 384, (192, 384), (48, 128), 128),
}


class I3D(nn.Module):
    """The network for colour, of random weights; always in evaluation mode.

    Names of layers are those of the original, in lower case.
    """

    def __init__(self) -> None:
        """Make all layers."""
        super().__init__()
        mixed = {name: _Mixed(*channels) for name, channels in _MIXED.items()}
        self.trunk = nn.Sequential()
        for name, layer in (
            ("conv3d_1a_7x7", _Unit(3, 64, kernel=7, stride=2)),
            ("maxpool3d_2a_3x3", _MaxPool((1, 3, 3), (1, 2, 2))),
            ("conv3d_2b_1x1", _Unit(64, 64, kernel=1)),
            ("conv3d_2c_3x3", _Unit(64, 192, kernel=3)),
            ("maxpool3d_3a_3x3", _MaxPool((1, 3, 3), (1, 2, 2))),
            *[(name, mixed[name]) for name in mixed if name.startswith("mixed_3")],
            ("maxpool3d_4a_3x3", _MaxPool((3, 3, 3), (2, 2, 2))),
            *[(name, mixed[name]) for name in mixed if name.startswith("mixed_4")],
            ("maxpool3d_5a_2x2", _MaxPool((2, 2, 2), (2, 2, 2))),
            *[(name, mixed[name]) for name in mixed if name.startswith("mixed_5")],
        ):
            self.trunk.add_module(name, layer)
        self.logits = nn.Conv3d(1024, CLASSES, kernel_size=1)
        self.eval().requires_grad_(False)

    def forward(self, clips: Tensor) -> Tensor:
        """Compute logits of every step, which stands for eight frames.

        Args:
            clips: (b, 3, t, 224, 224) in [-1, 1], of `SHORTEST` frames at least.

        Returns:
            (b, 400, ceil(t / 8) - 1).
        """
        t, h, w = clips.shape[2:]
        assert t >= SHORTEST and (h, w) == (SIZE, SIZE), tuple(clips.shape)
        pooled = functional.avg_pool3d(self.trunk(clips), kernel_size=(2, 7, 7), stride=1)
        logits: Tensor = self.logits(pooled)
        return logits.flatten(start_dim=2)


class _Unit(nn.Module):
    """A convolution without bias, batch normalisation without scale, and a ReLU."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = 3 * (kernel,), 3 * (stride,)
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.norm = nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(pad_same(x, self.kernel, self.stride)))
        return normed.relu()


class _MaxPool(nn.Module):
    """Padding with zeros is as good as none, as all that is pooled comes out of ReLUs."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        padded = pad_same(x, self.kernel, self.stride)
        return functional.max_pool3d(padded, self.kernel, self.stride)


class _Mixed(nn.Module):
    """Four branches side by side: Inception's block."""

    def __init__(
        self,
        inputs: int,
        single: int,
        first: tuple[int, int],
        second: tuple[int, int],
        pooled: int,
    ) -> None:
        super().__init__()
        convolved = [
            nn.Sequential(_Unit(inputs, narrow, kernel=1), _Unit(narrow, wide, kernel=3))
            for narrow, wide in (first, second)
        ]
        self.branches = nn.ModuleList(
            [
                nn.Sequential(_Unit(inputs, single, kernel=1)),
                *convolved,
                nn.Sequential(_MaxPool((3, 3, 3), (1, 1, 1)), _Unit(inputs, pooled, kernel=1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Pad the last axes of a tensor with zeros, as TensorFlow does for 'SAME'.

    An axis of n becomes ceil(n / stride) long, and what is odd goes behind it.
    """
    pads: list[int] = []
    for n, k, s in zip(x.shape[-len(kernel) :], kernel, stride, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads = [total // 2, total - total // 2, *pads]  # torch begins with the last axis
    return functional.pad(x, pads)
