"""Downloads the weights of metrics, and checks that they are what was published."""

from functools import partial
from pathlib import Path

from srvp_world.benchmark.metric_weights import FILES, check_file, what_is_wrong
from srvp_world.data.download import download
from srvp_world.data.files import make_folder


def download_weights(
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
        download(
            f"{mirror}/{file.name}" if mirror else file.url,
            folder / file.name,
            largest=file.size,
            fault=partial(what_is_wrong, file=file),
            progress=progress,
        )
        check_file(folder / file.name, file)
