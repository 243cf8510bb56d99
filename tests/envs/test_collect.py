import math
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Ending
from srvp_world.envs.collect import collect, run_episode, run_episodes
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.envs.policies import RandomPolicy, SmoothRandomPolicy
from srvp_world.errors import ConfigError, DataError, OutputError, SpaceError, SRVPWorldError


def counter(repeat=1, **env_kwargs):
    return PixelConfig(
        env_id="counter_world:Counter-v0",
        frame_size=32,
        action_repeat=repeat,
        env_kwargs=env_kwargs,
    )


COUNTER = counter()
quietly = partial(collect, progress=False)
play = partial(run_episodes, progress=False)


class Constant:
    """Always acts the same; remembers what it was told."""

    def __init__(self, action):
        self.action, self.seeds, self.seen = action, [], []

    def reset(self, seed):
        self.seeds.append(seed)

    def act(self, frame):
        self.seen.append(frame)
        return self.action


def recorded(folder):
    dataset = Dataset.open(folder)
    return [dataset.read(i) for i in range(len(dataset))]


class Watching(Constant):
    """Counts the files of a folder before each episode."""

    def __init__(self, folder):
        super().__init__(1)
        self.folder, self.files = folder, []

    def reset(self, seed):
        self.files.append(len(list(self.folder.glob("*.safetensors"))))


def test_many_short_episodes_are_bounded_while_they_are_recorded(tmp_path):
    """Each has less than a hundredth of the bound, and a writer of its own."""
    policy = Watching(tmp_path)
    quietly(counter(length=2), tmp_path, policy, episodes=170, max_transitions=300)
    assert max(policy.files) == 151 and Dataset.open(tmp_path).transitions == 300


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bound_holds_when_all_is_recorded(tmp_path, workers):
    some = partial(quietly, counter(length=2), tmp_path, RandomPolicy, workers=workers)
    some(episodes=20)
    some(episodes=2, seed=20, max_transitions=30)
    assert Dataset.open(tmp_path).transitions == 30


@pytest.mark.parametrize(
    ("repeat", "steps_per_decision", "ending", "workers"),
    [
        (1, [1, 1, 1, 1, 1], "terminated", 1),
        (1, [1, 1, 1, 1, 1], "truncated", 1),
        (2, [2, 2, 1], "terminated", 1),
        (2, [2, 2, 1], "truncated", 1),
        (2, [2, 2, 1], "terminated", 2),
        (7, [5], "truncated", 1),
    ],
)
def test_frames_actions_rewards_and_ends_are_aligned(
    tmp_path, repeat, steps_per_decision, ending, workers
):
    config = counter(repeat, length=5, ending=ending)
    result = quietly(config, tmp_path, RandomPolicy, episodes=3, workers=workers, seed=4)
    arrived = np.cumsum(steps_per_decision)
    rewards = [
        sum(range(end - taken + 1, end + 1))
        for end, taken in zip(arrived, steps_per_decision, strict=True)
    ]
    assert len(recorded(tmp_path)) == 3
    for episode in recorded(tmp_path):
        counts, shown = episode.frames[:, 0, 0, 0], episode.frames[:, -1, 0, 0]
        np.testing.assert_array_equal(counts[1:] - counts[0], arrived)
        np.testing.assert_array_equal(shown[1:], episode.actions)  # a_i led to frame i + 1
        np.testing.assert_array_equal(episode.rewards, rewards)
        assert episode.ending == ending
    for i, played in enumerate(result.results):
        assert (played.seed, played.episode_return, played.real_steps) == (4 + i, 15, 5)
        assert (played.decisions, played.ending) == (len(steps_per_decision), ending)


def test_the_data_set_says_how_to_build_its_env_again(tmp_path):
    quietly(counter(2, length=4), tmp_path, RandomPolicy, episodes=1, seed=7)
    dataset = Dataset.open(tmp_path)
    env = make_pixel_env(dataset.info.pixels)
    frame, _ = env.reset(seed=dataset.read(0).provenance["seed"])
    np.testing.assert_array_equal(frame, dataset.read(0).frames[0])
    assert dataset.info.action.space == env.action_space and dataset.info.rewards


