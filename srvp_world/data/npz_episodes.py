"""Episodes in npz files, such as those that agents of the Dreamer family leave.

T+1 frames and T actions need no explanation. Where there is a row of everything for each frame, it
depends on who wrote it:

    arrival     action t and reward t led to frame t; row 0 is zeros (dreamerv3-torch)
    departure   action t is taken at frame t, reward t follows from it (D4RL and others)
    dreamerv3   action t is taken at frame t, reward t came with frame t; the last action is zeros

The rows `is_first` and `is_last` tell the first and the third apart where actions and rewards are
not all zero. Nothing tells the second, so that users must; there, what an episode's last action led
to is not in the file.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import gymnasium as gym
import numpy as np
from einops import rearrange

from srvp_world.data.episodes import Ending
from srvp_world.data.foreign import ForeignEpisode, Source
from srvp_world.data.npz_actions import ActionReader
from srvp_world.data.npz_file import NpzFile, read_arrays, read_file
from srvp_world.errors import ConfigError, DataError

Convention = Literal["arrival", "departure", "dreamerv3"]

_DONE_NOTE = (
    "`done` was taken for the end of the world: where time limits ended episodes, store `truncated`"
)
_LOST = (
    "with departure, what an episode's last action led to is not in the file: it was dropped, so "
    "no episode of this data ends, and a world will not learn that any does"
)


def npz_source(
    paths: Sequence[Path],
    *,
    convention: Convention | None = None,
    action_space: gym.Space[object] | None = None,
) -> Source:
    """Read npz files, of one episode each or of several one after the other.

    Args:
        paths: The files.
        convention: Which frame a row of actions belongs to, where there are as many as frames; None
            finds out, or refuses where it cannot.
        action_space: What the actions are; None guesses, and says so. One-hot rows become choices.

    Raises:
        ConfigError: For a convention that does not exist.
        DataError: For broken files, lengths that do not fit, and a convention that is not clear or
            contradicts the flags in the files.
        SpaceError: For actions that are not supported.
    """
    if convention is not None and convention not in get_args(Convention):
        known = ", ".join(get_args(Convention))
        raise ConfigError(f"convention must be one of {known}, got {convention!r}")
    files = [read_file(path) for path in paths]
    if not files:
        raise DataError("there are no npz files: give some")
    warnings: list[str] = []
    notes: list[str] = []
    settled = _settle([file for file in files if file.aligned], convention)
    if settled == "departure":
        warnings.append(_LOST)
    elif settled and convention is None:
        notes.append(f"the rows are timed by {settled}, as the rows of is_first tell")
    if any("done" in file.flags and "truncated" not in file.flags for file in files):
        notes.append(_DONE_NOTE)
    pieces = {file.path: list(_pieces(file, settled)) for file in files}
    reader = ActionReader.of(
        [file.actions[piece.actions] for file in files for piece in pieces[file.path]],
        action_space,
        notes,
    )
    return Source(
        name=f"{files[0].path}" if len(files) == 1 else f"{len(files)} npz files",
        action=reader.spec,
        episodes=_episodes(files, pieces, reader),
        count=sum(len(each) for each in pieces.values()),
        assumed=True,
        warnings=warnings,
        notes=notes,
    )


def _settle(files: Sequence[NpzFile], given: Convention | None) -> Convention | None:
    """Agree on a convention, or say why none can be."""
    if not files:
        return None
    if given is not None:
        for file in files:
            if problem := _problem(file, given):
                raise DataError(f"{file.path} is not timed by {given}: {problem}")
        return given
    ways = "say which with --convention arrival, departure or dreamerv3"
    if not all("first" in file.flags for file in files):
        path = files[0].path
        raise DataError(
            f"{path} has as many actions as frames, and nothing tells whether a row of actions led "
            f"to its frame or is taken at it: {ways}"
        )
    fits: list[Convention] = [
        name for name in ("arrival", "dreamerv3") if not any(_problem(file, name) for file in files)
    ]
    if len(fits) != 1:
        reason = "both arrival and dreamerv3 fit" if fits else "neither arrival nor dreamerv3 fits"
        raise DataError(f"{files[0].path}: {reason} what is at is_first and is_last: {ways}")
    return fits[0]


def _problem(file: NpzFile, convention: Convention) -> str | None:
    """Say what in a file contradicts a convention; only flags that are there can."""
    first, last = file.flags.get("first"), file.flags.get("last")
    no_action = (rearrange(file.actions, "n ... -> n (...)") == 0).all(axis=1)
    no_reward = np.ones(file.frames, bool) if file.rewards is None else file.rewards == 0
    if first is not None and convention in ("arrival", "dreamerv3"):
        wrong = first & ~(no_reward & no_action if convention == "arrival" else no_reward)
        if wrong.any():
            row = np.flatnonzero(wrong)[0]
            what = "reward" if not no_reward[row] else "action"
            return f"row {row} begins an episode, but its {what} is not 0"
    if last is not None and convention == "dreamerv3" and (last & ~no_action).any():
        row = np.flatnonzero(last & ~no_action)[0]
        return f"row {row} ends an episode, but its action is not 0"
    if first is not None and convention == "departure" and first[1:].any():
        ends = np.append(first[1:], True)
        if no_action[first].all() and not no_action[ends].all():
            return "the rows that begin episodes have no action, so that they seem to be arrivals"
    return None


@dataclass(frozen=True)
class _Piece:
    """Rows of a file that make an episode."""

    frames: slice
    actions: slice
    rewards: slice
    ending: Ending
    begins: bool


def _pieces(file: NpzFile, convention: Convention | None) -> Iterator[_Piece]:
    if not file.aligned:
        yield _whole(file)
        return
    none = np.zeros(file.frames, bool)
    first: np.ndarray = file.flags.get("first", none)
    names = ("terminated", "truncated", "done", "last")
    ended = np.logical_or.reduce([file.flags.get(name, none) for name in names])
    cuts = np.flatnonzero(ended[:-1] | first[1:]) + 1
    begins = bool(first[0]) if "first" in file.flags else True
    for start, stop in zip([0, *cuts], [*cuts, file.frames], strict=True):
        led, taken = slice(start + 1, stop), slice(start, stop - 1)
        yield _Piece(
            frames=slice(start, stop),
            actions=led if convention == "arrival" else taken,
            rewards=taken if convention == "departure" else led,
            ending=Ending.UNFINISHED if convention == "departure" else _ending(file, stop - 1),
            begins=begins,
        )
        begins = bool(ended[stop - 1]) or bool(first[stop : stop + 1].any())


def _whole(file: NpzFile) -> _Piece:
    """One episode of T+1 frames and T actions, which may end nowhere but at its end."""
    for name in ("terminated", "truncated", "done"):
        if name in file.flags and (early := np.flatnonzero(file.flags[name][:-1])).size:
            raise DataError(
                f"{file.path} goes on after {name} in row {early[0]}: store one episode a file"
            )
    rows = slice(0, len(file.actions))
    return _Piece(slice(0, file.frames), rows, rows, _ending(file, -1), True)


def _ending(file: NpzFile, row: int) -> Ending:
    flags = {name: bool(array[row]) for name, array in file.flags.items()}
    truncated = flags.get("truncated", False)
    if flags.get("terminated") or (flags.get("done") and not truncated):
        return Ending.TERMINATED
    # A Dreamer's last frame that is not terminal was cut by a time limit.
    return Ending.TRUNCATED if truncated or flags.get("last") else Ending.UNFINISHED


def _episodes(
    files: Iterable[NpzFile], pieces: dict[Path, list[_Piece]], reader: ActionReader
) -> Iterator[ForeignEpisode]:
    for file in files:
        observations = read_arrays(file.path, list(file.observations))
        for piece in pieces[file.path]:
            yield ForeignEpisode(
                name=f"{file.path} row {piece.frames.start}"
                if piece.frames.start
                else f"{file.path}",
                observations={key: array[piece.frames] for key, array in observations.items()},
                actions=reader.read(file.actions[piece.actions]),
                rewards=None if file.rewards is None else file.rewards[piece.rewards],
                ending=piece.ending,
                begins=piece.begins,
            )
