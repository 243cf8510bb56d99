import numpy as np
import pytest
import torch
from torch import Tensor

from srvp_world.metrics.alexnet import AlexNet
from srvp_world.metrics.lpips import LPIPS


def seeded() -> LPIPS:
    torch.manual_seed(0)
    network = LPIPS(AlexNet())
    for weights in network.linear:
        weights.uniform_(0, 1)
    return network


def frames(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def convolve(x: np.ndarray, layer, stride: int, padding: int) -> np.ndarray:
    """Convolve one image (c, h, w) and cut off below zero, in float64."""
    kernels = layer.weight.double().numpy()
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding)])
    size = kernels.shape[-2:]
    places = np.lib.stride_tricks.sliding_window_view(x, size, (1, 2))[:, ::stride, ::stride]
    out = np.einsum("chwij,ocij->ohw", places, kernels, optimize=True)
    return np.maximum(out + layer.bias.double().numpy()[:, None, None], 0)


def pool(x: np.ndarray) -> np.ndarray:
    places = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2]
    return places.max(axis=(-2, -1))


def maps_by_numpy(network: LPIPS, frame: Tensor) -> list[np.ndarray]:
    """AlexNet, written down again: what torchvision calls features.0 to features.11."""
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]  # of ImageNet
    std = np.array([0.229, 0.224, 0.225])[:, None, None]
    one, two, three, four, five = network.backbone.convolutions
    a = convolve((frame.double().numpy() - mean) / std, one, 4, 2)
    b = convolve(pool(a), two, 1, 2)
    c = convolve(pool(b), three, 1, 1)
    d = convolve(c, four, 1, 1)
    return [a, b, c, d, convolve(d, five, 1, 1)]


@pytest.mark.parametrize("size", [32, 47])
def test_the_formula_in_numpy(size: int) -> None:
    network = seeded()
    a, b = frames(2, 3, size, size)
    expected = 0.0
    for weights, *maps in zip(
        network.linear, maps_by_numpy(network, a), maps_by_numpy(network, b), strict=True
    ):
        x, y = (each / (np.sqrt((each**2).sum(axis=0)) + 1e-10) for each in maps)
        apart = weights.double().numpy()[:, None, None] * (x - y) ** 2
        expected += apart.sum(axis=0).mean()
    assert network(a, b).item() == pytest.approx(expected, rel=1e-4)
    assert expected > 0.01


def test_maps_of_the_frames_that_worlds_have() -> None:
    shapes = [tuple(each.shape[1:]) for each in AlexNet()(frames(1, 3, 64, 64))]
    assert shapes == [(64, 15, 15), (192, 7, 7), (384, 3, 3), (256, 3, 3), (256, 3, 3)]
    assert AlexNet()(frames(1, 3, 31, 31))[-1].shape == (1, 256, 1, 1)


def test_frames_are_scaled_and_the_mean_of_imagenet_is_zero() -> None:
    seen = []

    class Spy:
        channels = (1,)

        def __call__(self, x: Tensor) -> list[Tensor]:
            seen.append(x)
            return [x[:, :1]]

    network = LPIPS(Spy())
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    network.against(mean.expand(3, 4, 4))
    network.against(torch.ones(1, 4, 4))  # grey
    torch.testing.assert_close(seen[0], torch.zeros(1, 3, 4, 4), atol=1e-6, rtol=0)
    expected = (1 - mean) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    torch.testing.assert_close(seen[1], expected.expand(1, 3, 4, 4), atol=1e-6, rtol=0)


def test_one_truth_serves_many_predictions_in_any_order() -> None:
    network = seeded()
    truth, predictions = frames(2, 1, 3, 1, 32, 32), frames(2, 4, 3, 1, 32, 32, seed=2)
    compared = network.metric().against(truth)(predictions)
    assert compared.shape == (2, 4, 3) and compared.min() > 0
    for sample in range(4):
        one = network(predictions[:, sample], truth[:, 0])
        torch.testing.assert_close(compared[:, sample], one, rtol=1e-4, atol=1e-6)
    floor = network.against(truth)(truth[:, :, :1])  # one frame against all, as floors are
    assert floor.shape == (2, 1, 3)
    torch.testing.assert_close(floor[..., 0], torch.zeros(2, 1), rtol=0, atol=1e-6)


def test_grey_is_colour_of_three_equal_channels() -> None:
    network, (a, b) = seeded(), frames(2, 1, 32, 32)
    colour = network(a.expand(3, -1, -1), b.expand(3, -1, -1))
    torch.testing.assert_close(network(a, b), colour, rtol=1e-5, atol=0)


def test_without_linear_weights_it_says_nothing() -> None:
    network = LPIPS(AlexNet())
    assert network(*frames(2, 3, 32, 32)).item() == 0
    metric = network.metric()
    assert (metric.name, metric.better) == ("lpips", "lower") and "0.1" in metric.definition
