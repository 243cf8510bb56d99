"""The agents' benchmark, on an env and with budgets that take seconds."""

import json
import shutil
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from command import ENVS, files
from PIL import Image
from worlds import CONFIG

from srvp_world.agents.dyna_config import DynaConfig
from srvp_world.agents.journal import take
from srvp_world.agents.presets import AgentPreset
from srvp_world.benchmark import agents
from srvp_world.benchmark.agents import bench_agents
from srvp_world.benchmark.agents_table import agents_table, write_report
from srvp_world.checkpoint import load
from srvp_world.config import PixelConfig, TrainConfig
from srvp_world.errors import ConfigError, DataError, OutputError, UnknownNameError

BEACON = "beacon_world:Beacon-v0"
METHODS = ("actor-critic", "cem", "dqn")
PARTS = {"ppo", *METHODS, "cnn-ppo-1x", "cnn-ppo-5x"}
SB3 = {"num_envs": 4, "horizon": 6}
SMALL = DynaConfig(
    real_steps=48,
    rounds=2,
    workers=1,
    model=CONFIG,
    train=TrainConfig(iterations=2, decay=1, batch_size=2, window=4),
    later_updates=2,
    dream_steps=32,
    round_episodes=1,
    final_episodes=3,
    dream_episodes=4,
)


def preset(env_id, **changes):
    return AgentPreset(
        pixels=PixelConfig(env_id=env_id),
        config=replace(SMALL, **changes),
        settings={
            "ppo": {**SB3, "n_steps": 8, "batch_size": 16, "n_epochs": 1},
            "dqn": SB3,
            "actor-critic": {"starts": 4, "horizon": 3},
            "cem": {"horizon": 2, "samples": 6, "elites": 2, "iterations": 1},
        },
        dream_steps={"actor-critic": 20},
    )


def start(out, envs=(BEACON,), methods=METHODS, seeds=1, **settings):
    return bench_agents(
        out, envs, methods, seeds=seeds, **{"preset": preset, "progress": False, **settings}
    )


