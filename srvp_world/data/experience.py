"""Any experience becomes a data set: of Stable-Baselines3, of Minari, of npz files.

>>> from srvp_world.data.experience import from_sb3
>>> from_sb3(model, "data")  # after model.learn(...) on pixels
"""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from srvp_world.data.episodes import SUFFIX
from srvp_world.data.foreign import ExperienceResult, import_experience
from srvp_world.data.info import DESCRIPTION, read_info
from srvp_world.data.minari_episodes import minari_folder, minari_source
from srvp_world.data.npz_episodes import Convention, npz_source
from srvp_world.data.observations import ExperienceConfig as ExperienceConfig
from srvp_world.data.replay_buffer import Done, sb3_source
from srvp_world.data.source import Source
from srvp_world.errors import DataError

MINARI = "minari:"

_PICKLES = (".pkl", ".pickle", ".zip", ".pt", ".pth", ".joblib")


def from_sb3(
    model_or_buffer: Any,
    folder: Path | str,
    config: ExperienceConfig | None = None,
    *,
    done: Done | None = None,
    scaled_actions: bool | None = None,
    progress: bool = True,
) -> ExperienceResult:
    """Import what a model of Stable-Baselines3 has in its buffer, of this process.

    Replay buffers hold whole episodes. Of rollout buffers each episode's last step is dropped,
    which a warning tells.

    Args:
        model_or_buffer: Such as `model`, `model.replay_buffer` or `model.rollout_buffer`.
        folder: Of the data set.
        config: How observations become frames and vectors.
        done: What a `done` means where the buffer does not tell time limits apart.
        scaled_actions: Whether actions of a Box are stored in [-1, 1], as SB3's algorithms do it.
        progress: Whether to show a bar.

    Raises:
        DataError: For what is no buffer, an empty one, one without pixels or episodes, and a `done`
            that is not clear.
        SpaceError: For actions that are not supported.
        OutputError: Where the folder cannot be written.
    """
    source = sb3_source(model_or_buffer, done=done, scaled_actions=scaled_actions)
    return _told(import_experience(source, folder, config, progress=progress))


def from_minari(
    dataset: Any,
    folder: Path | str,
    config: ExperienceConfig | None = None,
    *,
    progress: bool = True,
) -> ExperienceResult:
    """Import a Minari data set of this machine: its id, its folder, or a `MinariDataset`.

    Raises:
        ConfigError: Where Minari is not installed.
        DataError: For a data set that is not there, is broken or has no pixels.
        SpaceError: For actions that are not supported.
        OutputError: Where the folder cannot be written.
    """
    return _told(import_experience(minari_source(dataset), folder, config, progress=progress))


def from_npz(
    paths: Path | str | Iterable[Path | str],
    folder: Path | str,
    config: ExperienceConfig | None = None,
    *,
    convention: Convention | None = None,
    action_space: gym.Space[Any] | None = None,
    progress: bool = True,
) -> ExperienceResult:
    """Import npz files, or folders of them, with frames, actions and maybe rewards and flags.

    Args:
        paths: Files and folders.
        folder: Of the data set.
        config: How observations become frames and vectors.
        convention: Which frame a row of actions belongs to, where there are as many as frames:
            `arrival`, `departure` or `dreamerv3`.
        action_space: What the actions are; None means as in the folder, where there is a data set,
            else guesses, and says so.
        progress: Whether to show a bar.

    Raises:
        DataError: For broken files, files without pixels, and a convention that is not clear or
            contradicts what the files hold.
        SpaceError: For actions that are not supported.
        OutputError: Where the folder cannot be written.
    """
    sources = [paths] if isinstance(paths, Path | str) else list(paths)
    files = [file for path in sources for file in _npz_files(Path(path))]
    space = _space(Path(folder), action_space)
    source = npz_source(files, convention=convention, action_space=space)
    return _told(import_experience(source, folder, config, progress=progress))


def _told(result: ExperienceResult) -> ExperienceResult:
    """Warn of what is lost or seems wrong, as nobody may look at the result."""
    for warning in result.warnings:
        warnings.warn(warning, stacklevel=3)
    return result


def open_sources(
    names: Sequence[str],
    folder: Path,
    *,
    convention: Convention | None = None,
    action_space: gym.Space[Any] | None = None,
) -> list[Source]:
    """Find what the names of a command line mean: files, folders, `minari:ID`.

    Args:
        names: Of the sources.
        folder: Of the data set to be, or to go on with.
        convention: Of npz files, as in `from_npz`.
        action_space: Of npz files, as in `from_npz`.

    Raises:
        ConfigError: Where Minari is not installed.
        DataError: For what cannot be imported, with what can be done instead.
        SpaceError: For actions that are not supported.
    """
    minari = [name for name in names if _minari_id(name)]
    files = [file for name in names if name not in minari for file in _npz_files(Path(name))]
    sources = [minari_source(_minari_id(name)) for name in minari]
    if files:
        space = _space(folder, action_space)
        sources.append(npz_source(files, convention=convention, action_space=space))
    return sources


def _space(folder: Path, given: gym.Space[Any] | None) -> gym.Space[Any] | None:
    """Give the action space that is known: as given, else that of the folder's data set."""
    if given is not None or not (folder / DESCRIPTION).exists():
        return given
    action = read_info(folder).action
    return None if action is None else action.space


def _minari_id(name: str) -> str | None:
    if name.startswith(MINARI):
        return name.removeprefix(MINARI)
    return name if minari_folder(Path(name)) else None


def _npz_files(path: Path) -> list[Path]:
    """List the npz files that a path stands for."""
    refuse_pickle(path)
    if path.is_dir():
        files = sorted(path.rglob("*.npz"))
        if files:
            return files
        for other in sorted(path.iterdir()):
            refuse_pickle(other)
        raise DataError(f"{path} holds no npz file and no Minari data set: give what does")
    if not path.exists():
        raise DataError(f"{path} does not exist: check the path, or write {MINARI}ID for Minari")
    if path.suffix == ".npz":
        return [path]
    if path.suffix == SUFFIX:
        raise DataError(f"{path} needs no import: if it is an episode, train on its folder")
    raise DataError(
        f"{path} is no npz file and no Minari data set: store episodes as npz (image, action, "
        "reward, terminated, truncated)"
    )


def refuse_pickle(path: Path) -> None:
    """Refuse what could only be read by running code that others put into it.

    Raises:
        DataError: With the way within the process that made the file.
    """
    if path.suffix.lower() in _PICKLES:
        raise DataError(
            f"{path} would have to be unpickled, which can run any code: load it in a program of "
            "yours, and there call from_sb3(model, folder) or from_sb3(model.replay_buffer, "
            "folder) of srvp_world.data.experience"
        )
