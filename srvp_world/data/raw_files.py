"""What lies in a folder of raw data, and what cannot be read there."""

from collections.abc import Sequence
from pathlib import Path

from srvp_world.data.conversion import LeftOut
from srvp_world.data.files import files_below
from srvp_world.errors import DataError

_SHOWN = 3  # reasons in one line


def raw_files(raw: Path, left_out: list[LeftOut]) -> list[Path]:
    """List the files in a folder, at any depth and sorted, or the one file; note what is closed."""

    def note(error: OSError) -> None:
        left_out.append(unreadable(Path(error.filename or raw), error))

    return files_below(raw, note)


def unreadable(path: Path, error: OSError) -> LeftOut:
    """Say that a file or folder cannot be read."""
    why = error.strerror or type(error).__name__
    return LeftOut(str(path), f"{path} cannot be read ({why}): make it readable")


def no_videos(message: str, left_out: Sequence[LeftOut]) -> DataError:
    """Say that there is no video at all, and of what is there why it is none."""
    reasons = [entry.reason for entry in left_out if not entry.absent]
    shown = reasons[:_SHOWN]
    if len(reasons) > _SHOWN:
        shown.append(f"{len(reasons) - _SHOWN:,} more like these")
    return DataError("; ".join([message, *shown]))
