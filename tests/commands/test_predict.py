import av
import numpy as np
import pytest
from command import run
from PIL import Image
from worlds import tiny_world

from srvp_world.checkpoint import load
from srvp_world.data.episodes import read_slice
from srvp_world.pictures import BORDER, IMAGINED, PAPER, UNSEEN, WATCHED
from srvp_world.prediction import hold


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tiny_world("none").save(tmp_path_factory.mktemp("world") / "video.safetensors")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Six grey frames of blocks, of the world's size."""
    path = tmp_path_factory.mktemp("clip") / "clip.npy"
    coarse = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8)
    np.save(path, coarse.repeat(8, axis=1).repeat(8, axis=2))
    return path


@pytest.fixture
def episode(shop):
    return sorted(shop.data.glob("*.safetensors"))[0]


def arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file}


def test_an_npz_says_all_that_is_needed_to_use_it(world, clip, tmp_path, capsys):
    line = f"predict {world} {clip} --horizon 5 --samples 3 --seed 2 --quiet"
    assert run(f"{line} --substeps 4 --conditioning 2 --out {tmp_path}/new/a.npz") == 0
    said = f"{tmp_path}/new/a.npz: 3 futures of 5 steps after 2 watched frames, "
    assert capsys.readouterr().out == f"{said}25 frames at 60 per second\n"
    content = arrays(tmp_path / "new" / "a.npz")
    given = np.load(clip)
    assert content["frames"].shape == (3, 25, 32, 32, 1)
    assert np.array_equal(content["frames"][1, :5], hold(given[:2], 4))
    assert np.array_equal(content["clip"], given)
    expected = {"fps": 60, "conditioning": 2, "frames_per_step": 4, "substeps": 4, "seed": 2}
    assert {name: content[name].item() for name in expected} == expected
    assert content["world"].item() == load(world).fingerprint


def test_futures_follow_the_seed_and_the_mean_knows_no_chance(world, clip, tmp_path):
    def frames(flags):
        line = f"predict {world} {clip} --horizon 3 --quiet --out {tmp_path}/a.npz {flags}"
        assert run(line) == 0
        return arrays(tmp_path / "a.npz")["frames"]

    four = frames("")
    assert len(np.unique(four, axis=0)) == 4
    assert np.array_equal(four, frames("--seed 0"))
    assert not np.array_equal(four, frames("--seed 1"))
    assert not np.array_equal(four, frames("--temperature 3"))
    mean = frames("--mean")
    assert len(mean) == 1 and np.array_equal(mean, frames("--mean --seed 1"))


@pytest.mark.parametrize(("flags", "times"), [("", 1), ("--substeps 2", 2)])
def test_a_film_has_truth_and_futures_with_their_borders(world, clip, tmp_path, flags, times):
    line = f"predict {world} {clip} --horizon 4 --conditioning 4 --samples 2 --scale 2 --quiet"
    assert run(f"{line} {flags} --out {tmp_path}/a.mp4") == 0
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert film.streams.video[0].average_rate == 15 * times
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
    side, given = 2 * (32 + 2 * BORDER), 1 + 3 * times
    assert len(frames) == 1 + 7 * times and frames[0].shape == (side, 3 * side, 3)
    for i, frame in enumerate(frames):
        truth, *futures = (frame[1, x * side + 10 : (x + 1) * side - 10] for x in range(3))
        assert np.abs(futures - np.array(WATCHED if i < given else IMAGINED)).max() < 40
        blank = i >= 6 * times  # the clip has six frames
        expected = (PAPER,) * 3 if blank else WATCHED if i < given else UNSEEN
        assert np.abs(truth - expected).max() < 40


def test_a_gif_plays_at_the_speed_of_the_world_up_to_its_limit(world, clip, tmp_path, capsys):
    line = f"predict {world} {clip} --horizon 15 --samples 1 --quiet --out {tmp_path}/a.gif"
    for flags, total, slow in (
        ("", 1400, False),  # 6 + 15 frames at 15 a second
        ("--fps 10", 2100, False),
        ("--substeps 4", 1620, True),  # 81 frames
    ):
        assert run(f"{line} {flags}") == 0
        assert ("a GIF can show 50" in capsys.readouterr().out) == slow
        with Image.open(tmp_path / "a.gif") as image:
            times = []
            for i in range(image.n_frames):
                image.seek(i)
                times.append(image.info["duration"])
        assert sum(times) == total
    assert image.size == (4 * 36, 4 * 36)  # small frames are enlarged


def test_a_strip_shows_each_watched_frame_once(world, clip, tmp_path):
    line = f"predict {world} {clip} --horizon 3 --conditioning 4 --samples 2 --substeps 4"
    assert run(f"{line} --quiet --out {tmp_path}/a.png") == 0
    with Image.open(tmp_path / "a.png") as image:
        picture = np.asarray(image)
    assert picture.shape == (3 * 36, (4 + 3 * 4) * 36, 3)
    given = np.load(clip)
    for row in range(3):
        for i in range(4):
            cell = picture[36 * row + 2 : 36 * row + 34, 36 * i + 2 : 36 * i + 34]
            assert (cell == given[i]).all()
    assert (picture[36:, 4 * 36 :][0] == IMAGINED).all()


