"""Noise by counting: each row of a batch has a stream of its own, whoever stands beside it."""

import math

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, odd, as a signed 64-bit integer
_FIRST = -4658895280553007687  # the two multipliers of the SplitMix64 finaliser
_SECOND = -7723592293110705685
_LANES = 1 << 20  # words that one draw may use
_RESETS = 1 << 42  # draws of resets are counted from here, so that no step ever meets them
_BLOCK = 32  # steps that are drawn at once: on a small batch, a step's own draw would cost the most

Draw = tuple[Tensor, Tensor]
"""Standard normal numbers (n, normals), and numbers in (0, 1) (n, uniforms)."""


class RowNoise:
    """A stream of random numbers a row, computed from (seed, number of the draw, place in it).

    Nothing is drawn in sequence, so rows can be reseeded alone, and numbers do not depend on how
    many rows there are. All arithmetic wraps in int64 and stays on the device.
    """

    def __init__(self, seeds: Tensor, normals: int, uniforms: int):
        """Begin a stream for each of (n,) int64 seeds.

        Args:
            seeds: One a row.
            normals: Standard normal numbers of a draw.
            uniforms: Uniform numbers of a draw.
        """
        self.seeds = seeds
        self._normals, self._uniforms = normals, uniforms
        self._steps = torch.zeros_like(seeds)  # draws that were made before the block
        self._resets = torch.zeros_like(seeds) + _RESETS
        self._block: list[Draw] = []

    def reseed(self, mask: Tensor, seeds: Tensor) -> None:
        """Begin anew where `mask`."""
        self.seeds = torch.where(mask, seeds, self.seeds)
        made = self._steps - len(self._block)
        self._steps, self._block = torch.where(mask, 0, made), []
        self._resets = torch.where(mask, _RESETS, self._resets)

    def step(self) -> Draw:
        """Draw for a step of all rows."""
        if not self._block:
            numbers = self._steps[:, None] + torch.arange(_BLOCK, device=self.seeds.device)
            normal, uniform = self._draw(numbers)
            self._block = [*zip(normal.unbind(1), uniform.unbind(1), strict=True)][::-1]
            self._steps = self._steps + _BLOCK
        return self._block.pop()

    def reset(self, mask: Tensor) -> Draw:
        """Draw for a reset; only the streams in `mask` move on, and none of their steps."""
        normal, uniform = self._draw(self._resets[:, None])
        self._resets = self._resets + mask
        return normal[:, 0], uniform[:, 0]

    def _draw(self, numbers: Tensor) -> Draw:
        """Make the draws with these numbers (n, m): (n, m, normals) and (n, m, uniforms)."""
        pairs = (self._normals + 1) // 2  # Box-Muller: a word makes two normal numbers
        lanes = torch.arange(self._uniforms + pairs, device=numbers.device)
        place = numbers[..., None] * _LANES + lanes
        words = _mix(_mix(self.seeds)[:, None, None] + place * _GOLDEN)
        rest, words = torch.split(words, [self._uniforms, pairs], dim=-1)
        radius = (-2 * _to_unit(words >> 32).log()).sqrt()
        angle = 2 * math.pi * _to_unit(words)
        normal = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1).flatten(-2)
        return normal[..., : self._normals], _to_unit(rest >> 32)


def _mix(word: Tensor) -> Tensor:
    """Scramble 64 bits (the finaliser of SplitMix64)."""
    word = (word ^ _shift(word, 30)) * _FIRST
    word = (word ^ _shift(word, 27)) * _SECOND
    return word ^ _shift(word, 31)


def _shift(word: Tensor, bits: int) -> Tensor:
    """Shift right without the sign."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)


def _to_unit(bits: Tensor) -> Tensor:
    """Turn the low 32 bits of words into float32 in (0, 1)."""
    return (((bits & 0xFFFFFFFF) >> 9).float() + 0.5) * 2**-23  # 24 bits could round to 1
