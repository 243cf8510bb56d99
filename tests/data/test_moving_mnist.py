import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from srvp_world.data import mnist, moving_mnist
from srvp_world.data.mnist import shipped_digits
from srvp_world.data.moving_mnist import (
    MAX_SPEED,
    ROOM,
    MovingDigits,
    draw,
    move,
    random_trajectories,
)
from srvp_world.errors import ConfigError
from srvp_world.world import Shard

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/moving_mnist_test_sets.json").read_text())


def rng(seed=0):
    return np.random.default_rng(seed)


def random_starts(n, seed=0):
    draws = rng(seed)
    return draws.integers(0, ROOM + 1, (n, 2)), draws.integers(-MAX_SPEED, MAX_SPEED + 1, (n, 2))


@pytest.mark.parametrize(("name", "length"), [("stochastic", 25), ("deterministic", 100)])
def test_test_sets_equal_the_originals_bit_for_bit(name, length):
    golden = GOLDEN[name]
    assert golden["shape"][0] == length
    movement = moving_mnist.test_trajectories(stochastic=name == "stochastic", length=length)
    images = mnist.test_digits().images[movement.digits]
    digest = hashlib.sha256()
    for t in range(length):  # time first, as the original stores them; never all in memory
        digest.update(draw(images, movement.positions[:, t : t + 1]).tobytes())
    assert digest.hexdigest() == golden["sha256"]


def test_test_set_is_videos_first_and_its_first_videos_are_those_of_the_whole():
    videos = moving_mnist.test_set(stochastic=True, length=25, videos=3)
    assert videos.shape == (3, 25, 64, 64) and videos.dtype == np.uint8
    assert (
        hashlib.sha256(videos[0].tobytes()).hexdigest()
        == GOLDEN["stochastic"]["first_video_sha256"]
    )


def test_every_test_digit_is_used_once():
    movement = moving_mnist.test_trajectories(stochastic=False, length=1)
    assert np.array_equal(np.sort(movement.digits.ravel()), np.arange(10_000))


def test_digits_fly_straight_until_they_hit_a_wall():
    positions, speeds = move(np.array([[10, 20]]), np.array([[3, -2]]), 6, None)
    assert np.array_equal(positions[0], 10 + np.arange(6)[:, None] * [3, -2] + [0, 10])
    assert (speeds == [3, -2]).all()


def test_a_bounce_uses_up_the_frame():
    positions, speeds = move(np.array([[34, 5], [1, 35]]), np.array([[4, 0], [-4, 3]]), 3, None)
    assert np.array_equal(positions[0], [[34, 5], [34, 5], [30, 5]])  # two pixels there, two back
    assert np.array_equal(speeds[0], [[4, 0], [-4, 0], [-4, 0]])
    # It hits the left wall after a quarter of the frame and the lower one after a third.
    assert np.allclose(positions[1, 1], [3, 34])
    assert np.array_equal(speeds[1, 1], [4, -3])


def test_a_corner_sends_a_digit_back_where_it_came_from():
    positions, speeds = move(np.array([[34, 34]]), np.array([[4, 4]]), 2, None)
    assert np.allclose(positions[0, 1], [34, 34]) and np.array_equal(speeds[0, 1], [-4, -4])


def test_deterministic_digits_are_mirror_images_of_free_flight():
    """Unfolding the walls turns reflections into a straight line."""
    start, speed = random_starts(500)
    positions, speeds = move(start, speed, 60, None)
    free = start[:, None] + np.arange(60)[:, None] * speed[:, None]
    folded = np.abs((free + ROOM) % (2 * ROOM) - ROOM)
    assert np.allclose(positions, folded, atol=1e-6)
    assert np.array_equal(np.abs(speeds), np.abs(speed)[:, None].repeat(60, axis=1))


def test_stochastic_speeds_change_at_walls_alone():
    start, speed = random_starts(2000)
    draws = rng(1)
    positions, speeds = move(
        start, speed, 40, lambda n: draws.integers(-MAX_SPEED, MAX_SPEED + 1, (n, 2))
    )
    assert positions.min() >= -1e-8 and positions.max() <= ROOM + 1e-8
    ahead = positions[:, :-1] + speeds[:, :-1]
    free = ((ahead >= -1e-8) & (ahead <= ROOM + 1e-8)).all(axis=-1)
    assert 0.5 < free.mean() < 0.99
    assert np.array_equal(positions[:, 1:][free], ahead[free])
    assert np.array_equal(speeds[:, 1:][free], speeds[:, :-1][free])
    assert len(np.unique(speeds[:, 1:][~free], axis=0)) == 81  # each of the speeds occurs


