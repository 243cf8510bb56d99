"""Streams of noise that are each their own."""

import math

import pytest
import torch
from torch import Tensor

from srvp_world.envs.noise import RowNoise, _to_unit


def noise(*seeds: int, normals: int = 4) -> RowNoise:
    return RowNoise(torch.tensor(seeds), normals, uniforms=1)


def draw(rows: RowNoise, times: int = 20) -> Tensor:
    """Draw for some steps, more than are made at once, (rows, numbers)."""
    return torch.cat([torch.cat(rows.step(), dim=1) for _ in range(times)], dim=1)


def test_a_row_does_not_know_its_place_or_its_neighbours():
    alone = draw(noise(7))
    assert torch.equal(draw(noise(1, 2, 7, 7, 3))[2], alone[0])
    assert torch.equal(draw(noise(7, 9))[0], alone[0])


@pytest.mark.parametrize("steps", [0, 1, 5, 16, 20])
def test_reseeding_a_row_leaves_the_others(steps: int):
    rows, untouched = noise(1, 2, 3), noise(1, 2, 3)
    _ = [(rows.step(), untouched.step()) for _ in range(steps)]
    rows.reseed(torch.tensor([False, True, False]), torch.tensor([8, 8, 8]))
    after, expected = draw(rows), draw(untouched)
    assert torch.equal(after[[0, 2]], expected[[0, 2]])
    assert torch.equal(after[1], draw(noise(8))[0])


def test_resets_move_their_own_streams_and_no_steps():
    rows, untouched = noise(1, 2), noise(1, 2)
    mask = torch.tensor([True, False])
    first, second = rows.reset(mask)[0], rows.reset(mask)[0]
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert torch.equal(draw(rows), draw(untouched))
    assert not torch.isin(first, draw(noise(1, 2))).any()


def test_what_else_is_drawn_does_not_change_the_normal_numbers():
    few, many = noise(5, normals=2), noise(5, normals=6)
    assert torch.equal(few.step()[0], many.step()[0][:, :2])


def test_no_number_comes_twice():
    rows = RowNoise(torch.arange(50), 20, 1)
    numbers = torch.cat([rows.step()[0] for _ in range(20)], dim=1).double()
    assert len(numbers.unique()) > 0.99 * numbers.numel()
    correlation = torch.corrcoef(numbers).fill_diagonal_(0).abs().max()
    assert correlation < 0.25
    along = torch.corrcoef(numbers.T).fill_diagonal_(0).abs().max()
    assert along < 0.75


def test_moments():
    rows = RowNoise(torch.arange(1000), 10, 1)
    draws = [rows.step() for _ in range(100)]
    normal = torch.cat([draw[0] for draw in draws[:10]]).flatten()
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    assert abs(normal.pow(3).mean()) < 0.03
    assert abs(normal.pow(4).mean() - 3) < 0.1
    uniform = torch.cat([draw[1][:, 0] for draw in draws])
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
    numbers = RowNoise(seeds, 100, 1).step()[0]
    assert numbers.isfinite().all()
    assert (numbers.std(1) > 0.7).all()
    assert torch.corrcoef(numbers).fill_diagonal_(0).abs().max() < 0.4
