"""`srvp-world agent` as a user types it."""

import json
import shutil

import pytest
from command import ENVS, files, run
from PIL import Image, ImageSequence

from srvp_world.agents import dyna
from srvp_world.agents.phases import Phases
from srvp_world.agents.presets import agent_preset
from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset

SMALL = (
    "--workers 1 --round-episodes 1 --final-episodes 2 --dream-episodes 3 --dream-steps 32 "
    "--filters 2 --code-dim 8 --inference-hidden 8 --dynamics-hidden 8 --batch-size 2 --window 4 "
    "--iterations 4 --quiet "
    '--settings \'{"num_envs": 4, "n_steps": 8, "batch_size": 16, "horizon": 6}\''
)
ROUNDS = "--size 32 --real-steps 48 --rounds 2 --later-updates 2"
BEACON = f"agent beacon_world:Beacon-v0 {ROUNDS} {SMALL}"


@pytest.fixture(autouse=True)
def envs(monkeypatch):
    monkeypatch.syspath_prepend(ENVS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("agent") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ENVS))
        assert run(f"{BEACON} --out {out} --seed 3 --crop 0 0 32 32") == 0
    return out


def test_it_leaves_results_and_pictures(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["command"].startswith("srvp-world agent beacon_world:Beacon-v0")
    assert results["seed"] == 3
    numbers, config = results["numbers"], results["protocol"]["config"]
    assert numbers["real_steps"] == 48
    assert len(numbers["real_return"]["each"]) == 2
    assert (config["rounds"], config["train"]["iterations"], config["model"]["filters"]) == (
        2,
        4,
        2,
    )
    assert config["train"]["seed"] == 0 and config["train"]["keep"] == "last"  # not the loop's
    assert results["protocol"]["env"]["crop"] == [0, 0, 32, 32]
    for name in ("return_against_real_steps.png", "dream_and_reality.png"):
        with Image.open(finished / name) as picture:
            assert min(picture.size) > 300
    with Image.open(finished / "agent.gif") as film:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(film)]
        assert sum(durations) == 600  # 9 frames, of 8 decisions, at 15 a second
        assert film.size[0] == 2 * film.size[1]


def test_the_agent_that_is_kept_can_be_evaluated(finished, capsys):
    line = f"evaluate {finished}/world.safetensors {finished}/agent.safetensors --episodes 2"
    assert run(f"{line} --workers 1 --quiet") == 0
    results = json.loads((finished / "results.json").read_text())
    assert f"| real | {results['numbers']['real_return']['mean']:.1f} |" in capsys.readouterr().out


def test_one_line_a_round_and_what_came_of_it(tmp_path, capsys):
    assert run(f"{BEACON} --out {tmp_path}/run --agent cem --settings '{{}}'") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("round 1: 24 real steps, return in reality ")
    assert lines[1].startswith("round 2: 48 real steps")
    assert "in reality (2 episodes)" in lines[2] and "48 real steps" in lines[2]
    assert (tmp_path / "run" / "planner.json").exists()


@pytest.fixture
def planner(tmp_path):
    path = tmp_path / "planner.json"
    path.write_text('{"method": "cem", "horizon": 2, "samples": 6, "elites": 2, "iterations": 1}')
    return path


def test_a_planner_is_evaluated_collected_with_and_reported_on(finished, planner, tmp_path, capsys):
    world = finished / "world.safetensors"
    line = f"evaluate {world} {planner} --episodes 2 --workers 1 --quiet --out {tmp_path}/score"
    assert run(line) == 0
    numbers = json.loads((tmp_path / "score" / "results.json").read_text())["numbers"]
    real, dream = (numbers[name]["each"] for name in ("real_return", "dream_return"))
    assert len(real) == len(dream) == 2 and all(0 <= value <= 8 for value in real)
    protocol = json.loads((tmp_path / "score" / "results.json").read_text())["protocol"]
    assert protocol["actions"].items() >= json.loads(planner.read_text()).items()
    line = f"collect beacon_world:Beacon-v0 --policy {planner} --world {world} --episodes 2"
    assert run(f"{line} --seed 10000 --workers 1 --quiet --out {tmp_path}/data") == 0
    data = Dataset.open(tmp_path / "data")
    assert data.read(0).provenance["policy"] == "SavedPlanner"
    assert data.info.pixels == Dataset.open(finished / "data").info.pixels
    assert sorted(data.read(i).rewards.sum() for i in (0, 1)) == sorted(real)  # the same seeds
    line = f"report {world} --policy {planner} --episodes 1 --watched 2 --horizon 3 --samples 2"
    assert run(f"{line} --out {tmp_path}/report --quiet") == 0
    assert f"policy {planner}" in capsys.readouterr().out