@pytest.fixture(autouse=True)
def envs(monkeypatch):
    monkeypatch.syspath_prepend(ENVS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One seed of everything, then a second seed of some in the same folder."""
    out = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ENVS))
        start(out)
        start(out, methods=("cem",), seeds=2, baseline_seeds=0)
    return out


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "bench")


def part(out, method, seed=0):
    path = out / "beacon_world-Beacon-v0" / f"seed{seed}" / f"{method}.json"
    return json.loads(path.read_text())


def results(out):
    return json.loads((out / "results.json").read_text())


def test_what_another_process_measures_is_left_to_it(finished, copy):
    before = files(copy)
    with (
        closing(take(copy / "beacon_world-Beacon-v0" / "seed0")),
        pytest.raises(OutputError, match="another process works .*seed0"),
    ):
        start(copy, methods=("a2c",))
    assert files(copy) == before


def test_every_part_leaves_a_file_and_is_gathered(finished):
    folder = finished / "beacon_world-Beacon-v0"
    assert {path.stem for path in (folder / "seed0").glob("*.json")} == PARTS
    assert {path.stem for path in (folder / "seed1").glob("*.json")} == {"ppo", "cem"}
    content = results(finished)
    found = content["numbers"]["environments"][BEACON]
    assert {*found["methods"]} == PARTS
    minutes = 0.0
    for method, scores in found["methods"].items():
        assert {*scores["seeds"]} == ({"0", "1"} if method in ("ppo", "cem") else {"0"})
        for seed, numbers in scores["seeds"].items():
            own = part(finished, method, seed)["numbers"]
            assert own.items() <= numbers.items()
            assert len(own["real"]["each"]) == 3
            assert own["real"]["mean"] == pytest.approx(np.mean(own["real"]["each"]))
            minutes += own["minutes"]
        means = [numbers["real"]["mean"] for numbers in scores["seeds"].values()]
        assert scores["real"] == pytest.approx(np.mean(means))
        assert scores["real_std_of_seeds"] == pytest.approx(np.std(means))
    assert content["numbers"]["hours"] == pytest.approx(minutes / 60)
    assert str(finished) not in (finished / "results.json").read_text()
    assert content["protocol"]["environments"][BEACON]["ppo"]["rounds"] == 2
    assert content["protocol"]["environments"][BEACON]["cem"]["settings"]["horizon"] == 2


def test_all_methods_of_a_seed_share_the_world_that_the_loop_kept(finished):
    seed0 = finished / "beacon_world-Beacon-v0" / "seed0"
    kept = load(seed0 / "loop" / "world.safetensors").fingerprint
    for method in ("ppo", *METHODS):
        assert part(finished, method)["numbers"]["world"] == kept
    assert part(finished, "cem", 1)["numbers"]["world"] != kept


def test_real_steps_are_those_of_the_budgets(finished):
    steps = {method: part(finished, method)["numbers"]["real_steps"] for method in PARTS}
    assert steps["cnn-ppo-1x"] == 48 and 0.9 * 240 <= steps["cnn-ppo-5x"] <= 240
    assert {steps[method] for method in ("ppo", *METHODS)} == {steps["ppo"]}
    assert steps["ppo"] <= 48


def test_all_methods_are_scored_on_the_same_episodes(copy, monkeypatch):
    seen = []
    play = agents.evaluate_baseline

    def spy(model, pixels, seeds, **settings):
        seen.append([*seeds])
        return play(model, pixels, seeds, **settings)

    monkeypatch.setattr(agents, "evaluate_baseline", spy)
    seed0 = copy / "beacon_world-Beacon-v0" / "seed0"
    for path in seed0.glob("cnn-*.json"):
        path.unlink()
    start(copy)
    assert seen == 2 * [[10_000, 10_001, 10_002]]
    loop = json.loads((seed0 / "loop" / "results.json").read_text())
    assert loop["protocol"]["evaluation_seeds"]["final"] == "10000+i"


def test_the_table_says_what_the_files_say(finished):
    table = (finished / "table.md").read_text()
    numbers = results(finished)["numbers"]
    assert table == agents_table(numbers) + "\n"
    methods = numbers["environments"][BEACON]["methods"]
    rows = {
        line.split(" | ")[1]: line.strip("| ").split(" | ") for line in table.splitlines()[2:-2]
    }
    each = [part(finished, "cem", seed)["numbers"]["real"]["mean"] for seed in (0, 1)]
    cem = rows["CEM"]
    assert cem[4:6] == [", ".join(f"{mean:.1f}" for mean in each), f"{np.mean(each):.1f}"]
    assert cem[7] == f"{methods['ppo']['minutes']:.1f} + {methods['cem']['minutes']:.1f}"
    assert rows["SB3 PPO with a CNN, 5 times the real steps"][6] == "-"
    random = [part(finished, "ppo", seed)["numbers"]["random"]["mean"] for seed in (0, 1)]
    assert rows["random play"][5] == f"{np.mean(random):.1f}"


def test_pictures_are_drawn_and_small(finished):
    for name in ("curves", "dream-and-reality"):
        path = finished / f"{name}-beacon_world-Beacon-v0.png"
        with Image.open(path) as picture:
            assert min(picture.size) > 300
        assert path.stat().st_size < 100_000


def test_what_is_finished_is_not_done_again(copy, monkeypatch):
    before = files(copy / "beacon_world-Beacon-v0")
    told = []
    start(copy, on_part=lambda *numbers: told.append(numbers))
    assert not told
    assert files(copy / "beacon_world-Beacon-v0") == before
    (copy / "beacon_world-Beacon-v0" / "seed0" / "cem.json").unlink()
    start(copy, on_part=lambda which, part, _: told.append((which, part.method)))
    assert told == [("3 of 6", "cem")]
    after = files(copy / "beacon_world-Beacon-v0")
    assert {path for path in before if before[path] != after[path]} <= {
        path for path in before if "cem" in str(path)
    }
    path = copy / "beacon_world-Beacon-v0" / "seed0" / "cem.json"
    old, new = (json.loads(content[path])["numbers"] for content in (before, after))
    assert (old["real"], old["dream"]) == (new["real"], new["dream"])


@pytest.mark.parametrize("when", ["write_results", "_in_its_world"])
def test_a_kill_between_parts_loses_nothing(when, finished, tmp_path, monkeypatch):
    original = getattr(agents, when)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(agents, when, killed)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, methods=("cem",), baseline_seeds=0)
    monkeypatch.setattr(agents, when, original)
    loops = []
    run = agents.run_dyna
    monkeypatch.setattr(agents, "run_dyna", lambda *a, **k: loops.append(1) or run(*a, **k))
    start(tmp_path, methods=("cem",), baseline_seeds=0)
    assert not loops  # for it had come to its end
    for method in ("ppo", "cem"):
        one, other = (part(out, method)["numbers"] for out in (finished, tmp_path))
        assert one["real"] == other["real"]


def test_what_lies_there_can_be_gathered_alone(copy):
    old = results(copy)["numbers"]
    for name in ("results.json", "table.md"):
        (copy / name).unlink()
    shutil.rmtree(copy / "beacon_world-Beacon-v0" / "seed0" / "loop")
    assert write_report(copy)["hours"] == old["hours"]
    assert results(copy)["numbers"] == old
    assert (copy / "table.md").exists()


def test_a_folder_without_results_or_with_broken_ones_is_told(copy, tmp_path):
    with pytest.raises(DataError, match="holds no results of agents"):
        write_report(tmp_path / "nothing")
    path = copy / "beacon_world-Beacon-v0" / "seed0" / "cem.json"
    for content in ("{", "[]", '{"numbers": {}, "protocol": {}}'):
        path.write_text(content)
        with pytest.raises(DataError, match=r"cem\.json holds no results of an agent: delete it"):
            write_report(copy)
        with pytest.raises(DataError, match="delete it"):
            start(copy)


def test_what_was_measured_in_another_world_is_measured_again(copy):
    """A loop that is run anew may learn another world; all methods of a seed share one."""
    seed0 = copy / "beacon_world-Beacon-v0" / "seed0"
    for path in seed0.glob("*.json"):
        if path.stem in METHODS:
            content = json.loads(path.read_text())
            content["numbers"]["world"] = "another"
            path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"seed 0, was measured in another way or world"):
        write_report(copy)
    told = []
    start(copy, on_part=lambda _, part, __: told.append(part.method))
    assert told == [*METHODS]
    test_all_methods_of_a_seed_share_the_world_that_the_loop_kept(copy)


def test_parts_of_an_older_version_did_what_the_default_is(copy):
    for path in sorted((copy / "beacon_world-Beacon-v0" / "seed0").glob("*.json")):
        content = json.loads(path.read_text())
        if "model" in content["protocol"]["config"]:
            del content["protocol"]["config"]["model"]["dynamics"]  # which there was not
            path.write_text(json.dumps(content))
    assert write_report(copy)["hours"] > 0


def test_means_of_what_was_not_done_alike_are_refused(copy):
    path = copy / "beacon_world-Beacon-v0" / "seed1" / "ppo.json"
    content = json.loads(path.read_text())
    content["protocol"]["config"]["explore"] = 0.9
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="ppo of beacon_world:Beacon-v0, seed 1, was measured in"):
        write_report(copy)


def test_a_dream_that_diverged_is_a_gap_in_the_table(copy):
    path = copy / "beacon_world-Beacon-v0" / "seed0" / "dqn.json"
    content = json.loads(path.read_text())
    content["numbers"]["dream"]["mean"] = None  # as NaN is written
    path.write_text(json.dumps(content))
    write_report(copy)
    row = next(line for line in (copy / "table.md").read_text().splitlines() if "DQN" in line)
    assert row.split(" | ")[6] == "-"


def test_steps_that_only_scored_are_told(finished):
    for method in PARTS:
        numbers = part(finished, method)["numbers"]
        played = len(numbers["real"]["each"]) * numbers["real"]["decisions"]
        assert numbers["evaluation_steps"] >= played
        assert (numbers["evaluation_steps"] > played) == (method == "ppo")  # rounds are scored, too
    steps = {method: part(finished, method)["numbers"]["dream_steps"] for method in PARTS}
    assert steps == {
        "ppo": 64,
        "actor-critic": 24,  # two updates of 4 rollouts of 3 steps: as done, not as asked
        "dqn": 32,
        "cem": 0,
        "cnn-ppo-1x": 0,
        "cnn-ppo-5x": 0,
    }
    assert part(finished, "cnn-ppo-5x")["protocol"]["config"]["real_steps"] == 240
    assert "not tuned" in part(finished, "cnn-ppo-1x")["protocol"]["config"]["settings"]


def test_another_configuration_is_refused_before_anything_is_done(copy):
    before = files(copy)
    with pytest.raises(ConfigError, match="explore is 0.5 but the run in .* begun with 0.3"):
        start(copy, preset=lambda env_id: preset(env_id, explore=0.5))
    with pytest.raises(ConfigError, match="real_steps is 64 but"):
        start(copy, preset=lambda env_id: preset(env_id, real_steps=64))
    assert files(copy) == before


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"envs": [BEACON, "Pendulun-v1"]}, UnknownNameError, "did you mean 'Pendulum-v1'"),
        ({"methods": ["cem", "actor-critc"]}, UnknownNameError, "did you mean 'actor-critic'"),
        ({"methods": ["sac"]}, ConfigError, "'sac' does not take the actions Discrete"),
        ({"envs": ["beacon_world:Unlearnable-v0"]}, ValueError, "Dict"),
        ({"seeds": 0}, ConfigError, "seeds must be at least 1, got 0"),
        ({"baseline_seeds": -1}, ConfigError, "baseline_seeds must not be negative, got -1"),
        ({"envs": []}, ConfigError, "name an environment"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(settings, error, words, tmp_path):
    with pytest.raises(error, match=words):
        start(tmp_path, **settings)
    assert not files(tmp_path)


def test_frames_that_are_too_small_for_the_cnn_are_refused_at_once(tmp_path):
    def small(env_id):
        found = preset(env_id)
        return replace(found, pixels=replace(found.pixels, frame_size=32))

    with pytest.raises(ConfigError, match="36 pixels at least.*has 32"):
        start(tmp_path, preset=small)
    assert not files(tmp_path)
