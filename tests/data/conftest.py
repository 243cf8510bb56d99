import errno
import os
from pathlib import Path

import pytest


@pytest.fixture
def closed(monkeypatch):
    """Close folders: the system refuses to list them, and to look at anything in them."""
    folders = set()

    def refusing(call, refused):
        def checked(path=".", **options):
            if isinstance(path, (str, os.PathLike)) and refused(Path(path)):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return call(path, **options)

        return checked

    def inside(path):
        return any(parent in folders for parent in path.parents)

    for name in ("scandir", "listdir"):
        listing = refusing(getattr(os, name), lambda path: path in folders or inside(path))
        monkeypatch.setattr(os, name, listing)
    monkeypatch.setattr(os, "stat", refusing(os.stat, inside))
    return folders.add
