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

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

import gymnasium as gym
import numpy as np
from einops import rearrange

from srvp_world.data.episodes import Ending
from srvp_world.data.npz_actions import ActionReader
from srvp_world.data.npz_file import NpzFile, read_arrays, read_file
from srvp_world.data.source import ForeignEpisode, Source
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

    Files that break, or whose actions are not shaped like those of most, are skipped.

    Args:
        paths: The files.
        convention: Which frame a row of actions belongs to, where there are as many as frames; None
            finds out, or refuses where it cannot.
        action_space: What the actions are; None guesses, and says so. One-hot rows become choices.

    Raises:
        ConfigError: For a convention that does not exist.
        DataError: Where no file can be read, and for a convention that is not clear or contradicts
            the flags in the files.
        SpaceError: For actions that are not supported.
    """
    if convention is not None and convention not in get_args(Convention):
        known = ", ".join(get_args(Convention))
        raise ConfigError(f"convention must be one of {known}, got {convention!r}")
    if not paths:
        raise DataError("there are no npz files: give some")
    warnings: list[str] = []
    notes: list[str] = []
    skipped: list[tuple[str, str]] = []
    files = _readable(paths, skipped)
    settled = _settle([file for file in files if file.aligned], convention)
    if settled == "departure":
        warnings.append(_LOST)
    elif settled and convention is None:
        notes.append(f"the rows are timed by {settled}, as the rows of is_first tell")
    if any("done" in file.flags and "truncated" not in file.flags for file in files):
        notes.append(_DONE_NOTE)
    pieces = [(file, piece) for file in files for piece in _pieces(file, settled)]
    reader = ActionReader.of(
        [file.actions[piece.actions] for file, piece in pieces], action_space, notes
    )
    return Source(
        name=f"{paths[0]}" if len(paths) == 1 else f"{len(paths)} npz files",
        action=reader.spec,
        episodes=_episodes(pieces, reader, skipped),
        count=len(pieces),
        assumed=True,
        warnings=warnings,
        notes=notes,
        skipped=skipped,
    )


def _readable(paths: Sequence[Path], skipped: list[tuple[str, str]]) -> list[NpzFile]:
    """Read what can be read, and keep the reasons of the others; refuse where nothing is left."""
    files: list[NpzFile] = []
    for path in paths:
        try:
            file = read_file(path)
            if not file.aligned:
                _check_whole(file)
            files.append(file)
        except DataError as error:
            skipped.append((str(path), str(error)))
    if not files:
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise DataError(skipped[0][1] + more)
    usual = Counter(file.actions.shape[1:] for file in files).most_common(1)[0][0]
    for file in files:
        if (shape := file.actions.shape[1:]) != usual:
            reason = f"{file.path}: actions have shape {shape} each, but most files have {usual}"
            skipped.append((str(file.path), reason))
    return [file for file in files if file.actions.shape[1:] == usual]


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


def _check_whole(file: NpzFile) -> None:
    """Refuse T+1 frames and T actions that end or begin an episode anywhere but at their ends."""
    for name, flags in file.flags.items():
        within = np.flatnonzero(flags[1:] if name == "first" else flags[:-1])
        if within.size:
            row = within[0] + (name == "first")
            what = "begins another episode" if name == "first" else "goes on after an end"
            raise DataError(
                f"{file.path} {what} ({file.keys[name]} in row {row}): store one episode a file"
            )


def _whole(file: NpzFile) -> _Piece:
    """One episode of T+1 frames and T actions."""
    rows, first = slice(0, len(file.actions)), file.flags.get("first")
    ending = _ending(file, -1) if len(file.actions) else Ending.UNFINISHED
    return _Piece(slice(0, file.frames), rows, rows, ending, first is None or bool(first[:1].all()))


def _ending(file: NpzFile, row: int) -> Ending:
    flags = {name: bool(array[row]) for name, array in file.flags.items()}
    truncated = flags.get("truncated", False)
    if flags.get("terminated") or (flags.get("done") and not truncated):
        return Ending.TERMINATED
    # A Dreamer's last frame that is not terminal was cut by a time limit.
    return Ending.TRUNCATED if truncated or flags.get("last") else Ending.UNFINISHED


def _episodes(
    pieces: Sequence[tuple[NpzFile, _Piece]],
    reader: ActionReader,
    skipped: list[tuple[str, str]],
) -> Iterator[ForeignEpisode]:
    """Read the observations file by file; those that break are skipped."""
    for _, group in groupby(pieces, key=lambda pair: pair[0].path):
        pairs = list(group)
        file = pairs[0][0]
        try:
            observations = read_arrays(file.path, list(file.observations))
        except DataError as error:
            skipped.append((str(file.path), str(error)))
            continue
        for _, piece in pairs:
            start = piece.frames.start
            yield ForeignEpisode(
                name=f"{file.path} row {start}" if start else f"{file.path}",
                observations={key: array[piece.frames] for key, array in observations.items()},
                actions=reader.read(file.actions[piece.actions]),
                rewards=None if file.rewards is None else file.rewards[piece.rewards],
                ending=piece.ending,
                begins=piece.begins,
                others={
                    key: f"{rows} rows beside {file.frames} frames"
                    for key, rows in file.others.items()
                },
            )
