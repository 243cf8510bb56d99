"""FVD, the Frechet video distance, as SRVP and those that it compares itself with measure it.

Unterthiner et al., "Towards Accurate Generative Models of Video", 2018. Features are the 400
logits of I3D, averaged over time, of whole clips; no resizing but TensorFlow 1's will do.
"""

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor

from srvp_world.errors import DataError
from srvp_world.metrics.frechet import Moments, frechet_distance
from srvp_world.metrics.i3d import SHORTEST, SIZE
from srvp_world.metrics.precision import without_tf32

SHORTEST_CLIP = SHORTEST  # frames
FEWEST_CLIPS = 2  # of which one has no covariance
RESIZE = f"bilinear to {SIZE}x{SIZE} as TensorFlow 1 does, without half-pixel centres"
DEFINITION = (
    "Frechet distance, float64, unbiased covariances, of the 400 logits of I3D (RGB, Kinetics-400, "
    "the network of TF-Hub deepmind/i3d-kinetics-400/1), averaged over time; frames of uint8, "
    f"predicted ones truncated to it, in [-1, 1], resized {RESIZE}; those that were given are part "
    "of both sides"
)

_FRAMES_AT_ONCE = 128  # of 224 x 224: their largest maps take 0.4 GB

Network = Callable[[Tensor], Tensor]  # clips (b, 3, t, 224, 224) -> logits (b, d, steps)


class FrechetVideoDistance:
    """Compares predicted with true clips as they come; features of true ones are computed once."""

    def __init__(self, network: Network, samples: int) -> None:
        """Begin without clips.

        Args:
            network: `metrics.i3d.I3D` with its weights.
            samples: Predictions of each clip, of which each set is compared on its own.
        """
        self.network = network
        self.truth = Moments()
        self.samples = [Moments() for _ in range(samples)]

    def add_truth(self, clips: Tensor) -> None:
        """Take in true clips (b, t, c, h, w), uint8, whole; raises as `video_features` does."""
        self.truth.add(video_features(self.network, clips))

    def add_sample(self, sample: int, clips: Tensor) -> None:
        """Take in one prediction of each of some clips, with the frames that it was made from.

        Raises as `video_features` does.
        """
        self.samples[sample].add(video_features(self.network, clips))

    def distances(self) -> list[float]:
        """Give the distance of each set of predictions from the truth.

        Raises:
            DataError: If a set, or the truth, has fewer than two clips.
        """
        sets = {"of the truth": self.truth}
        sets |= {f"of sample {i}": moments for i, moments in enumerate(self.samples)}
        for whose, moments in sets.items():
            if moments.count < FEWEST_CLIPS:
                raise DataError(
                    f"FVD needs {FEWEST_CLIPS} clips at least, and hundreds to mean something, "
                    f"but has {moments.count} {whose}: add more"
                )
        truth = self.truth.gaussian()
        return [frechet_distance(truth, moments.gaussian()) for moments in self.samples]


@torch.no_grad()
def video_features(network: Network, clips: Tensor) -> Tensor:
    """Describe clips (b, t, c, h, w), uint8, by logits that are averaged over time: (b, 400).

    Raises:
        DataError: For other numbers than uint8, other shapes, no clip, or fewer frames than nine.
    """
    _check(clips)
    count = max(1, _FRAMES_AT_ONCE // clips.shape[1])
    with without_tf32():
        pieces = [network(prepare(piece)).mean(dim=2) for piece in torch.split(clips, count)]
    return torch.cat(pieces)


def _check(clips: Tensor) -> None:
    """Refuse what would be described as something else, or end in the network."""
    if clips.dtype != torch.uint8:
        raise DataError(
            f"FVD takes clips of uint8, got {clips.dtype}: turn frames in [0, 1] into such by "
            "(255 * clips).byte()"
        )
    shape = tuple(clips.shape)
    if len(shape) != 5 or shape[2] not in (1, 3) or 0 in shape:
        raise DataError(
            f"FVD takes clips (b, t, c, h, w) of 1 or 3 channels, got the shape {shape}: give at "
            "least one, and its axes in this order"
        )
    if shape[1] < SHORTEST_CLIP:
        raise DataError(
            f"FVD needs clips of {SHORTEST_CLIP} frames at least, got {shape[1]}: give longer ones"
        )


def prepare(clips: Tensor) -> Tensor:
    """Turn clips (b, t, c, h, w), uint8, into what I3D takes: (b, 3, t, 224, 224) in [-1, 1]."""
    frames = rearrange(clips.float(), "b t c h w -> b c t h w")
    if frames.shape[1] == 1:
        frames = repeat(frames, "b 1 t h w -> b c t h w", c=3)
    return 2 * resize(frames, SIZE) / 255 - 1


def resize(frames: Tensor, size: int) -> Tensor:
    """Resize frames (..., h, w) bilinearly to squares, as TensorFlow 1's `resize_bilinear`.

    Pixel i looks at i * in / out, not at (i + 1/2) * in / out - 1/2 as later resizers do; what lies
    behind the last pixel is the last pixel.
    """
    rows, columns = (_taps(n, size).to(frames) for n in frames.shape[-2:])
    return rows @ frames @ columns.T


def _taps(n: int, size: int) -> Tensor:
    """Give the matrix (size, n) that resizes an axis."""
    place = np.arange(size, dtype=np.float32) * np.float32(n / size)  # in float32, as there
    below = place.astype(np.int64)
    above = np.minimum(below + 1, n - 1)
    matrix, row = np.zeros((size, n), np.float32), np.arange(size)
    matrix[row, below] = 1 - (place - below)
    matrix[row, above] += place - below
    return torch.from_numpy(matrix)
