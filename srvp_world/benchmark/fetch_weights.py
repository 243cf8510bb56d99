"""Downloads the weights of metrics, and checks that they are what was published."""

import http.client
import urllib.request
from pathlib import Path

from tqdm import tqdm

from srvp_world.benchmark.metric_weights import (
    FILES,
    WeightsFile,
    check_file,
    what_is_wrong,
)
from srvp_world.data.files import make_folder
from srvp_world.errors import DataError, OutputError

_CHUNK = 1 << 18


def fetch_weights(
    kind: str, folder: Path, *, mirror: str | None = None, progress: bool = True
) -> None:
    """Download the files of a kind in `FILES` into a folder; whole files are kept.

    Args:
        kind: `lpips` or `i3d`.
        folder: Made if it is missing.
        mirror: Address that has all files side by side; None means where they are published.
        progress: Whether to show a bar.

    Raises:
        DataError: If a file cannot be had, or is not the published one.
        OutputError: If the folder cannot be written.
    """
    make_folder(folder)
    for file in FILES[kind]:
        path = folder / file.name
        if not path.is_file():
            url = f"{mirror}/{file.name}" if mirror else file.url
            part = path.with_name(f"{path.name}.part")
            try:
                _download(url, file, part, progress)
                fault = what_is_wrong(part, file)
                if fault:
                    raise DataError(f"what came from {url} {fault}: try again, or another mirror")
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        check_file(path, file)


def _download(url: str, file: WeightsFile, path: Path, progress: bool) -> None:
    bar = tqdm(
        desc=file.name, total=file.size, unit="B", unit_scale=True, delay=2, disable=not progress
    )
    try:
        target = path.open("wb")
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}): choose a folder that you can write to"
        ) from None
    try:
        with bar, target, urllib.request.urlopen(url, timeout=30) as response:
            size = 0
            while chunk := response.read(_CHUNK):
                size += len(chunk)
                if size > file.size:
                    raise ValueError(f"it has more than {file.size:,} bytes")
                target.write(chunk)
                bar.update(len(chunk))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(
            f"cannot fetch {url} ({error}): try again, or put {file.name} into {path.parent} by "
            "hand"
        ) from None
