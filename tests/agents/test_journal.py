"""What a run writes down of itself: that it is the same one, and how long it has taken."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import PIXELS, SMALL

from srvp_world.agents import journal
from srvp_world.agents.journal import Journal, check_same
from srvp_world.config import to_json
from srvp_world.errors import ConfigError, DataError, OutputError


def about(env=PIXELS, config=SMALL, **more):
    made_of = {"env": env and to_json(env), "data": None, "config": to_json(config), **more}
    return json.loads(json.dumps(made_of))


def without(name):
    made_of = about()
    del made_of["config"][name]
    return made_of


@pytest.mark.parametrize(
    ("now", "stored", "words"),
    [
        (about(), about(env=None), "env is {.*Beacon.* begun with None"),
        (about(env=None), about(), "env is None .* begun with {.*Beacon"),
        (about(data={"transitions": 3}), about(), "data is {'transitions': 3} .* with None"),
        (about(), about(data={"transitions": 3}), "data is None .* with {'transitions': 3}"),
        (about(config=replace(SMALL, explore=0.5)), without("explore"), "explore is 0.5 .* 0.3"),
        (about(env=replace(PIXELS, crop=(0, 0, 9, 9))), about(), r"crop is \[0, .* with None"),
        (about(env=replace(PIXELS, env_kwargs={"g": 1})), about(), "g is 1 .* with None"),
        (about(), about(env=replace(PIXELS, env_kwargs={"g": 1})), "g is None .* with 1"),
        (
            about(),
            {**about(), "config": {**about()["config"], "warp": 9}},
            "warp is None .* with 9",
        ),
        (
            about(config=replace(SMALL, model=replace(SMALL.model, filters=3))),
            about(),
            "filters is 3 but the run in runs/a was begun with 2",
        ),
    ],
)
def test_what_differs_is_told_by_its_name(now, stored, words):
    with pytest.raises(ConfigError, match=words):
        check_same(now, stored, Path("runs/a"))


def test_what_an_older_version_did_not_write_is_what_it_did():
    check_same(about(), without("explore"), Path("run"))  # 0.3, as it is by default
    check_same(about(method="ppo"), about(), Path("run"))
    cropped = about(env=replace(PIXELS, crop=(0, 1, 2, 3)))
    check_same(cropped, cropped, Path("run"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}'])
def test_a_broken_journal_is_told(tmp_path, content):
    (tmp_path / "loop.json").write_text(content)
    with pytest.raises(DataError, match="broken"):
        Journal.open(tmp_path, {})


def test_one_process_has_a_run_until_it_ends(tmp_path, monkeypatch):
    first = Journal.open(tmp_path / "run", {})
    with pytest.raises(OutputError, match="another process works on the run in .*run: wait"):
        Journal.open(tmp_path / "run", {})
    first.phase("one", job=dict)
    first.close()
    with pytest.raises(DataError):  # leaves no lock behind, either
        (tmp_path / "run" / "loop.json").write_text("{")
        Journal.open(tmp_path / "run", {})
    (tmp_path / "run" / "loop.json").unlink()
    Journal.open(tmp_path / "run", {}).close()
    monkeypatch.setattr(journal, "fcntl", None)  # where systems have no locks
    for opened in [Journal.open(tmp_path / "run", {}) for _ in range(2)]:
        opened.close()


def test_what_a_kill_left_of_the_first_write_is_no_run_of_something_else(tmp_path):
    (tmp_path / ".loop.json.1234abcd.tmp").write_text("{")
    (tmp_path / ".lock").touch()
    Journal.open(tmp_path, {}).close()
    (tmp_path / ".hidden").touch()
    with pytest.raises(OutputError, match="already holds something"):
        Journal.open(tmp_path, {})


class Clock:
    """Moves when it is told to."""

    now = 1000.0

    def work(self, seconds):
        self.now += seconds
        return {"done": True}


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(journal.time, "time", lambda: clock.now)
    return clock


def test_time_counts_over_all_starts_and_that_of_a_kill_too(tmp_path, monkeypatch, clock):
    monkeypatch.setattr(journal, "_BEAT", 0.01)
    run, kept = tmp_path / "run", tmp_path / "kept"
    first = Journal.open(run, {})
    assert first.phase("one", job=lambda: clock.work(7)) == {"done": True, "seconds": 7}

    def killed():
        clock.work(5)
        deadline = time.monotonic() + 60
        while json.loads((run / "loop.json").read_text())["seconds"] < 12:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        shutil.copy(run / "loop.json", kept)
        clock.work(1)
        raise SystemExit

    with pytest.raises(SystemExit):
        first.phase("two", job=killed)
    first.close()
    shutil.move(kept, run / "loop.json")  # as a kill would have left it
    clock.work(1000)  # by nobody
    second = Journal.open(run, {})
    assert second.seconds == 12
    assert second.done("one") == {"done": True, "seconds": 7}
    assert second.done("two") is None
    assert second.phase("two", job=lambda: clock.work(2)) == {"done": True, "seconds": 7}
    assert second.seconds == 14 == sum(second.phase_seconds().values())
    second.close()


def test_the_time_of_a_phase_that_failed_counts(tmp_path, clock):
    first = Journal.open(tmp_path, {})
    with pytest.raises(ZeroDivisionError):
        first.phase(0, "fit", job=lambda: clock.work(3)["done"] / 0)
    first.close()
    second = Journal.open(tmp_path, {})
    assert second.seconds == 3
    second.phase(0, "fit", job=lambda: clock.work(1))
    second.phase(1, "fit", job=lambda: clock.work(2))
    assert second.phase_seconds() == {"fit": 6}
    second.close()
