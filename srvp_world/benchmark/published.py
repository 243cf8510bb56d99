"""Published numbers of video prediction, to stand beside ours.

Best of 100 samples a video, chosen for each metric on its own (one sample on `mmnist`), with 95 %
confidence intervals over the test videos where the source gives them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_TALK = "slides of the SRVP authors' talk, ICML 2020"
_SLAMP = "Akan et al., SLAMP, ICCV 2021"

Score = tuple[float, float | None]  # mean, and half of the confidence interval


@dataclass(frozen=True)
class Published:
    """What a paper says of a method.

    Attributes:
        method: As the paper calls it.
        scores: By name of the metric.
        source: Where it is printed.
    """

    method: str
    scores: Mapping[str, Score]
    source: str


def _row(method: str, psnr: Score, ssim: Score | None, source: str) -> Published:
    scores = {"psnr": psnr} if ssim is None else {"psnr": psnr, "ssim": ssim}
    return Published(method, scores, source)


PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "smmnist": (
        _row("SVG-LP", (14.50, 0.04), (0.7090, 0.0015), f"{_SLAMP}, table 4"),
        _row("SRVP", (16.93, 0.07), (0.7799, 0.0020), f"{_SLAMP}, table 4"),
        _row("SRVP, GRU for f", (15.80, None), (0.7464, None), _TALK),
        _row("SRVP, MLP for f", (16.55, None), (0.7694, None), _TALK),
        _row("SLAMP-Baseline", (16.83, 0.06), (0.7537, 0.0018), f"{_SLAMP}, table 4"),
        _row("SLAMP", (18.07, 0.08), (0.7736, 0.0019), f"{_SLAMP}, table 4"),
    ),
    "mmnist": (
        _row("SVG", (12.85, None), (0.6185, None), _TALK),
        _row("SRVP", (18.25, None), (0.8300, None), _TALK),
        _row("SRVP, GRU for f", (13.17, None), (0.6237, None), _TALK),
        _row("SRVP, MLP for f", (16.70, None), (0.7876, None), _TALK),
        _row("SRVP without z", (14.99, None), (0.4757, None), _TALK),
    ),
    "kth": (
        _row("SV2P", (28.19, 0.31), (0.8141, 0.0050), f"{_SLAMP}, table 5"),
        _row("SAVP", (26.51, 0.29), (0.7564, 0.0062), f"{_SLAMP}, table 5"),
        _row("SVG", (28.06, 0.29), (0.8438, 0.0054), f"{_SLAMP}, table 5"),
        _row("SRVP", (29.69, 0.32), (0.8697, 0.0046), f"{_SLAMP}, table 5"),
        _row("SLAMP", (29.39, 0.30), (0.8646, 0.0050), f"{_SLAMP}, table 5"),
    ),
    "human36m": (
        _row("SVRNN", (24.46, None), None, _TALK),
        _row("SRVP", (25.30, None), None, _TALK),
    ),
    "bair": (
        _row("SV2P", (20.39, 0.27), (0.8169, 0.0086), f"{_SLAMP}, table 6"),
        _row("SAVP", (18.44, 0.25), (0.7887, 0.0092), f"{_SLAMP}, table 6"),
        _row("SVG", (18.95, 0.26), (0.8058, 0.0088), f"{_SLAMP}, table 6"),
        _row("SRVP", (19.59, 0.27), (0.8196, 0.0084), f"{_SLAMP}, table 6"),
        _row("SLAMP", (19.67, 0.26), (0.8161, 0.0086), f"{_SLAMP}, table 6"),
    ),
}


def as_json(protocol: str) -> list[dict[str, Any]]:
    """Give what is published for a protocol, for results; nothing for other names."""
    return [asdict(row) for row in PUBLISHED.get(protocol, ())]
