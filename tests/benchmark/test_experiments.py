"""What experiments measure, on videos whose scores are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from einops import rearrange
from worlds import random_frames, tiny_model

from srvp_world.benchmark import frame_rate
from srvp_world.benchmark.content_swap import (
    average,
    ideal,
    nearest,
    replace_digits,
    score_swap,
    with_next_content,
)
from srvp_world.benchmark.experiment import Truth, moving_truth
from srvp_world.benchmark.frame_rate import best, blend, score_rate
from srvp_world.benchmark.imagination_cost import compare, svg_like
from srvp_world.benchmark.interpolation import average_spread, score_centres
from srvp_world.benchmark.interpolation_pairs import FRACTIONS, between, draw_pair, true_path
from srvp_world.benchmark.long_term import parts
from srvp_world.benchmark.protocols import PROTOCOLS, Protocol, open_clips
from srvp_world.benchmark.video import draw_noise
from srvp_world.data.subpixel import centres, draw_between, spread
from srvp_world.model.sampling import Futures
from srvp_world.world import Observation

MMNIST = Protocol(name="mmnist", conditioning=3, horizon=4, videos=2)


def test_states_between_frames_lie_on_the_way_to_those_of_frames():
    model = tiny_model("none", reward=False, continuation=False)
    futures = Futures(model, substeps=4)
    with torch.no_grad():
        watched = futures.watch(random_frames(2, 3, model))
        noise = draw_noise(0, range(2), 3, futures.noise_size(3, 2))
        whole = futures.imagine(watched, noise, 2)
        every = futures.imagine(watched, noise, 2, intermediate=True)
    assert every.shape == (2, 3, 8, model.config.state_dim)
    torch.testing.assert_close(every[:, :, 3::4], whole)
    assert not torch.equal(every[:, :, 2], every[:, :, 3])


@pytest.fixture(scope="module")
def moving():
    """Frames of the test set, and what is true of them between their times."""
    clips = open_clips(MMNIST)
    frames = rearrange(torch.from_numpy(clips.read(0, 2).frames), "n t h w c -> n t c h w") / 255
    return frames, moving_truth(MMNIST, clips, 4)


@pytest.mark.parametrize("rate", [2, 4])
def test_true_frames_score_best_and_mixtures_of_them_do_not(moving, rate):
    frames, truth = moving
    true = frame_rate._true_frames(frames, truth, slice(0, 2), rate, MMNIST)
    assert true.shape == (2, 4 * rate, 1, 64, 64)
    torch.testing.assert_close(true[:, rate - 1 :: rate], frames[:, 3:])
    first = torch.from_numpy(draw_between(truth.images, truth.positions[:, 8 + 4 // rate][:, None]))
    torch.testing.assert_close(true[:, 0, 0], first[:, 0])
    wrong = torch.zeros_like(true)
    numbers = best(score_rate(torch.stack([wrong, true], dim=1), true, rate))
    assert numbers["psnr"]["whole"]["mean"] == numbers["psnr"]["between"]["mean"] == 100
    assert numbers["ssim"]["between"]["mean"] == pytest.approx(1, abs=1e-5)
    assert numbers["psnr"]["blended"]["mean"] < 40 and numbers["psnr"]["whole"]["interval"] == 0


def test_mixtures_are_paler_and_their_differences_are_taken_clip_by_clip(moving):
    frames, truth = moving
    true = frame_rate._true_frames(frames, truth, slice(0, 2), 2, MMNIST)
    scores = score_rate(true[:, None], true, 2)
    numbers = best(scores)
    assert numbers["contrast"]["between"]["mean"] > numbers["contrast"]["blended"]["mean"] + 0.1
    each = (scores.between["psnr"] - scores.blended["psnr"]).mean(axis=(1, 2))
    found = numbers["psnr"]["between_less_blended"]
    assert found["mean"] == pytest.approx(each.mean())
    assert found["interval"] == pytest.approx(1.96 * each.std() / np.sqrt(2))
    black = best(score_rate(torch.zeros_like(true)[:, None], true, 2))
    assert black["psnr"]["black"] == black["psnr"]["between"]
    half = frame_rate.contrast(torch.full((1, 1, 3, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 1, 2, 2))
    assert half.tolist() == [[[0.25] * 3]]


def test_the_sample_is_chosen_by_whole_frames_alone(moving):
    frames, truth = moving
    true = frame_rate._true_frames(frames, truth, slice(0, 2), 2, MMNIST)
    between_only, whole_only = true.clone(), true.clone()
    between_only[:, 1::2] = 1
    whole_only[:, ::2] = 1
    numbers = best(score_rate(torch.stack([between_only, whole_only], dim=1), true, 2))
    assert numbers["psnr"]["whole"]["mean"] == 100 and numbers["psnr"]["between"]["mean"] < 10


def test_mixtures_stand_in_the_order_of_time():
    whole = torch.tensor([0.0, 4.0, 8.0]).reshape(1, 1, 3, 1, 1, 1)
    assert blend(whole, 4).flatten().tolist() == [1, 2, 3, 5, 6, 7]
    assert blend(whole, 2).flatten().tolist() == [2, 6]
    assert frame_rate._inner(torch.arange(12), 0, 4).tolist() == [4, 5, 6, 8, 9, 10]


def test_nothing_is_said_of_what_lies_between_where_nobody_knows():
    frames = torch.rand(1, 3, 1, 32, 32)
    scores = score_rate(frames[:, None].repeat_interleave(2, dim=2), frames, 2)
    assert scores.between is None and scores.blended is None
    assert (scores.whole["psnr"] == 100).all()


def test_a_perfect_swap_has_no_error_and_no_swap_has(moving):
    frames, truth = moving
    at_frames = Truth(truth.images, truth.positions[:, ::4])
    aims = ideal(at_frames, slice(0, 2))
    for way in range(2):
        scores = score_swap(aims[:, way], frames, aims)
        assert (scores["psnr_ideal"] == 100).all() and (scores["centre_error"] == 0).all()
        assert (scores["psnr_dynamics"] < 30).all() and (scores["psnr_content"] < 30).all()
        assert scores["centre_error_content"].mean() > 1
    unmoved = score_swap(frames.roll(-1, 0), frames, aims)
    assert (unmoved["psnr_content"] == 100).all() and unmoved["centre_error"].mean() > 1
    static = score_swap(frames, frames, aims)
    assert (static["psnr_dynamics"] == 100).all() and (static["psnr_ideal"] < 30).all()
    assert set(score_swap(frames, frames, None)) == {"psnr_content", "psnr_dynamics"}


def test_a_third_clips_digits_go_the_same_ways_and_are_no_ones_content():
    protocol = Protocol(name="mmnist", conditioning=3, horizon=4, videos=5)
    truth = moving_truth(protocol, open_clips(protocol))
    third = replace_digits(truth, slice(3, 5), 5)
    at = Truth(truth.images[[0, 1]], truth.positions[3:5])
    assert torch.equal(third, ideal(Truth(at.images[::-1], at.positions), slice(0, 2)))
    assert torch.equal(nearest(third[:, 1], third), third[:, 1])


def test_black_frames_have_no_centre_and_are_counted():
    numbers = average({"centre_error": np.array([[1.0, np.nan, 3.0], [4.0, 4.0, 4.0]])})
    assert numbers["black"] == 1 and numbers["centre_error"]["mean"] == 3
    none = average({"centre_error": np.full((2, 2), np.nan)})
    assert none == {"centre_error": None, "black": 4}


def test_contents_change_hands_and_states_do_not():
    model = tiny_model("none", skips=True, reward=False, continuation=False)
    with torch.no_grad():
        own = model.infer(Observation(random_frames(3, 4, model)), sample=False)
    swapped = with_next_content(own)
    assert torch.equal(swapped.y, own.y)
    assert torch.equal(swapped.content.w, own.content.w[[1, 2, 0]])
    for moved, maps in zip(swapped.content.skips, own.content.skips, strict=True):
        assert torch.equal(moved, maps[[1, 2, 0]])


def test_even_steps_between_true_centres_score_one():
    clips = [draw_pair(1, pair, 6, 1).clips for pair in range(3)]
    ends = [centres(torch.from_numpy(clip[..., 0]).double()) for clip in clips]
    true = torch.stack([between(*end) for end in ends]).numpy()
    assert true.shape == (3, FRACTIONS, 6, 2)
    perfect = score_centres(true, true)
    assert perfect["linearity"] == perfect["straightness"] == 1 and perfect["black"] == 0
    assert perfect["centre_error"]["mean"] == 0
    middle = np.broadcast_to(true.mean(axis=1, keepdims=True), true.shape)
    assert score_centres(middle, true)["linearity"] == pytest.approx(0)
    shifted = score_centres(true + 3, true)  # straight, but not where it should be
    assert shifted["straightness"] == pytest.approx(1) and shifted["linearity"] < 1
    assert shifted["centre_error"]["mean"] == pytest.approx(np.sqrt(18))
    jump = np.where(np.arange(FRACTIONS)[:, None, None] < 5, true[:, :1], true[:, -1:])
    assert score_centres(jump, true)["straightness"] < 0.9


def test_digits_between_two_clips_start_between_them_and_bounce_as_theirs_do():
    pair = draw_pair(3, 1, 30, 2)
    true = true_path(pair, 4)
    assert true.shape == (FRACTIONS, 26, 2)
    own = centres(torch.from_numpy(pair.clips[:, 4:, ..., 0] / 255))
    overlap = torch.from_numpy(pair.clips[:, 4:].sum(axis=(2, 3, 4), dtype=np.int64))
    whole = overlap == overlap.max()  # where digits overlap, the picture has lost some mass
    assert whole.sum() > 20
    torch.testing.assert_close(true[[0, -1]][whole], own[whole])
    start, speed = (each[:, 0, 3].mean(axis=0) for each in (pair.positions, pair.speeds))
    alone = first_digit_alone(pair)
    moved = start + speed  # of the first digit, half-way, one frame later
    assert ((moved >= 0) & (moved <= 36)).all()
    mass = centres(torch.from_numpy(alone.images.astype(float)))[0].numpy()
    np.testing.assert_allclose(true_path(alone, 4)[FRACTIONS // 2, 0], moved + mass)


def first_digit_alone(pair):
    """Take the second digit out of a pair of clips."""
    positions, speeds = pair.positions[:, :1], pair.speeds[:, :1]
    return pair._replace(images=pair.images[:1], positions=positions, speeds=speeds)


def test_mass_in_two_places_is_further_from_its_centre():
    frames = torch.zeros(3, 9, 9)
    frames[0, 4, 4] = frames[1, 4, 1] = frames[1, 4, 7] = 1
    assert spread(frames).nan_to_num(-1).tolist() == [0, 3, -1]
    rows = np.array([[20, 1.0, 2.0, 4.0], [16, 3.0, 4.0, 8.0], [15, 99.0, 99.0, 99.0]])
    assert average_spread(rows) == {"ends": 2, "half_way": 3, "cross_fade": 6, "frames": 2}
    assert average_spread(rows[2:]) is None


def test_times_of_black_frames_do_not_count():
    true = between(torch.zeros(2, 2), torch.full((2, 2), 8.0))[None].numpy().astype(float)
    found = true.copy()
    found[0, 3, 0] = np.nan
    numbers = score_centres(found, true)
    assert numbers["linearity"] == 1 and numbers["black"] == 1
    assert score_centres(np.full_like(true, np.nan), true)["linearity"] is None


def test_clips_of_a_pair_show_the_same_digits_elsewhere():
    first, second = draw_pair(1, 0, 5, 2).clips
    assert first.shape == (5, 64, 64, 1) and not np.array_equal(first, second)
    np.testing.assert_array_equal(draw_pair(1, 0, 5, 2).clips, [first, second])
    one = draw_pair(1, 0, 5, 1).clips.astype(int).sum(axis=(2, 3, 4))
    assert (one == one[0, 0]).all()  # a digit alone is always whole


def test_scores_are_parted_where_training_clips_end():
    values = np.array([[1.0, 3.0, 5.0, 7.0]] * 2)
    numbers = parts(values, conditioning=5, trained=7)
    means = {name: part["mean"] for name, part in numbers.items()}
    assert means == {"all": 4, "within": 2, "beyond": 6}
    for trained, within, beyond in ((None, None, None), (4, None, 4), (5, None, 4), (9, 4, None)):
        found = parts(values, 5, trained)
        means = [found[part] and found[part]["mean"] for part in ("within", "beyond")]
        assert means == [within, beyond]


def test_costs_are_per_frame_and_ratios_of_the_same_round():
    numbers = compare([[1e-3, 2e-3, 1e-3], [2e-3, 4e-3, 2e-3], [6e-3, 12e-3, 3e-3]], batch=10)
    assert numbers == pytest.approx(
        {
            "latent_us": 100,
            "decoded_us": 200,
            "svg_us": 600,
            "svg_over_latent": 6,
            "svg_over_decoded": 3,
        }
    )


def test_svg_has_the_shape_of_the_worlds_frames():
    config = tiny_model("none", architecture="vgg", channels=3).config
    svg = svg_like(config)
    assert svg.frame_shape == (3, 32, 32) and svg.config.architecture == "vgg"
    assert svg.config.filters == config.filters and svg.config.code_dim == config.code_dim


def test_only_moving_mnist_is_known_between_frames():
    assert moving_truth(PROTOCOLS["kth"], SimpleNamespace(count=1)) is None