def test_a_planner_that_is_broken_or_out_of_place_is_refused(finished, refused, planner, tmp_path):
    world = finished / "world.safetensors"
    refused(f"play {world} --policy {planner}", str(planner), "a planner", "give a policy file")
    refused(
        f"collect beacon_world:Beacon-v0 --policy {planner} --episodes 1 --out {tmp_path}/data",
        "belongs to a world",
        "--world",
    )
    planner.write_text('{"method": "cen"}')
    for line in (
        f"evaluate {world} {planner}",
        f"report {world} --policy {planner} --out {tmp_path}/report",
        f"collect beacon_world:Beacon-v0 --policy {planner} --world {world} --episodes 1 "
        f"--out {tmp_path}/data",
    ):
        refused(line, "describes no planner", "'cem'", "got 'cen'")


def test_the_same_command_goes_on_and_another_is_refused(refused, tmp_path, monkeypatch, capfd):
    line = f"{BEACON} --out {tmp_path}/run"
    improve = Phases.improve

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Phases, "improve", stopped)
    assert run(line) == 130
    assert f"go on with `srvp-world {line[:20]}" in capfd.readouterr().err
    monkeypatch.setattr(Phases, "improve", improve)
    refused(f"{line} --explore 0.5", "explore is 0.5", "0.3", "another folder")
    refused(f"{line} --agent a2c --settings '{{}}'", "agent is a2c", "ppo")
    before = len(Dataset.open(tmp_path / "run" / "data"))
    assert run(line) == 0
    assert len(Dataset.open(tmp_path / "run" / "data")) > before  # the second round's
    refused(line, "finished run", "another folder")


def test_data_that_know_their_env_need_no_name(finished, tmp_path, capsys):
    data = finished / "data"
    before = files(data)
    assert run(f"agent --data {data} --out {tmp_path}/run {SMALL}") == 0
    assert "in reality (2 episodes)" in capsys.readouterr().out
    assert files(data) == before
    for name in ("return_against_real_steps.png", "agent.gif"):
        assert (tmp_path / "run" / name).exists()


@pytest.fixture(scope="module")
def foreign(finished, tmp_path_factory):
    """Data that do not know their env."""
    data = shutil.copytree(finished / "data", tmp_path_factory.mktemp("foreign") / "data")
    description = json.loads((data / "dataset.json").read_text())
    description["info"]["pixels"] = None
    (data / "dataset.json").write_text(json.dumps(description))
    return data


def test_data_without_an_env_are_scored_in_the_dream_or_in_one_that_is_named(
    foreign, tmp_path, capsys
):
    data = foreign
    assert run(f"agent --data {data} --out {tmp_path}/dream {SMALL}") == 0
    text = capsys.readouterr().out
    assert "in reality (" not in text
    assert "not played in reality: the data do not say" in text
    assert not (tmp_path / "dream" / "dream_and_reality.png").exists()
    with Image.open(tmp_path / "dream" / "agent.gif") as film:
        assert film.size[0] == film.size[1]
    named = f"agent beacon_world:Beacon-v0 --data {data} {SMALL} --out {tmp_path}"
    assert run(f"{named}/named") == 0
    assert "in reality (2 episodes)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ("", {}),
        ("--size 32 --channels 1", {}),  # as the data say
        ("--action-repeat 3 --crop 1 2 3 4", {"action_repeat": 3, "crop": (1, 2, 3, 4)}),
    ],
)
def test_no_preset_says_how_data_that_do_not_know_their_env_were_seen(
    foreign, tmp_path, monkeypatch, flags, fields
):
    """Not that of CartPole-v1 either, which crops."""
    given = {}

    def run_offline(*args, env, **_):
        given["env"] = env
        raise KeyboardInterrupt

    monkeypatch.setattr(dyna, "run_offline", run_offline)
    assert agent_preset("CartPole-v1").pixels.crop is not None
    assert run(f"agent CartPole-v1 --data {foreign} --out {tmp_path}/run {flags}") == 130
    assert given["env"] == PixelConfig(env_id="CartPole-v1", frame_size=32, **fields)