def test_videos_of_another_shape_are_used_and_this_is_said(world, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(3):
        frame = np.full((48, 96, 3), 80 * i, np.uint8)
        frame[:, 48:] = 255
        Image.fromarray(frame).save(images / f"{i}.png")
    line = f"predict {world} {images} --horizon 1 --samples 1 --quiet --out {tmp_path}/a.npz"
    assert run(line) == 0
    first, _ = capsys.readouterr().out.splitlines()
    for words in ("squashed", "--crop", "from 48 x 96 to 32 x 32", "turned to grey"):
        assert words in first
    assert arrays(tmp_path / "a.npz")["clip"][1, 0, [0, -1], 0].tolist() == [80, 255]
    assert run(f"{line} --crop 0 0 48 48 --start 1") == 0
    first, _ = capsys.readouterr().out.splitlines()
    assert "resized from 48 x 48 to 32 x 32" in first and "squashed" not in first
    assert arrays(tmp_path / "a.npz")["clip"][:, 5, 5, 0].tolist() == [80, 160]


def test_a_long_clip_is_watched_at_its_end_only(world, tmp_path, capsys):
    frames = np.arange(100, dtype=np.uint8)[:, None, None].repeat(32, 1).repeat(32, 2)
    np.save(tmp_path / "long.npy", frames)
    line = f"predict {world} {tmp_path}/long.npy --horizon 1 --samples 1 --quiet"
    assert run(f"{line} --out {tmp_path}/a.npz") == 0
    assert "after 64 watched frames" in capsys.readouterr().out
    assert arrays(tmp_path / "a.npz")["clip"][:, 0, 0, 0].tolist() == list(range(36, 100))


def test_experience_is_imagined_with_its_own_actions(shop, episode, tmp_path, capsys):
    recorded = read_slice(episode).frames
    line = f"predict {shop.world} {episode} --samples 2 --quiet --out {tmp_path}/a.npz"
    assert run(f"{line} --horizon 5") == 0  # 8 actions
    assert "after 4 watched frames" in capsys.readouterr().out
    content = arrays(tmp_path / "a.npz")
    assert np.array_equal(content["clip"], recorded)
    assert content["frames"].shape == (2, 9, *recorded.shape[1:])
    assert run(f"{line} --horizon 8 --conditioning 1") == 0  # from the start of an episode


def test_experience_that_is_too_short(shop, episode, refused, tmp_path):
    line = f"predict {shop.world} {episode} --out {tmp_path}/a.npz"
    refused(f"{line} --horizon 9", "8 actions", "9 steps", "smaller --horizon")
    refused(f"{line} --horizon 5 --conditioning 5", "8 actions", "5 steps after 5 frames")
    refused(f"{line} --horizon 2 --conditioning 1 --start 1", "at least 2 frames, got 1")
    refused(f"{line} --every 2", "every must be 1, got 2")


def test_clips_that_cannot_be_used(shop, world, clip, refused, tmp_path):
    out = f"--out {tmp_path}/a.gif"
    refused(f"predict {world} {tmp_path}/none.mp4 {out}", "none.mp4")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    refused(f"predict {world} {broken} {out}", "broken.mp4")
    refused(f"predict {world} {world} {out}", world.name, "not an episode")
    refused(f"predict {world} {clip} {out} --start 6", "6 frames", "from frame 6 on")
    refused(f"predict {world} {clip} {out} --start 5", "at least 2 frames, got 1")
    refused(f"predict {world} {clip} {out} --conditioning 1", "at least 2 frames, got 1")
    refused(f"predict {world} {clip} {out} --conditioning 7", "6 frames", "--conditioning 7")
    refused(f"predict {world} {clip} {out} --crop 0 0 40 32", "(0, 0, 40, 32)", "smaller")
    refused(f"predict {shop.world} {clip} {out}", "takes actions", "episode file")
    assert not (tmp_path / "a.gif").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--horizon 0", ["--horizon", "at least 1", "0"]),
        ("--samples 0", ["--samples", "at least 1", "0"]),
        ("--substeps 0", ["--substeps", "at least 1", "0"]),
        ("--substeps -4", ["--substeps", "at least 1", "-4"]),
        ("--conditioning 0", ["--conditioning", "at least 1", "0"]),
        ("--scale 0", ["--scale", "at least 1", "0"]),
        ("--fps 0", ["--fps", "above 0"]),
        ("--fps nan", ["--fps", "above 0", "nan"]),
        ("--start -1", ["start", "-1"]),
        ("--every 0", ["every", "0"]),
        ("--temperature -1", ["temperature", "-1"]),
        ("--mean --samples 2", ["--mean", "--samples"]),
        ("--device tpu9", ["'tpu9'", "use 'cpu'"]),
    ],
)
def test_impossible_settings(world, clip, refused, tmp_path, flags, words):
    refused(f"predict {world} {clip} --out {tmp_path}/a.gif {flags}", *words)


def test_names_that_cannot_be_written(world, clip, refused, tmp_path):
    line = f"predict {world} {clip} --quiet --horizon 1 --out"
    refused(f"{line} {tmp_path}/a.webm", "a.webm", ".gif .mp4 .png .npz")
    assert run(f"{line} {tmp_path}/a.gif") == 0
    again = f"predict {world} {tmp_path}/a.gif --out {tmp_path}/a.gif"
    refused(again, "would overwrite the clip")
    (tmp_path / "file").write_text("")
    refused(f"{line} {tmp_path}/file/a.gif", "cannot make folder")
