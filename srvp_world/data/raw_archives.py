"""Archives of raw videos that have a public address: downloads that can go on, and checks.

Nobody publishes checksums of KTH's archives but the CRC-32 that zip files have in them. That of
BAIR's is the one that TensorFlow Datasets has recorded (bair_robot_pushing_small). Human3.6M is
given to registered researchers alone.
"""

import http.client
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from srvp_world.data.checksums import file_checksum
from srvp_world.data.files import make_folder
from srvp_world.data.kth import ACTIONS
from srvp_world.errors import DataError, OutputError

KTH_MIRROR = "https://www.csc.kth.se/cvap/actions"
BAIR_MIRROR = "http://rail.eecs.berkeley.edu/datasets"
BAIR_ARCHIVE = "bair_robot_pushing_dataset_v0.tar"
BAIR_BYTES = 32_274_964_480
BAIR_SHA256 = "c6f8d164ab2be07174ef597e3e070d7466f3142caddc467b6af119b9458cd9cd"

_CHUNK = 1 << 20
_LARGEST_ZIP = 2_000_000_000  # bytes; those of KTH have some hundred millions


def fetch_kth(folder: Path, *, mirror: str = KTH_MIRROR, progress: bool = True) -> None:
    """Download KTH's six archives (1.1 GB) into a folder, where `plan_kth` reads them.

    Raises:
        DataError: If an archive cannot be had, or is damaged.
        OutputError: If the folder cannot be written.
    """
    make_folder(folder)
    for action in ACTIONS:
        path = folder / f"{action}.zip"
        if not path.exists():
            part = _download(f"{mirror}/{path.name}", path, _LARGEST_ZIP, progress)
            try:
                with zipfile.ZipFile(part) as archive:
                    damaged = archive.testzip()
            except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                damaged = str(error)
            _keep(part, path, damaged and f"is damaged ({damaged})")


def fetch_bair(folder: Path, *, mirror: str = BAIR_MIRROR, progress: bool = True) -> None:
    """Download BAIR's archive (32 GB) into a folder, where `plan_bair` reads it.

    Raises:
        DataError: If the archive cannot be had, or is not the one that is known.
        OutputError: If the folder cannot be written.
    """
    make_folder(folder)
    path = folder / BAIR_ARCHIVE
    if not path.exists():
        part = _download(f"{mirror}/{path.name}", path, BAIR_BYTES, progress)
        found = file_checksum(part)
        known = f"has the SHA-256 {found[:12]}..., not {BAIR_SHA256[:12]}..."
        _keep(part, path, None if found == BAIR_SHA256 else known)


def _keep(part: Path, path: Path, fault: str | None) -> None:
    """Give a download its name, or delete it."""
    if fault:
        part.unlink()
        raise DataError(f"{path.name} came, but {fault}: fetch it again, or from another mirror")
    part.replace(path)


def _download(url: str, path: Path, largest: int, progress: bool) -> Path:
    """Download into a file beside `path`, or go on with what is there of it."""
    part = path.with_name(f"{path.name}.part")
    try:
        target = part.open("ab")
    except OSError as error:
        raise OutputError(
            f"cannot write {part} ({error.strerror}): choose a folder that you can write to"
        ) from None
    bar = tqdm(desc=path.name, unit="B", unit_scale=True, delay=2, disable=not progress)
    try:
        with target, bar:
            _fill(target, url, largest, bar)
    except OutputError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(
            f"cannot fetch {url} ({error}): try again to go on, or put the file there by hand"
        ) from None
    return part


def _fill(target: BinaryIO, url: str, largest: int, bar: Any) -> None:
    """Append to a file what a server has behind what is there, or all where it must begin anew."""
    held = target.tell()
    request = urllib.request.Request(url, headers={"Range": f"bytes={held}-"} if held else {})
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if held and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is behind it: checks will tell whether it is whole
        raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            target.truncate(0)
            held = 0
        length = response.headers.get("Content-Length")
        total = held + int(length) if length else None
        free = shutil.disk_usage(Path(target.name).parent).free
        if total and total - held > free:
            raise OutputError(
                f"{url} has {total / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free here: make room"
            )
        bar.reset(total)
        bar.update(held)
        while held <= largest and (chunk := response.read(_CHUNK)):
            target.write(chunk)
            held += len(chunk)
            bar.update(len(chunk))
    if held > largest:
        target.truncate(0)
        raise ValueError(f"it has more than {largest:,} bytes")
    if total and held < total:
        raise ValueError(f"it ended after {held:,} of {total:,} bytes")
