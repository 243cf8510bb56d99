"""Files that a kill cannot leave half written."""

import secrets
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
