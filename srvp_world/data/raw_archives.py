"""Archives of raw videos that have a public address, and how they are checked.

Nobody publishes checksums of KTH's archives but the CRC-32 that zip files have in them. That of
BAIR's is the one that TensorFlow Datasets has recorded (bair_robot_pushing_small). Human3.6M is
given to registered researchers alone.
"""

import zipfile
import zlib
from pathlib import Path

from srvp_world.data.checksums import file_checksum
from srvp_world.data.download import download
from srvp_world.data.files import make_folder
from srvp_world.data.kth import ACTIONS

KTH_MIRROR = "https://www.csc.kth.se/cvap/actions"
BAIR_MIRROR = "http://rail.eecs.berkeley.edu/datasets"
BAIR_ARCHIVE = "bair_robot_pushing_dataset_v0.tar"
BAIR_BYTES = 32_274_964_480
BAIR_SHA256 = "c6f8d164ab2be07174ef597e3e070d7466f3142caddc467b6af119b9458cd9cd"

_LARGEST_ZIP = 2_000_000_000  # bytes; those of KTH have some hundred millions


def download_kth(folder: Path, *, mirror: str = KTH_MIRROR, progress: bool = True) -> None:
    """Download KTH's six archives (1.1 GB) into a folder, where `plan_kth` reads them.

    Raises:
        DataError: If an archive cannot be had, or is damaged.
        OutputError: If the folder cannot be written.
    """
    make_folder(folder)
    for action in ACTIONS:
        path = folder / f"{action}.zip"
        url = f"{mirror}/{path.name}"
        download(url, path, largest=_LARGEST_ZIP, fault=_damage, progress=progress)


def download_bair(folder: Path, *, mirror: str = BAIR_MIRROR, progress: bool = True) -> None:
    """Download BAIR's archive (32 GB) into a folder, where `plan_bair` reads it.

    Raises:
        DataError: If the archive cannot be had, or is not the one that is known.
        OutputError: If the folder cannot be written.
    """
    make_folder(folder)
    path = folder / BAIR_ARCHIVE
    url = f"{mirror}/{path.name}"
    download(url, path, largest=BAIR_BYTES, fault=_not_bair, progress=progress)


def _damage(path: Path) -> str:
    """Say what is wrong with a zip archive by the checksums in it, or nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        damaged = str(error)
    return f"is damaged ({damaged})" if damaged else ""


def _not_bair(path: Path) -> str:
    found = file_checksum(path)
    known = f"has the SHA-256 {found[:12]}..., not {BAIR_SHA256[:12]}..."
    return "" if found == BAIR_SHA256 else known
