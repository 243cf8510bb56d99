import io
import struct
import zipfile
import zlib

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image
from videos import CODECS, cut, noise, ramp, write_images, write_movie

from srvp_world.data import arrays
from srvp_world.data.video import frame_rate, list_videos, read_video
from srvp_world.errors import ConfigError, DataError


def read(path):
    return np.stack(list(read_video(path)))


@pytest.mark.parametrize("suffix", CODECS)
def test_every_frame_of_a_video_file_comes_in_order(tmp_path, suffix):
    frames = ramp()
    shown = read(write_movie(tmp_path / f"clip.{suffix}", frames)).astype(int)
    assert shown.shape[:3] == frames.shape[:3]
    assert shown.shape[3] == (1 if suffix == "mkv" else 3)  # the only one that tells it is grey
    flat = slice(8, 24), slice(40, 56)
    for columns in flat:  # away from the edge, where compression blurs
        assert np.abs(shown[:, :, columns] - frames[:, :, columns]).max() <= 4


def test_frame_rates(tmp_path):
    assert frame_rate(write_movie(tmp_path / "a.mp4", ramp(), rate=12)) == 12
    assert frame_rate(write_movie(tmp_path / "b.avi", ramp(), 30000 / 1001)) == 30000 / 1001
    assert frame_rate(write_movie(tmp_path / "c.gif", ramp(), rate=10)) == 10
    assert frame_rate(write_images(tmp_path / "images", ramp())) is None
    np.save(tmp_path / "d.npy", ramp())
    assert frame_rate(tmp_path / "d.npy") is None


@pytest.mark.skipif(
    not hasattr(VideoStream, "set_display_rotation"), reason="this PyAV cannot write such a video"
)
def test_a_phone_held_upright_gives_upright_frames(tmp_path):
    frames = ramp()
    frames[:, :24] = 0  # dark above
    for rotation, dark in ((90, np.s_[:, :24]), (-90, np.s_[:, 24:]), (180, np.s_[24:, :])):
        shown = read(write_movie(tmp_path / "turned.mp4", frames, rotation=rotation))[0]
        sides = rotation != 180
        assert shown.shape[:2] == ((64, 48) if sides else (48, 64))
        light = np.ones(shown.shape[:2], bool)
        light[dark] = False
        assert shown[~light].mean() < 10 < 100 < shown[light].mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_images_is_read_exactly_and_in_natural_order(tmp_path, channels):
    frames = noise(12, channels=channels)  # 0.png .. 11.png: 2 before 10
    folder = write_images(tmp_path / "images", frames)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not a frame")
    np.testing.assert_array_equal(read(folder), frames)


def test_a_folder_with_grey_and_coloured_images_is_in_colour(tmp_path):
    folder = write_images(tmp_path / "images", noise(3))
    grey = noise(1, channels=1)
    Image.fromarray(grey[0, :, :, 0]).save(folder / "3.png")
    shown = read(folder)
    np.testing.assert_array_equal(shown[:3], noise(3))
    np.testing.assert_array_equal(shown[3], np.repeat(grey[0], 3, axis=-1))


SHAPES = [  # of an array, of the clips in it, and the axes of one that give its frames
    ((6, 8, 9), [(6, 8, 9, 1)], "t h w"),
    ((6, 8, 9, 3), [(6, 8, 9, 3)], "t h w c"),
    ((6, 1, 8, 9), [(6, 8, 9, 1)], "t c h w"),
    ((7, 6, 8, 9), [(6, 8, 9, 1)] * 7, "n t h w"),
    ((2, 6, 8, 9, 3), [(6, 8, 9, 3)] * 2, "n t h w c"),
    ((2, 6, 3, 8, 9), [(6, 8, 9, 3)] * 2, "n t c h w"),
]


@pytest.mark.parametrize(("shape", "clips", "axes"), SHAPES)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_are_read_exactly_whatever_their_axes(tmp_path, suffix, shape, clips, axes):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, array)
    else:
        np.savez_compressed(path, frames=array)
    videos = list_videos(path)
    assert len(videos) == len(clips)
    names = axes.split()
    wanted = [names.index(name) for name in ("n", "t", "h", "w", "c") if name in names]
    expected = array.transpose(wanted)
    expected = expected if "n" in names else expected[None]
    expected = expected if "c" in names else expected[..., None]
    for video, clip, frames in zip(videos, clips, expected, strict=True):
        shown = np.stack(list(video.frames()))
        assert shown.shape == clip
        np.testing.assert_array_equal(shown, frames)


