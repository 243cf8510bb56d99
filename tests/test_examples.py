"""The README's Python and every example run, in a short form, on the world that ships."""

import re
import runpy
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from lines import PUSH, Line
from minari.data_collector import EpisodeBuffer
from oracle import Count, counting_world

import srvp_world
from srvp_world.checkpoint import SHIPPED, World
from srvp_world.data.dataset import Dataset

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
SHORTER = {
    "static_goal.py": ["--collect", "20", "--updates", "3"],
    "offline.py": ["--collect", "210", "--updates", "3"],
}
STEPS = {"plan_with_cem.py": ["--samples", "16", "--iterations", "1"]}  # it trains nothing


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, monkeypatch, capsys):
    steps = STEPS.get(name, ["--steps", "2048"])
    short = [*steps, "--episodes", "1", *SHORTER.get(name, [])]
    monkeypatch.setattr(sys, "argv", [name, *short])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    assert re.search(r"real return over 1 episodes: -?\d+", capsys.readouterr().out)


@pytest.mark.filterwarnings("ignore:`eval_env` is set to None", "ignore:env_spec is None")
def test_offline_learns_from_a_minari_data_set_with_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    draws, steps = np.random.default_rng(0), 20
    ends = np.arange(steps) == steps - 1
    episodes = [
        EpisodeBuffer(
            observations=draws.integers(0, 256, (steps + 1, 64, 64, 1), np.uint8),
            actions=draws.integers(0, 3, steps),
            rewards=[*draws.normal(size=steps)],
            terminations=[*ends],
            truncations=[*np.zeros_like(ends)],
            infos={},
        )
        for _ in range(4)
    ]
    minari.create_dataset_from_buffers(
        "noise/images-v0",
        episodes,
        observation_space=gym.spaces.Box(0, 255, (64, 64, 1), np.uint8),
        action_space=gym.spaces.Discrete(3),
        algorithm_name="none",
        author="nobody",
        author_email="nobody@example.com",
        code_permalink="none",
        description="none",
        jpeg_encoding=False,
    )
    short = ["--minari", "noise/images-v0", "--updates", "2", "--steps", "2048"]
    monkeypatch.setattr(sys, "argv", ["offline.py", *short])
    runpy.run_path(str(ROOT / "examples" / "offline.py"), run_name="__main__")
    assert re.fullmatch(r"dream return: -?\d+\n", capsys.readouterr().out)


class Ledge(Line):
    """Pays 1 a step, and ends beyond 1: there a dream that goes on pays a hundred times as much."""

    def __init__(self):
        super().__init__(PUSH)

    def encode(self, observation, actions=None, **_):
        return Count(torch.zeros(len(observation.frames)))

    def move(self, number, action):
        return number + action[:, 0]

    def reward(self, arrival):
        return torch.where(arrival > 1.5, 100.0, 1.0)

    def going_on(self, arrival):
        return (arrival <= 1).float()


class RealLedge(gym.Env):
    """The same, for twenty steps."""

    def reset(self, *, seed=None, options=None):
        self.place, self.steps = np.zeros(1, np.float32), 0
        return self.place, {}

    def step(self, action):
        self.place, self.steps = self.place + action, self.steps + 1
        return self.place, 1.0, bool(self.place > 1), self.steps == 20, {}


def test_an_agent_of_ones_own_is_not_lured_by_what_follows_an_end(monkeypatch, capsys):
    spec = spec_from_file_location("own_agent", ROOT / "examples" / "own_agent.py")
    example = module_from_spec(spec)
    spec.loader.exec_module(example)
    world = World(Ledge(), counting_world(0).starts, episode_length=20)
    monkeypatch.setattr(srvp_world, "load", lambda: world)
    monkeypatch.setattr(example, "make_real_env", lambda world: RealLedge())
    example.main(steps=40 * 128 * 20, episodes=2, seed=0, horizon=20)
    assert "real return over 2 episodes: 20" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:You are using a relatively small replay buffer")
def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    script = tmp_path / "readme.py"
    text = "\n".join(blocks)
    shorter = {"100_000": "2048", "n_eval_episodes=10": "n_eval_episodes=1", "1_000_000": "1_000"}
    shorter["50_000)"] = "1_200)"
    for long, short in shorter.items():
        assert long in text
        text = text.replace(long, short)
    script.write_text(text.replace("5_000", "150"))
    runpy.run_path(str(script))
    assert re.search(r"\(-\d+", capsys.readouterr().out)
    live, replay = (Dataset.open(tmp_path / "data" / name) for name in ("live", "replay"))
    assert live.transitions == replay.transitions == 150


def test_the_shipped_world_is_small_and_says_how_good_it_is():
    assert (SHIPPED / "pendulum.safetensors").stat().st_size <= 4 * 2**20
    measured = srvp_world.load().measured
    assert [agent["episodes"] for agent in measured["agents"]] == [50, 50, 50]
    assert all(agent["real_return"]["mean"] > -200 for agent in measured["agents"])
    for row in measured["open_loop_psnr"].values():
        assert row["one_sample"] > row["copy_last_frame"]
    assert set(measured["open_loop_psnr"]) == {"1", "5", "10", "20", "40"}


@pytest.mark.filterwarnings("ignore:.*infinity:UserWarning")  # latents have no bounds
@pytest.mark.parametrize("obs", ["pixels", "latent"])
def test_gym_make_without_arguments_opens_it(obs):
    env = gym.make("SRVPDream-v0", obs=obs, render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=False)


def test_a_module_prefix_finds_the_dream_without_an_import():
    assert gym.make("srvp_world:SRVPDream-v0").unwrapped.world.pixels.env_id == "Pendulum-v1"
