import hashlib
import io
import urllib.request
from dataclasses import replace
from email.message import Message
from pathlib import Path

import pytest
from metric_weights import publish_lpips, write_lpips

from srvp_world.benchmark.download_weights import download_weights
from srvp_world.benchmark.lpips_weights import load_lpips
from srvp_world.benchmark.metric_weights import ALEXNET, FILES, LINEAR, RGB_SCRATCH, file_digest
from srvp_world.errors import DataError, OutputError


@pytest.fixture
def mirror(tmp_path, monkeypatch) -> Path:
    """A mirror in a folder, with small files that bear the names and hashes of the real ones."""
    folder = write_lpips(tmp_path / "mirror")
    publish_lpips(monkeypatch, folder)
    content = b"weights"
    (folder / RGB_SCRATCH.name).write_bytes(content)
    digest = hashlib.sha1(b"blob 7\0" + content).hexdigest()
    monkeypatch.setitem(FILES, "i3d", (replace(RGB_SCRATCH, digest=digest),))
    return folder


def download(kind: str, folder: Path, mirror: Path) -> None:
    download_weights(kind, folder, mirror=mirror.as_uri(), progress=False)


def test_files_are_checked_kept_and_not_downloaded_again(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "lpips"
    download("lpips", out, mirror)
    assert {path.name for path in out.iterdir()} == {ALEXNET.name, LINEAR.name}
    load_lpips(out)
    (mirror / ALEXNET.name).unlink()
    download("lpips", out, mirror)  # nothing is missing
    download("i3d", tmp_path / "i3d", mirror)
    assert (tmp_path / "i3d" / RGB_SCRATCH.name).read_bytes() == b"weights"


def test_what_is_not_the_published_file_is_not_kept(mirror: Path, tmp_path: Path) -> None:
    (mirror / LINEAR.name).write_bytes(b"something else")
    with pytest.raises(DataError, match=r"what came from file://.*alex.pth has the hash .*needed"):
        download("lpips", tmp_path / "out", mirror)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [ALEXNET.name]
    (tmp_path / "out" / LINEAR.name).write_bytes(b"put there by hand")
    with pytest.raises(DataError, match="delete it and download it"):
        download("lpips", tmp_path / "out", mirror)


def test_a_download_that_does_not_end_is_stopped(mirror: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(FILES, "i3d", (replace(FILES["i3d"][0], size=3),))
    with pytest.raises(DataError, match="more than 3 bytes.*by hand"):
        download("i3d", tmp_path / "out", mirror)
    assert not (tmp_path / "out" / RGB_SCRATCH.name).exists()


def test_a_download_that_was_stopped_goes_on(mirror: Path, tmp_path: Path, monkeypatch) -> None:
    """What is there of it is not asked for again."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{RGB_SCRATCH.name}.part").write_bytes(b"weig")
    asked = []

    class Rest(io.BytesIO):
        status, headers = 206, Message()

    def rest(request: urllib.request.Request, timeout: float) -> Rest:
        asked.append(request.get_header("Range"))
        return Rest(b"hts")

    monkeypatch.setattr(urllib.request, "urlopen", rest)
    download("i3d", tmp_path / "out", mirror)
    assert asked == ["bytes=4-"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [RGB_SCRATCH.name]
    assert (tmp_path / "out" / RGB_SCRATCH.name).read_bytes() == b"weights"


def test_a_mirror_that_is_not_there_and_a_folder_that_cannot_be_written(
    mirror: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"cannot download .*none/alexnet.*into .*out by hand"):
        download("lpips", tmp_path / "out", tmp_path / "none")
    with pytest.raises(DataError, match="cannot download nonsense/alexnet"):
        download_weights("lpips", tmp_path / "out", mirror="nonsense", progress=False)
    with pytest.raises(OutputError):
        download("lpips", mirror / LINEAR.name, mirror)


def test_without_a_mirror_files_come_from_where_they_are_published(
    tmp_path: Path, monkeypatch
) -> None:
    asked = []

    def refuse(request: urllib.request.Request, timeout: float) -> None:
        asked.append(request.full_url)
        raise OSError("offline")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    for kind, files in FILES.items():
        with pytest.raises(DataError, match="offline"):
            download_weights(kind, tmp_path, progress=False)
        assert asked[-1] == files[0].url and files[0].url.startswith("https://")


def test_gits_hash_of_a_file(tmp_path: Path) -> None:
    """As `git hash-object` gives it."""
    path = tmp_path / "file"
    path.write_bytes(b"test content\n")
    assert file_digest(path, "git") == "d670460b4b4aece5915caf5c68d12f560a9fe3e4"
    assert file_digest(path, "sha256").startswith("a1fff0ffefb9eace7230c24e50731f0a91c62f9cefdfe7")
