from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.metrics.frame import psnr

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.npz"


def waves() -> dict[str, tuple[Tensor, Tensor, float]]:
    i, j = torch.meshgrid(*2 * [torch.arange(64, dtype=torch.float64)], indexing="ij")
    a, b = ((7 * i + 3 * j) % 64) / 63, ((5 * i + 11 * j) % 64) / 63
    c = 0.5 + 0.5 * (0.2 * i).sin() * (0.3 * j).cos()
    d = 0.5 + 0.45 * (0.2 * i + 0.1).sin() * (0.3 * j - 0.05).cos()
    return {"ramps": (a, b, 7.648967), "waves": (c, d.clamp(0, 1), 28.730955)}


@pytest.mark.parametrize("name", ["ramps", "waves"])
def test_published_values(name: str) -> None:
    a, b, expected = waves()[name]
    assert psnr(a[None], b[None]).item() == pytest.approx(expected, abs=1e-6)


def test_the_original_on_colour_videos() -> None:
    with np.load(GOLDEN) as golden:
        a, b = (rearrange(torch.from_numpy(golden[k]), "t b c h w -> b t c h w") for k in "ab")
        expected = torch.from_numpy(golden["psnr"])
    frames = psnr(a, b)
    assert frames.shape == a.shape[:2]
    torch.testing.assert_close(frames.mean(dim=1), expected, rtol=1e-5, atol=0)


def test_channels_are_averaged_in_decibels() -> None:
    a = torch.zeros(3, 8, 8)
    b = a + torch.tensor([0.1, 0.01, 0.001])[:, None, None]  # 20, 40 and 60 dB
    assert psnr(a, b).item() == pytest.approx(40, abs=1e-4)
    assert psnr(a, a).item() == float("inf")