def test_axes_can_be_named_where_the_rule_is_wrong(tmp_path):
    array = noise()[..., 0]
    np.save(tmp_path / "a.npy", array[:, None])  # (12, 1, 48, 64): a video of one channel
    clips = list_videos(tmp_path / "a.npy", axes="tnhw")
    np.testing.assert_array_equal(np.stack(list(clips[0].frames()))[..., 0], array)
    for axes in ("tnh", "tthw", "xthw", ""):
        with pytest.raises(ConfigError, match="axes"):
            list_videos(tmp_path / "a.npy", axes=axes)


def test_floats_between_0_and_1_are_stretched(tmp_path):
    frames = noise(channels=1)[..., 0]
    np.save(tmp_path / "a.npy", (frames / 255).astype(np.float32))
    np.testing.assert_array_equal(read(tmp_path / "a.npy")[..., 0], frames)


def test_several_arrays_are_several_clips_and_labels_are_none(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, walk=noise(5), run=noise(7), label=np.arange(3), name=np.array("x"))
    videos = list_videos(path)
    assert [video.name for video in videos] == ["a.npz:walk", "a.npz:run"]
    assert [len(list(video.frames())) for video in videos] == [5, 7]
    with pytest.raises(DataError, match="holds 2 videos, such as a.npz:walk: give one"):
        read_video(path)


def test_videos_are_found_at_any_depth_in_natural_order(tmp_path):
    root = tmp_path / "videos"
    for name in ("clip10.gif", "clip2.GIF", "deep/er/a.gif", ".hidden/b.gif"):
        write_movie(root / name.lower(), ramp(2)).rename(root / name)
    write_images(root / "frames", noise(2))
    (root / "readme.txt").write_text("")
    names = [video.name for video in list_videos(root)]
    found = ["videos/clip2.GIF", "videos/clip10.gif", "videos/deep/er/a.gif", "videos/frames"]
    assert names == found


