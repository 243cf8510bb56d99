"""Streams of noise that are each their own."""

import math

import torch
from torch import Tensor

from srvp_world.envs.noise import RowNoise, _to_unit


def noise(*seeds: int) -> RowNoise:
    return RowNoise(torch.tensor(seeds))


def draw(rows: RowNoise, times: int = 3) -> Tensor:
    """Draw a bit of everything, (rows, numbers)."""
    parts = [part for _ in range(times) for part in (rows.normal(4), rows.uniform()[:, None])]
    return torch.cat(parts, dim=1)


def test_a_row_does_not_know_its_place_or_its_neighbours():
    alone = draw(noise(7))
    assert torch.equal(draw(noise(1, 2, 7, 7, 3))[2], alone[0])
    assert torch.equal(draw(noise(7, 9))[0], alone[0])


def test_reseeding_a_row_leaves_the_others():
    rows, untouched = noise(1, 2, 3), noise(1, 2, 3)
    draw(rows), draw(untouched)
    rows.reseed(torch.tensor([False, True, False]), torch.tensor([8, 8, 8]))
    after, expected = draw(rows), draw(untouched)
    assert torch.equal(after[[0, 2]], expected[[0, 2]])
    assert torch.equal(after[1], draw(noise(8))[0])


def test_streams_outside_the_mask_stand_still():
    rows = noise(1, 2)
    mask = torch.tensor([True, False])
    first = rows.uniform(mask)
    rows.normal(3, mask)
    second = rows.uniform()
    assert second[1] == first[1]
    untouched = noise(1, 2)
    untouched.uniform(), untouched.normal(3)
    assert untouched.uniform()[0] == second[0]


def test_no_number_comes_twice():
    rows = RowNoise(torch.arange(50))
    numbers = torch.cat([rows.normal(20) for _ in range(20)], dim=1).double()
    assert len(numbers.unique()) > 0.99 * numbers.numel()
    correlation = torch.corrcoef(numbers).fill_diagonal_(0).abs().max()
    assert correlation < 0.25
    along = torch.corrcoef(numbers.T).fill_diagonal_(0).abs().max()
    assert along < 0.75


def test_moments():
    rows = RowNoise(torch.arange(1000))
    normal = torch.cat([rows.normal(10) for _ in range(10)]).flatten()
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    assert abs(normal.pow(3).mean()) < 0.03
    assert abs(normal.pow(4).mean() - 3) < 0.1
    uniform = torch.cat([rows.uniform() for _ in range(100)])
    assert abs(uniform.mean() - 0.5) < 0.005
    assert abs(uniform.var() - 1 / 12) < 0.002
    assert (torch.histc(uniform, 10, 0, 1) / 10_000 - 1).abs().max() < 0.05


def test_numbers_lie_strictly_inside_their_range():
    edges = _to_unit(torch.tensor([0, 2**32 - 1, -1, 2**63 - 1]))
    assert (edges > 0).all()
    assert (edges < 1).all()
    assert (edges[1:] > 0.999).all()
    assert math.isfinite((-2 * edges.log()).sqrt().max())
    for count in (1, 3, 1000, 12_345, 2**20 - 1):
        assert int(edges[1] * count) < count


def test_extreme_seeds_are_seeds():
    seeds = torch.tensor([0, 1, 2**63 - 1, 2**31])
    numbers = RowNoise(seeds).normal(100)
    assert numbers.isfinite().all()
    assert (numbers.std(1) > 0.7).all()
    assert torch.corrcoef(numbers).fill_diagonal_(0).abs().max() < 0.4
