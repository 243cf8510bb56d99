"""Published numbers of video prediction, to stand beside ours.

Best of 100 samples a video, chosen for each metric on its own (one sample on `mmnist`), with 95 %
confidence intervals over the test videos where the source gives them. FVD is that of one sample a
video; its interval is over five samples. The talk has no intervals, and of KTH and BAIR no SSIM.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from srvp_world.benchmark.protocols import PROTOCOLS

_TALK = "slides of the SRVP authors' talk, ICML 2020"
_SLAMP = "Akan et al., SLAMP, ICCV 2021"
_MNIST, _KTH, _BAIR = (
    f"{_SLAMP}, {tables}" for tables in ("table 4", "tables 1, 5", "tables 1, 6")
)

_TALK_MNIST, _TALK_KTH, _TALK_BAIR = (
    f"{_TALK}; with intervals in {printed}" for printed in (_MNIST, _KTH, _BAIR)
)

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


def _row(method: str, source: str, **scores: float | Score) -> Published:
    """Take numbers without an interval as they are."""
    pairs: dict[str, Score] = {
        name: score if isinstance(score, tuple) else (score, None) for name, score in scores.items()
    }
    return Published(method, pairs, source)


def _with_intervals(
    method: str, source: str, psnr: Score, ssim: Score, lpips: Score, fvd: Score
) -> Published:
    return _row(method, source, psnr=psnr, ssim=ssim, lpips=lpips, fvd=fvd)


PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "smmnist": (
        _row("SVG", _TALK_MNIST, psnr=(14.50, 0.04), ssim=(0.7090, 0.0015)),
        _row("SRVP", _TALK_MNIST, psnr=(16.93, 0.07), ssim=(0.7799, 0.0020)),
        _row("SRVP, GRU for f", _TALK, psnr=15.80, ssim=0.7464),
        _row("SRVP, MLP for f", _TALK, psnr=16.55, ssim=0.7694),
        _row("SLAMP-Baseline", _MNIST, psnr=(16.83, 0.06), ssim=(0.7537, 0.0018)),
        _row("SLAMP", _MNIST, psnr=(18.07, 0.08), ssim=(0.7736, 0.0019)),
    ),
    "mmnist": (
        _row("SVG", _TALK, psnr=12.85, ssim=0.6185),
        _row("SRVP", _TALK, psnr=18.25, ssim=0.8300),
        _row("SRVP, GRU for f", _TALK, psnr=13.17, ssim=0.6237),
        _row("SRVP, MLP for f", _TALK, psnr=16.70, ssim=0.7876),
        _row("SRVP without z", _TALK, psnr=14.99, ssim=0.4757),
    ),
    "kth": (
        _with_intervals(
            "SV2P", _TALK_KTH, (28.19, 0.31), (0.8141, 0.0050), (0.2049, 0.0053), (636, 1)
        ),
        _with_intervals(
            "SAVP", _TALK_KTH, (26.51, 0.29), (0.7564, 0.0062), (0.1120, 0.0039), (374, 3)
        ),
        _with_intervals(
            "SVG", _TALK_KTH, (28.06, 0.29), (0.8438, 0.0054), (0.0923, 0.0038), (377, 6)
        ),
        _with_intervals(
            "SRVP", _TALK_KTH, (29.69, 0.32), (0.8697, 0.0046), (0.0736, 0.0029), (222, 3)
        ),
        _row("SLAMP-Baseline", _KTH, psnr=(29.20, 0.28), ssim=0.8633, lpips=0.0951, fvd=(236, 2)),
        _with_intervals("SLAMP", _KTH, (29.39, 0.30), (0.8646, 0.0050), (0.0795, 0.0034), (228, 5)),
    ),
    "human36m": (
        _row("SVRNN", _TALK, psnr=24.46, lpips=0.0557, fvd=556),
        _row("SRVP", _TALK, psnr=25.30, lpips=0.0509, fvd=416),
    ),
    "bair": (
        _with_intervals(
            "SV2P", _TALK_BAIR, (20.39, 0.27), (0.8169, 0.0086), (0.0912, 0.0053), (965, 17)
        ),
        _with_intervals(
            "SAVP", _TALK_BAIR, (18.44, 0.25), (0.7887, 0.0092), (0.0634, 0.0026), (152, 9)
        ),
        _with_intervals(
            "SVG", _TALK_BAIR, (18.95, 0.26), (0.8058, 0.0088), (0.0609, 0.0034), (255, 4)
        ),
        _with_intervals(
            "SRVP", _TALK_BAIR, (19.59, 0.27), (0.8196, 0.0084), (0.0574, 0.0032), (163, 4)
        ),
        _row("SLAMP-Baseline", _BAIR, psnr=19.60, ssim=0.8175, lpips=0.0596, fvd=(245, 5)),
        _row("SLAMP", _BAIR, psnr=(19.67, 0.26), ssim=(0.8161, 0.0086), lpips=(0.0639, 0.0037)),
    ),
}


def as_json(protocol: str) -> list[dict[str, Any]]:
    """Give what is published for a protocol, for results; nothing for other names."""
    return [asdict(row) for row in PUBLISHED.get(protocol, ())]


def published_numbers() -> list[dict[str, Any]]:
    """Give every published number on its own, with its citation and the facts of its protocol."""
    numbers = []
    for name, rows in PUBLISHED.items():
        paper = PROTOCOLS[name]
        facts = {
            "conditioning": paper.conditioning,
            "horizon": paper.horizon,
            "frames": paper.length,
            "clips": paper.videos,
        }
        for row in rows:
            for metric, (value, interval) in row.scores.items():
                samples = 1 if metric == "fvd" else paper.samples
                numbers.append(
                    {
                        "kind": "published",
                        "method": row.method,
                        "dataset": name,
                        "metric": metric,
                        "value": value,
                        "interval": interval,
                        "citation": row.source,
                        "protocol": {**facts, "samples": samples},
                    }
                )
    return numbers
