"""What is predicted from what, how often, and the clips that it is done on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from einops import rearrange

from srvp_world.benchmark.test_sets import drawn_clips, require_test_videos
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Episode
from srvp_world.data.info import DESCRIPTION
from srvp_world.data.mnist import test_digits
from srvp_world.data.moving_mnist import (
    FRAME,
    STOCHASTIC,
    TEST_VIDEOS,
    Trajectories,
    draw,
    test_trajectories,
)
from srvp_world.errors import ConfigError, DataError
from srvp_world.kinds import AnyConfig
from srvp_world.prediction import check_temperature
from srvp_world.spaces import ActionSpec


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How video prediction is evaluated.

    Attributes:
        name: Of the benchmark, or of the folder.
        conditioning: Frames that the model watches.
        horizon: Frames that it predicts.
        videos: Number of test clips, the first ones; None means all.
        samples: Futures of each clip.
        substeps: Euler steps per predicted frame; None means the trained number.
        observed_substeps: Euler steps per observed frame; None means the trained number.
        temperature: Factor of the prior's standard deviation, for predicted frames.
    """

    name: str
    conditioning: int
    horizon: int
    videos: int | None = None
    samples: int = 100
    substeps: int | None = None
    observed_substeps: int | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to do."""
        for name, value in vars(self).items():
            if name != "temperature" and isinstance(value, int) and value < 1:
                raise ConfigError(f"{name.replace('_', '-')} must be at least 1, got {value}")
        check_temperature(self.temperature)

    @property
    def length(self) -> int:
        """Frames of a clip."""
        return self.conditioning + self.horizon


def temperature_of(protocol: Protocol) -> str:
    """Say the temperature behind other words, where it is not the paper's."""
    return "" if protocol.temperature == 1 else f", temperature {protocol.temperature:g}"


def _paper(name: str, conditioning: int, horizon: int, videos: int, samples: int = 100) -> Protocol:
    return Protocol(
        name=name, conditioning=conditioning, horizon=horizon, videos=videos, samples=samples
    )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        _paper("smmnist", 5, 20, TEST_VIDEOS),
        _paper("mmnist", 5, 95, TEST_VIDEOS, samples=1),
        _paper("kth", 10, 30, 1000),
        _paper("human36m", 8, 45, 1000),
        _paper("bair", 2, 28, 256),
    )
}


def folder_protocol(folder: Path) -> Protocol:
    """Give the protocol for a folder of one's own: five frames seen, twenty predicted.

    No benchmark has a name like these, so that a folder `kth` is not taken for one.
    """
    return Protocol(name=f"folder {folder.resolve().name}", conditioning=5, horizon=20)


class ClipBatch(NamedTuple):
    """Some test clips.

    Attributes:
        frames: (n, t, h, w, c) uint8.
        actions: (n, t - 1, ...) in the action space's units, or None.
    """

    frames: np.ndarray
    actions: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Test clips of one length, read when they are needed.

    Attributes:
        source: What they are, for people.
        count: How many there are.
        frame_shape: (h, w, c).
        action: Actions between the frames, where there are any.
        vector_dim: Size of the vector beside the frames; 0 for none.
        read: Gives clips [start, stop).
    """

    source: str
    count: int
    frame_shape: tuple[int, int, int]
    action: ActionSpec | None = None
    vector_dim: int = 0
    read: Callable[[int, int], ClipBatch]

    def check_fits(self, config: AnyConfig, protocol: Protocol) -> None:
        """Refuse a world that cannot watch these clips.

        Raises:
            DataError: If frames have another size or number of channels, or come with a vector.
            ConfigError: If it needs more conditioning frames, or other actions.
        """
        size, channels = config.frame_size, config.channels
        if self.frame_shape != (size, size, channels):
            h, w, c = self.frame_shape
            raise DataError(
                f"{protocol.name} has frames of {h}x{w}x{c}, but the world was trained on "
                f"{size}x{size}x{channels}: take a world or clips of the other size"
            )
        if self.vector_dim or config.vector_dim:
            raise DataError(
                f"{protocol.name} or the world has a vector beside its frames (sizes "
                f"{self.vector_dim}, {config.vector_dim}): only frames can be evaluated, so take "
                "`srvp-world report WORLD --data FOLDER`"
            )
        if self.action != config.action:
            named = [None if spec is None else spec.space for spec in (self.action, config.action)]
            raise ConfigError(
                f"{protocol.name} has actions {named[0]}, but the world takes {named[1]}: "
                "evaluate it on experience of its own environment"
            )
        if config.action is None and protocol.conditioning < config.content_frames:
            raise ConfigError(
                f"the world needs {config.content_frames} conditioning frames, got "
                f"{protocol.conditioning}: give --conditioning {config.content_frames}"
            )


def open_clips(protocol: Protocol, folder: Path | None = None) -> Clips:
    """Make or find the clips of a protocol.

    Args:
        protocol: With or without changes.
        folder: Data set, or folder with a data set `test`; None for Moving MNIST. For the paper's
            other benchmarks, what `srvp_world.data.conversion` has made of them.

    Raises:
        ConfigError: If a folder is missing, or given where clips are made.
        DataError: If there are too few clips, one is too short, or the data set is broken.
    """
    if protocol.name in PROTOCOLS and (folder is None) != (protocol.name in STOCHASTIC):
        if folder is None:
            raise ConfigError(
                f"the clips of {protocol.name} do not ship with srvp-world: convert them and give "
                "--data FOLDER"
            )
        raise ConfigError(f"{protocol.name} makes its own clips: leave --data out")
    require_test_videos(protocol.name, folder)
    if folder is None:
        return _moving_mnist(protocol)
    return (_drawn if protocol.name in PROTOCOLS else _from_folder)(protocol, folder)


def _moving_mnist(protocol: Protocol) -> Clips:
    """Make the set at the paper's length, then cut it: sets of other lengths are other videos."""
    length, videos = PROTOCOLS[protocol.name].length, protocol.videos or TEST_VIDEOS
    if protocol.length > length:
        raise DataError(
            f"the clips of {protocol.name} have {length} frames, but {_wanted(protocol)}"
        )
    if videos > TEST_VIDEOS:
        raise DataError(
            f"{protocol.name} has {TEST_VIDEOS} clips, but {videos} are wanted: lower --videos"
        )
    stochastic = STOCHASTIC[protocol.name]

    @cache  # all videos come from one stream of random numbers, but need not be drawn at once
    def parts() -> tuple[np.ndarray, Trajectories]:
        movement = test_trajectories(stochastic=stochastic, length=length, videos=videos)
        return test_digits().images, movement

    def read(start: int, stop: int) -> ClipBatch:
        images, movement = parts()
        digits = images[movement.digits[start:stop]]
        frames = draw(digits, movement.positions[start:stop, : protocol.length])
        return ClipBatch(rearrange(frames, "n t h w -> n t h w 1"), None)

    kind = "stochastic" if stochastic else "deterministic"
    return Clips(
        source=(
            f"{kind} Moving MNIST, the original's test set of {length} frames: the first {videos} "
            f"of {TEST_VIDEOS} videos, each with two of the 10,000 test digits of MNIST"
        ),
        count=videos,
        frame_shape=(FRAME, FRAME, 1),
        read=read,
    )


