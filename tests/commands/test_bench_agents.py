"""`srvp-world bench agents` as a user types it."""

import json

import pytest
from command import ENVS, files, run
from worlds import CONFIG

from srvp_world.agents.dyna_config import DynaConfig
from srvp_world.agents.presets import AGENT_PRESETS, AgentPreset
from srvp_world.benchmark import agents
from srvp_world.config import PixelConfig, TrainConfig

BEACON = "beacon_world:Beacon-v0"
LINE = f"bench agents --env {BEACON} --seeds 1 --threads 1 --quiet"
PRESET = AgentPreset(
    pixels=PixelConfig(env_id=BEACON, frame_size=64),
    config=DynaConfig(
        real_steps=48,
        rounds=1,
        workers=1,
        model=CONFIG,
        train=TrainConfig(iterations=2, decay=1, batch_size=2, window=4),
        dream_steps=32,
        round_episodes=1,
        final_episodes=2,
        dream_episodes=2,
    ),
    settings={
        "ppo": {"num_envs": 4, "horizon": 6, "n_steps": 8, "batch_size": 16, "n_epochs": 1},
        "cem": {"horizon": 2, "samples": 6, "elites": 2, "iterations": 1},
    },
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.syspath_prepend(ENVS)
    monkeypatch.setitem(AGENT_PRESETS, BEACON, PRESET)


def test_a_line_a_part_then_the_table_and_the_same_again_from_the_files(
    tmp_path, capfd, monkeypatch
):
    def stop(*_):
        raise KeyboardInterrupt

    out, baseline = tmp_path / "out", agents._baseline
    monkeypatch.setattr(agents, "_baseline", stop)
    assert run(f"{LINE} --methods cem --out {out}") == 130
    told, error = capfd.readouterr()
    lines = told.splitlines()
    assert lines[0].startswith(f"part 1 of 4: {BEACON}, seed 0, ppo: return ")
    assert "48 real steps" in lines[0] and "in the dream" in lines[0]
    assert lines[1].startswith(f"part 2 of 4: {BEACON}, seed 0, cem: ") and len(lines) == 2
    assert f"{out} keeps what was finished; go on with `srvp-world {LINE[:20]}" in error
    monkeypatch.setattr(agents, "_baseline", baseline)
    assert run(f"{LINE} --methods cem --out {out}") == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line[:11] for line in lines[:2]] == ["part 3 of 4", "part 4 of 4"]
    assert "in the dream" not in lines[0]
    table = (out / "table.md").read_text()
    assert lines[2:] == table.splitlines()
    content = json.loads((out / "results.json").read_text())
    assert content["command"] == (
        f"srvp-world bench agents --env {BEACON} --methods ppo cem --seeds 1 --baseline-seeds 1 "
        "--out FOLDER"
    )
    assert content["protocol"]["measured_on"][0]["machine"]["torch_threads"] == 1
    before = files(out)
    assert run(f"bench agents --report-only --out {out}") == 0
    assert capfd.readouterr().out == table
    changed = {path.name for path, bytes_ in files(out).items() if before[path] != bytes_}
    assert changed <= {"results.json"}  # its date


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("agents --env Pendulun-v1 --out {out}", ["'Pendulun-v1'", "did you mean 'Pendulum-v1'"]),
        ("agents --methods cme --out {out}", ["'cme'", "did you mean 'cem'"]),
        ("agents --methods sac --out {out}", ["'sac'", "Discrete(2)", "use ppo, a2c, dqn"]),
        ("agents --seeds 0 --out {out}", ["seeds", "at least 1", "0"]),
        ("agents --baseline-seeds -1 --out {out}", ["baseline_seeds", "-1"]),
        ("agents --threads 0 --out {out}", ["--threads", "0"]),
        ("agents", ["--out"]),
        ("agents --world pendulum --out {out}", ["--world", "'agents'", "leave it out"]),
        ("agents --report-only --out {out}", ["holds no results of agents"]),
        ("agents --report-only --seeds 2 --out {out}", ["--seeds", "--report-only"]),
        ("agents --report-only --env Pendulum-v1 --out {out}", ["--env", "--report-only"]),
        ("dream --seeds 2", ["--seeds", "'dream'", "leave it out"]),
        ("--report-only", ["--report-only", "'speed'", "leave it out"]),
        ("agent --out {out}", ["'agent'", "did you mean 'agents'"]),
    ],
)
def test_mistakes_are_told_in_one_line_and_nothing_is_written(refused, tmp_path, rest, words):
    refused(f"bench {rest.format(out=tmp_path / 'out')}", *words)
    assert not (tmp_path / "out").exists()
