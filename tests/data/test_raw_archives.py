import io
import shutil
import urllib.error
import urllib.request
import zipfile
from email.message import Message

import pytest

from srvp_world.data import download, raw_archives
from srvp_world.data.raw_archives import BAIR_ARCHIVE, BAIR_BYTES, download_bair, download_kth
from srvp_world.errors import DataError, OutputError


def packed(content=b"video"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("person01_boxing_d1_uncomp.avi", content)
    return file.getvalue()


class Answer(io.BytesIO):
    """What a server sends: all of it, or what is asked for, or less than it says."""

    def __init__(self, content, start, cut):
        self.status = 206 if start else 200
        self.headers = Message()
        self.headers["Content-Length"] = str(len(content) - start)
        super().__init__(content[start : len(content) - cut])


@pytest.fixture
def server(monkeypatch):
    """A server of files by address; `asked` has the first byte of each request."""

    class Server:
        def __init__(self):
            self.files, self.asked, self.ranges, self.cut = {}, [], True, 0

        def open(self, request, timeout):
            name = request.full_url
            start = int(request.get_header("Range", "bytes=0-")[6:-1]) if self.ranges else 0
            self.asked.append((name.rpartition("/")[2], start))
            if name not in self.files:
                raise urllib.error.HTTPError(name, 404, "Not Found", Message(), None)
            if start and start >= len(self.files[name]):
                raise urllib.error.HTTPError(name, 416, "Nothing there", Message(), None)
            return Answer(self.files[name], start, self.cut)

    server = Server()
    monkeypatch.setattr(urllib.request, "urlopen", server.open)
    return server


@pytest.fixture
def bair(server, monkeypatch):
    content = bytes(range(256)) * 20
    digest = raw_archives.file_checksum
    monkeypatch.setattr(raw_archives, "BAIR_BYTES", len(content))
    monkeypatch.setattr(download, "_CHUNK", 1000)
    server.files[f"http://m/{BAIR_ARCHIVE}"] = content

    def known(tmp_path):
        (tmp_path / "right").write_bytes(content)
        monkeypatch.setattr(raw_archives, "BAIR_SHA256", digest(tmp_path / "right"))
        return tmp_path / "raw"

    return known


def get_bair(folder):
    download_bair(folder, mirror="http://m", progress=False)


def test_what_tensorflow_datasets_has_recorded():
    """43,520 videos of 741,6.. bytes: two images of 12,288, four and three numbers, 30 times."""
    assert BAIR_BYTES == 32_274_964_480 and len(raw_archives.BAIR_SHA256) == 64
    assert 30 * (2 * 12_288 + 28) < BAIR_BYTES / 43_520 < 30 * (2 * 12_288 + 28 + 200)


def test_kths_archives_are_downloaded_and_kept(server, tmp_path):
    for action in raw_archives.ACTIONS:
        server.files[f"http://m/{action}.zip"] = packed(action.encode())
    download_kth(tmp_path / "raw", mirror="http://m", progress=False)
    names = sorted(path.name for path in (tmp_path / "raw").iterdir())
    assert names == sorted(f"{action}.zip" for action in raw_archives.ACTIONS)
    with zipfile.ZipFile(tmp_path / "raw" / "boxing.zip") as archive:
        assert archive.read("person01_boxing_d1_uncomp.avi") == b"boxing"
    server.asked.clear()
    (tmp_path / "raw" / "running.zip").unlink()
    download_kth(tmp_path / "raw", mirror="http://m", progress=False)
    assert server.asked == [("running.zip", 0)]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_goes_on(server, bair, tmp_path, ranges):
    raw = bair(tmp_path)
    server.ranges, server.cut = ranges, 2_500
    with pytest.raises(DataError, match=r"cannot download http://m/.*ended after 2,620 of 5,120"):
        get_bair(raw)
    assert [path.name for path in raw.iterdir()] == [f"{BAIR_ARCHIVE}.part"]
    server.cut = 0
    get_bair(raw)
    assert [path.name for path in raw.iterdir()] == [BAIR_ARCHIVE]
    assert (raw / BAIR_ARCHIVE).read_bytes() == (tmp_path / "right").read_bytes()
    assert server.asked[1] == (BAIR_ARCHIVE, 2_620 if ranges else 0)
    get_bair(raw)
    assert len(server.asked) == 2


def test_a_kill_before_a_whole_download_got_its_name(server, bair, tmp_path):
    raw = bair(tmp_path)
    raw.mkdir()
    (tmp_path / "right").rename(raw / f"{BAIR_ARCHIVE}.part")
    get_bair(raw)
    assert server.asked == [(BAIR_ARCHIVE, 5_120)]
    assert [path.name for path in raw.iterdir()] == [BAIR_ARCHIVE]


def test_another_archive_is_not_kept(server, bair, tmp_path):
    raw = bair(tmp_path)
    server.files[f"http://m/{BAIR_ARCHIVE}"] = bytes(5_120)
    with pytest.raises(
        DataError, match=r"what came from http://m/.*tar has the SHA-256 \w{12}\.\.\., not"
    ):
        get_bair(raw)
    assert list(raw.iterdir()) == []


def test_a_download_without_end_is_stopped(server, bair, tmp_path):
    raw = bair(tmp_path)
    server.files[f"http://m/{BAIR_ARCHIVE}"] = bytes(10_000)
    with pytest.raises(DataError, match="more than 5,120 bytes"):
        get_bair(raw)
    assert not (raw / f"{BAIR_ARCHIVE}.part").exists()


@pytest.mark.parametrize("content", [b"", packed()[:-40]])
def test_archives_that_are_there_are_checked(server, bair, tmp_path, content):
    """And kept, as only who has put them there can say that they may go."""
    raw = bair(tmp_path)
    raw.mkdir()
    (raw / BAIR_ARCHIVE).write_bytes(content)
    words = rf"{raw / BAIR_ARCHIVE} has the SHA-256 \w{{12}}\.\.\., not .*: delete it and download"
    with pytest.raises(DataError, match=words):
        get_bair(raw)
    (raw / "boxing.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"boxing.zip is damaged \(.*: delete it and download it"):
        download_kth(raw, mirror="http://m", progress=False)
    assert server.asked == [] and (raw / BAIR_ARCHIVE).read_bytes() == content


@pytest.mark.parametrize("content", [b"<html>moved</html>", packed()[:-40], None])
def test_an_archive_that_is_damaged_is_not_kept(server, tmp_path, content):
    if content is None:  # the data of its one file
        content = bytearray(packed(bytes(range(200))))
        content[90] ^= 1
    server.files["http://m/boxing.zip"] = bytes(content)
    with pytest.raises(
        DataError, match=r"what came from .*/boxing.zip is damaged \(.*download it again"
    ):
        download_kth(tmp_path, mirror="http://m", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_servers_and_folders_that_are_not_there(server, tmp_path):
    with pytest.raises(DataError, match=r"cannot download http://m/boxing.zip \(HTTP Error 404"):
        download_kth(tmp_path / "raw", mirror="http://m", progress=False)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file"):
        download_kth(tmp_path / "file", mirror="http://m", progress=False)


def test_a_disk_without_room_is_told_before(server, bair, tmp_path, monkeypatch):
    raw = bair(tmp_path)
    usage = shutil.disk_usage("/")._replace(free=4_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match="has 0.0 GB, but 0.0 GB are free here: make room"):
        get_bair(raw)
    assert not (raw / f"{BAIR_ARCHIVE}.part").exists()


def test_a_mirror_in_a_folder(tmp_path):
    (tmp_path / "mirror").mkdir()
    for action in raw_archives.ACTIONS:
        (tmp_path / "mirror" / f"{action}.zip").write_bytes(packed())
    download_kth(tmp_path / "raw", mirror=(tmp_path / "mirror").as_uri(), progress=False)
    assert len(list((tmp_path / "raw").iterdir())) == 6
