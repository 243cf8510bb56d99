"""What all episodes of a data set have in common: `dataset.json`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from srvp_world.config import PixelConfig, from_json, to_json
from srvp_world.data.files import make_folder, write_atomically
from srvp_world.errors import ConfigError, DataError
from srvp_world.spaces import ActionSpec

DESCRIPTION = "dataset.json"
FORMAT = "srvp-world dataset"
VERSION = 1

Layout = Mapping[str, tuple[tuple[int, ...], str]]  # shape and dtype of arrays by name


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What all episodes of a data set have in common.

    Attributes:
        frame_size: Height and width of a frame.
        channels: 1 for grey, 3 for colour.
        action: The actions of experience; None for video.
        vector_dim: Size of the vector beside the frames; 0 for none.
        rewards: Whether every action has a reward.
        pixels: How the frames were made from a real environment, where there is one.
        source: Where the data came from, for people.
        frame_rate: Stored frames per second of video, where all episodes have the same.
    """

    frame_size: int
    channels: int
    action: ActionSpec | None = None
    vector_dim: int = 0
    rewards: bool = False
    pixels: PixelConfig | None = None
    source: str = ""
    frame_rate: float | None = None

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c) of a stored frame."""
        return (self.frame_size, self.frame_size, self.channels)


def check_layout(what: str, info: DatasetInfo, layout: Layout) -> None:
    """Compare the shapes and dtypes of an episode's arrays with those of its data set.

    Raises:
        DataError: Naming `what` and the first array that differs.
    """
    length = layout["frames"][0][0] if layout["frames"][0] else 0
    if length < 1:
        raise DataError(f"{what}: there are no frames, but 1 is the least: leave it out")
    expected: dict[str, tuple[tuple[int, ...], str]] = {}
    expected["frames"] = ((length, *info.frame_shape), "uint8")
    if info.action is not None:
        expected["actions"] = ((length - 1, *info.action.shape), str(info.action.dtype))
    if info.rewards:
        expected["rewards"] = ((length - 1,), "float32")
    if info.vector_dim:
        expected["vector"] = ((length, info.vector_dim), "float32")
    for name, (shape, dtype) in expected.items():
        if name not in layout:
            raise DataError(f"{what}: {name} is missing, but the data set has it: record it")
        if layout[name] != (shape, dtype):
            given = f"{layout[name][1]} {layout[name][0]}"
            raise DataError(
                f"{what}: {name} is {given}, but the data set wants {dtype} {shape}: convert it"
            )
    if extra := sorted(layout.keys() - expected.keys()):
        raise DataError(f"{what}: the data set has no {', '.join(extra)}: drop them")


def create_dataset(folder: Path, info: DatasetInfo) -> None:
    """Make the folder and write what it will hold; do nothing where that was done already.

    Raises:
        DataError: Where the folder holds a data set that differs.
        OutputError: Where the folder cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    description = {"format": FORMAT, "version": VERSION, "info": to_json(info)}
    content = json.dumps(description, indent=2) + "\n"
    if not (folder / DESCRIPTION).exists():
        write_atomically(folder / DESCRIPTION, content.encode())
        return
    old, new = to_json(read_info(folder)), json.loads(content)["info"]
    old = json.loads(json.dumps(old))  # tuples become lists, as in the new one
    differing = [name for name in new if old[name] != new[name]]
    if differing:
        name = differing[0]
        raise DataError(
            f"{folder} holds another data set ({name} is {old[name]!r}, not {new[name]!r}): "
            "choose another folder"
        )


def widen_bounds(folder: Path, info: DatasetInfo) -> None:
    """Give a data set the bounds of actions that `info` has, where they hold its own.

    Nothing is done where anything else differs, which `create_dataset` refuses.

    Raises:
        DataError: Where there is no data set, or one that cannot be read.
        OutputError: Where the folder cannot be written.
    """
    old, new = read_info(folder).action, info.action
    if old is None or new is None or old == new or (old.kind, old.shape) != (new.kind, new.shape):
        return
    lower = all(a >= b for a, b in zip(old.low, new.low, strict=True))
    higher = all(a <= b for a, b in zip(old.high, new.high, strict=True))
    if lower and higher and replace(read_info(folder), action=new) == info:
        path = folder / DESCRIPTION
        described = json.loads(path.read_text(encoding="utf-8"))  # has more than the info
        described["info"] = to_json(info)
        write_atomically(path, (json.dumps(described, indent=2) + "\n").encode())


def read_info(folder: Path) -> DatasetInfo:
    """Read what the data set in a folder holds.

    Raises:
        DataError: Where there is no data set, or one that cannot be read.
    """
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise DataError(
            f"{folder} is no data set ({DESCRIPTION} is missing): {way_out(folder)}"
        ) from None
    except ValueError:
        description = None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DataError(f"{path} does not describe a data set of srvp-world: {way_out(folder)}")
    try:
        if description["version"] > VERSION:
            raise DataError(
                f"{path} has format version {description['version']}, but this srvp-world reads "
                f"up to {VERSION}: upgrade srvp-world"
            )
        return from_json(DatasetInfo, description["info"])
    except (ConfigError, KeyError, TypeError) as error:
        raise DataError(f"{path} is broken ({error}): restore it or record again") from None


def way_out(folder: Path) -> str:
    """What to do where a folder holds nothing."""
    if (folder / "train" / DESCRIPTION).exists():
        return f"give {folder / 'train'}"
    return (
        f"record one with `srvp-world collect ENV --out {folder}`, or make one of videos with "
        "`srvp-world data import`"
    )
