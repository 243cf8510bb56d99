"""`loop.json`: what a run has finished, with its numbers, so that it goes on after any kill."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from srvp_world.data.files import make_folder, write_atomically
from srvp_world.errors import ConfigError, DataError, OutputError

JOURNAL = "loop.json"
VERSION = 1

Numbers = dict[str, Any]

_OPAQUE = ("settings", "env_kwargs")  # whose names are free: they are compared as a whole


class Journal:
    """The phases of a run: each is done once, and written down with its numbers when it is done.

    The time of a phase that was killed counts, too, up to the last file that it wrote.

    Attributes:
        out: Folder of the run.
        content: What `loop.json` holds.
    """

    def __init__(self, out: Path, content: dict[str, Any]) -> None:
        """Go on with the content of a journal."""
        self.out, self.content = out, content
        self._begun = time.time()
        self._before = float(content["seconds"])

    @classmethod
    def open(cls, out: Path, about: dict[str, Any]) -> "Journal":
        """Begin a run in an empty folder, or go on with the same run.

        Args:
            out: Folder of the run, made if it does not exist.
            about: What the run is made of, as JSON; a run goes on with nothing else.

        Raises:
            ConfigError: If the folder holds a run of something else, naming the first difference.
            DataError: If its journal is broken.
            OutputError: If the folder holds other things, or cannot be written.
        """
        about = json.loads(json.dumps(about))
        path = out / JOURNAL
        if path.exists():
            content = _read(path)
            check_same(about, content["about"], out)
            content["seconds"] += _killed(out, content["begun"])
            return cls(out, content)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(f"{out} already holds something: choose another folder")
        make_folder(out)
        content = {"version": VERSION, "about": about, "seconds": 0.0, "begun": None, "phases": {}}
        return cls(out, content)

    @property
    def seconds(self) -> float:
        """Wall time that the run has taken so far, over all of its starts."""
        return self._before + time.time() - self._begun

    def done(self, *name: object) -> Numbers | None:
        """Give the numbers of a phase; None where it is not finished."""
        numbers: Numbers | None = self.content["phases"].get(_key(name))
        return numbers

    def phase(self, *name: object, job: Callable[[], Numbers]) -> Numbers:
        """Do a phase, unless that was done, and write its numbers and its seconds down.

        An error or an interrupt leaves it to be done again.

        Args:
            name: Of the phase, such as the number of a round and what is done in it.
            job: Does it; gives its numbers.
        """
        finished = self.done(*name)
        if finished is not None:
            return finished
        started = time.time()
        self.content["begun"] = started
        self._write()
        try:
            numbers = job()
            numbers["seconds"] = numbers.get("seconds", time.time() - started)
            self.content["phases"][_key(name)] = numbers
        finally:
            self.content["begun"] = None
            self._write()
        return numbers

    def phase_seconds(self) -> dict[str, float]:
        """Sum the seconds of the finished phases by what was done, whatever the round."""
        sums: dict[str, float] = {}
        for key, numbers in self.content["phases"].items():
            job = key.rpartition("/")[2]
            sums[job] = sums.get(job, 0.0) + numbers["seconds"]
        return sums

    def _write(self) -> None:
        self.content["seconds"] = self.seconds
        text = json.dumps(self.content, indent=1) + "\n"
        write_atomically(self.out / JOURNAL, text.encode())


def _key(name: tuple[object, ...]) -> str:
    return "/".join(map(str, name))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        wanted = {"version", "about", "seconds", "begun", "phases"}
        sound = isinstance(content, dict) and wanted <= content.keys()
    except (OSError, ValueError):
        sound = False
    if not sound:
        raise DataError(f"{path} is broken: restore it, or choose another folder")
    if content["version"] != VERSION:
        raise DataError(
            f"{path} has version {content['version']}, this srvp-world reads {VERSION}: "
            "go on with the version that began it, or choose another folder"
        )
    found: dict[str, Any] = content
    return found


def check_same(about: dict[str, Any], stored: dict[str, Any], out: Path) -> None:
    """Refuse to go on with something else than what a file of a run says that it is of.

    What an older version did not write down is what it did, so it makes no difference.

    Raises:
        ConfigError: Naming the first difference.
    """
    new, old = _flat(about), _flat(stored)
    for name in old:
        if old[name] != new.get(name):
            raise ConfigError(
                f"{name.rpartition('.')[2]} is {new.get(name)} but the run in {out} was begun with "
                f"{old[name]}: go on with that, or choose another folder"
            )


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name each value by its path."""
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, dict) and name not in _OPAQUE:
            flat |= _flat(item, f"{prefix}{name}.")
        else:
            flat[prefix + name] = item
    return flat


def _killed(out: Path, begun: float | None) -> float:
    """Give the seconds of a phase that was killed, as far as the files tell."""
    if begun is None:
        return 0.0
    written = [path.stat().st_mtime for path in out.rglob("*") if path.is_file()]
    return max(max(written, default=begun) - begun, 0.0)
