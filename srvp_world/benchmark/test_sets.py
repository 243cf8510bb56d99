"""Which clips the original tests on, drawn with its seed and in its order of draws.

For KTH it draws action, person, scenario and first frame of each clip, one after the other; for
Human3.6M video and first frame (preprocessing/*/make_test_set.py of
github.com/edouardelasalles/srvp). The range of a draw decides on those behind it, so that videos of
other lengths, or others among them, give other clips. Those of BAIR are its test videos in order.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from srvp_world.data import human36m, kth
from srvp_world.data.bair import video_name
from srvp_world.data.conversion import made_info
from srvp_world.data.index import Record
from srvp_world.data.info import DESCRIPTION
from srvp_world.errors import DataError

SEED = 42

_KTH_PERSONS = range(21, 26)
_CONVERTED = ("kth", "human36m", "bair")
_BAIR_FILE = "traj_0_to_255.tfrecords"


class Draw(NamedTuple):
    """Where a clip begins.

    Attributes:
        episode: Its name.
        start: Number of the clip's first frame in it.
    """

    episode: str
    start: int


def require_test_videos(name: str, folder: Path | None) -> None:
    """Refuse the folder of a conversion that has made data sets, but not that of test videos.

    Args:
        name: Of any benchmark or folder; those that are not converted are left alone.
        folder: Of the data sets.

    Raises:
        DataError: Saying how to go on.
    """
    if name not in _CONVERTED or folder is None:
        return
    described = any((inner / DESCRIPTION).exists() for inner in (folder, folder / "test"))
    if not described and made_info(folder) is not None:
        raise DataError(
            f"{folder} has no test set of {name}, as no test video was converted: add those videos "
            f"to the raw data, and go on with `srvp-world data convert {name}`"
        )


def drawn_clips(name: str, records: Sequence[Record], count: int) -> list[tuple[int, int]]:
    """Draw the first clips of a test set: number of the record, and of its first frame.

    Args:
        name: Of the benchmark: kth, human36m or bair.
        records: Of its test videos.
        count: How many clips.

    Raises:
        DataError: Where a video is missing that a clip is drawn from.
    """
    frames = {record.episode: record.frames for record in records}
    instead = (
        f"or give the folder instead of {name!r} to evaluate the first frames of its own episodes"
    )
    few = _lacking_human36m(frames) if name == "human36m" else []
    if few:
        raise DataError(
            f"the test set of {name} needs all of its test videos, and no others, but here are "
            f"{' and '.join(few)}: convert them with `srvp-world data convert {name}`, {instead}"
        )
    numbers = {record.episode: i for i, record in enumerate(records)}
    draws = {"kth": draw_kth, "human36m": draw_human36m, "bair": draw_bair}[name](frames)
    try:
        return [(numbers[draw.episode], draw.start) for draw in islice(draws, count)]
    except KeyError as error:
        raise DataError(
            f"the test set of {name} needs {error.args[0]}, which is not there: convert it with "
            f"`srvp-world data convert {name}`, {instead}"
        ) from None


def draw_kth(frames: Mapping[str, int]) -> Iterator[Draw]:
    """Draw clips of 40 frames without end.

    Args:
        frames: Length of each video; KeyError where one that is drawn is missing.
    """
    rng = np.random.RandomState(SEED)
    while True:
        action = kth.ACTIONS[rng.randint(len(kth.ACTIONS))]
        person = rng.randint(_KTH_PERSONS.start, _KTH_PERSONS.stop)
        video = f"person{person}_{action}_d{rng.randint(1, 5)}"
        yield Draw(video, int(rng.randint(frames[video] - kth.MIN_FRAMES + 1)))


def draw_human36m(frames: Mapping[str, int]) -> Iterator[Draw]:
    """Draw clips of 53 frames without end; they begin with any raw frame.

    Args:
        frames: Length of each episode; KeyError where one of a video's eight is missing.
    """
    videos = sorted(_human36m_videos(frames), key=human36m.original_order)
    phases = [
        [human36m.phase_name(video, phase) for phase in range(human36m.EVERY)] for video in videos
    ]
    lengths = [sum(frames[episode] for episode in episodes) for episodes in phases]
    rng = np.random.RandomState(SEED)
    while True:
        video = rng.randint(len(videos))
        start, phase = divmod(
            int(rng.randint(lengths[video] - human36m.RAW_FRAMES + 1)), human36m.EVERY
        )
        yield Draw(phases[video][phase], start)


def draw_bair(frames: Mapping[str, int]) -> Iterator[Draw]:
    """Give the whole videos of 30 frames, in order.

    Args:
        frames: Length of each video; KeyError where one of the 256 is missing.
    """
    for number in range(256):
        video = video_name(_BAIR_FILE, number)
        frames[video]  # missing ones are told
        yield Draw(video, 0)


def _human36m_videos(episodes: Iterable[str]) -> set[str]:
    """Name the videos that episodes come from."""
    return {episode.rpartition("-phase")[0] for episode in episodes if "-phase" in episode}


def _lacking_human36m(episodes: Iterable[str]) -> list[str]:
    """Say of each subject for tests how many videos are there, where it is not all of them."""
    videos = _human36m_videos(episodes)
    return [few for subject in human36m.TEST if (few := human36m.lacking(subject, videos))]
