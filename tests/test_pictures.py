import io

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from srvp_world.errors import OutputError
from srvp_world.pictures import (
    BORDER,
    IMAGINED,
    PAPER,
    UNSEEN,
    WATCHED,
    bordered,
    frames_to_gif,
    grid,
    side_by_side,
    strip,
    write_movie,
)

CONTEXT = 2


def random_clips(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def flat_clip(levels: list[int], height: int = 16, width: int = 16) -> np.ndarray:
    """Give grey frames of one brightness each."""
    return np.array(levels, np.uint8)[:, None, None, None].repeat(height, 1).repeat(width, 2)


def durations(gif: bytes) -> list[int]:
    with Image.open(io.BytesIO(gif)) as image:
        return [frame.info["duration"] for frame in ImageSequence.Iterator(image)]


def decode_gif(gif: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(gif)) as image:
        assert image.format == "GIF"
        return np.stack([np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_borders_are_green_then_red_around_untouched_frames(lead, channels) -> None:
    frames = random_clips(*lead, 5, 8, 6, channels)
    drawn = bordered(frames, CONTEXT)
    assert drawn.shape == (*lead, 5, 8 + 2 * BORDER, 6 + 2 * BORDER, 3)
    inside = drawn[..., BORDER:-BORDER, BORDER:-BORDER, :]
    assert np.array_equal(inside, np.broadcast_to(frames, inside.shape))
    edges = [drawn[..., i, :, :] for i in (0, 1, -2, -1)]
    edges += [drawn[..., i, :] for i in (0, 1, -2, -1)]
    for edge in edges:
        assert (edge[..., :CONTEXT, :, :] == WATCHED).all()
        assert (edge[..., CONTEXT:, :, :] == IMAGINED).all()
    assert (bordered(frames, CONTEXT, UNSEEN)[..., CONTEXT:, 0, :, :] == UNSEEN).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_truth_is_left_and_prediction_right(channels: int) -> None:
    truth, prediction = torch.rand(2, 3, 4, channels, 8, 6)
    layout = side_by_side(truth, prediction, CONTEXT)
    assert layout.shape == (4, 3 * (8 + 2 * BORDER), 2 * (6 + 2 * BORDER), 3)
    cells = layout.reshape(4, 3, 8 + 2 * BORDER, 2, 6 + 2 * BORDER, 3)
    inside = cells[:, :, BORDER:-BORDER, :, BORDER:-BORDER]
    for side, frames in enumerate((truth, prediction)):
        expected = frames.permute(1, 0, 3, 4, 2).expand(-1, -1, -1, -1, 3).mul(255).round().byte()
        assert np.array_equal(inside[:, :, :, side], expected.numpy())
    for edge in (cells[:, :, 0], cells[:, :, -1], cells[..., 0, :], cells[..., -1, :]):
        assert (edge[:CONTEXT] == WATCHED).all()
        assert (edge[CONTEXT:] == IMAGINED).all()


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (6, 1, 6), (7, 3, 3), (10, 3, 4)])
def test_a_grid_holds_every_clip_once(n, rows, columns) -> None:
    clips = random_clips(n, 2, 5, 7, 3)
    layout = grid(clips)
    assert layout.shape == (2, rows * 5, columns * 7, 3)
    for i in range(rows * columns):
        y, x = divmod(i, columns)
        cell = layout[:, 5 * y : 5 * y + 5, 7 * x : 7 * x + 7]
        assert np.array_equal(cell, clips[i]) if i < n else (cell == PAPER).all()


def test_a_strip_shows_time_from_left_to_right_and_wraps() -> None:
    rows = random_clips(2, 25, 4, 6, 1)
    picture = strip(rows[:, :20])
    assert picture.shape == (2 * 4, 20 * 6, 3)
    for row, time in ((0, 0), (1, 19)):
        cell = picture[4 * row : 4 * row + 4, 6 * time : 6 * time + 6]
        assert np.array_equal(cell, rows[row, time].repeat(3, axis=-1))
    wrapped = strip(rows, scale=2)  # 13 frames, then 12
    below = wrapped.shape[0] // 2 + 4  # half of the gap of 8 belongs to the upper half
    assert wrapped.shape == (2 * 16 + 8, 13 * 12, 3)
    assert np.array_equal(wrapped[below : below + 8 : 2, :12:2], rows[0, 13].repeat(3, axis=-1))
    assert (wrapped[:, -12:][below:] == PAPER).all()


def test_a_gif_decodes_to_its_frames() -> None:
    random = np.random.default_rng(0)
    frames = random.choice(np.array([0, 255], np.uint8), size=(6, 5, 7, 1))
    for channels in (1, 3):
        picture = np.repeat(frames, channels, axis=-1)
        expected = np.repeat(frames, 3, axis=-1).repeat(3, axis=1).repeat(3, axis=2)
        gif = frames_to_gif(picture, fps=10, scale=3)
        assert np.array_equal(decode_gif(gif), expected)
        with Image.open(io.BytesIO(gif)) as image:
            assert image.info["duration"] == 100
            assert image.info["loop"] == 0


@pytest.mark.parametrize(("fps", "total"), [(15, 2000), (24, 1250), (50, 600), (120, 600)])
def test_a_gif_is_as_long_as_its_rate_says_but_never_faster_than_50(fps, total) -> None:
    times = durations(frames_to_gif(flat_clip(list(range(0, 240, 8))), fps))
    assert len(times) == 30 and sum(times) == total
    assert max(times) - min(times) <= 10 and min(times) >= 20


def test_equal_neighbours_in_a_gif_share_a_frame_for_their_time() -> None:
    assert durations(frames_to_gif(flat_clip([0, 0, 0, 90]), fps=10)) == [300, 100]


@pytest.mark.parametrize(("height", "width", "scale"), [(16, 24, 1), (17, 23, 1), (17, 23, 2)])
def test_an_mp4_has_the_frames_and_an_even_size(tmp_path, height, width, scale) -> None:
    levels = list(range(10, 240, 20))
    path = tmp_path / "film.mp4"
    write_movie(path, flat_clip(levels, height, width), fps=12.5, scale=scale)
    with av.open(str(path)) as film:
        (stream,) = film.streams
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert float(stream.average_rate) == 12.5 and stream.pix_fmt == "yuv420p"
    even = (height * scale + height * scale % 2, width * scale + width * scale % 2, 3)
    assert [frame.shape for frame in frames] == [even] * len(levels)
    assert np.abs(np.array([frame.mean() for frame in frames]) - levels).max() < 4


def test_colours_survive_an_mp4(tmp_path) -> None:
    drawn = bordered(flat_clip([200] * 4, 32, 32), CONTEXT)
    write_movie(tmp_path / "film.mp4", drawn, fps=8, scale=2)
    with av.open(str(tmp_path / "film.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
    for i, colour in enumerate([WATCHED] * 2 + [IMAGINED] * 2):
        assert np.abs(frames[i][1, 10:-10] - colour).max() < 30


def test_clips_stand_side_by_side_in_a_film_and_below_each_other_in_a_strip(tmp_path) -> None:
    clips = random_clips(3, 4, 6, 8, 3) // 128 * 255  # few enough colours for a GIF
    write_movie(tmp_path / "a.gif", clips, fps=10, scale=2)
    gif = decode_gif((tmp_path / "a.gif").read_bytes())
    assert np.array_equal(gif, grid(clips).repeat(2, axis=1).repeat(2, axis=2))
    write_movie(tmp_path / "made" / "a.png", clips, fps=10)  # the folder, too
    with Image.open(tmp_path / "made" / "a.png") as image:
        assert np.array_equal(np.asarray(image), strip(clips))


def test_an_npz_holds_frames_as_they_are(tmp_path) -> None:
    clips = random_clips(2, 3, 5, 7, 1)
    write_movie(tmp_path / "a.npz", clips, fps=12.5, scale=3)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["fps", "frames"]
        assert np.array_equal(arrays["frames"], clips) and arrays["fps"] == 12.5
    write_movie(tmp_path / "b.npz", clips, fps=1, arrays={"x": np.arange(3)})
    with np.load(tmp_path / "b.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].tolist() for name in arrays} == {"x": [0, 1, 2]}


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path) -> None:
    clip = flat_clip([0, 1])
    for name in ("film.avi", "film"):
        with pytest.raises(OutputError, match=r"ends in \.gif \.mp4 \.png \.npz$"):
            write_movie(tmp_path / name, clip, fps=1)
    (tmp_path / "taken.gif").mkdir()
    with pytest.raises(OutputError, match="cannot write .*taken.gif"):
        write_movie(tmp_path / "taken.gif", clip, fps=1)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.gif"]
