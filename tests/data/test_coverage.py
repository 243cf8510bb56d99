"""What a data set cannot teach is said before anyone learns from it."""

import warnings

import numpy as np
import pytest

from srvp_world.data.coverage import CoverageWarning, warn_of_coverage
from srvp_world.data.dataset import Dataset, EpisodeWriter
from srvp_world.data.episodes import Ending
from srvp_world.data.info import DatasetInfo
from srvp_world.spaces import ActionSpec

BOX = ActionSpec(kind="box", shape=(2,), low=(-1.0, -1.0), high=(1.0, 1.0))
CHOICE = ActionSpec(kind="discrete", nvec=(3,))
BITS = ActionSpec(kind="multibinary", shape=(3,), nvec=(2, 2, 2))
ENDED = (Ending.TRUNCATED, Ending.TERMINATED)
CUT = (Ending.TRUNCATED, Ending.UNFINISHED)


def record(folder, action, actions, rewards, endings=ENDED):
    """Write two episodes of two steps; the second begins with the last action and reward."""
    info = DatasetInfo(frame_size=2, channels=1, action=action, rewards=rewards is not None)
    writer = EpisodeWriter(folder, info, stem="a")
    frame = np.zeros((2, 2, 1), np.uint8)
    for first, ending in zip((0, 1), endings, strict=True):
        writer.start(frame)
        for i in (first, 1):
            writer.add(actions[i], None if rewards is None else rewards[i], frame)
        writer.finish(ending)
    return Dataset.open(folder)


def warned(data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_coverage(data)
    assert all(warning.category is CoverageWarning for warning in caught)
    lines = [str(warning.message) for warning in caught]
    assert all("\n" not in line and str(data.folder) in line for line in lines)
    return lines


@pytest.mark.parametrize(
    ("action", "actions", "words"),
    [
        (CHOICE, [2, 2], "all actions .* are the same.*not what actions do"),
        (BOX, [[0.5, 1], [0.5, 1]], "all actions .* are the same"),
        (BOX, [[0.5, 0], [0.5, 1]], r"components \[0\] .*never change: what they do"),
        (BITS, [[0, 1, 0], [0, 0, 0]], r"components \[0, 2\] .*never change"),
    ],
)
def test_actions_that_never_change_are_told(action, actions, words, tmp_path):
    (line,) = warned(record(tmp_path, action, actions, [0, 1]))
    with pytest.raises(CoverageWarning, match=words):
        raise CoverageWarning(line)


@pytest.mark.parametrize(
    ("endings", "words"),
    [
        (ENDED, "all rewards .* are 1: only where episodes end"),
        (CUT, "all rewards .* are 1 and no episode terminates: .*nothing to learn"),
    ],
)
def test_rewards_that_never_change_are_told(endings, words, tmp_path):
    (line,) = warned(record(tmp_path, CHOICE, [0, 1], [1, 1], endings))
    with pytest.raises(CoverageWarning, match=words):
        raise CoverageWarning(line)


def test_both_are_told(tmp_path):
    assert len(warned(record(tmp_path, CHOICE, [1, 1], [0, 0]))) == 2


@pytest.mark.parametrize("rewards", [[0, 1], None])
@pytest.mark.parametrize(("action", "actions"), [(BOX, [[0, 0], [1, 1]]), (CHOICE, [0, 2])])
def test_nothing_is_told_of_varied_experience(action, actions, rewards, tmp_path):
    assert warned(record(tmp_path, action, actions, rewards, CUT)) == []


def test_nothing_is_told_of_video(tmp_path):
    writer = EpisodeWriter(tmp_path, DatasetInfo(frame_size=2, channels=1), stem="a")
    writer.start(np.zeros((2, 2, 1), np.uint8))
    writer.finish(Ending.UNFINISHED)
    assert warned(Dataset.open(tmp_path)) == []


def test_nothing_is_told_of_episodes_without_a_step(tmp_path):
    info = DatasetInfo(frame_size=2, channels=1, action=CHOICE, rewards=True)
    writer = EpisodeWriter(tmp_path, info, stem="a")
    writer.start(np.zeros((2, 2, 1), np.uint8))
    writer.finish(Ending.UNFINISHED)
    assert warned(Dataset.open(tmp_path)) == []


def test_files_that_vanish_from_live_data_are_passed_over(tmp_path):
    record(tmp_path, CHOICE, [1, 1], [0, 1])
    live = Dataset.open(tmp_path, live=True)
    live.path(0).unlink()
    assert "all actions" in warned(live)[0]
