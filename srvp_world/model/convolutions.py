"""Convolutions that are quicker than torch's own where they are called here, and equal to them."""

import torch
from einops import rearrange
from torch import Tensor, nn


class WholeMapConv(nn.Conv2d):
    """A convolution whose kernel is as large as the map, so that it is a matrix product.

    oneDNN takes several times as long for it as for the product.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve (n, c, h, w) to (n, d, 1, 1)."""
        assert maps.shape[2:] == self.kernel_size, f"{self.kernel_size} on {tuple(maps.shape)}"
        order = _order(self.weight)
        rows = rearrange(maps, f"n c h w -> n {order}")
        weight = rearrange(self.weight, f"d c h w -> d {order}")
        return rearrange(nn.functional.linear(rows, weight, self.bias), "n d -> n d 1 1")


class SinglePixelTransposedConv(nn.ConvTranspose2d):
    """A transposed convolution of maps of one pixel, so that it is a matrix product.

    oneDNN takes several times as long for it as for the product.
    """

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve (n, d, 1, 1) to (n, c, h, w)."""
        order = _order(self.weight)
        weight = rearrange(self.weight, f"d c h w -> d {order}")
        rows = maps.flatten(1) @ weight
        h, w = self.kernel_size
        result = rearrange(rows, f"n {order} -> n c h w", h=h, w=w)
        return result if self.bias is None else result + self.bias.to(result.dtype)[:, None, None]


class TransposedConv(nn.ConvTranspose2d):
    """A transposed convolution that is quick on a single frame, too.

    On the CPU, oneDNN lays out the weights anew in every call, which takes longer than to decode
    one frame; torch's own kernel does not, and is twice as fast there.
    """

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve (n, c, h, w)."""
        alone = len(maps) == 1 and maps.device.type == "cpu" and maps.dtype == self.weight.dtype
        if not alone or torch.is_grad_enabled():
            return super().forward(maps, output_size)
        result: Tensor = torch.ops.aten.slow_conv_transpose2d(
            maps, self.weight, self.kernel_size, self.bias, self.stride, self.padding
        )
        return result


def _order(weight: Tensor) -> str:
    """Say in which order the weights lie, for flattening them in another one copies them."""
    return "(c h w)" if weight.is_contiguous() else "(h w c)"
