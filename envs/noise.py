"""Noise by counting: each row of a batch has a stream of its own, whoever stands beside it."""

import math

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, odd, as a signed 64-bit integer
_FIRST = -4658895280553007687  # the two multipliers of the SplitMix64 finaliser
_SECOND = -7723592293110705685
_LANES = 1 << 20  # words that one draw may use


class RowNoise:
    """A stream of random numbers a row, computed from (seed, number of the draw, place in it).

    Nothing is drawn in sequence, so rows can be reseeded alone, and numbers do not depend on how
    many rows there are. All arithmetic wraps in int64 and stays on the device.
    """

    def __init__(self, seeds: Tensor):
        """Begin a stream for each of (n,) int64 seeds."""
        self.seeds = seeds
        self.draws = torch.zeros_like(seeds)

    def reseed(self, mask: Tensor, seeds: Tensor) -> None:
        """Begin anew where `mask`."""
        self.seeds = torch.where(mask, seeds, self.seeds)
        self.draws = torch.where(mask, 0, self.draws)

    def uniform(self, mask: Tensor | None = None) -> Tensor:
        """Draw (n,) numbers in (0, 1); only the streams in `mask` move on, all if None."""
        return _to_unit(self._words(1, mask)[:, 0] >> 32)

    def normal(self, size: int, mask: Tensor | None = None) -> Tensor:
        """Draw (n, size) standard normal numbers; only the streams in `mask` move on."""
        words = self._words(size, mask)  # each word gives both numbers of a Box-Muller pair
        radius = (-2 * _to_unit(words >> 32).log()).sqrt()
        return radius * (2 * math.pi * _to_unit(words & 0xFFFFFFFF)).cos()

    def _words(self, size: int, mask: Tensor | None) -> Tensor:
        """Draw (n, size) words of 64 random bits."""
        place = self.draws[:, None] * _LANES + torch.arange(1, size + 1, device=self.draws.device)
        self.draws = self.draws + (1 if mask is None else mask)
        return _mix(_mix(self.seeds)[:, None] + place * _GOLDEN)


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
