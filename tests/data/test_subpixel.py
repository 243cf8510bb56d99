import numpy as np
import pytest
import torch

from srvp_world.data.mnist import test_digits as digits_of_tests
from srvp_world.data.moving_mnist import draw, move
from srvp_world.data.moving_mnist import test_trajectories as trajectories_of_tests
from srvp_world.data.subpixel import centres, draw_between


@pytest.mark.parametrize("stochastic", [True, False])
def test_between_frames_digits_move_as_they_do_from_frame_to_frame(stochastic):
    settings = {"stochastic": stochastic, "length": 25, "videos": 60}
    coarse = trajectories_of_tests(**settings)
    fine = trajectories_of_tests(**settings, substeps=4)
    assert fine.positions.shape == (60, 97, 2, 2)
    np.testing.assert_allclose(fine.positions[:, ::4], coarse.positions, atol=1e-9)
    np.testing.assert_array_equal(fine.speeds[:, ::4], coarse.speeds)
    np.testing.assert_array_equal(fine.digits, coarse.digits)
    assert fine.positions.min() >= -1e-8 and fine.positions.max() <= 36 + 1e-8


def test_a_bounce_between_frames_happens_where_the_wall_is():
    positions, speeds = move(np.array([[34, 5]]), np.array([[4, 0]]), 2, None, substeps=4)
    np.testing.assert_array_equal(positions[0, :, 0], [34, 35, 36, 35, 34])
    np.testing.assert_array_equal(positions[0, :, 1], 5)
    np.testing.assert_array_equal(speeds[0, :, 0], [4, 4, 4, -4, -4])


def test_at_whole_pixels_digits_are_drawn_as_the_generator_draws_them():
    rng = np.random.default_rng(0)
    images = digits_of_tests().images[:6].reshape(3, 2, 28, 28)
    positions = rng.integers(0, 37, (3, 4, 2, 2)).astype(float)
    positions[0, 0] = [[36, 36], [0, 0]]
    drawn = draw_between(images, positions)
    np.testing.assert_allclose(drawn, draw(images, positions) / 255, atol=1e-6)


def test_between_pixels_a_digit_is_spread_in_parts():
    image = np.zeros((1, 1, 28, 28), np.uint8)
    image[0, 0, 3, 4] = 200
    frame = draw_between(image, np.array([[[[10.25, 20.5]]]]))[0, 0] * 255
    expected = {(13, 24): 75, (13, 25): 75, (14, 24): 25, (14, 25): 25}
    for place, value in expected.items():
        assert frame[place] == pytest.approx(value)
    assert frame.sum() == pytest.approx(200)


def test_overlaps_are_white_at_most():
    white = np.full((1, 2, 28, 28), 255, np.uint8)
    frame = draw_between(white, np.full((1, 1, 2, 2), 7.5))
    assert frame.max() == 1


def test_the_centre_of_mass_moves_with_the_digit():
    images = digits_of_tests().images[:2][:, None]
    positions = np.array([[0, 0], [36, 36], [7.3, 12.8], [20.5, 3]])[None, :, None]
    frames = torch.from_numpy(draw_between(images, np.repeat(positions, 2, axis=0)))
    own = centres(torch.from_numpy(images.astype(np.float32)))  # (2, 1, 2) within the image
    expected = own + torch.from_numpy(positions[0, :, 0]).float()
    torch.testing.assert_close(centres(frames), expected, atol=1e-3, rtol=0)
    assert centres(torch.zeros(1, 64, 64)).isnan().all()
