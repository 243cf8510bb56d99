"""`loop.json`: what a run has finished, with its numbers, so that it goes on after any kill."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

from srvp_world.agents.dyna_config import DynaConfig
from srvp_world.config import PixelConfig, to_json
from srvp_world.data.files import make_folder, write_atomically
from srvp_world.errors import ConfigError, DataError, OutputError

try:
    import fcntl
except ImportError:  # systems without such locks do without
    fcntl = None  # type: ignore[assignment]

JOURNAL = "loop.json"
LOCK = ".lock"
VERSION = 1

Numbers = dict[str, Any]

_DEFAULTS = json.loads(
    json.dumps({"env": to_json(PixelConfig(env_id="")), "config": to_json(DynaConfig())})
)
_BEAT = 5.0  # seconds between two notes of the time, which is what a kill can make forgotten


class Journal:
    """The phases of a run: each is done once, and written down with its numbers when it is done.

    The time of a phase that was killed or failed counts, too. One process at a time has a run.

    Attributes:
        out: Folder of the run.
        content: What `loop.json` holds.
    """

    def __init__(self, out: Path, content: dict[str, Any], lock: IO[str] | None = None) -> None:
        """Go on with the content of a journal, and free its folder when it is closed."""
        self.out, self.content, self._lock = out, content, lock
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
            OutputError: If the folder holds other things, another process works in it, or it cannot
                be written.
        """
        about = json.loads(json.dumps(about))
        path = out / JOURNAL
        if out.exists() and not path.exists() and not (out.is_dir() and _empty(out)):
            raise OutputError(f"{out} already holds something: choose another folder")
        make_folder(out)
        lock = take(out)
        try:
            content: dict[str, Any] = {
                "version": VERSION,
                "about": about,
                "seconds": 0.0,
                "spent": {},
                "phases": {},
            }
            if path.exists():
                content |= _read(path)
                check_same(about, content["about"], out)
            return cls(out, content, lock)
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        """Leave the folder to other processes."""
        if self._lock is not None:
            self._lock.close()

    @property
    def seconds(self) -> float:
        """Wall time that the run has taken so far, over all of its starts."""
        return self._before + time.time() - self._begun

    def done(self, *name: object) -> Numbers | None:
        """Give the numbers of a phase; None where it is not finished."""
        numbers: Numbers | None = self.content["phases"].get(_key(name))
        return numbers

    def spent(self, *name: object) -> float | None:
        """Give the seconds that an unfinished phase has taken; None where it is not begun."""
        seconds: float | None = self.content["spent"].get(_key(name))
        return seconds

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
        key = _key(name)
        with self._timed(key):
            numbers = job()
        numbers["seconds"] = self.content["spent"].pop(key)
        self.content["phases"][key] = numbers
        self._write()
        return numbers

    def phase_seconds(self) -> dict[str, float]:
        """Sum the seconds of the finished phases by what was done, whatever the round."""
        sums: dict[str, float] = {}
        for key, numbers in self.content["phases"].items():
            job = key.rpartition("/")[2]
            sums[job] = sums.get(job, 0.0) + numbers["seconds"]
        return sums

    @contextmanager
    def _timed(self, key: str) -> Iterator[None]:
        """Write down, while a phase runs, how long it has taken over all of its starts."""
        spent, started, over = self.content["spent"], time.time(), Event()
        before = spent.get(key, 0.0)

        def note() -> None:
            spent[key] = before + time.time() - started
            self._write()

        def beat() -> None:
            while not over.wait(_BEAT):
                with suppress(OutputError):  # the phase itself will find out
                    note()

        note()
        beating = Thread(target=beat, daemon=True)
        beating.start()
        try:
            yield
        finally:
            over.set()
            beating.join()
            note()

    def _write(self) -> None:
        self.content["seconds"] = self.seconds
        text = json.dumps(self.content, indent=1) + "\n"
        write_atomically(self.out / JOURNAL, text.encode())


def _key(name: tuple[object, ...]) -> str:
    return "/".join(map(str, name))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        wanted = {"version", "about", "seconds", "phases"}
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

    What an older version did not write down is what it did: the default.

    Raises:
        ConfigError: Naming the first difference.
    """
    found = first_difference(about, stored)
    if found is not None:
        field, new, old = found
        raise ConfigError(
            f"{field} is {new} but the run in {out} was begun with {old}: go on with that, or "
            "choose another folder"
        )


def first_difference(about: dict[str, Any], stored: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """Find what differs between two runs, as `check_same` does: its name and both values."""
    for name in stored:
        found = _difference(name, about.get(name), stored[name], _DEFAULTS.get(name))
        if found is not None:
            return found
    return None


def _difference(name: str, new: Any, old: Any, default: Any) -> tuple[str, Any, Any] | None:
    """Find the first value that differs, at any depth: its name and what it is on both sides."""
    if not (isinstance(new, dict) and isinstance(old, dict)):
        return None if new == old else (name, new, old)
    defaults = default if isinstance(default, dict) else {}
    for key in {**old, **new}:
        usual = defaults.get(key)
        found = _difference(key, new.get(key, usual), old.get(key, usual), usual)
        if found is not None:
            return found
    return None


def _empty(out: Path) -> bool:
    """Say whether a folder holds nothing but what a kill left of a run that was about to begin."""
    return all(path.name == LOCK or path.name.startswith(f".{JOURNAL}.") for path in out.iterdir())


def take(out: Path) -> IO[str]:
    """Keep other processes out of a folder until the file that this gives is closed.

    Raises:
        OutputError: If another process has it, or it cannot be written.
    """
    try:
        lock = (out / LOCK).open("w")
    except OSError as error:
        raise OutputError(
            f"cannot write to {out} ({error.strerror}): choose a folder that you can write to"
        ) from None
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise OutputError(
            f"another process works on the run in {out}: wait for it, or choose another folder"
        ) from None
    except OSError:  # some file systems have no locks
        pass
    return lock
