import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import repeat
from worlds import random_actions, random_frames, tiny_model, tiny_svg

from srvp_world.baselines.svg_sampling import SVGFutures
from srvp_world.benchmark.protocols import PROTOCOLS, ClipBatch, Clips, Protocol, open_clips
from srvp_world.benchmark.video import IMAGINED_AT_ONCE, draw_noise, evaluate_video
from srvp_world.errors import ConfigError, DataError
from srvp_world.metrics.frame import PSNR, SSIM
from srvp_world.model.sampling import Futures

PROTOCOL = Protocol(name="toy", conditioning=3, horizon=4, samples=3)


def ramps(n: int, t: int = 7, channels: int = 1) -> Clips:
    """Flat frames: clip k begins with brightness 10 k / 255 and brightens by 1 / 255 a frame."""
    levels = np.arange(t) + 10 * np.arange(n)[:, None]
    frames = repeat(levels.astype(np.uint8), "n t -> n t h w c", h=16, w=16, c=channels)
    return clips_of(frames)


def clips_of(frames: np.ndarray, actions: np.ndarray | None = None) -> Clips:
    def read(start: int, stop: int) -> ClipBatch:
        return ClipBatch(frames[start:stop], None if actions is None else actions[start:stop])

    return Clips(source="test", count=len(frames), frame_shape=frames.shape[2:], read=read)


class Toy:
    """Continues ramps exactly, but sample j is too bright by j / 10."""

    device = torch.device("cpu")
    fewest_rows = 1
    brighter = 0.1

    def __init__(self):
        self.watched, self.decoded = [], []

    def noise_size(self, observed, horizon):
        self.horizon = horizon
        return 1

    def watch(self, frames, actions=None):
        self.watched.append(tuple(frames.shape))
        self.shape = frames.shape[2:]
        return frames[:, -1, 0, 0, 0]

    def imagine(self, watched, noise, horizon, actions=None):
        time = torch.arange(1, self.horizon + 1) / 255
        wrong = self.brighter * torch.arange(noise.shape[1])
        return (watched[:, None, None] + wrong[:, None] + time)[..., None]

    def decode(self, watched, states):
        self.decoded.append(tuple(states.shape[:3]))
        c, h, w = self.shape
        return repeat(states, "b s t 1 -> b s t c h w", c=c, h=h, w=w)


def decibels(error: float) -> float:
    return -20 * math.log10(error)


def evaluate(model, clips, protocol=PROTOCOL, **settings):
    return evaluate_video(model, clips, protocol, progress=False, **settings)


def test_scores_that_can_be_worked_out_by_hand() -> None:
    scores = evaluate(Toy(), ramps(5), metrics=(PSNR,), batch_size=2)
    rows = scores.rows(PSNR)
    # The first sample is right in every frame: shifted by a frame, it would have 48 dB.
    np.testing.assert_array_equal(rows["best"], np.full((5, 4), 100.0))
    np.testing.assert_allclose(rows["worst"], decibels(0.2), rtol=1e-4)
    mean = (100 + decibels(0.1) + decibels(0.2)) / 3
    np.testing.assert_allclose(rows["mean"], mean, rtol=1e-4)
    np.testing.assert_allclose(scores.diversity, (0.1**2 + 0.1**2 + 0.2**2) / 3, rtol=1e-4)
    numbers = scores.numbers()
    assert numbers["curves"]["frame"] == [4, 5, 6, 7]
    assert numbers["scores"]["psnr"]["worst"]["mean"] == pytest.approx(decibels(0.2), rel=1e-4)
    assert numbers["frames_at_limit"]["psnr"]["samples"] == 5 * 4
    assert numbers["decoded_frames"] == 5 * 3 * 4


def test_floors_that_can_be_worked_out_by_hand() -> None:
    floors = evaluate(Toy(), ramps(2, channels=3), metrics=(PSNR,)).floors
    step = np.arange(1, 5)
    copied = [decibels(i / 255) for i in step]
    np.testing.assert_allclose(floors["copy last frame"]["psnr"], [copied, copied], rtol=1e-4)
    mean = [decibels((i + 1) / 255) for i in step]  # of three frames: one behind the last
    np.testing.assert_allclose(floors["mean frame"]["psnr"], [mean, mean], rtol=1e-4)
    black = [[decibels((10 * k + 2 + i) / 255) for i in step] for k in range(2)]
    np.testing.assert_allclose(floors["black"]["psnr"], black, rtol=1e-4)


