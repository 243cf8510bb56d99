"""The loop from an env to an agent: what it learns, what it leaves, and its budgets."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image
from small_runs import LENGTH, PIXELS, SMALL, SOLVING, start
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from srvp_world.agents import dyna, phases
from srvp_world.agents.dyna import run_offline
from srvp_world.agents.evaluate import evaluate_in_reality
from srvp_world.agents.gather import SEEDS, first_seed, seed_of
from srvp_world.agents.journal import Journal
from srvp_world.agents.phases import FINAL_SEED, ROUND_SEED, Phases
from srvp_world.agents.policy import LatentPolicy
from srvp_world.agents.presets import agent_preset
from srvp_world.benchmark.agent_plots import FILM, draw_agent
from srvp_world.checkpoint import load
from srvp_world.data.dataset import Dataset
from srvp_world.errors import ConfigError, DataError, OutputError, UnknownNameError
from srvp_world.presets import preset
from srvp_world.train.snapshot import LAST


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    told = []
    result = start(tmp_path_factory.mktemp("solved") / "run", SOLVING, on_round=told.append)
    return result, told


def test_a_learned_policy_beats_random(solved):
    numbers = solved[0].numbers
    assert 3 < numbers["random_return"]["mean"] < 5
    assert numbers["real_return"]["mean"] > LENGTH - 1
    assert len(numbers["real_return"]["each"]) == SOLVING.final_episodes


def test_real_steps_are_those_on_disk_and_evaluations_count_apart(solved):
    numbers = solved[0].numbers
    data = Dataset.open(solved[0].out / "data")
    assert numbers["real_steps"] == data.transitions == SOLVING.real_steps
    assert [part["real_steps"] for part in numbers["rounds"]] == [300, 400]
    episodes = 2 * SOLVING.round_episodes + SOLVING.final_episodes
    assert numbers["evaluation_steps"] == episodes * LENGTH
    seeds = {seed_of(record) for record in data.records}
    evaluation = range(FINAL_SEED, ROUND_SEED + 10_000)
    assert len(seeds) == len(data.episodes)
    assert not seeds & {*evaluation}


def test_the_second_round_collects_with_the_agent_and_some_random_decisions(solved):
    collected = [part["collected"]["return"]["mean"] for part in solved[0].numbers["rounds"]]
    assert collected[0] < 5 < collected[1] < LENGTH


def test_episodes_of_one_decision_are_learnt_from_and_filmed(tmp_path):
    pixels = replace(PIXELS, action_repeat=LENGTH)
    result = start(tmp_path / "run", SMALL, pixels, draw=draw_agent)
    assert result.numbers["real_return"]["decisions"] == 1
    with Image.open(tmp_path / "run" / FILM) as film:
        assert film.n_frames == 2


def test_runs_have_seeds_of_their_own_of_32_bits():
    first = [first_seed(run) for run in range(3_000)]
    assert first[:3] == [1_000_000_000, 2_000_000_000, 3_000_000_000]
    assert len({*first}) == len(first)
    assert max(first) + SEEDS < 2**32 and min(first) > ROUND_SEED + 10_000
    apart = np.diff(sorted(first))
    assert apart.min() == SEEDS


def test_what_is_not_said_is_as_the_preset_of_the_environment_has_it(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(dyna, "check_agent", lambda *said, **_: seen.append(said))
    monkeypatch.setattr(dyna, "check_device", lambda device: 1 / 0)
    for env_id in ("CartPole-v1", "Acrobot-v1"):
        with pytest.raises(ZeroDivisionError):
            dyna.run_dyna(agent_preset(env_id).pixels, tmp_path / "run")
    assert [said[1]["gamma"] for said in seen] == [0.97, 0.97]
    assert all(said[:2] == ("ppo", agent_preset("CartPole-v1").settings["ppo"]) for said in seen)


def test_what_is_left_can_be_used(solved):
    out, numbers = solved[0].out, solved[0].numbers
    for folder in (out, out / "rounds" / "1", out / "rounds" / "2"):
        world = load(folder / "world.safetensors")
        LatentPolicy.load(folder / "agent.safetensors", world)
        assert world.episode_length == LENGTH  # as the env says, whatever random play lived to see
        assert world.pixels == PIXELS
    assert world.fingerprint != load(out / "rounds" / "1" / "world.safetensors").fingerprint
    assert load(out / "world.safetensors").measured["agent"]["round"] == numbers["kept_round"]
    assert not list(out.rglob(LAST))
    again = evaluate_in_reality(
        load(out / "world.safetensors"),
        out / "world.safetensors",
        out / "agent.safetensors",
        seeds=range(FINAL_SEED, FINAL_SEED + SOLVING.final_episodes),
        progress=False,
    )
    assert [result.episode_return for result in again] == numbers["real_return"]["each"]


def test_results_and_logs_tell_what_was_measured(solved):
    result, told = solved
    results = json.loads((result.out / "results.json").read_text())
    assert results["numbers"] == json.loads(json.dumps(result.numbers))
    assert results["protocol"]["config"]["real_steps"] == SOLVING.real_steps
    assert told == result.numbers["rounds"]
    lines = [json.loads(line) for line in (result.out / "scalars.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [300, 400]
    events = EventAccumulator(str(result.out / "tensorboard")).Reload()
    for name, values in {
        "real/return": [part["real"]["mean"] for part in told],
        "dream/return": [part["dream"]["mean"] for part in told],
        "dream/gap": [part["dream"]["mean"] - part["real"]["mean"] for part in told],
        "world/loss": [part["loss"] for part in told],
        "world/open_loop_psnr": [part["open_loop_psnr"] for part in told],
    }.items():
        assert [line[name] for line in lines] == values
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        assert shown == [(300, pytest.approx(values[0])), (400, pytest.approx(values[1]))]


def test_agents_dream_from_where_the_newest_data_went(tmp_path, monkeypatch):
    improve, pools = phases.improve, []

    def spy(*args, pool, **how):
        pools.append(pool)
        return improve(*args, pool=pool, **how)

    monkeypatch.setattr(phases, "improve", spy)
    start(tmp_path / "run")
    # From each frame of 50 steps, in 6 whole episodes and a cut one, and then of twice as many.
    assert [len(pool.first) for pool in pools] == [7, 14]
    assert [pool.states.batch_size for pool in pools] == [50 + 7, 100 + 14]


@pytest.mark.parametrize(("keep", "kept"), [("best", 1), ("last", 2)])
def test_which_agent_is_kept(tmp_path, monkeypatch, keep, kept):
    returns = {0: 5.0, 1: 4.0}

    def evaluate(self, index):
        spread = {"mean": returns[index], "std": 0.0, "each": [returns[index]]}
        return {"real": spread, "dream": spread, "gap": 0.0, "evaluation_steps": 0}

    monkeypatch.setattr(Phases, "evaluate", evaluate)
    result = start(tmp_path / "run", replace(SMALL, keep=keep))
    assert result.numbers["kept_round"] == kept
    agents = [folder / "agent.safetensors" for folder in (result.out, *_rounds(result.out))]
    assert agents[0].read_bytes() == agents[kept].read_bytes()


def test_a_planner_needs_no_training_and_is_left_as_json(tmp_path):
    settings = {"horizon": 2, "samples": 6, "elites": 2, "iterations": 1}
    config = replace(SMALL, agent="cem", settings=settings, rounds=1, real_steps=40)
    result = start(tmp_path / "run", config)
    assert json.loads(result.agent.read_text())["method"] == "cem"
    assert result.numbers["dream_steps"] == 0
    assert len(result.numbers["rounds"][0]["dream"]["each"]) == config.round_episodes
    assert len(result.numbers["dream_return"]["each"]) == config.final_episodes


def test_a_fixed_data_set_is_learnt_from_and_left_alone(solved, tmp_path):
    data = solved[0].out / "data"
    before = sorted(path.name for path in data.iterdir())
    result = run_offline(data, tmp_path / "run", SMALL, progress=False)
    assert result.numbers["reality"] is None
    assert result.numbers["real_steps"] == SOLVING.real_steps
    assert len(result.numbers["rounds"]) == 1
    assert len(result.numbers["real_return"]["each"]) == SMALL.final_episodes
    assert sorted(path.name for path in data.iterdir()) == before
    assert not (result.out / "data").exists()


def test_data_of_an_env_that_cannot_be_made_are_scored_in_the_dream_alone(solved, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for path in (solved[0].out / "data").iterdir():
        content = path.read_bytes()
        if path.name == "dataset.json":
            content = content.replace(b"beacon_world:Beacon-v0", b"Lighthouse-v7")
        (data / path.name).write_bytes(content)
    numbers = run_offline(data, tmp_path / "run", SMALL, progress=False).numbers
    assert "Lighthouse-v7" in numbers["reality"]
    assert numbers["real_return"] is numbers["gap"] is None
    assert numbers["evaluation_steps"] == 0
    assert len(numbers["dream_return"]["each"]) == SMALL.dream_episodes


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"agent": "ppp"}, UnknownNameError, "did you mean 'ppo'"),
        ({"agent": "sac"}, ConfigError, "use ppo, a2c, dqn, actor-critic, cem"),
        ({"agent": "mppi"}, ConfigError, "Discrete"),
        ({"settings": {"gama": 0.9}}, ConfigError, "did you mean 'gamma'"),
        ({"settings": {"seed": 3}}, ConfigError, "no setting 'seed'"),
        ({"agent": "cem"}, ConfigError, "num_envs"),
        ({"rounds": 200}, ConfigError, "200 rounds"),
        ({"max_transitions": 49}, ConfigError, "give 50 or more"),
    ],
)
def test_what_makes_no_run_is_refused_before_anything_is_written(tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        start(tmp_path / "run", replace(SMALL, **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"real_steps": 0},
        {"minutes": 0.0},
        {"first_share": 0.0},
        {"explore": 1.1},
        {"seed": -1},
        {"seed": 4_000_000},
        {"keep": "first"},
        {"first_policy": "smooth"},
        {"settings": {"learning_rate": len}},
        {"model": replace(preset("control").model, content_frames=16)},
    ],
)
def test_values_that_no_run_has(changes):
    with pytest.raises(ConfigError):
        replace(SMALL, **({"train": preset("control").train} | changes))


def test_the_folder_of_something_else_is_refused(solved, tmp_path):
    with pytest.raises(OutputError, match="finished run"):
        start(solved[0].out, SOLVING)
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(OutputError, match="already holds something"):
        start(tmp_path)


def test_a_run_that_another_process_finishes_meanwhile_is_not_done_again(
    solved, tmp_path, monkeypatch
):
    def late(out, about):
        journal = open_journal(out, about)
        (out / "results.json").write_text("theirs")
        return journal

    open_journal = Journal.open
    monkeypatch.setattr(Journal, "open", late)
    offline = partial(run_offline, solved[0].out / "data", config=SMALL, progress=False)
    for do, out in ((start, tmp_path / "online"), (offline, tmp_path / "offline")):
        with pytest.raises(OutputError, match="finished run"):
            do(out=out)
        assert (out / "results.json").read_text() == "theirs"
        assert not (out / "rounds").exists()


def test_an_env_without_a_time_limit_is_refused_and_in_fixed_data_not_played(
    solved, tmp_path, monkeypatch
):
    env_id = "counter_world:Counter-v0"
    with pytest.raises(ConfigError, match="Counter-v0 has no time limit.*max_episode_steps"):
        start(tmp_path / "run", pixels=replace(PIXELS, env_id=env_id))
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(dyna, "time_limit", lambda env: None)
    numbers = run_offline(solved[0].out / "data", tmp_path / "run", SMALL, progress=False).numbers
    assert "Beacon-v0 has no time limit" in numbers["reality"]
    assert numbers["real_return"] is None


def test_videos_and_data_without_rewards_teach_no_agent(solved, tmp_path):
    for kept in ("action", "rewards"):
        folder = tmp_path / kept
        folder.mkdir()
        source = solved[0].out / "data" / "dataset.json"
        description = json.loads(source.read_text())
        description["info"][kept] = None if kept == "action" else False
        (folder / "dataset.json").write_text(json.dumps(description))
        with pytest.raises(DataError):
            run_offline(folder, tmp_path / "run", SMALL, progress=False)


def _rounds(out):
    return sorted((out / "rounds").iterdir())