@pytest.mark.parametrize(
    ("repeat", "steps", "workers", "expected"),
    [
        (1, 12, 1, 12),  # 5 + 5 + 2
        (1, 5, 1, 5),
        (2, 9, 1, 9),  # 5, then two decisions
        (2, 8, 1, 7),  # 5, then one decision; a second could take the ninth step
        (3, 3, 1, 3),
        (2, 27, 2, 26),  # shares of 15 and 12: 5 + 5 + 4 and 5 + 5 + 2
    ],
)
def test_a_budget_of_steps_is_used_up_and_never_exceeded(
    tmp_path, repeat, steps, workers, expected
):
    config = counter(repeat, length=5)
    result = quietly(config, tmp_path, RandomPolicy, steps=steps, workers=workers)
    assert result.real_steps == expected <= steps
    taken = sum(
        int(episode.frames[-1, 0, 0, 0]) - int(episode.frames[0, 0, 0, 0])
        for episode in recorded(tmp_path)
    )
    assert taken == expected
    cut = [played.real_steps < 5 for played in result.results]
    assert cut == [played.ending == Ending.UNFINISHED for played in result.results]
    assert result.mean_return == 15 or all(cut)


def test_returns_of_cut_episodes_do_not_count(tmp_path):
    assert math.isnan(quietly(COUNTER, tmp_path / "cut", RandomPolicy, steps=3).mean_return)
    result = quietly(COUNTER, tmp_path / "some", RandomPolicy, steps=7)
    assert (result.episodes, result.mean_return, result.std_return) == (2, 15, 0)


def test_results_do_not_depend_on_the_number_of_workers(tmp_path):
    config = PixelConfig(env_id="CartPole-v1", frame_size=32, action_repeat=2)
    results = [
        quietly(config, tmp_path / str(workers), SmoothRandomPolicy, episodes=5, workers=workers)
        for workers in (1, 2)
    ]
    assert results[0].results == results[1].results
    assert [played.seed for played in results[1].results] == list(range(5))
    for one, other in zip(recorded(tmp_path / "1"), recorded(tmp_path / "2"), strict=True):
        assert one.provenance == other.provenance
        for name, array in one.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[name])
    seeds = [9, 2, 2, 30]
    alone, together = (play(config, RandomPolicy, seeds, workers=n) for n in (1, 2))
    assert alone == together and [played.seed for played in together] == seeds
    assert alone[1] == alone[2] and alone[0].episode_return != 0


def test_step_budgets_are_deterministic_given_seed_and_workers(tmp_path):
    config = PixelConfig(env_id="Pendulum-v1", frame_size=32, env_kwargs={"max_episode_steps": 20})
    first, second = (
        quietly(config, tmp_path / name, SmoothRandomPolicy, steps=50, workers=2, seed=3)
        for name in "ab"
    )
    assert first.results == second.results and first.real_steps == 50
    assert [played.seed for played in first.results] == [3, 4, 5, 6]


def test_frames_are_kept_where_asked_for():
    kept, dropped = play(counter(2, length=5), RandomPolicy, [1, 2], frames_of=[1])
    assert kept.frames.shape == (4, 32, 32, 1) and dropped.frames is None
    np.testing.assert_array_equal(np.diff(kept.frames[:, 0, 0, 0]), [2, 2, 1])


def test_a_policy_object_plays_here_and_only_here():
    policy = Constant(np.int64(7))
    results = play(COUNTER, policy, [5, 6])
    assert policy.seeds == [5, 6] and len(policy.seen) == sum(item.decisions for item in results)
    with pytest.raises(ConfigError, match="workers=1"):
        play(COUNTER, policy, [5, 6], workers=2)


def test_nothing_to_play_gives_nothing():
    assert play(COUNTER, RandomPolicy, []) == []


def test_recorded_episodes_are_kept(tmp_path):
    quietly(COUNTER, tmp_path, RandomPolicy, episodes=3, seed=10)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    for request in ({"episodes": 1, "seed": 12}, {"steps": 50, "seed": 0, "workers": 2}):
        with pytest.raises(DataError, match=r"another folder, or --seed 13"):
            quietly(COUNTER, tmp_path, RandomPolicy, **request)
    quietly(COUNTER, tmp_path, RandomPolicy, episodes=2, seed=13)
    after = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    assert len(after) == 5 and before.items() <= after.items()


@pytest.mark.parametrize(
    "request_",
    [{}, {"steps": 5, "episodes": 1}, {"steps": 0}, {"episodes": 0}]
    + [{"episodes": 1, "workers": 0}, {"episodes": 1, "seed": -1}],
)
def test_senseless_requests_are_refused_before_anything_is_written(tmp_path, request_):
    with pytest.raises(ConfigError):
        quietly(COUNTER, tmp_path / "new", RandomPolicy, **request_)
    assert not (tmp_path / "new").exists()


