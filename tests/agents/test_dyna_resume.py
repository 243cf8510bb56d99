"""A run goes on after a kill in any phase, and comes to what it would have come to."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from small_runs import PIXELS, SMALL, start, timeless

from srvp_world.agents import gather
from srvp_world.agents.dyna import run_offline
from srvp_world.agents.gather import Gathering, set_apart
from srvp_world.agents.journal import Journal
from srvp_world.agents.phases import Phases
from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.envs import collect
from srvp_world.envs.policies import RandomPolicy
from srvp_world.errors import ConfigError
from srvp_world.train.snapshot import LAST
from srvp_world.train.trainer import Trainer

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return start(tmp_path_factory.mktemp("undisturbed") / "run")


class Killed(BaseException):
    """What no code of ours catches."""


@pytest.mark.parametrize("minutes", [None, 600.0])
def test_a_run_that_is_killed_after_each_piece_of_work_comes_to_the_same(
    undisturbed, tmp_path, monkeypatch, minutes
):
    """Each kill comes when the work is done and before that is written down."""
    killed = set()
    do = Journal.phase

    def phase(self, *name, job):
        def dying():
            numbers = job()
            if name not in killed:
                killed.add(name)
                raise Killed
            return numbers

        return do(self, *name, job=dying)

    monkeypatch.setattr(Journal, "phase", phase)
    config, result, told = replace(SMALL, minutes=minutes), None, []
    while result is None:
        try:
            result = start(tmp_path / "run", config, on_round=told.append)
        except Killed:
            assert not (tmp_path / "run" / "results.json").exists()
    jobs, once = ["collect", "fit", "improve", "evaluate"], {("keep",)}
    if minutes is not None:  # more than enough
        jobs, once = [*jobs, "share"], {*once, ("probe",)}
    assert killed == {(index, job) for index in (0, 1) for job in jobs} | once
    assert timeless(result.numbers) == timeless(undisturbed.numbers)
    assert [numbers["round"] for numbers in told] == [1, 2]
    lines = (result.out / "scalars.jsonl").read_text().splitlines()
    assert lines == (undisturbed.out / "scalars.jsonl").read_text().splitlines()


KILL = """
import os, sys
sys.path[:0] = {paths}
from srvp_world.train.trainer import Trainer
from small_runs import start
save = Trainer.save
def save_and_die(self):
    save(self)
    if "rounds/2" in str(self.run):
        os.kill(os.getpid(), 9)
