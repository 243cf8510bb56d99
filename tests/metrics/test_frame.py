from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.metrics.frame import PSNR, SSIM, psnr, ssim, ssim_against

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.npz"


def waves() -> dict[str, tuple[Tensor, Tensor, float, float]]:
    i, j = torch.meshgrid(*2 * [torch.arange(64, dtype=torch.float64)], indexing="ij")
    a, b = ((7 * i + 3 * j) % 64) / 63, ((5 * i + 11 * j) % 64) / 63
    c = 0.5 + 0.5 * (0.2 * i).sin() * (0.3 * j).cos()
    d = 0.5 + 0.45 * (0.2 * i + 0.1).sin() * (0.3 * j - 0.05).cos()
    return {
        "ramps": (a, b, 7.648967, 0.007793),
        "waves": (c, d.clamp(0, 1), 28.730955, 0.979295),
    }


@pytest.mark.parametrize("name", ["ramps", "waves"])
def test_published_values(name: str) -> None:
    a, b, decibels, similarity = waves()[name]
    assert psnr(a[None], b[None]).item() == pytest.approx(decibels, abs=1e-6)
    assert ssim(a[None], b[None]).item() == pytest.approx(similarity, abs=1e-6)
    assert ssim(a[None].float(), b[None].float()).item() == pytest.approx(similarity, abs=1e-5)


@pytest.mark.parametrize(("metric", "name"), [(psnr, "psnr"), (ssim, "ssim")])
def test_the_original_on_colour_videos(metric, name: str) -> None:
    with np.load(GOLDEN) as golden:
        a, b = (rearrange(torch.from_numpy(golden[k]), "t b c h w -> b t c h w") for k in "ab")
        expected = torch.from_numpy(golden[name])
    frames = metric(a, b)
    assert frames.shape == a.shape[:2]
    torch.testing.assert_close(frames.mean(dim=1), expected, rtol=1e-5, atol=0)


def test_channels_are_averaged_in_decibels() -> None:
    a = torch.zeros(3, 8, 8)
    b = a + torch.tensor([0.1, 0.01, 0.001])[:, None, None]  # 20, 40 and 60 dB
    assert psnr(a, b).item() == pytest.approx(40, abs=1e-4)
    assert psnr(a, a).item() == float("inf")


def test_evaluation_counts_equal_channels_as_a_hundred_decibels() -> None:
    a = torch.zeros(3, 8, 8)
    b = a + torch.tensor([0.1, 0.01, 0.0])[:, None, None]  # 20 and 40 dB, and equal
    assert PSNR.against(a)(b).item() == pytest.approx(160 / 3, abs=1e-3)
    assert PSNR.against(a)(a).item() == PSNR.limit == 100


def test_similarity_of_flat_frames_by_hand() -> None:
    """Without variance, only (2 ab + C1) / (a^2 + b^2 + C1) is left."""
    a, b = torch.full((1, 16, 16), 0.2), torch.full((1, 16, 16), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert ssim(a, b).item() == pytest.approx(expected, abs=1e-4)
    assert ssim(a, a).item() == pytest.approx(1, abs=1e-5)


def test_a_single_window_by_hand_and_frames_that_are_not_square() -> None:
    a, b = torch.rand(2, 1, 11, 11, dtype=torch.float64)
    offset = torch.arange(11, dtype=torch.float64) - 5
    line = (-offset.square() / 4.5).exp()
    weights = line[:, None] * line / line.sum() ** 2
    mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
    var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
    cov = (weights * (a - mean_a) * (b - mean_b)).sum()
    light = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    expected = light * (2 * cov + 9e-4) / (var_a + var_b + 9e-4)
    assert ssim(a, b).item() == pytest.approx(expected.item(), rel=1e-9)
    assert ssim(torch.rand(2, 3, 16, 40), torch.rand(2, 3, 16, 40)).shape == (2,)


def test_one_truth_serves_many_predictions() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 1, 3, 1, 16, 16, generator=generator)
    predictions = torch.rand(2, 4, 3, 1, 16, 16, generator=generator)
    compared = ssim_against(truth)(predictions)
    assert compared.shape == (2, 4, 3)
    for sample in range(4):
        one = ssim(truth[:, 0], predictions[:, sample])
        torch.testing.assert_close(compared[:, sample], one, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(SSIM.against(truth)(predictions), compared, rtol=0, atol=0)
