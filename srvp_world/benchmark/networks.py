"""The metrics of an evaluation that need a network's weights, on one device."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from srvp_world.benchmark.i3d_weights import load_i3d
from srvp_world.benchmark.lpips_weights import load_lpips
from srvp_world.metrics.frame import METRICS, Metric
from srvp_world.metrics.i3d import I3D


class Networks(NamedTuple):
    """What to measure with.

    Attributes:
        metrics: Of frames: those that need no weights, and LPIPS where it was asked for.
        i3d: For FVD, where it was asked for.
        sha256: Of the files of weights, by metric and name.
    """

    metrics: tuple[Metric, ...]
    i3d: I3D | None
    sha256: Mapping[str, Mapping[str, str]]

    def described(self) -> list[str]:
        """Say in a line for each metric which weights it has."""
        return [
            f"weights of {metric}: "
            + ", ".join(f"{name} (SHA-256 {digest[:12]}...)" for name, digest in files.items())
            for metric, files in self.sha256.items()
        ]


def load_networks(lpips: Path | None, i3d: Path | None, device: torch.device) -> Networks:
    """Read the weights of LPIPS and of FVD, where they are given.

    Raises:
        DataError: If they are missing, broken or of other networks.
    """
    metrics: tuple[Metric, ...] = METRICS
    network, sha256 = None, {}
    if lpips is not None:
        loaded = load_lpips(lpips)
        metrics = (*metrics, loaded.network.to(device).metric())
        sha256["lpips"] = loaded.sha256
    if i3d is not None:
        network, sha256["fvd"] = load_i3d(i3d)
        network = network.to(device)
    return Networks(metrics, network, sha256)
