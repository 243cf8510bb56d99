"""Local Minari data sets: T+1 observations, T actions, rewards, terminations and truncations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from srvp_world.data.episodes import Ending
from srvp_world.data.observations import by_key
from srvp_world.data.source import ForeignEpisode, Source
from srvp_world.errors import ConfigError, DataError, did_you_mean
from srvp_world.spaces import ActionSpec

PIP = "pip install 'minari[hdf5]'"
METADATA = "metadata.json"


def minari_source(dataset: Any) -> Source:
    """Read a Minari data set; nothing is downloaded. Episodes that break are skipped.

    Args:
        dataset: An id such as `mujoco/ant/expert-v0`, the folder of a data set, or a
            `MinariDataset`.

    Raises:
        ConfigError: Where Minari is not installed.
        DataError: For an id that is not there, and a broken data set.
        SpaceError: For actions that are not supported.
    """
    if isinstance(dataset, str | Path):
        dataset = _open(dataset)
    skipped: list[tuple[str, str]] = []
    return Source(
        name=f"the Minari data set {dataset.id}",
        action=ActionSpec.from_space(dataset.action_space),
        episodes=_episodes(dataset, skipped),
        count=int(dataset.total_episodes),
        skipped=skipped,
    )


def minari_folder(folder: Path) -> Path | None:
    """Give the folder that Minari reads, where a folder holds a data set of Minari."""
    found = (path for path in (folder, folder / "data") if (path / METADATA).is_file())
    return next(found, None)


def _open(name: str | Path) -> Any:
    try:
        import minari
    except ImportError:
        raise ConfigError(f"reading Minari data sets misses a package: {PIP}") from None
    folder = minari_folder(Path(name))
    try:
        if folder is not None:
            return minari.MinariDataset(folder)
        if not Path(name).is_absolute():
            return minari.load_dataset(str(name))
    except FileNotFoundError:
        pass
    except Exception as error:  # whatever its storages raise for what is broken or too new
        raise _broken(str(name), error) from None
    hint = did_you_mean(str(name), minari.list_local_datasets())
    raise DataError(
        f"no Minari data set {str(name)!r} on this machine: {hint} (download others with "
        "`minari download ID`)"
    )


def _broken(name: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(
        f"the Minari data set {name!r} cannot be read ({reason}): make or copy it again"
    )


def _episodes(dataset: Any, skipped: list[tuple[str, str]]) -> Iterator[ForeignEpisode]:
    for index in dataset.episode_indices:
        name = f"{dataset.id} episode {index}"
        try:
            (episode,) = dataset.iterate_episodes([index])
            foreign = _read(episode, name)
        except Exception as error:  # as above: its files are opened late
            known = error if isinstance(error, DataError) else _broken(name, error)
            skipped.append((name, str(known)))
            continue
        yield foreign


def _read(episode: Any, name: str) -> ForeignEpisode:
    ends = np.flatnonzero(np.asarray(episode.terminations) | np.asarray(episode.truncations))
    if len(ends) and ends[0] != len(episode.rewards) - 1:
        raise DataError(
            f"{name} ends at step {ends[0] + 1} of {len(episode.rewards)}: it is broken, or no "
            "data set of whole episodes"
        )
    return ForeignEpisode(
        name=name,
        observations=by_key(episode.observations),
        actions=np.asarray(episode.actions),
        rewards=np.asarray(episode.rewards),
        ending=_ending(episode),
    )


def _ending(episode: Any) -> Ending:
    if len(episode.terminations) and episode.terminations[-1]:
        return Ending.TERMINATED
    truncated = len(episode.truncations) and episode.truncations[-1]
    return Ending.TRUNCATED if truncated else Ending.UNFINISHED
