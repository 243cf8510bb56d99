import pytest
import torch
from torch import Tensor
from torch.nn import functional

from srvp_world.errors import DataError
from srvp_world.metrics.frechet import Moments, frechet_distance
from srvp_world.metrics.fvd import FrechetVideoDistance, prepare, resize, video_features


def clips(n: int = 6, t: int = 9, c: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, t, c, 8, 8), dtype=torch.uint8, generator=generator)


class Steps:
    """Two features of every half of a clip: brightness, and that of the first channel's corner."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        halves = x.tensor_split(2, dim=2)
        rows = [torch.stack([h.mean(dim=(1, 2, 3, 4)), h[:, 0, :, 0, 0].mean(1)]) for h in halves]
        return torch.stack(rows, dim=-1).movedim(1, 0)


def test_frames_are_resized_as_in_tensorflow_1() -> None:
    """Pixel i looks at i * 2 / 4, and behind the last pixel lies the last pixel."""
    row = torch.tensor([[0.0, 10.0]])
    assert resize(row, 4).tolist() == 4 * [[0, 5, 10, 10]]
    assert resize(row.T, 4).tolist() == [4 * [0], 4 * [5], 4 * [10], 4 * [10]]
    later = functional.interpolate(row[None], size=4, mode="linear")  # half-pixel centres
    assert later[0, 0].tolist() == [0, 2.5, 7.5, 10]
    corner = resize(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 4)
    assert corner[1].tolist() == [2, 2.5, 3, 3]


def test_every_seventh_of_224_pixels_is_every_second_of_64() -> None:
    frame = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    found = resize(frame, 224)
    torch.testing.assert_close(found[::7, ::7], frame[::2, ::2], rtol=1e-5, atol=1e-5)
    between = (1 * frame[0, 0] + 6 * frame[0, 1]) / 7  # pixel 3 looks at 6 / 7
    assert found[0, 3].item() == pytest.approx(between.item(), abs=1e-6)
    torch.testing.assert_close(found[-1, -1], frame[-1, -1])


def test_clips_become_what_the_network_takes() -> None:
    grey = torch.zeros(2, 9, 1, 8, 8, dtype=torch.uint8)
    grey[:, 4] = 255
    ready = prepare(grey)
    assert ready.shape == (2, 3, 9, 224, 224)
    torch.testing.assert_close(ready[:, :, 4], torch.ones(2, 3, 224, 224))
    torch.testing.assert_close(ready[:, :, 3], -torch.ones(2, 3, 224, 224))
    colour = torch.arange(3, dtype=torch.uint8)[:, None, None].expand(1, 9, 3, 8, 8)
    levels = prepare(colour)[0, :, 0, 0, 0]
    torch.testing.assert_close(levels, 2 * torch.arange(3) / 255 - 1)


def test_features_are_averaged_over_time_in_small_pieces() -> None:
    network = Steps()
    found = video_features(network, clips(3, 50))
    assert network.seen == [(2, 3, 50, 224, 224), (1, 3, 50, 224, 224)]
    expected = network(prepare(clips(3, 50))).mean(dim=2)
    torch.testing.assert_close(found, expected)


def test_sets_of_samples_are_compared_on_their_own_and_the_truth_is_looked_at_once() -> None:
    truth, first, second = clips(), clips(seed=1), clips(seed=2)
    network = Steps()
    distance = FrechetVideoDistance(network, samples=2)
    for part in (slice(0, 2), slice(2, 6)):
        distance.add_truth(truth[part])
        distance.add_sample(1, second[part])
        distance.add_sample(0, first[part])
    assert sum(shape[0] for shape in network.seen) == 3 * 6
    fits = []
    for each in (truth, first, second):
        moments = Moments()
        moments.add(video_features(network, each))
        fits.append(moments.gaussian())
    expected = [frechet_distance(fits[0], fit) for fit in fits[1:]]
    assert distance.distances() == pytest.approx(expected, rel=1e-6)
    assert abs(expected[0] - expected[1]) > 1e-6


def test_brighter_videos_are_as_far_as_they_are_brighter() -> None:
    """Features move by 2 * 51 / 255 in both numbers, and keep their covariance."""
    dark = clips() // 2
    distance = FrechetVideoDistance(Steps(), samples=1)
    distance.add_truth(dark)
    distance.add_sample(0, dark + 51)
    assert distance.distances() == pytest.approx([2 * 0.4**2], rel=1e-4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (clips().float() / 255, r"of uint8, got torch.float32: .* \(255 \* clips\).byte\(\)"),
        (clips(t=8), "9 frames at least, got 8: give longer ones"),
        (clips(0), r"got the shape \(0, 9, 1, 8, 8\): give at least one"),
        (clips().movedim(2, -1), r"\(b, t, c, h, w\) of 1 or 3 channels, .*\(6, 9, 8, 8, 1\)"),
        (clips()[0], r"got the shape \(9, 1, 8, 8\)"),
    ],
)
def test_clips_that_would_be_taken_for_others(given: Tensor, words: str) -> None:
    network = Steps()
    distance = FrechetVideoDistance(network, samples=1)
    for add in (distance.add_truth, lambda given: distance.add_sample(0, given)):
        with pytest.raises(DataError, match=words):
            add(given)
    assert not network.seen and not distance.truth.count


def test_one_clip_has_no_distance() -> None:
    distance = FrechetVideoDistance(Steps(), samples=2)
    for add, words in (
        (lambda: None, "2 clips at least, .* has 0 of the truth: add more"),
        (lambda: distance.add_truth(clips()), "has 0 of sample 0: add more"),
        (lambda: distance.add_sample(0, clips()), "has 0 of sample 1"),
        (lambda: distance.add_sample(1, clips(1)), "has 1 of sample 1"),
    ):
        add()
        with pytest.raises(DataError, match=words):
            distance.distances()
    distance.add_sample(1, clips(1, seed=1))
    assert len(distance.distances()) == 2