def test_a_new_speed_leads_away_from_the_wall_that_was_hit():
    start = np.array([[2, 18], [34, 18], [18, 2], [18, 34]])
    speed = np.array([[-4, 1], [4, 1], [1, -4], [1, 4]])
    for drawn in ([2, 3], [-2, -3], [2, -3]):
        _, speeds = move(start, speed, 2, lambda n, drawn=drawn: np.tile(drawn, (n, 1)))
        x, y = drawn
        expected = [[abs(x), y], [-abs(x), y], [x, abs(y)], [x, -abs(y)]]
        assert np.array_equal(speeds[:, 1], expected)


def test_many_digits_move_as_each_does_alone():
    """Training moves digits together; the stochastic test set, one by one."""
    start, speed = random_starts(200, seed=3)

    def redraw(n):
        return np.tile([3, -2], (n, 1))

    together = move(start, speed, 30, redraw)
    for row in range(200):
        alone = move(start[[row]], speed[[row]], 30, redraw)
        assert all(np.array_equal(a[0], b[row]) for a, b in zip(alone, together, strict=True))


def test_drawing_puts_digits_at_the_nearest_pixel_and_adds_them_up_to_white():
    images = np.zeros((1, 2, 28, 28), np.uint8)
    images[0, 0, 0, 0], images[0, 1, 0, 0] = 200, 100
    positions = np.array([[[[3.4, 5.6], [10, 20]], [[7, 7], [7, 7]]]])
    frames = draw(images, positions)
    expected = np.zeros((1, 2, 64, 64), np.uint8)
    expected[0, 0, 3, 6], expected[0, 0, 10, 20], expected[0, 1, 7, 7] = 200, 100, 255
    assert np.array_equal(frames, expected)


def test_drawing_many_clips_is_drawing_each():
    movement = random_trajectories(rng(), 230, 3, stochastic=True, images=50)
    images = shipped_digits().images[movement.digits]
    frames = draw(images, movement.positions)
    for i in (0, 99, 100, 229):
        assert np.array_equal(frames[i], draw(images[[i]], movement.positions[[i]])[0])


def test_training_clips_have_the_statistics_of_the_test_set():
    movement = random_trajectories(rng(), 800, 25, stochastic=True, images=10_000)
    test = moving_mnist.test_trajectories(stochastic=True, length=25, videos=800)
    for mine, theirs in ((movement.positions, test.positions), (movement.speeds, test.speeds)):
        error = 5 * theirs.std() * np.sqrt(2 / mine[:, 0, :, 0].size)
        assert np.allclose(mine.mean(axis=(0, 2)), theirs.mean(axis=(0, 2)), atol=error)
        assert np.allclose(mine.std(axis=(0, 2)), theirs.std(axis=(0, 2)), rtol=0.1)
    assert movement.digits.min() < 100 and movement.digits.max() > 9_900


def source(**changes):
    settings = {"stochastic": True, "batch_size": 4, "window": 6, "seed": 0}
    return MovingDigits(shipped_digits(), **{**settings, **changes})


def test_a_batch_is_that_of_its_seed_and_iteration():
    frames = source().batch(3).frames
    assert frames.shape == (4, 6, 1, 64, 64)
    assert frames.min() == 0 and frames.max() == 1
    assert frames.equal(source().batch(3).frames)
    for other in (source().batch(4), source(seed=1).batch(3), source(stochastic=False).batch(9)):
        assert not frames.equal(other.frames)


def test_frames_are_pixels_over_255():
    frames = source().batch(0).frames.numpy()
    assert np.array_equal((frames * 255).round().astype(np.uint8) / np.float32(255), frames)


def test_shards_are_the_rows_of_the_whole_batch():
    whole = source().batch(5)
    for ranks in (1, 2, 4):
        parts = [source().batch(5, Shard(rank, ranks)) for rank in range(ranks)]
        joined = np.concatenate([part.frames.numpy() for part in parts])
        assert np.array_equal(joined, whole.frames.numpy())
    with pytest.raises(ConfigError, match="evenly"):
        source().batch(5, Shard(0, 3))


def test_only_the_stochastic_set_loses_its_speed_at_walls():
    draws = rng(2)
    for stochastic in (True, False):
        speeds = random_trajectories(draws, 200, 40, stochastic=stochastic, images=9).speeds
        kept = (np.abs(speeds[:, :1]) == np.abs(speeds)).all()
        assert kept == (not stochastic)
