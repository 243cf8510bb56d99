"""Videos become episodes: thinned out, cropped and resized, one by one, split by video."""

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from srvp_world.data.files import write_atomically
from srvp_world.data.frame_format import FrameFormat
from srvp_world.data.info import DESCRIPTION, DatasetInfo, create_dataset, read_info
from srvp_world.data.video import Video
from srvp_world.data.video_episode import digest, stem, videos_in, write_video
from srvp_world.errors import ConfigError, DataError, OutputError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """How videos become episodes.

    Attributes:
        format: What becomes of an image.
        every: Keep one frame of so many.
        fps: Frames per second to keep, of videos that tell their own rate; None keeps them all.
        min_frames: Shorter episodes are left out.
        fractions: Shares of the videos for training, validation and test.
        seed: Of the split.
    """

    format: FrameFormat
    every: int = 1
    fps: float | None = None
    min_frames: int = 2
    fractions: tuple[float, float, float] = (0.9, 0.05, 0.05)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what leaves nothing.

        Raises:
            ConfigError: Naming the value.
        """
        if self.every < 1:
            raise ConfigError(f"every must be at least 1, got {self.every}")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise ConfigError(f"fps must be positive, got {self.fps}")
        if self.fps is not None and self.every > 1:
            raise ConfigError(f"every {self.every} and fps {self.fps:g} exclude each other")
        if self.min_frames < 1:
            raise ConfigError(f"min_frames must be at least 1, got {self.min_frames}")
        sound = len(self.fractions) == 3 and all(0 <= share <= 1 for share in self.fractions)
        if not sound or abs(sum(self.fractions) - 1) > 1e-6:
            raise ConfigError(f"split must be three shares that add up to 1, got {self.fractions}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")

    def info(self, rate: float | None) -> DatasetInfo:
        """Describe the data sets that become of videos with this many frames per second.

        What was done to the images is part of `source`, so that all episodes of a folder agree.
        """
        crop = self.format.crop
        part = "whole images" if crop is None else f"crop {' '.join(str(edge) for edge in crop)}"
        thinned = f"every {self.every}" if self.fps is None else f"{self.fps:g} per second"
        return DatasetInfo(
            frame_size=self.format.frame_size,
            channels=self.format.channels,
            source=f"videos ({part}, {self.format.resample}, frames: {thinned})",
            frame_rate=self.fps or (rate and rate / self.every),
        )


@dataclass(frozen=True)
class Imported:
    """A video that became an episode.

    Attributes:
        name: Of the video.
        split: Where it went: train, validation or test.
        frames: How many were kept.
        grey: Whether it is grey although the data set is in colour.
    """

    name: str
    split: str
    frames: int
    grey: bool


@dataclass(frozen=True)
class ImportResult:
    """What became of the videos.

    Attributes:
        imported: The new episodes.
        present: Names of videos that the folder had before, under this or another name.
        skipped: Names of videos that were left out, which need not differ, each with the reason.
        splits: Videos in each split now.
        frame_rates: The different frame rates of the sources per second; None is unknown.
    """

    imported: tuple[Imported, ...]
    present: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    splits: Mapping[str, int]
    frame_rates: tuple[float | None, ...]


def import_videos(
    videos: Sequence[Video], out: Path, config: ImportConfig, *, progress: bool = True
) -> ImportResult:
    """Import videos into the data sets OUT/train, OUT/validation and OUT/test.

    What breaks, is too short or does not fit is left out as a whole, and the others go on. A video
    that the folder has is not imported again, so an import that was stopped can go on. Only one
    import at a time may write into a folder.

    Args:
        videos: What `list_videos` found; the seed splits them by their order.
        out: New, or of an import with the same settings.
        config: The settings.
        progress: Whether to show bars.

    Raises:
        DataError: Where the folder holds videos that were imported with other settings.
        OutputError: Where the folder cannot be written, or is a data set itself.
    """
    rates = _frame_rates(videos, progress)
    different = tuple(sorted(set(rates.values()), key=lambda rate: rate or 0))
    info = config.info(different[0] if len(different) == 1 else None)
    info = _settled(out, info, keep_rate=not different)
    there = _videos_there(out)
    imported: list[Imported] = []
    present: list[str] = []
    skipped: list[tuple[str, str]] = []
    splits = assign(len(videos), config.fractions, config.seed)
    with tqdm(total=len(videos), desc="importing", unit="video", disable=not progress) as bar:
        importer = _Importer(out, info, config, bar)
        for video, split in zip(videos, splits, strict=True):
            try:
                content = digest(video)
                if content in there:
                    present.append(video.name)
                else:
                    imported.append(importer.write(video, content, rates.get(video), split))
                    there[content] = split
            except (DataError, ConfigError) as error:
                skipped.append((video.name, str(error)))
            bar.update()
    counts = Counter(there.values())
    return ImportResult(
        tuple(imported),
        tuple(present),
        tuple(skipped),
        {split: counts[split] for split in SPLITS},
        different,
    )


def assign(count: int, fractions: tuple[float, float, float], seed: int) -> list[str]:
    """Say for each of `count` videos which split it goes to.

    Validation and test get their shares, rounded; training gets the rest, and never nothing where
    its share is not 0.
    """
    room = count - (fractions[0] > 0)
    validation, test = (math.floor(count * share + 0.5) for share in fractions[1:])
    validation = min(validation, room)
    test = min(test, room - validation)
    splits = ["validation"] * validation + ["test"] * test
    splits += ["train"] * (count - len(splits))
    order = np.random.default_rng(seed).permutation(count)
    return [split for _, split in sorted(zip(order.tolist(), splits, strict=True))]


@dataclass(frozen=True)
class _Importer:
    """Writes one video after the other, and shows how far it is."""

    out: Path
    info: DatasetInfo
    config: ImportConfig
    bar: Any

    def write(self, video: Video, content: str, rate: float | None, split: str) -> Imported:
        """Import a video whose content has this digest."""
        provenance: dict[str, str | int | float] = {
            "source": video.name,
            "every": self.config.every,
        }
        known = {"frame_rate": rate, "fps": self.config.fps}
        frames, grey = write_video(
            self._frames(video, rate),
            self.out / split,
            self.info,
            stem=stem(video.name, content),
            provenance=provenance | {name: value for name, value in known.items() if value},
            min_frames=self.config.min_frames,
        )
        return Imported(video.name, split, frames, grey and self.info.channels == 3)

    def _frames(self, video: Video, rate: float | None) -> Iterator[np.ndarray]:
        """Yield the frames to store."""
        kept = _kept(video.frames(), self._share(video, rate))
        for i, image in enumerate(kept):
            if i % 500 == 0:
                self.bar.set_postfix_str(f"{video.name[-30:]}, {i} frames")
            yield self.config.format.apply(image, video.name)

    def _share(self, video: Video, rate: float | None) -> float:
        """Say which share of the frames to keep."""
        fps = self.config.fps
        if fps is None:
            return 1 / self.config.every
        if rate is None:
            next(video.frames())  # one that is broken tells so itself
            raise DataError(f"{video.name} does not tell its frame rate: give every, not fps")
        if rate < fps - 1e-3:
            raise DataError(f"{video.name} has {rate:g} frames a second, not {fps:g}: lower fps")
        return min(fps / rate, 1.0)


def _kept(images: Iterator[np.ndarray], share: float) -> Iterator[np.ndarray]:
    """Keep the first image, and each with which another whole image has come together."""
    for i, image in enumerate(images):
        if i == 0 or math.floor(i * share + 1e-9) > math.floor((i - 1) * share + 1e-9):
            yield image


def _frame_rates(videos: Sequence[Video], progress: bool) -> dict[Video, float | None]:
    """Give the frame rates of all videos that can be opened."""
    rates: dict[Video, float | None] = {}
    sound = [video for video in videos if video.problem is None]
    for video in tqdm(sound, desc="opening", unit="video", delay=2, disable=not progress):
        with contextlib.suppress(DataError):  # told when it is imported
            rate = video.frame_rate
            rates[video] = rate and round(rate, 3)
    return rates


def _settled(out: Path, info: DatasetInfo, *, keep_rate: bool) -> DatasetInfo:
    """Agree with the data sets of earlier imports on the frame rate, which is no setting.

    Where more than one rate comes together, none is left, in what is there neither. `keep_rate` is
    for videos that cannot be opened, which therefore change nothing.
    """
    if (out / DESCRIPTION).exists():
        raise OutputError(f"{out} holds a data set itself: choose another folder")
    made = _made(out)
    old = [read_info(out / split).frame_rate for split in made]
    for split, rate in zip(made, old, strict=True):
        create_dataset(out / split, replace(info, frame_rate=rate))  # refuses other settings
    if not old:
        return info
    rates = old if keep_rate else [*old, info.frame_rate]
    agreed = old[0] if all(_equal(rate, old[0]) for rate in rates) else None
    for split, rate in zip(made, old, strict=True):
        if rate != agreed:
            path = out / split / DESCRIPTION
            description = json.loads(path.read_text(encoding="utf-8"))
            description["info"]["frame_rate"] = agreed
            write_atomically(path, (json.dumps(description, indent=2) + "\n").encode())
    return replace(info, frame_rate=agreed)


def _equal(rate: float | None, other: float | None) -> bool:
    """Whether two frame rates are the same but for rounding."""
    if rate is None or other is None:
        return rate is other
    return abs(rate - other) <= 1e-3 + 1e-9


def _videos_there(out: Path) -> dict[str, str]:
    """Give the splits of the videos that were imported before, by the digest of their content."""
    return {content: split for split in _made(out) for content in videos_in(out / split)}


def _made(out: Path) -> list[str]:
    """List the splits that have a data set."""
    return [split for split in SPLITS if (out / split / DESCRIPTION).exists()]
