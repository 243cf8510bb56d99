"""Whether the frames bear out which action lies between which: evidence, not proof.

An action moves what is seen after it. Where the action of a row too early or too late explains how
the frames change, and the row's own does not, the source was read with the wrong convention. Slow
or smooth movement hides the difference, so that silence means nothing; and there are two ways to be
misled, which are told beside the evidence.
"""

import numpy as np
from einops import rearrange, reduce
from torch import from_numpy

from srvp_world.spaces import ActionSpec

_BLOCKS = 8  # squared: means that stand for a frame
_COMPONENTS = 8  # directions of most change that are looked at
_MOST = 4000  # transitions that are looked at
_FEWEST = 150
_CLEAR = 0.05  # share of the change that an action must explain to be believed
_RIDGE = 1e-2
_RATIO = 3.0  # by how much another row must explain more than the own


class Timing:
    """Gathers transitions, and judges by them."""

    def __init__(self) -> None:
        """Begin without evidence."""
        self._rows: list[tuple[np.ndarray, ...]] = []
        self._count = 0

    def add(self, frames: np.ndarray, action: ActionSpec, actions: np.ndarray) -> None:
        """Look at an episode.

        Args:
            frames: (T+1, h, w, c) uint8.
            action: What the actions are.
            actions: (T, ...), of which row i should lie between the frames i and i+1.
        """
        left = _MOST - self._count
        if left <= 0 or len(actions) < 3:
            return
        actions = actions[: left + 2]
        means = _block_means(frames[: len(actions) + 1])
        encoded = action.encode(from_numpy(np.ascontiguousarray(actions))).numpy()
        change = np.diff(means, axis=0)
        # Row i: frame, last change, next change, and the actions before, between and after.
        rows = (means[1:-2], change[:-2], change[1:-1], encoded[:-2], encoded[1:-1], encoded[2:])
        self._rows.append(rows)
        self._count += len(rows[0])

    def gains(self) -> dict[int, float] | None:
        """Share of the change of the frames that each action explains beyond what was seen before.

        Returns:
            By row: -1 the action before, 0 the own, 1 the one after; None for too little evidence.
        """
        if self._count < _FEWEST:
            return None
        parts = zip(*self._rows, strict=True)
        frame, last, following, *actions = (np.concatenate(part) for part in parts)
        principal = _directions(following)
        seen = frame @ _directions(frame - frame.mean(axis=0))
        seen = (seen - seen.mean(axis=0)) / (seen.std(axis=0) + 1e-6)
        last, target = last @ principal, following @ principal
        if not target.any():
            return None
        # What an action does depends on what it is done to: products with the frame.
        known = np.concatenate([seen, last, _products(seen, last)], axis=1)
        without = _error(known, target)
        return {
            row: 1
            - _error(np.concatenate([known, action, _products(seen, action)], 1), target) / without
            for row, action in zip((-1, 0, 1), actions, strict=True)
        }

    def contradiction(self) -> str | None:
        """Say so where another row's action explains the frames and the own does not."""
        gains = self.gains()
        if gains is None:
            return None
        best = max(gains, key=lambda row: gains[row])
        own = max(gains[0], 0.0)
        if best == 0 or gains[best] < max(_CLEAR, _RATIO * own):
            return None
        row, excuse = (
            ("before", "actions take a step to show, as in CartPole")
            if best < 0
            else ("after", "the policy reacts to the frames and leaves nothing to chance")
        )
        return (
            f"the action of the row {row} explains {gains[best]:.0%} of how the frames change, the "
            f"row's own {own:.0%}: check the convention of time, unless {excuse}"
        )


def _block_means(frames: np.ndarray) -> np.ndarray:
    """(n, blocks) in [0, 1]."""
    grey = reduce(frames.astype(np.float32) / 255, "n h w c -> n h w", "mean")
    height, width = (size // _BLOCKS * _BLOCKS for size in grey.shape[1:])
    cut = grey[:, :height, :width]
    return reduce(cut, "n (y i) (x j) -> n (y x)", "mean", y=_BLOCKS, x=_BLOCKS)


def _directions(rows: np.ndarray) -> np.ndarray:
    """(d, components): directions in which the rows vary most."""
    return np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :_COMPONENTS]


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return rearrange(a[:, :, None] * b[:, None, :], "n i j -> n (i j)")


def _error(features: np.ndarray, target: np.ndarray) -> float:
    """Squared error of a ridge regression, each half of the rows told from the other half."""
    features = np.concatenate([features, np.ones((len(features), 1), features.dtype)], axis=1)
    features = features.astype(np.float64)
    half = len(features) // 2
    error = 0.0
    for own, other in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        x = features[other]
        weights = np.linalg.solve(
            x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1]), x.T @ target[other]
        )
        error += float(np.square(target[own] - features[own] @ weights).sum())
    return max(error, np.finfo(np.float64).tiny)