def test_a_stack_is_not_read_as_a_whole_again_for_each_clip(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", frames=noise(4, channels=1)[..., 0][None].repeat(9, 0))
    videos = list_videos(tmp_path / "a.npz")
    loads, load = [], np.load
    monkeypatch.setattr(
        np, "load", lambda *given, **options: loads.append(1) or load(*given, **options)
    )
    assert sum(len(list(video.frames())) for video in videos) == 9 * 4
    assert len(loads) == 1


def test_large_images_are_read_though_pillow_warns(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 - 1)
    frames = noise(2)
    np.testing.assert_array_equal(read(write_images(tmp_path / "images", frames)), frames)


def test_titles_need_not_be_utf_8(tmp_path):
    path, plain = tmp_path / "titled.mp4", write_movie(tmp_path / "plain.mp4", ramp())
    with av.open(str(plain)) as source, av.open(str(path), "w") as titled:
        titled.metadata["title"] = "TITLE"
        stream = titled.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                titled.mux(packet)
    content = path.read_bytes()
    assert content.count(b"TITLE") == 1
    path.write_bytes(content.replace(b"TITLE", b"T\xff\xfeLE"))
    np.testing.assert_array_equal(read(path), read(plain))


def test_what_is_no_array_in_an_archive_is_left_alone(tmp_path):
    np.savez(tmp_path / "a.npz", frames=noise(5))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("readme.txt", "five frames")
        archive.writestr("frames", "of another name")
    np.testing.assert_array_equal(read(tmp_path / "a.npz"), noise(5))


def broken_image(path):
    cut(write_images(path, noise(3)) / "1.png")


def mixed_sizes(path):
    write_images(path, noise(3))
    Image.fromarray(noise(1, 8, 8)[0]).save(path / "3.png")


def deep_image(path):
    path.mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(path / "0.png")


def pickled(path):
    np.save(path, np.array([{"a": 1}] * 8).reshape(2, 2, 2), allow_pickle=True)


def cut_array(path):
    np.save(path, noise())
    cut(path)


def cut_archive(path):
    np.savez_compressed(path, frames=noise())
    cut(path)


def cut_between_packets(path, **options):
    write_movie(path, noise(), **options)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    packet = packets[len(packets) // 2]
    path.write_bytes(path.read_bytes()[: packet.pos + packet.size])


def huge_image(path):
    """A small file whose header says 20,000 x 20,000 pixels."""
    image = write_images(path, noise(1)) / "0.png"
    content = bytearray(image.read_bytes())
    content[16:24] = struct.pack(">II", 20_000, 20_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    image.write_bytes(content)


def archive(path, header, content, name="frames.npy"):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            name, b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content
        )


def claiming(shape):
    def make(path):
        file = io.BytesIO()
        described = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, described)
        header = file.getvalue()[10:]
        archive(path, header, bytes(64))

    return make


def encrypted(path):
    np.savez(path, frames=noise(2))
    content = bytearray(path.read_bytes())
    content[6] |= 1  # of the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # of the directory
    path.write_bytes(content)


BAD = {
    "missing.mp4": (lambda path: None, "does not exist"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "truncated or no video"),
    "text.avi": (lambda path: path.write_text("no video" * 99), "truncated or no video"),
    "list.mp4": (lambda path: path.write_text("#EXTM3U\n#EXTINF:9,\nfile:///a.mp4\n"), "no video"),
    "cut.mp4": (lambda path: cut(write_movie(path, noise())), "truncated"),
    "fast.mp4": (
        lambda path: cut(write_movie(path, noise(), movflags="faststart"), 0.8),
        "truncated or damaged after",
    ),
    "cut.avi": (lambda path: cut(write_movie(path, noise())), "truncated"),
    "between.mp4": (
        lambda path: cut_between_packets(path, movflags="faststart"),
        "truncated: it ends at 0.3 s of 0.5 s",
    ),
    "between.avi": (cut_between_packets, "truncated: it ends at"),
    "cut.mkv": (lambda path: cut(write_movie(path, noise())), "truncated"),
    "cut.webm": (lambda path: cut(write_movie(path, noise())), "truncated"),
    "cut.gif": (lambda path: cut(write_movie(path, noise())), "end mark"),
    "none": (lambda path: path.mkdir(), "holds no videos"),
    "odd.txt": (lambda path: path.write_text(""), "no video that can be read"),
    "image": (broken_image, "1.png is broken"),
    "huge": (huge_image, "0.png is broken or no image .*400000000 pixels"),
    "sizes": (mixed_sizes, "frame 3 is 8 x 8, but the first 48 x 64"),
    "deep": (deep_image, "more than 8 bits"),
    "pickled.npy": (pickled, "no NumPy file of numbers"),
    "cut.npy": (cut_array, "truncated"),
    "cut.npz": (cut_archive, "truncated"),
    "empty.npy": (lambda path: path.write_bytes(b""), "truncated"),
    "ints.npy": (lambda path: np.save(path, noise().astype(np.int32)), "int32"),
    "nan.npy": (lambda path: np.save(path, noise() * np.nan), r"\[nan, nan\]"),
    "wide.npy": (lambda path: np.save(path, noise() / 2), r"floats in \[0, 127.5\]"),
    "flat.npy": (lambda path: np.save(path, np.zeros((4, 4))), "not clearly a video"),
    "image.npy": (lambda path: np.save(path, np.zeros((8, 8, 3))), "not clearly a video"),
    "either.npy": (lambda path: np.save(path, np.zeros((9, 3, 8, 3))), "--axes"),
    "zero.npy": (lambda path: np.save(path, np.zeros((0, 8, 8))), "no frames"),
    "either.npz": (
        lambda path: np.savez(path, np.zeros((2, 6, 8, 9))),
        "--axes nthw or --axes tnhw",
    ),
    "claim.npz": (claiming((10**6, 64, 64)), r"says uint8 \(1000000, 64, 64\), but has 64 bytes"),
    "minus.npz": (claiming((-1, -1, 64)), "but has 64 bytes"),
    "token.npz": (lambda path: archive(path, b"{'shape': (1,", b""), "no NumPy file"),
    "locked.npz": (encrypted, "encrypted"),
    "text.npz": (lambda path: archive(path, b"", b"", "readme.txt"), "no array of frames"),
    "labels.npz": (lambda path: np.savez(path, label=np.arange(3)), "no array of frames"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_broken_is_named_in_one_line(tmp_path, name):
    make, words = BAD[name]
    make(tmp_path / name)
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_arrays_too_large_for_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST", noise(3).nbytes)
    np.savez(tmp_path / "a.npz", noise(3))
    assert len(read(tmp_path / "a.npz")) == 3
    np.savez(tmp_path / "b.npz", noise(4))
    with pytest.raises(DataError, match=r"b.npz:arr_0 has .* GiB, .*: store it as npy"):
        list(list_videos(tmp_path / "b.npz")[0].frames())


def test_a_video_that_lost_its_end_gives_what_was_before(tmp_path):
    path = cut(write_movie(tmp_path / "a.mp4", noise(), movflags="faststart"), 0.8)
    frames = read_video(path)
    assert next(frames).shape == (48, 64, 3)
    with pytest.raises(DataError):
        list(frames)