def test_floors_of_the_first_500_clips_of_stochastic_moving_mnist() -> None:
    protocol = replace(PROTOCOLS["smmnist"], videos=500, samples=1)
    scores = evaluate(Toy(), open_clips(protocol), protocol, batch_size=10)
    means = {
        floor: [round(float(values[name].mean()), digits) for name, digits in METRIC_DIGITS]
        for floor, values in scores.floors.items()
    }
    assert means["copy last frame"] == [11.83, 0.584]
    assert means["black"] == [13.81, 0.723]


METRIC_DIGITS = (("psnr", 2), ("ssim", 3))


def test_frames_are_encoded_once_and_only_predicted_ones_are_decoded() -> None:
    model = Toy()
    scores = evaluate(model, ramps(5), batch_size=2)
    assert model.watched == [(2, 3, 1, 16, 16), (2, 3, 1, 16, 16), (1, 3, 1, 16, 16)]
    assert {horizon for _, _, horizon in model.decoded} == {4}
    rows = sum(b * samples for b, samples, _ in model.decoded)
    pictures = 4 * 4  # best, two samples and the worst of the first four clips, once more
    assert rows == 5 * 3 + pictures
    assert scores.decoded == 5 * 3 * 4


def test_however_many_samples_there_are_only_some_are_held_at_a_time() -> None:
    class Noisy(Toy):
        """Is too bright by the size of its noise; counts the futures that it is asked for."""

        together: list[int] = []

        def imagine(self, watched, noise, horizon, actions=None):
            self.together.append(noise.shape[0] * noise.shape[1])
            time = torch.arange(1, horizon + 1) / 255
            return (watched[:, None, None] + noise.abs() / 10 + time)[..., None]

    samples = 2 * IMAGINED_AT_ONCE // 3 + 10
    protocol = replace(PROTOCOL, samples=samples)
    scores = evaluate(Noisy(), ramps(3), protocol, metrics=(PSNR,))
    assert sum(Noisy.together) == 3 * samples
    assert max(Noisy.together) <= IMAGINED_AT_ONCE and len(Noisy.together) > 2
    errors = draw_noise(1, range(3), samples, 1)[..., 0].abs() / 10
    for clip, kept in enumerate(scores.kept):  # what is shown is what was scored
        truth = kept.truth[3:].astype(float)
        for label, error in (("best", errors[clip].min()), ("worst", errors[clip].max())):
            off = kept.samples[label] - truth
            np.testing.assert_allclose(off, 255 * float(error), atol=0.51)


def test_predictions_are_clamped() -> None:
    frames = np.full((1, 7, 16, 16, 1), 255, np.uint8)
    values = evaluate(Toy(), clips_of(frames)).values
    np.testing.assert_array_equal(values["psnr"], 100)


def test_pictures_show_the_best_and_the_worst_sample() -> None:
    class Darkening(Toy):
        brighter = -0.02

    kept = evaluate(Darkening(), ramps(6), batch_size=3).kept
    assert [clip.clip for clip in kept] == [0, 1, 2, 3]
    clip = kept[3]
    assert list(clip.samples) == ["best", "sample 1", "sample 2", "worst"]
    assert clip.truth[:, 0, 0, 0].tolist() == [30, 31, 32, 33, 34, 35, 36]
    levels = {name: frames[:, 0, 0, 0].tolist() for name, frames in clip.samples.items()}
    assert levels["best"] == levels["sample 1"] == [33, 34, 35, 36]
    assert levels["worst"] == [23, 24, 25, 26]  # 2 * 0.02 * 255 = 10.2 darker
    assert clip.scores["worst"]["psnr"] == pytest.approx(decibels(0.04), rel=1e-3)


def test_as_many_clips_are_kept_as_wanted_whatever_the_batches() -> None:
    for keep, expected in ((1, 1), (5, 5), (9, 6)):
        for batch_size in (2, 4):
            kept = evaluate(Toy(), ramps(6), batch_size=batch_size, keep=keep).kept
            assert [clip.clip for clip in kept] == list(range(expected))
    with pytest.raises(ConfigError, match="keep"):
        evaluate(Toy(), ramps(2), keep=0)


def test_a_single_sample_has_no_diversity() -> None:
    protocol = Protocol(name="toy", conditioning=3, horizon=4, samples=1)
    scores = evaluate(Toy(), ramps(2), protocol)
    assert np.isnan(scores.diversity).all()
    assert list(scores.rows(PSNR)) == ["best", "copy last frame", "black", "mean frame"]
    assert list(scores.kept[0].samples) == ["sample 1"]


def srvp_clips(model, n: int, t: int) -> Clips:
    pixels = (255 * random_frames(n, t, model)).round().byte()
    return clips_of(pixels.movedim(2, -1).numpy())


