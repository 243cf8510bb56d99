"""Files that a kill cannot leave half written."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from srvp_world.errors import OutputError


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; one that is there is fine.

    Raises:
        OutputError: Where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make folder {str(folder)!r} ({error.strerror}): choose a folder that you "
            "can write to"
        ) from None


def files_below(path: Path, closed: Callable[[OSError], None] | None = None) -> list[Path]:
    """List the files in a folder at any depth, sorted; a path that is none lists itself.

    Links to folders are followed, but not those to a folder that the link itself lies in.

    Args:
        path: Of the folder.
        closed: Called with the error of each folder that cannot be listed; None passes them over.
    """
    return sorted(_below(path, frozenset(), closed)) if path.is_dir() else [path]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a kill leaves the old one or the new one, never half of it.

    Raises:
        OutputError: Where the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}): choose a folder that you can write to"
        ) from None


def _below(
    folder: Path, above: frozenset[str], closed: Callable[[OSError], None] | None
) -> Iterator[Path]:
    """Yield the files in a folder but for those in the ones above it, by their real paths."""
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        inside = list(folder.iterdir())
    except OSError as error:
        if closed is not None:
            closed(error)
        return
    for path in inside:
        if path.is_dir():
            yield from _below(path, above | {real}, closed)
        else:
            yield path
