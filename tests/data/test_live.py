"""A bounded data set that is written while it is read, by threads and by processes."""

import json
import threading
import time
from collections import Counter
from multiprocessing import get_context

import pytest
from numbered import record, write_on, writer

from srvp_world.data.check import check_values
from srvp_world.data.dataset import Dataset
from srvp_world.data.live import REFRESH, LiveWindows, draw_windows
from srvp_world.errors import ConfigError, DataError, MissingFileError

WINDOWS = {
    "batch_size": 8,
    "window": 4,
    "episode_start_fraction": 0.2,
    "min_frames": 2,
    "seed": 0,
}


def numbers(folder):
    data = Dataset.open(folder)
    return sorted({int(data.read(i).rewards[0]) for i in range(len(data))})


def test_the_oldest_episodes_go_as_new_ones_come(tmp_path):
    bounded = writer(tmp_path, 20)
    for number in range(9):
        record(bounded, number)
    assert numbers(tmp_path) == [5, 6, 7, 8]
    assert Dataset.open(tmp_path).transitions == 20


def test_episodes_go_as_a_whole_and_the_one_that_runs_stays(tmp_path):
    bounded = writer(tmp_path, 20, part_length=4)
    for number, steps in enumerate((10, 10, 30, 5)):
        record(bounded, number, steps)
        parts = Counter(record.episode for record in Dataset.open(tmp_path).records)
        first = [record for record in Dataset.open(tmp_path).records if record.part == 0]
        assert len(first) == len(parts)
    assert numbers(tmp_path) == [3]


def test_the_newest_stays_however_long_it_is(tmp_path):
    bounded = writer(tmp_path, 5)
    record(bounded, 0, steps=50)
    assert numbers(tmp_path) == [0]


def test_what_other_writers_recorded_goes_too(tmp_path):
    record(writer(tmp_path, stem="other"), 0)
    time.sleep(0.01)
    bounded = writer(tmp_path, 10, stem="a")  # sorts before it by name
    for number in (1, 2):
        record(bounded, number)
    assert numbers(tmp_path) == [1, 2]


def test_the_index_is_bounded_too(tmp_path):
    bounded = writer(tmp_path, 20)
    for number in range(100):
        record(bounded, number)
    lines = (tmp_path / "index.jsonl").read_text().splitlines()
    assert len(lines) <= 6
    assert {json.loads(line)["name"] for line in lines[-4:]} == {
        record.name for record in Dataset.open(tmp_path).records
    }


def test_short_sessions_keep_the_bound_too(tmp_path):
    """None of them writes a hundredth of the bound, but each looks once."""
    record(writer(tmp_path, stem="large"), 0, steps=199)
    for number in range(1, 5):
        record(writer(tmp_path, 200, stem=f"short{number}"), number, steps=1)
    assert numbers(tmp_path) == [1, 2, 3, 4]


def test_a_bound_that_keeps_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="max_transitions must be at least 1, got 0"):
        writer(tmp_path, 0)
    assert not list(tmp_path.iterdir())


def seen(windows, draws, first=0):
    shown = [windows.batch(first + i).rewards.unique() for i in range(draws)]
    return {int(value) for rewards in shown for value in rewards}


def test_new_episodes_are_drawn_soon_and_those_held_out_never(tmp_path):
    growing = writer(tmp_path)
    for number in (1, 2):
        record(growing, number)
    data = Dataset.open(tmp_path, live=True)
    windows = draw_windows(data, without=["walk-000001"], **WINDOWS)
    record(growing, 3)
    assert seen(windows, REFRESH) <= {1, 2}
    assert seen(windows, REFRESH) == {1, 3}
    record(growing, 4)
    assert windows.refresh().transitions == 15


def test_a_data_set_that_is_not_live_is_read_as_ever(tmp_path):
    record(writer(tmp_path), 1)
    data = Dataset.open(tmp_path)
    windows = draw_windows(data, **WINDOWS)
    assert not isinstance(windows, LiveWindows) and windows.refresh() is data
    next(tmp_path.glob("*.safetensors")).unlink()
    for read in (lambda: windows.batch(0), data.reward_statistics, lambda: check_values(data)):
        with pytest.raises(MissingFileError, match="does not exist"):
            read()


def test_what_is_seen_as_videos_stays_so(tmp_path):
    growing = writer(tmp_path)
    record(growing, 1)
    windows = draw_windows(Dataset.open(tmp_path, live=True).frames_only(), **WINDOWS)
    record(growing, 2)
    assert windows.refresh().transitions == 10
    assert windows.batch(0).actions is None and windows.dataset.info.action is None


def test_files_that_vanish_are_passed_over(tmp_path):
    growing = writer(tmp_path)
    for number in range(6):
        record(growing, number)
    data = Dataset.open(tmp_path, live=True)
    windows = draw_windows(data, **WINDOWS)
    for path in sorted(tmp_path.glob("*.safetensors"))[:4]:
        path.unlink()
    assert data.reward_range() == (4, 5)
    assert {int(episode.rewards[0]) for episode in data.beginnings(9, seed=0)} == {4, 5}
    check_values(data, progress=False)
    assert seen(windows, 10) == {4, 5}


def test_when_all_is_gone_it_is_told(tmp_path):
    record(writer(tmp_path), 0)
    windows = draw_windows(Dataset.open(tmp_path, live=True), **WINDOWS)
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(DataError, match="holds no episodes yet"):
        windows.batch(0)


def test_readers_live_with_two_writers(tmp_path):
    """One is a thread here, the other a process; 60 episodes are three times what is kept."""
    record(writer(tmp_path, stem="first"), 1)
    process = get_context("spawn")
    stops = [threading.Event(), process.Event()]
    writers = [
        threading.Thread(target=write_on, args=(tmp_path, "a", stops[0])),
        process.Process(target=write_on, args=(tmp_path, "b", stops[1])),
    ]
    for each in writers:
        each.start()
    try:
        windows = draw_windows(Dataset.open(tmp_path, live=True), **WINDOWS)
        newest, turns, deadline = 0, 0, time.monotonic() + 60
        while not (newest >= 60 and any(tmp_path.glob("b-*"))) and time.monotonic() < deadline:
            newest = max(newest, *seen(windows, REFRESH, first=turns * REFRESH))
            Dataset.open(tmp_path, live=True).reward_statistics()
            turns += 1
    finally:
        for stop in stops:
            stop.set()
        for each in writers:
            each.join()
    assert newest >= 60 and any(tmp_path.glob("b-*"))
    assert len(list(tmp_path.glob("*.safetensors"))) <= 22  # both may just have written one
    assert not list(tmp_path.glob(".*.tmp"))