def test_an_env_that_does_not_work_leaves_no_folder(tmp_path):
    for env_id in ("counter_world:Blind-v0", "Pendulun-v1"):
        with pytest.raises(SRVPWorldError):
            quietly(replace(COUNTER, env_id=env_id), tmp_path / "new", RandomPolicy, episodes=1)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="file"):
        quietly(COUNTER, tmp_path / "file" / "data", RandomPolicy, episodes=1)


def test_an_error_keeps_the_episodes_before_it(tmp_path):
    quietly(counter(length=3), tmp_path, RandomPolicy, episodes=2)
    dataset = tmp_path / "dataset.json"
    dataset.write_text(dataset.read_text().replace('"length": 3', '"length": 9, "mishap": "nan"'))
    config = counter(length=9, mishap="nan")
    with pytest.raises(DataError, match=r"Counter-v0 gave the reward nan at step 3 .* seed 2"):
        quietly(config, tmp_path, RandomPolicy, episodes=2, seed=2)
    assert len(recorded(tmp_path)) == 2


def test_an_error_in_a_worker_keeps_its_name():
    config = counter(2, mishap="nan", mishap_at=6, length=10)
    with pytest.raises(DataError, match=r"Counter-v0 gave the reward nan at step 6 .* seed [89]"):
        play(config, RandomPolicy, [8, 9], workers=2)


def test_actions_outside_the_space_are_refused():
    with pytest.raises(SpaceError, match="200"):
        play(COUNTER, Constant(np.int64(200)), [0])
    pendulum = PixelConfig(env_id="Pendulum-v1", frame_size=32)
    with pytest.raises(SpaceError, match="nan"):
        play(pendulum, Constant(np.array([np.nan], np.float32)), [0])


@pytest.mark.parametrize(
    ("mishap", "error", "words"),
    [
        ("raise", RuntimeError, "ZeroDivisionError .*the counter broke"),
        ("exit", SRVPWorldError, "exit code 3"),
        ("kill", SRVPWorldError, "exit code -9"),
    ],
)
def test_no_death_of_a_worker_goes_unnoticed(mishap, error, words):
    with pytest.raises(error, match=words) as caught:
        play(counter(mishap=mishap), RandomPolicy, [0, 1], workers=2)
    assert type(caught.value) is error


def test_a_policy_that_cannot_travel_is_refused():
    with pytest.raises(ConfigError, match="workers=1"):
        play(COUNTER, lambda action: RandomPolicy(action), [0, 1], workers=2)


@contextmanager
def recording(folder, **env_kwargs):
    """Records with two workers, in processes of their own, from when 4 files are there."""
    script = folder / "record.py"
    script.write_text(
        "from srvp_world.config import PixelConfig\n"
        "from srvp_world.envs.collect import collect\n"
        "from srvp_world.envs.policies import RandomPolicy\n"
        "if __name__ == '__main__':\n"
        "    config = PixelConfig(\n"
        "        env_id='counter_world:Counter-v0',\n"
        "        frame_size=32,\n"
        f"        env_kwargs={env_kwargs},\n"
        "    )\n"
        "    collect(config, 'data', RandomPolicy, steps=10**7, workers=2, progress=False)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())])
    running = subprocess.Popen(
        [sys.executable, script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(folder.glob("data/*.safetensors"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        yield running
    finally:
        with suppress(ProcessLookupError):  # as it should be
            os.killpg(running.pid, signal.SIGKILL)


def test_an_interrupt_keeps_committed_episodes_and_stops_the_workers(tmp_path):
    with recording(tmp_path) as running:
        os.killpg(running.pid, signal.SIGINT)
        _, stderr = running.communicate(timeout=30)
        assert stderr.strip().endswith("KeyboardInterrupt") and stderr.count("Traceback") == 1
        kept = len(recorded(tmp_path / "data"))
        time.sleep(1)
        assert len(recorded(tmp_path / "data")) == kept >= 4  # nobody goes on recording


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """They are in the middle of long episodes, of which they commit one part after the other."""
    with recording(tmp_path, length=10**7) as running:
        running.kill()
        running.communicate(timeout=30)  # until nobody holds the pipe any more
        kept = len(recorded(tmp_path / "data"))
        time.sleep(1)
        assert len(recorded(tmp_path / "data")) == kept >= 4


def test_a_single_episode_can_be_played_by_hand():
    env = make_pixel_env(counter(2, length=50))
    result = run_episode(env, Constant(np.int64(3)), 0, None, max_real_steps=7)
    assert (result.decisions, result.real_steps, result.ending) == (3, 6, Ending.UNFINISHED)
