import gzip
import hashlib
import http.client
import struct
import urllib.request

import numpy as np
import pytest

from srvp_world.data import mnist
from srvp_world.data.mnist import all_digits, download_digits, read_idx, shipped_digits
from srvp_world.errors import DataError


def idx(images, magic=0x803):
    shape = images.shape
    return struct.pack(f">I{len(shape)}I", magic, *shape) + images.tobytes()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror in a folder, with small files that bear the names and checksums of the real ones."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "mirror"
    folder.mkdir()
    arrays = {
        mnist.IMAGES: (rng.integers(256, size=(7, 28, 28), dtype=np.uint8), 0x803),
        mnist.LABELS: (rng.integers(10, size=7, dtype=np.uint8), 0x801),
    }
    for name, (array, magic) in arrays.items():
        (folder / name).write_bytes(gzip.compress(idx(array, magic)))
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        monkeypatch.setitem(mnist.CHECKSUMS, name, digest)
    return folder


def test_shipped_digits_are_real_ones_of_every_kind():
    for digits in (shipped_digits(), mnist.test_digits()):
        assert digits.images.shape == (10_000, 28, 28)
        assert digits.images.dtype == digits.labels.dtype == np.uint8
        assert np.all(np.bincount(digits.labels) > 800)
        assert not digits.images[:, 0].any(axis=1).mean() > 0.01  # digits are centred
        # A digit resembles the mean of its own kind more than that of another one.
        means = np.stack([digits.images[digits.labels == k].mean(axis=0) for k in range(10)])
        centred = means - means.mean(axis=0)
        nearest = np.tensordot(digits.images[:500] - means.mean(axis=0), centred, 2 * [[1, 2]])
        assert np.mean(nearest.argmax(axis=1) == digits.labels[:500]) > 0.5


def test_training_and_test_digits_are_different_ones():
    train = {image.tobytes() for image in shipped_digits().images}
    assert not any(image.tobytes() in train for image in mnist.test_digits().images)


def test_split_keeps_every_digit_once_and_is_always_the_same():
    digits = shipped_digits()
    train, validation = digits.split()
    assert len(validation.images) == 500 and len(train.images) == 9500
    joined = np.concatenate([train.images, validation.images])
    assert sorted(map(bytes, joined)) == sorted(map(bytes, digits.images))
    assert np.array_equal(digits.split()[0].labels, train.labels)
    assert digits.source in train.source


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_idx_files_are_read_as_they_are(tmp_path, pack):
    images = np.random.default_rng(1).integers(256, size=(3, 28, 28), dtype=np.uint8)
    path = tmp_path / "images"
    path.write_bytes(pack(idx(images)))
    assert np.array_equal(read_idx(path), images)


IMAGES = np.zeros((2, 28, 28), np.uint8)
BROKEN = {
    "magic": (idx(IMAGES, magic=0x0D03), "0x00000d03"),
    "empty": (b"", "magic number"),
    "too short": (idx(IMAGES)[:-1], "1567"),
    "too long": (idx(IMAGES) + b"x", "1569"),
    "other size": (idx(np.zeros((2, 32, 32), np.uint8)), "(2, 32, 32)"),
    "no images": (idx(IMAGES[:0]), "(0, 28, 28)"),
    "cut header": (idx(IMAGES)[:9], "(2, 0, 0)"),
    "truncated gzip": (gzip.compress(idx(IMAGES))[:-9], "truncated"),
    "damaged gzip": (gzip.compress(b"x")[:10] + b"\xff" * 20, "images"),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN)
def test_broken_idx_files_are_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        read_idx(path)
    assert said in str(refused.value) and str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_idx_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nothing"):
        read_idx(tmp_path / "nothing")


def test_images_and_labels_must_belong_together(mirror, tmp_path, monkeypatch):
    path = mirror / mnist.LABELS
    path.write_bytes(gzip.compress(idx(np.zeros(6, np.uint8), 0x801)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(mnist.CHECKSUMS, mnist.LABELS, digest)
    with pytest.raises(DataError, match="belong together"):
        all_digits(mirror)


def test_digits_are_checked_kept_and_not_downloaded_again(mirror, tmp_path):
    out = tmp_path / "out" / "mnist"
    download_digits(out, mirror=mirror.as_uri(), progress=False)
    digits = all_digits(out)
    assert digits.images.shape == (7, 28, 28) and "60,000" in digits.source
    for name in mnist.CHECKSUMS:
        (mirror / name).unlink()
    download_digits(out, mirror=mirror.as_uri(), progress=False)


def test_a_download_with_another_checksum_is_not_kept(mirror, tmp_path):
    (mirror / mnist.IMAGES).write_bytes(gzip.compress(idx(IMAGES)))
    with pytest.raises(DataError, match="SHA-256"):
        download_digits(tmp_path / "out", mirror=mirror.as_uri(), progress=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_changed_after_the_download_is_refused(mirror, tmp_path):
    out = download_digits(tmp_path / "out", mirror=mirror.as_uri(), progress=False)
    (out / mnist.LABELS).write_bytes(b"?")
    with pytest.raises(DataError, match="SHA-256"):
        all_digits(out)


def test_a_mirror_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot download file:///nowhere"):
        download_digits(tmp_path / "out", mirror="file:///nowhere", progress=False)


def test_a_server_that_talks_nonsense_is_named(tmp_path, monkeypatch):
    def nonsense(*given, **options):
        raise http.client.BadStatusLine("nonsense")

    monkeypatch.setattr(urllib.request, "urlopen", nonsense)
    with pytest.raises(DataError, match="cannot download http://mirror/.*nonsense"):
        download_digits(tmp_path / "out", mirror="http://mirror", progress=False)


def test_a_download_without_end_is_stopped(mirror, tmp_path):
    with (mirror / mnist.IMAGES).open("wb") as file:
        file.truncate(30 * 10**6)
    with pytest.raises(DataError, match="more than 20,000,000 bytes"):
        download_digits(tmp_path / "out", mirror=mirror.as_uri(), progress=False)


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_no_more_is_unpacked_than_any_idx_file_has(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(mnist, "_LONGEST", 16 + IMAGES.size)
    path = tmp_path / "images"
    path.write_bytes(pack(idx(IMAGES)))
    assert np.array_equal(read_idx(path), IMAGES)
    path.write_bytes(pack(idx(IMAGES) + b"x"))
    with pytest.raises(DataError, match="holds more than 1,584 bytes"):
        read_idx(path)


def test_digits_that_were_not_downloaded_say_how_to(tmp_path):
    with pytest.raises(DataError, match="data download mnist"):
        all_digits(tmp_path)