Trainer.save = save_and_die
start(sys.argv[1])
"""


def test_a_fit_that_is_killed_for_good_goes_on_from_its_snapshot(
    undisturbed, tmp_path, monkeypatch
):
    paths = [str(TESTS), str(TESTS / "agents"), str(TESTS / "envs")]
    code = KILL.format(paths=paths)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},  # or sums differ
        check=False,
    )
    assert done.returncode == -9
    assert (tmp_path / "run" / "rounds" / "2" / "fit" / LAST).exists()
    updates = []
    update = Trainer.update
    monkeypatch.setattr(
        Trainer,
        "update",
        lambda self, batch: (updates.append(self.iteration), update(self, batch))[1],
    )
    result = start(tmp_path / "run")
    assert updates == [2, 3]  # of the second round alone
    assert timeless(result.numbers) == timeless(undisturbed.numbers)


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """Collects in an env whose episodes take 5 real steps and 3 decisions."""
    monkeypatch.syspath_prepend(TESTS / "envs")
    pixels = PixelConfig(
        env_id="counter_world:Counter-v0", frame_size=32, action_repeat=2, env_kwargs={"length": 5}
    )
    config = replace(SMALL, real_steps=61, rounds=3)
    return Gathering(folder=tmp_path / "data", pixels=pixels, config=config, progress=False)


def test_the_budget_of_real_steps_is_used_up_and_never_exceeded(counting):
    before = None
    for index in range(3):
        before = counting.gather(index, before, RandomPolicy)
        assert before["total_steps"] <= counting.config.steps_until(index, 2)
    assert 60 <= before["total_steps"] <= 61
    data = Dataset.open(counting.folder)
    whole = [record for record in data.records if record.frames == 4]
    assert before["total_steps"] >= 5 * len(whole)


def test_what_a_killed_collection_committed_counts(counting, monkeypatch):
    played = []

    def dying(*args):
        if len(played) == 2:
            raise Killed
        played.append(args[2])
        return collect_episode(*args)

    collect_episode = collect.run_episode
    monkeypatch.setattr(collect, "run_episode", dying)
    with pytest.raises(Killed):
        counting.gather(0, None, RandomPolicy)
    monkeypatch.setattr(collect, "run_episode", collect_episode)
    slow = partial(_in_so_many_seconds, 36.0)
    monkeypatch.setattr(gather, "collect", slow)
    numbers = counting.gather(0, None, RandomPolicy)
    # Two whole episodes lie there, of which a last decision may have taken 2 steps: 12 of 30.
    again = numbers["real_steps"] - 12
    assert 17 <= again <= 18
    assert numbers["real_step_seconds"] == 36.0 / again  # of those of this start alone
    seeds = sorted(int(path.name[4:14]) for path in counting.folder.glob("seed*"))
    assert seeds[:2] == played
    assert len(set(seeds)) == len(seeds) == numbers["episodes"]
    assert numbers["next_seed"] > max(seeds)
    again = counting.gather(0, None, RandomPolicy)  # when all is there, but not written down
    assert numbers["real_steps"] <= again["real_steps"] <= counting.config.steps_until(0, 2)
    assert again["return"] == numbers["return"]
    assert again["real_step_seconds"] is None


def test_what_time_does_not_allow_is_not_made_up_for(counting):
    first = counting.gather(0, None, RandomPolicy, until=0.0)
    assert first["real_steps"] == 5  # one episode, however late it is
    assert first["missed"] == 25
    again = counting.gather(0, None, RandomPolicy, until=0.0)  # had it not been written down
    assert again["episodes"] == 1  # is enough
    second = counting.gather(1, first, RandomPolicy, until=1e12)
    assert 14 <= second["real_steps"] <= 15
    assert second["total_steps"] == first["real_steps"] + second["real_steps"]


def _in_so_many_seconds(seconds, *args, **kwargs):
    return replace(collect.collect(*args, **kwargs), seconds=seconds)


def test_episodes_that_are_held_out_stay_so_when_more_come(undisturbed):
    data = Dataset.open(undisturbed.out / "data")
    early = Dataset(data.folder, data.info, data.records[:6])
    (_, few), (rest, many) = set_apart(early), set_apart(data)
    assert {*few.episodes} <= {*many.episodes}
    assert not {*many.episodes} & {*rest.episodes}
    assert len(many.episodes) + len(rest.episodes) == len(data.episodes)


def test_another_run_in_the_same_folder_is_refused_by_name(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(Phases, "fit", None)
    with pytest.raises(TypeError):
        start(tmp_path / "run")
    state = (tmp_path / "run" / "loop.json").read_bytes()
    for changes, words in (
        ({"explore": 0.5}, "explore is 0.5 .* begun with 0.3"),
        ({"seed": 1}, "seed is 1 .* begun with 0"),
        ({"train": replace(SMALL.train, window=5)}, "window is 5 .* begun with 4"),
        ({"settings": {**SMALL.settings, "gamma": 0.5}}, "gamma is 0.5 .* begun with None"),
    ):
        with pytest.raises(ConfigError, match=words):
            start(tmp_path / "run", replace(SMALL, **changes))
    with pytest.raises(ConfigError, match="minutes is 9.0 .* begun with None"):
        start(tmp_path / "run", replace(SMALL, minutes=9.0))
    with pytest.raises(ConfigError, match="channels is 3"):
        start(tmp_path / "run", pixels=replace(PIXELS, channels=3))
    assert (tmp_path / "run" / "loop.json").read_bytes() == state


def test_a_fixed_data_set_is_the_same_wherever_it_is_found(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(Phases, "fit", None)
    data = shutil.copytree(undisturbed.out / "data", tmp_path / "data")
    offline = partial(run_offline, out=tmp_path / "run", config=SMALL, progress=False)
    for folder in (data, tmp_path / ".." / tmp_path.name / "data", undisturbed.out / "data"):
        with pytest.raises(TypeError):  # at the fit, which is not there
            offline(folder)
    max(data.glob("seed*")).unlink()
    with pytest.raises(ConfigError, match="transitions is [0-9]+ but .* begun with 100"):
        offline(data)
    with pytest.raises(ConfigError, match="data is None but"):
        start(tmp_path / "run")
