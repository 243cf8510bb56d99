"""`SHA256SUMS`: what files held when they were written, as `sha256sum --check` reads it."""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from srvp_world.data.files import write_atomically
from srvp_world.errors import DataError, OutputError

CHECKSUMS = "SHA256SUMS"


def file_checksum(path: Path) -> str:
    """Give the SHA-256 of a file.

    Raises:
        DataError: Where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): restore it") from None


def append_checksums(folder: Path, checksums: Mapping[str, str]) -> None:
    """Add lines for files, which are called by their paths in the folder.

    Raises:
        OutputError: Where the folder cannot be written.
    """
    try:
        with (folder / CHECKSUMS).open("a", encoding="utf-8") as file:
            file.writelines(_line(name, checksum) for name, checksum in checksums.items())
    except OSError as error:
        raise OutputError(
            f"cannot write {folder / CHECKSUMS} ({error.strerror}): choose a folder that you can "
            "write to"
        ) from None


def read_checksums(folder: Path) -> dict[str, str]:
    """Give the checksums by the files' paths in the folder; lines that a kill cut are left out."""
    text = ""
    with contextlib.suppress(OSError):
        text = (folder / CHECKSUMS).read_text(encoding="utf-8", errors="replace")
    return {name: checksum for checksum, name in re.findall(r"^([0-9a-f]{64})  (.+)$", text, re.M)}


def write_checksums(folder: Path, checksums: Mapping[str, str]) -> None:
    """Write all lines, sorted.

    Raises:
        OutputError: Where the folder cannot be written.
    """
    lines = (_line(name, checksums[name]) for name in sorted(checksums))
    write_atomically(folder / CHECKSUMS, "".join(lines).encode())


def wrong_files(folder: Path, *, progress: bool = True) -> list[str]:
    """Say which files are gone, or are not what was written; nothing where there is no list.

    Args:
        folder: With a list, or below one.
        progress: Whether to show a bar.
    """
    wrong = []
    checksums = read_checksums(folder)
    if not checksums:
        inner = f"{folder.resolve().name}/"
        above = read_checksums(folder.resolve().parent).items()
        checksums = {name.removeprefix(inner): c for name, c in above if name.startswith(inner)}
    bar = tqdm(checksums.items(), desc="checksums", unit="file", delay=2, disable=not progress)
    for name, checksum in bar:
        try:
            if file_checksum(folder / name) != checksum:
                wrong.append(f"{folder / name} is not what was written: delete it and make it anew")
        except DataError as error:
            wrong.append(str(error))
    return wrong


def _line(name: str, checksum: str) -> str:
    return f"{checksum}  {name}\n"
