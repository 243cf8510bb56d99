import math

import numpy as np
import pytest
import torch
from einops import repeat
from torch import Tensor

from srvp_world.benchmark import video
from srvp_world.benchmark.protocols import ClipBatch, Clips, Protocol
from srvp_world.benchmark.scores import FVDScore
from srvp_world.benchmark.tables import video_table
from srvp_world.benchmark.video import evaluate_video
from srvp_world.benchmark.video_distance import VideoDistance, check_fvd
from srvp_world.errors import DataError
from srvp_world.metrics.alexnet import AlexNet
from srvp_world.metrics.frame import METRICS
from srvp_world.metrics.lpips import LPIPS

PROTOCOL = Protocol(name="toy", conditioning=3, horizon=7, samples=7)


class Brightness:
    """Describes clips by the mean of what was given and of what was predicted, from 0 to 255."""

    def __init__(self) -> None:
        self.clips: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        levels = (x.mean(dim=(1, 3, 4)) + 1) * 255 / 2  # (b, t)
        self.clips += levels
        given, future = levels[:, :3].mean(dim=1), levels[:, 3:].mean(dim=1)
        return torch.stack([given, future], dim=1)[..., None]


class Brighter:
    """Copies the last frame; sample j is brighter by 10 j + 0.9 levels."""

    device = torch.device("cpu")
    fewest_rows = 1

    def noise_size(self, observed, horizon):
        self.horizon = horizon
        return 1

    def watch(self, frames, actions=None):
        return frames[:, -1]

    def imagine(self, watched, noise, horizon, actions=None):
        levels = 10 * torch.arange(noise.shape[1]) + 0.9
        return repeat(levels / 255, "s -> b s t 1", b=len(watched), t=self.horizon)

    def decode(self, watched, states):
        return watched[:, None, None] + states[..., None, None]


def still(n: int, t: int = 10) -> Clips:
    """Clip k has the brightness 20 k, and does not change."""
    levels = repeat(20 * np.arange(n, dtype=np.uint8), "n -> n t h w 1", t=t, h=32, w=32)
    return Clips(
        source="test",
        count=n,
        frame_shape=(32, 32, 1),
        read=lambda start, stop: ClipBatch(levels[start:stop], None),
    )


def evaluate(n: int = 4, protocol: Protocol = PROTOCOL, **settings):
    return evaluate_video(Brighter(), still(n), protocol, progress=False, **settings)


def test_five_sets_of_samples_are_compared_with_what_was_given_and_truncated() -> None:
    network = Brightness()
    scores = evaluate(i3d=network, batch_size=3)
    # Predictions are 10 j + 0.9 levels too bright, of which 0.9 are cut off; given frames are not.
    assert scores.fvd.each == pytest.approx([(10 * j) ** 2 for j in range(5)], abs=0.01)
    assert (scores.fvd.videos, scores.fvd.frames, scores.fvd.conditioning_frames) == (4, 10, 3)
    assert len(network.clips) == 4 * (1 + 5)  # the truth once, and five of seven samples
    levels = torch.stack(network.clips).round().tolist()
    assert 10 * [20.0] in levels and 3 * [20.0] + 7 * [60.0] in levels


def test_samples_that_are_decoded_a_few_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr(video, "SCORED_AT_ONCE", 2 * 4 * 7)  # two samples
    each = evaluate(i3d=Brightness()).fvd.each
    assert each == pytest.approx([(10 * j) ** 2 for j in range(5)], abs=0.01)


def test_fewer_samples_and_other_batches() -> None:
    protocol = Protocol(name="toy", conditioning=3, horizon=7, samples=2)
    each = evaluate(protocol=protocol, i3d=Brightness(), batch_size=1).fvd.each
    assert each == pytest.approx([0, 100], abs=0.01)
    one = Protocol(name="toy", conditioning=3, horizon=7, samples=1)
    assert math.isnan(evaluate(protocol=one, i3d=Brightness()).fvd.interval)
    assert evaluate(protocol=one).fvd is None


def test_results_and_table_say_what_the_distance_depends_on() -> None:
    fvd = FVDScore(
        each=(220.0, 224.0, 222.0), videos=1000, frames=40, conditioning_frames=10, resize="so"
    )
    numbers = fvd.numbers()
    assert numbers["mean"] == 222 and numbers["first"] == 220
    assert numbers["interval"] == pytest.approx(1.96 * math.sqrt(8 / 3) / math.sqrt(3))
    assert numbers["conditioning_frames_included"] is True
    assert (numbers["videos"], numbers["frames"], numbers["resize"]) == (1000, 40, "so")
    scores = evaluate(i3d=Brightness())
    assert scores.numbers()["fvd"] == scores.fvd.numbers()
    assert "fvd" not in evaluate().numbers()
    line = next(line for line in video_table(scores).splitlines() if line.startswith("FVD"))
    for word in ("lower is better: 600.0 ± ", "5 samples", "(first: 0.0)", "N = 4", "T = 10"):
        assert word in line
    assert "3 conditioning frames included" in line and "without half-pixel centres" in line


def test_lpips_is_scored_like_other_metrics_and_the_best_is_the_lowest() -> None:
    torch.manual_seed(0)
    network = LPIPS(AlexNet())
    for weights in network.linear:
        weights.fill_(1)
    scores = evaluate(metrics=(*METRICS, network.metric()))
    rows = scores.rows(scores.metrics[2])
    assert (rows["best"] < rows["mean"]).all() and (rows["mean"] < rows["worst"]).all()
    np.testing.assert_allclose(rows["best"], scores.values["lpips"].min(axis=1), rtol=1e-6)
    np.testing.assert_allclose(rows["copy last frame"], 0, atol=1e-6)  # nothing moves
    assert "| LPIPS, lower is better |" in video_table(scores)


@pytest.mark.parametrize(
    ("horizon", "clips", "words"),
    [
        (5, 10, r"clips of 9 frames at least, but 3 \+ 5 = 8 are wanted: raise --horizon"),
        (6, 1, "2 clips at least, and hundreds to mean something, but there is 1: raise --videos"),
    ],
)
def test_what_has_no_distance(horizon: int, clips: int, words: str) -> None:
    protocol = Protocol(name="toy", conditioning=3, horizon=horizon)
    with pytest.raises(DataError, match=words):
        check_fvd(protocol, clips)
    with pytest.raises(DataError, match=words):
        VideoDistance(Brightness(), protocol, clips)
    check_fvd(Protocol(name="toy", conditioning=3, horizon=6), 2)
