"""Downloads that go on where they were stopped, and keep only what was meant."""

import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from srvp_world.errors import DataError, OutputError

_CHUNK = 1 << 20  # bytes


def download(
    url: str, path: Path, *, largest: int, fault: Callable[[Path], str], progress: bool = True
) -> None:
    """Download a file, or go on with it, check it, and only then give it its name.

    Until then it is called `PATH.part`; a file that has its name already is checked, too, but not
    downloaded again.

    Args:
        url: Where it lies.
        path: Where it is to lie, in a folder that exists.
        largest: Bytes; a server that sends more is not listened to.
        fault: Says what is wrong with what came, or nothing.
        progress: Whether to show a bar.

    Raises:
        DataError: If the file cannot be had, or something is wrong with it.
        OutputError: If the folder cannot be written, or has no room.
    """
    if path.exists():
        if wrong := fault(path):
            raise DataError(f"{path} {wrong}: delete it and download it again")
        return
    part = path.with_name(f"{path.name}.part")
    _receive(url, part, largest, progress)
    wrong = fault(part)
    if wrong:
        part.unlink()
        raise DataError(f"what came from {url} {wrong}: download it again, or from another mirror")
    part.replace(path)


def _receive(url: str, part: Path, largest: int, progress: bool) -> None:
    """Download into a file, or go on with what is there of it."""
    try:
        target = part.open("ab")
    except OSError as error:
        raise OutputError(
            f"cannot write {part} ({error.strerror}): choose a folder that you can write to"
        ) from None
    name = part.name.removesuffix(".part")
    bar = tqdm(desc=name, unit="B", unit_scale=True, delay=2, disable=not progress)
    whole = False
    try:
        with target, bar:
            _fill(target, url, largest, bar)
        whole = True
    except OutputError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(
            f"cannot download {url} ({error}): try again to go on, or put {name} into "
            f"{part.parent} by hand"
        ) from None
    finally:
        if not whole and not part.stat().st_size:
            part.unlink()  # there is nothing to go on with


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
