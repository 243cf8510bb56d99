"""A budget of wall time is kept, on machines and envs of any speed."""

import json
from dataclasses import replace

import beacon_world
import pytest
from small_runs import SMALL, start

from srvp_world.agents import journal, loop, phases
from srvp_world.agents.gather import Gathering
from srvp_world.agents.pace import Pace
from srvp_world.agents.phases import Phases
from srvp_world.data.dataset import Dataset
from srvp_world.envs import collect

SLOW = Pace(real_step=0, update=100, fit=0, dream_step=0, decision=0, longest=1, dreams=0)


class Clock:
    """Moves by what something pretends to take, and not by what tests take."""

    now = 0.0

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(journal.time, "time", lambda: 1e9 + clock.now)
    monkeypatch.setattr(collect.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(phases, "perf_counter", lambda: clock.now)
    return clock


@pytest.fixture
def slow_updates(clock, monkeypatch):
    """Makes each update take 100 seconds, and all else none."""
    fit = Phases.fit

    def slow(self, index, share):
        clock.advance(100 * share.updates)
        return fit(self, index, share) | {"update_seconds": 100}

    monkeypatch.setattr(Phases, "probe", lambda self, real_step: dict(vars(SLOW)))
    monkeypatch.setattr(Phases, "fit", slow)


@pytest.mark.parametrize(("minutes", "updates"), [(4.0, [2]), (9.0, [2, 3]), (0.1, [1])])
def test_a_short_time_makes_fewer_rounds_and_always_scores_an_agent(
    tmp_path, slow_updates, minutes, updates
):
    numbers = start(tmp_path / "run", replace(SMALL, minutes=minutes)).numbers
    assert [part["updates"] for part in numbers["rounds"]] == updates
    assert len(numbers["real_return"]["each"]) == SMALL.final_episodes
    assert numbers["minutes"] == pytest.approx(100 * sum(updates) / 60)
    assert numbers["minutes"] == pytest.approx(sum(numbers["seconds"].values()) / 60)


def test_a_slow_env_is_collected_from_for_half_of_the_time(tmp_path, clock, monkeypatch):
    """It takes a second for a step, and so 200 for what the first round would like to have."""
    step = beacon_world.Beacon.step

    def slow(self, action):
        clock.advance(1)
        return step(self, action)

    monkeypatch.setattr(beacon_world.Beacon, "step", slow)
    config = replace(SMALL, real_steps=400, minutes=3.0)
    result = start(tmp_path / "run", config)
    assert result.numbers["minutes"] <= 3
    assert result.numbers["real_steps"] == Dataset.open(result.out / "data").transitions == 96
    assert len(result.numbers["real_return"]["each"]) == config.final_episodes


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_round_that_has_no_time_after_collecting_is_left_out(
    tmp_path, clock, slow_updates, monkeypatch, keep
):
    gather = Gathering.gather

    def slow(self, index, *args):
        numbers = gather(self, index, *args)
        clock.advance(300 * index)
        return numbers

    monkeypatch.setattr(Gathering, "gather", slow)
    result = start(tmp_path / "run", replace(SMALL, minutes=9.0, keep=keep))
    numbers = result.numbers
    assert [part["updates"] for part in numbers["rounds"]] == [2]
    assert numbers["kept_round"] == 1
    assert numbers["rounds"][0]["real_steps"] == 50
    assert numbers["real_steps"] == 100  # were taken
    assert not (result.out / "rounds" / "2").exists()


def test_each_plan_takes_the_env_to_be_as_fast_as_it_was_last(tmp_path, slow_updates, monkeypatch):
    gather, share_out, planned = Gathering.gather, loop.share_out, []

    def timed(self, index, *args):
        return gather(self, index, *args) | {"real_step_seconds": 0.25 + index}

    def plan(config, pace, index, seconds, **how):
        planned.append((index, how["collected"], pace.real_step))
        return share_out(config, pace, index, seconds, **how)

    monkeypatch.setattr(Gathering, "gather", timed)
    monkeypatch.setattr(loop, "share_out", plan)
    start(tmp_path / "run", replace(SMALL, minutes=30.0))
    assert planned == [(0, True, 0.25), (1, False, 0.25), (1, True, 1.25)]


def test_a_collection_that_is_killed_gets_no_second_half_of_the_time(tmp_path, clock, monkeypatch):
    """Steps of a second may take 90 of 180 seconds, over all starts; the first ends after 60."""
    step, killed = beacon_world.Beacon.step, []

    def dying(self, action):
        if clock.now == 60 and not killed:
            killed.append(self)
            raise KeyboardInterrupt
        clock.advance(1)
        return step(self, action)

    monkeypatch.setattr(beacon_world.Beacon, "step", dying)
    config = replace(SMALL, real_steps=400, minutes=3.0)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "run", config)
    out = start(tmp_path / "run", config).out
    collected = json.loads((out / "loop.json").read_text())["phases"]["0/collect"]
    assert 90 <= collected["seconds"] <= 90 + beacon_world.LENGTH


def test_real_steps_of_a_round_that_is_given_up_while_it_collects_are_told(
    tmp_path, clock, slow_updates, monkeypatch
):
    """The second round is killed after its first episode, and has no time left for the rest."""
    play, recorded = collect.run_episode, []

    def dying(env, policy, seed, writer, *limits):
        if writer is not None:
            if len(recorded) == 8:  # the first round recorded 7, the last of them cut
                clock.advance(300)
                raise KeyboardInterrupt
            recorded.append(seed)
        return play(env, policy, seed, writer, *limits)

    monkeypatch.setattr(collect, "run_episode", dying)
    config = replace(SMALL, minutes=9.0)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "run", config)
    result = start(tmp_path / "run", config)
    assert len(result.numbers["rounds"]) == 1
    steps = 50 + beacon_world.LENGTH
    assert result.numbers["real_steps"] == Dataset.open(result.out / "data").transitions == steps


def test_the_probe_times_steps_that_an_agent_learns_from_and_no_start(tmp_path, clock, monkeypatch):
    """The first agent takes 100 seconds to begin; each dream step that is done takes half a one."""
    improve, waits = phases.improve, []

    def slow(*args, settings, **how):
        made = improve(*args, settings=settings, **how)
        clock.advance(made.steps / 2 + 100 * (not waits))
        waits.append(settings.get("learning_starts"))
        return made

    monkeypatch.setattr(phases, "improve", slow)
    settings = {"num_envs": 4, "horizon": 6}
    config = replace(SMALL, agent="dqn", settings=settings, dream_steps=42, rounds=1, minutes=60.0)
    result = start(tmp_path / "run", config)
    assert waits == [0, 0, None]
    probed = json.loads((result.out / "loop.json").read_text())["phases"]["probe"]
    assert probed["dream_step"] == 0.5
    assert result.numbers["rounds"][0]["dream_steps"] == 44  # as done, by 4 at a time
    assert result.numbers["rounds"][0]["dream_step_seconds"] == 0.5