def test_more_time_than_was_given_is_told(tmp_path, monkeypatch, capsys):
    def run_dyna(pixels, out, config, **_):
        spread = {"mean": 1.0, "std": 0.0, "each": [1.0]}
        numbers = {"real_return": spread, "dream_return": spread, "kept_round": 1}
        numbers |= {"real_steps": 5, "minutes": 0.52, "reality": None, "rounds": rounds}
        return dyna.DynaResult(out=out, world=out, agent=out, pixels=pixels, numbers=numbers)

    monkeypatch.setattr(dyna, "run_dyna", run_dyna)
    for minutes, rounds, told in ((0.05, [{}], True), (0.05, [{}, {}], True), (0.6, [{}], False)):
        assert run(f"agent Pendulum-v1 --out {tmp_path}/run --minutes {minutes}") == 0
        text = capsys.readouterr().out
        assert ("it took 0.5 minutes, more than 0.05" in text) == told
        assert ("are never left out" in text) == (told and len(rounds) == 1)
        assert len(text.splitlines()) == 1 + told


def test_results_of_a_run_are_not_written_over(finished, refused):
    before = (finished / "results.json").read_bytes()
    line = f"evaluate {finished}/world.safetensors {finished}/agent.safetensors --episodes 1"
    refused(f"{line} --workers 1 --quiet --out {finished}", "already holds results.json", "--out")
    assert (finished / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Pendulun-v1", ["'Pendulun-v1'", "did you mean 'Pendulum-v1'"]),
        ("counter_world:Blind-v0", ["cannot render", "rgb_array"]),
        ("counter_world:Modeless-v0", ["cannot render", "render_mode"]),
        ("beacon_world:Unlearnable-v0", ["Dict", "not supported"]),
        ('beacon_world:Unlearnable-v0 --env-kwargs \'{{"kind": "tuple"}}\'', ["Tuple"]),
        ('beacon_world:Unlearnable-v0 --env-kwargs \'{{"kind": "text"}}\'', ["Text"]),
        ("Pendulum-v1 --real-steps 0", ["real_steps", "0"]),
        ("Pendulum-v1 --real-steps 7 --rounds 9", ["real_steps 7", "9 rounds", "action_repeat 2"]),
        ("Pendulum-v1 --minutes 0", ["minutes", "0"]),
        ("Pendulum-v1 --rounds 0", ["rounds", "0"]),
        ("Pendulum-v1 --crop 400 0 300 300", ["crop", "500 x 500", "smaller"]),
        ("Pendulum-v1 --agent dqn", ["'dqn'", "Box(-2.0, 2.0", "use ppo, a2c, sac"]),
        ("Pendulum-v1 --agent dreamer", ["'dreamer'", "known: a2c"]),
        ("CartPole-v1 --agent mpi", ["'mpi'", "did you mean 'mppi'"]),
        ("CartPole-v1 --settings 3", ["--settings '3'", "JSON"]),
        ("CartPole-v1 --settings '{{\"lr\": 1}}'", ["ppo has no setting 'lr'"]),
        ("CartPole-v1 --env-kwargs '{{\"gg\": 1}}'", ["env_kwargs", "gg"]),
        ("CartPole-v1 --size 48", ["frame_size", "48"]),
        ("CartPole-v1 --content-frames 16", ["content_frames", "window"]),
        ("CartPole-v1 --device tpu9", ["'tpu9'", "use 'cpu'"]),
        ("", ["name an environment", "--data"]),
        ("--data nowhere", ["nowhere", "no data set"]),
        ("--data {data} --rounds 3", ["--rounds", "leave it out"]),
        ("--data {data} --size 64", ["know", "leave --frame-size out"]),
        ("--data {data} --env-kwargs '{{}}'", ["know", "leave --env-kwargs out"]),
        ("CartPole-v1 --data {data}", ["beacon_world:Beacon-v0", "leave CartPole-v1 out"]),
        ("--data {foreign} --crop 0 0 9 9", ["--crop", "name one, or leave it out"]),
        ("CartPole-v1 --data {foreign} --size 64", ["--frame-size is 64", "have 32"]),
        ("CartPole-v1 --data {foreign} --channels 3", ["--channels is 3", "have 1"]),
        ("counter_world:Counter-v0", ["no time limit", "--env-kwargs", "max_episode_steps"]),
    ],
)
def test_mistakes_are_told_in_one_line_and_nothing_is_written(
    finished, foreign, refused, tmp_path, line, words
):
    line = line.format(data=finished / "data", foreign=foreign)
    refused(f"agent {line} --out {tmp_path}/run --quiet", *words)
    assert not (tmp_path / "run").exists()


def test_help_shows_the_defaults_of_the_environment(capsys):
    assert run("agent --help") == 0
    assert "real steps per decision [1]" in " ".join(capsys.readouterr().out.split())
    assert run("agent Pendulum-v1 --help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "real steps per decision [2]" in text
    assert "the loop (Pendulum-v1)" in text