def _drawn(protocol: Protocol, folder: Path) -> Clips:
    """Draw the original's test set at the paper's length, then cut it; only frames are kept."""
    whole = PROTOCOLS[protocol.name]
    assert whole.videos is not None
    data, count = _test_data(folder).frames_only(), protocol.videos or whole.videos
    if protocol.length > whole.length:
        raise DataError(
            f"the clips of {protocol.name} have {whole.length} frames, but {_wanted(protocol)}"
        )
    if count > whole.videos:
        raise DataError(
            f"{protocol.name} has {whole.videos} clips, but {count} are wanted: lower --videos"
        )
    clips = drawn_clips(protocol.name, data.records, count)

    def read(start: int, stop: int) -> ClipBatch:
        return _stack([data.read(i, t, t + protocol.length) for i, t in clips[start:stop]])

    return Clips(
        source=(
            f"the original's test set of {whole.length} frames: the first {count} of "
            f"{whole.videos} clips, drawn from {len(data)} episodes: {data.info.source}"
        ),
        count=count,
        frame_shape=data.info.frame_shape,
        read=read,
    )


def _test_data(folder: Path) -> Dataset:
    inner = folder / "test"
    return Dataset.open(inner if (inner / DESCRIPTION).exists() else folder)


def _from_folder(protocol: Protocol, folder: Path) -> Clips:
    """Take the first frames of each episode."""
    data = _test_data(folder)
    begins = tuple(record for record in data.records if record.part == 0)
    wanted = protocol.videos or len(begins)
    if wanted > len(begins) or not begins:
        raise DataError(
            f"{data.folder} has {len(begins)} clips, but {wanted} are wanted: "
            f"give --videos {len(begins)}, or add clips"
        )
    chosen = replace(data, records=begins[:wanted])
    for i, record in enumerate(chosen.records):
        if record.frames < protocol.length:
            raise DataError(
                f"{chosen.path(i)} has {record.frames} frames, but {_wanted(protocol)}, "
                "or leave the clip out"
            )

    def read(start: int, stop: int) -> ClipBatch:
        return _stack([chosen.read(i, 0, protocol.length) for i in range(start, stop)])

    return Clips(
        source=f"the first frames of the first {wanted} of {len(begins)} episodes of {data.folder}",
        count=wanted,
        frame_shape=data.info.frame_shape,
        action=data.info.action,
        vector_dim=data.info.vector_dim,
        read=read,
    )


def _stack(episodes: list[Episode]) -> ClipBatch:
    actions = [episode.actions for episode in episodes if episode.actions is not None]
    frames = np.stack([episode.frames for episode in episodes])
    return ClipBatch(frames, np.stack(actions) if actions else None)


def _wanted(protocol: Protocol) -> str:
    return (
        f"{protocol.conditioning} + {protocol.horizon} = {protocol.length} are wanted: "
        "lower --horizon or --conditioning"
    )