def test_scores_depend_neither_on_batches_nor_on_how_much_else_is_evaluated() -> None:
    model = tiny_model("none", reward=False, continuation=False)
    clips = srvp_clips(model, 5, 7)
    whole = evaluate(Futures(model), clips, batch_size=5)
    single = evaluate(Futures(model), clips, batch_size=1)
    for metric in (PSNR, SSIM):
        values = whole.values[metric.name]
        np.testing.assert_allclose(single.values[metric.name], values, rtol=1e-3, atol=1e-5)
        assert values.std(axis=1).min() > 1e-5  # samples do differ
    np.testing.assert_allclose(single.diversity, whole.diversity, rtol=1e-2)
    assert single.clips_sha256 == whole.clips_sha256
    pixels = clips.read(0, 5).frames
    assert whole.clips_sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
    fewer = Protocol(name="toy", conditioning=3, horizon=4, samples=2)
    part = evaluate(Futures(model), clips_of(pixels[:2]), fewer)
    np.testing.assert_allclose(part.values["psnr"], whole.values["psnr"][:2, :2], rtol=1e-3)
    other = evaluate(Futures(model), clips, seed=2)
    assert not np.allclose(other.values["psnr"], whole.values["psnr"], rtol=1e-3)


@torch.no_grad()
def test_diversity_is_the_mean_over_pairs() -> None:
    model = tiny_model("none", reward=False, continuation=False)
    clips, futures = srvp_clips(model, 1, 7), Futures(model)
    frames = torch.from_numpy(clips.read(0, 1).frames).movedim(-1, 2).float() / 255
    watched = futures.watch(frames[:, :3])
    noise = draw_noise(1, range(1), 3, futures.noise_size(3, 4))
    a, b, c = futures.decode(watched, futures.imagine(watched, noise, 4))[0]
    pairs = torch.stack([(a - b).square(), (a - c).square(), (b - c).square()])
    scores = evaluate(futures, clips)
    np.testing.assert_allclose(scores.diversity[0], pairs.mean(dim=(0, 2, 3, 4)), rtol=1e-3)


def test_experience_is_predicted_with_its_own_actions() -> None:
    model = tiny_model("box")
    pixels = srvp_clips(model, 2, 7).read(0, 2).frames
    actions = random_actions(model.action, 2, 6).numpy()
    scores = evaluate(Futures(model), clips_of(pixels, actions))
    changed = actions.copy()
    changed[:, -1] *= -1  # leads to the last frame
    other = evaluate(Futures(model), clips_of(pixels, changed))
    same = np.isclose(scores.values["psnr"], other.values["psnr"], rtol=1e-4).all(axis=(0, 1))
    assert same.tolist() == [True, True, True, False]


def test_noise_of_a_row_has_a_stream_of_its_own() -> None:
    noise = draw_noise(1, range(200), 3, 40)
    torch.testing.assert_close(noise[7:9, :2], draw_noise(1, range(7, 9), 2, 40))
    assert noise.mean().abs() < 0.03 and (noise.std() - 1).abs() < 0.03
    assert len(torch.unique(noise[:, :, 0])) == 600


def test_what_cannot_be_evaluated() -> None:
    class Diverging(Toy):
        def decode(self, watched, states):
            return super().decode(watched, states * float("nan"))

    with pytest.raises(DataError, match="clip 0 are not finite"):
        evaluate(Diverging(), ramps(2))
    for settings in ({"seed": -1}, {"batch_size": 0}):
        with pytest.raises(ConfigError, match="-1|0"):
            evaluate(Toy(), ramps(1), **settings)


def test_clips_that_are_normalised_by_one_another_are_never_alone() -> None:
    """Five in batches of four are five together; without such norms, they are four and one."""
    model = tiny_svg(batch_statistics=True)
    clips = srvp_clips(model, 5, 7)
    found = evaluate(SVGFutures(model), clips, batch_size=4).values
    whole = evaluate(SVGFutures(model), clips, batch_size=5).values
    np.testing.assert_array_equal(found["psnr"], whole["psnr"])
    toy = Toy()
    evaluate(toy, ramps(5), batch_size=4)
    assert [shape[0] for shape in toy.watched] == [4, 1]


def test_a_batch_of_one_is_refused_before_any_clip_is_read() -> None:
    futures = SVGFutures(tiny_svg(batch_statistics=True))
    for count, batch_size, flag in ((5, 1, "--batch-size"), (1, 4, "--videos")):
        clips = replace(ramps(count), read=None)
        with pytest.raises(ConfigError, match=f"{flag} 2 or more"):
            evaluate(futures, clips, batch_size=batch_size)
