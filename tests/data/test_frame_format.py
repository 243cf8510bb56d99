import numpy as np
import pytest
from PIL import Image

from srvp_world.data.frame_format import FrameFormat
from srvp_world.errors import ConfigError

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)


def test_the_crop_comes_first_and_a_frame_of_the_right_size_stays_as_it_is():
    frame = FrameFormat(32, 3, (10, 20, 32, 32)).apply(IMAGE, "image")
    np.testing.assert_array_equal(frame, IMAGE[10:42, 20:52])
    frame[:] = 0  # ours to write
    assert IMAGE.any()


def test_box_averages_areas_and_squashes_what_is_not_square():
    frame = FrameFormat(32, 3).apply(IMAGE, "image").astype(float)
    expected = IMAGE.reshape(32, 2, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(frame - expected).max() <= 1.5  # rounded once for rows, once for columns


@pytest.mark.parametrize("resample", ["bicubic", "lanczos"])
def test_the_other_filters_are_pillows(resample):
    frame = FrameFormat(32, 3, resample=resample).apply(IMAGE, "image")
    expected = Image.fromarray(IMAGE).resize((32, 32), getattr(Image.Resampling, resample.upper()))
    np.testing.assert_array_equal(frame, np.array(expected))
    assert (frame != FrameFormat(32, 3).apply(IMAGE, "image")).any()


def test_grey_is_the_luma_of_colour_and_colour_of_grey_has_equal_channels():
    luma = IMAGE[:32, :32] @ [0.299, 0.587, 0.114]
    grey = FrameFormat(32, 1).apply(IMAGE[:32, :32], "image")
    assert grey.shape == (32, 32, 1) and np.abs(grey[..., 0] - luma).max() <= 1
    colour = FrameFormat(32, 3).apply(grey, "image")
    np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=2))
    np.testing.assert_array_equal(FrameFormat(32, 1).apply(colour, "image"), grey)


@pytest.mark.parametrize("crop", [(0, 0, 65, 9), (-1, 0, 9, 9), (0, 120, 9, 9), (0, 0, 0, 9)])
def test_a_crop_outside_the_image_names_the_image(crop):
    with pytest.raises(ConfigError, match="64 x 128 image of clip.mp4"):
        FrameFormat(32, 3, crop).apply(IMAGE, "clip.mp4")


@pytest.mark.parametrize(
    ("settings", "words"),
    [((63, 1), "63"), ((64, 2), "channels"), ((64, 1, None, "nearest"), "'nearest'")],
)
def test_settings_that_no_model_takes(settings, words):
    with pytest.raises(ConfigError, match=words):
        FrameFormat(*settings)
