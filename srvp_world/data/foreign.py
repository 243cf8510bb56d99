"""Experience that others recorded: the one way from their episodes to a data set of ours."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from srvp_world.data.episodes import SUFFIX, Ending, Episode, write_episode
from srvp_world.data.index import append_record, record_of
from srvp_world.data.info import DatasetInfo, create_dataset
from srvp_world.data.observations import (
    OWN_VECTOR,
    ExperienceConfig,
    ObservationFormat,
    layouts_of,
)
from srvp_world.data.source import ForeignEpisode, Source
from srvp_world.data.timing import Timing
from srvp_world.errors import DataError
from srvp_world.spaces import ActionSpec

BEGINS = "begins_at_part"  # provenance of an episode whose beginning nobody recorded

_KIND = ("episode", "piece")  # begins the names of what has part 0, and of what begins later
_PART = 1000  # transitions of the longest file
_DIGEST = 16  # hexadecimal digits, enough for a hundred million episodes


@dataclass(frozen=True, kw_only=True)
class ExperienceResult:
    """What became of a source.

    Attributes:
        folder: The data set.
        episodes: Episodes, and pieces of them, that are new.
        transitions: Steps from frame to frame in them.
        present: Episodes that the folder had before.
        copies: Episodes that the source has more than once, but for the first of each.
        skipped: Episodes that were left out, each with the reason.
        warnings: What is lost or seems wrong.
        notes: What was found out or assumed.
    """

    folder: Path
    episodes: int
    transitions: int
    present: int
    copies: int
    skipped: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def import_experience(
    source: Source,
    folder: Path | str,
    config: ExperienceConfig | None = None,
    *,
    progress: bool = True,
) -> ExperienceResult:
    """Write the episodes of a source into a data set, new or of an import of the same kind.

    Episodes that the folder has are not written again, so an import that was stopped can go on.
    Episodes that break are left out and the others go on; pieces without an action are dropped.
    Where the frames contradict how a source was assumed to be timed, a warning says so.

    Raises:
        DataError: Where nothing can be imported, or the folder holds another data set.
        SpaceError: Where the actions cannot be described.
        OutputError: Where the folder cannot be written.
    """
    writer = _Writer(source, Path(folder), config or ExperienceConfig())
    bar = tqdm(
        source.episodes,
        desc="importing",
        unit="episode",
        total=source.count,
        delay=2,
        disable=not progress,
    )
    for episode in bar:
        if len(episode.actions):
            writer.write(episode)
    return writer.result()


class _Writer:
    """Brings one episode after the other into the layout of the first that has one."""

    def __init__(self, source: Source, folder: Path, config: ExperienceConfig) -> None:
        self._source, self._folder, self._config = source, folder, config
        self._format: ObservationFormat | None = None
        self._timing = Timing()
        self._there = _digests(folder)
        self._written: set[str] = set()
        self._left_out: set[str] = set()  # keys of observations
        self._transitions = self._present = self._copies = 0

    def write(self, foreign: ForeignEpisode) -> None:
        """Import one episode, or keep the reason why not."""
        try:
            _check_lengths(foreign, self._config)
            if self._format is None:
                layouts = layouts_of(foreign.observations)
                self._format = ObservationFormat.of(layouts, self._config, foreign.name)
                self._info = self._format.info(
                    self._source.action,
                    rewards=foreign.rewards is not None,
                    pixels=self._config.pixels,
                    source="imported experience",
                )
            episode = self._convert(foreign, self._format)
        except DataError as error:
            self._source.skipped.append((foreign.name, str(error)))
            return
        self._left_out |= {*self._format.left_out, *foreign.others}
        assert episode.actions is not None
        if self._source.assumed:
            self._timing.add(episode.frames, self._source.action, episode.actions)
        digest = _digest(episode)
        if digest in self._written:
            self._copies += 1
            return
        if digest in self._there:
            self._present += 1
            return
        if not self._written:
            create_dataset(self._folder, self._info)
        _commit(self._folder, self._info, episode, f"{_KIND[episode.part]}-{digest}")
        self._written.add(digest)
        self._transitions += len(episode.actions)

    def _convert(self, foreign: ForeignEpisode, form: ObservationFormat) -> Episode:
        """Give an episode of ours that belongs into the data set."""
        action = self._info.action
        assert action is not None
        provenance: dict[str, str | int | float] = {"source": foreign.name}
        if not foreign.begins:
            provenance[BEGINS] = 1
        episode = Episode(
            frames=form.frames(foreign.observations, foreign.name),
            actions=_cast(foreign.actions, action, foreign.name),
            rewards=None if foreign.rewards is None else np.asarray(foreign.rewards, np.float32),
            vector=form.vectors(foreign.observations, foreign.name),
            ending=foreign.ending,
            provenance=provenance,
            part=0 if foreign.begins else 1,
        )
        episode.validate(self._info, foreign.name)
        return episode

    def result(self) -> ExperienceResult:
        """Sum up what was done; refuse a source of which nothing is left."""
        source, skipped = self._source, self._source.skipped
        if not (self._written or self._present):
            if not skipped:
                raise DataError(f"{source.name} holds no step from frame to frame: record more")
            more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
            raise DataError(skipped[0][1] + more)
        warnings, notes = list(source.warnings), list(source.notes)
        if contradiction := self._timing.contradiction():
            warnings.append(contradiction)
        if not any(self._folder.glob(f"*-part000{SUFFIX}")):
            warnings.append(
                f"{self._folder} holds no beginning of an episode, from which dreams start, so no "
                "world can be learnt from it alone: add episodes from their first frame on"
            )
        if self._left_out:
            left_out = ", ".join(sorted(self._left_out))
            notes.append(f"left out: {left_out} of the observations")
        return ExperienceResult(
            folder=self._folder,
            episodes=len(self._written),
            transitions=self._transitions,
            present=self._present,
            copies=self._copies,
            skipped=tuple(skipped),
            warnings=tuple(dict.fromkeys(warnings)),
            notes=tuple(dict.fromkeys(notes)),
        )


def _check_lengths(episode: ForeignEpisode, config: ExperienceConfig) -> None:
    """Refuse observations that are not one more than the actions, and what was asked for, too.

    Raises:
        DataError: Naming the lengths.
    """
    steps, name = len(episode.actions), episode.name
    lengths = {len(array) for array in episode.observations.values()}
    if lengths != {steps + 1}:
        raise DataError(
            f"{name}: {steps} actions lie between {steps + 1} observations, but there are "
            f"{sorted(lengths)}: leave it out"
        )
    wanted = (OWN_VECTOR,) if config.vector is None else config.vector
    for key in (*wanted, *([config.image] if config.image else [])):
        if key in episode.others:
            raise DataError(
                f"{name}: {key!r} has {episode.others[key]}: store a row for each frame, or leave "
                "it out (--no-vector)"
            )


def _cast(actions: np.ndarray, action: ActionSpec, what: str) -> np.ndarray:
    """Bring actions into the dtype and shape that are stored; whole numbers stay what they are."""
    whole = action.dtype.kind in "iu"
    if whole and actions.dtype.kind == "f" and not (actions == np.rint(actions)).all():
        raise DataError(f"{what}: actions are {actions.dtype} numbers, but choices are whole")
    shape = (len(actions), *action.shape)
    if actions.size != int(np.prod(shape)):
        raise DataError(
            f"{what}: actions have shape {actions.shape[1:]} each, but the space wants "
            f"{action.shape}: leave it out"
        )
    return actions.reshape(shape).astype(action.dtype)


def _digest(episode: Episode) -> str:
    """Tell episodes apart by all of their content."""
    state = hashlib.blake2b(f"{episode.ending} {episode.part}".encode())
    for name, array in episode.arrays.items():
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()[:_DIGEST]


def _digests(folder: Path) -> set[str]:
    """Give the digests of the episodes that a folder has: of those whose first part is there."""
    return {
        path.name.removeprefix(f"{kind}-").partition("-")[0]
        for first, kind in enumerate(_KIND)
        for path in folder.glob(f"{kind}-*-part{first:03d}{SUFFIX}")
    }


def _commit(folder: Path, info: DatasetInfo, episode: Episode, stem: str) -> None:
    """Write the parts of an episode, the first last: a kill leaves nothing that looks whole."""
    for part in reversed(list(_parts(episode))):
        name = f"{stem}-part{part.part:03d}{SUFFIX}"
        (folder / name).unlink(missing_ok=True)  # left by an import that was stopped
        append_record(folder, record_of(write_episode(folder, part, stem=stem), info))


def _parts(episode: Episode) -> Iterator[Episode]:
    """Cut a long episode into parts that share their boundary frames."""
    assert episode.actions is not None
    for number, start in enumerate(range(0, len(episode.actions), _PART)):
        stop = min(start + _PART, len(episode.actions))
        yield replace(
            episode,
            frames=episode.frames[start : stop + 1],
            actions=episode.actions[start:stop],
            rewards=None if episode.rewards is None else episode.rewards[start:stop],
            vector=None if episode.vector is None else episode.vector[start : stop + 1],
            ending=episode.ending if stop == len(episode.actions) else Ending.UNFINISHED,
            part=episode.part + number,
        )
