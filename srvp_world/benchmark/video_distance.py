"""FVD of an evaluation: which clips it takes, and what they are compared with."""

import torch
from torch import Tensor

from srvp_world.benchmark.protocols import Protocol
from srvp_world.benchmark.scores import FVDScore
from srvp_world.errors import DataError
from srvp_world.metrics.fvd import (
    FEWEST_CLIPS,
    RESIZE,
    SHORTEST_CLIP,
    FrechetVideoDistance,
    Network,
)

SAMPLES = 5  # of a clip; each set of samples is compared on its own


def check_fvd(protocol: Protocol, clips: int) -> None:
    """Refuse what has no Frechet video distance.

    Raises:
        DataError: For a single clip, or clips that are too short.
    """
    if clips < FEWEST_CLIPS:
        raise DataError(
            f"FVD needs {FEWEST_CLIPS} clips at least, and hundreds to mean something, but there "
            f"is {clips}: raise --videos, or add clips"
        )
    if protocol.length < SHORTEST_CLIP:
        raise DataError(
            f"FVD needs clips of {SHORTEST_CLIP} frames at least, but {protocol.conditioning} + "
            f"{protocol.horizon} = {protocol.length} are wanted: raise --horizon"
        )


class VideoDistance:
    """Compares predictions with the truth as the paper does: frames that were given and all.

    So it compares how videos go on, and how that fits to how they began.
    """

    def __init__(self, network: Network, protocol: Protocol, clips: int) -> None:
        """Begin; raises as `check_fvd` does."""
        check_fvd(protocol, clips)
        self.protocol, self.clips = protocol, clips
        self.distance = FrechetVideoDistance(network, min(SAMPLES, protocol.samples))

    def add_truth(self, clips: Tensor) -> None:
        """Take in true clips (b, t, c, h, w), uint8."""
        self.distance.add_truth(clips)

    def add_samples(self, first: int, clips: Tensor, frames: Tensor) -> None:
        """Take in some samples of clips, as far as they count.

        Args:
            first: Number of the first of these samples.
            clips: True ones (b, t, c, h, w), uint8.
            frames: Predictions (b, samples, horizon, c, h, w) in [0, 1].
        """
        given = clips[:, : self.protocol.conditioning]
        counted = range(first, len(self.distance.samples))
        for sample, future in zip(counted, frames.unbind(dim=1), strict=False):
            predicted = (255 * future).byte()  # truncated, as the original does
            self.distance.add_sample(sample, torch.cat([given, predicted], dim=1))

    def score(self) -> FVDScore:
        """Give the distances."""
        return FVDScore(
            each=tuple(self.distance.distances()),
            videos=self.clips,
            frames=self.protocol.length,
            conditioning_frames=self.protocol.conditioning,
            resize=RESIZE,
        )
