"""The quicker convolutions are the torch convolutions that they stand for."""

import pytest
import torch
from torch import Tensor, nn

from srvp_world.model.convolutions import (
    SinglePixelTransposedConv,
    TransposedConv,
    WholeMapConv,
)

FORMATS = [torch.contiguous_format, torch.channels_last]
CASES = {  # theirs, ours, shape of the maps
    "encoder": (nn.Conv2d(6, 5, 4), WholeMapConv(6, 5, 4), (3, 6, 4, 4)),
    "decoder": (nn.ConvTranspose2d(6, 5, 4), SinglePixelTransposedConv(6, 5, 4), (3, 6, 1, 1)),
    "oblong": (nn.Conv2d(2, 5, (2, 3)), WholeMapConv(2, 5, (2, 3)), (3, 2, 2, 3)),
    "grow": (
        nn.ConvTranspose2d(2, 5, (2, 3)),
        SinglePixelTransposedConv(2, 5, (2, 3)),
        (3, 2, 1, 1),
    ),
    "alone": (nn.ConvTranspose2d(6, 5, 4, 2, 1), TransposedConv(6, 5, 4, 2, 1), (1, 6, 4, 4)),
}


@pytest.mark.parametrize("memory", FORMATS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_torch(
    case: str, bias: bool, memory: torch.memory_format
) -> None:
    theirs, ours, shape = CASES[case]
    maps = torch.randn(shape, dtype=torch.float64)
    expected = _run(theirs, maps, bias, memory, theirs.state_dict())
    got = _run(ours, maps, bias, memory, theirs.state_dict())
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)
        assert one.shape == other.shape


@pytest.mark.parametrize("memory", FORMATS)
@pytest.mark.parametrize("case", ["encoder", "decoder", "oblong", "grow"])
def test_autocast_gives_bfloat16_in_the_layout_of_the_weights(
    case: str, memory: torch.memory_format
) -> None:
    _, ours, shape = CASES[case]
    layer = ours.to(memory_format=memory)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        maps = layer(torch.randn(shape).to(memory_format=memory))
    assert maps.dtype == torch.bfloat16
    assert maps.is_contiguous(memory_format=memory)


def test_a_map_that_the_kernel_does_not_cover_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"\(4, 4\) on \(1, 6, 5, 5\)"):
        WholeMapConv(6, 5, 4)(torch.zeros(1, 6, 5, 5))


def _run(
    layer: nn.Module,
    maps: Tensor,
    bias: bool,
    memory: torch.memory_format,
    weights: dict[str, Tensor],
) -> list[Tensor]:
    """Give values, then gradients of maps and weights, without touching the layer's own weights."""
    names = ["weight", "bias"] if bias else ["weight"]
    values = {name: weights[name].detach().double() for name in names}
    values["weight"] = values["weight"].to(memory_format=memory)
    leaves = [maps.to(memory_format=memory).requires_grad_()]
    leaves += [value.requires_grad_() for value in values.values()]
    result = torch.func.functional_call(layer, {"bias": None, **values}, leaves[0])
    weighted = result * torch.arange(result.numel()).view(result.shape)
    return [result.detach(), *torch.autograd.grad(weighted.sum(), leaves)]
