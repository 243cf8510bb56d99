"""Figures on disk."""

import io
from pathlib import Path

import matplotlib.figure

from srvp_world.data.files import make_folder, write_atomically

DPI = 100


def save_figure(figure: matplotlib.figure.Figure, path: Path) -> None:
    """Write a figure as PNG, atomically.

    Raises:
        OutputError: If the file cannot be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI)
    make_folder(path.parent)
    write_atomically(path, picture.getvalue())
