"""What bounds an episode beside its own end: the clock, and patience where there is no limit."""

from dataclasses import replace

import pytest

from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Ending
from srvp_world.envs import rollout
from srvp_world.envs.collect import collect, run_episodes
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.envs.rollout import SHORTEST, run_episode, time_limit
from srvp_world.errors import ConfigError

COUNTER = PixelConfig(env_id="counter_world:Counter-v0", frame_size=32)


class Slow:
    """Takes a second for each decision, on a clock of its own."""

    now = 1000.0

    def reset(self, seed):
        pass

    def act(self, shown):
        self.now += 1
        return 1


@pytest.fixture
def slow(monkeypatch):
    policy = Slow()
    monkeypatch.setattr(rollout.time, "time", lambda: policy.now)
    return policy


@pytest.mark.parametrize(
    ("length", "seconds", "decisions", "last"),
    [
        (100, 30, [30], Ending.UNFINISHED),  # cut, and kept
        (100, -5, [SHORTEST], Ending.UNFINISHED),  # late already
        (5, -5, [5], Ending.TERMINATED),
        (5, 12, [5, 5, 5], Ending.TERMINATED),  # one that is so short is not cut
        (20, 30, [20, SHORTEST], Ending.UNFINISHED),
        (20, 1e9, [20, 20, 20], Ending.TERMINATED),  # all of the budget, 60 steps
    ],
)
def test_the_clock_ends_a_collection_and_loses_nothing(
    tmp_path, slow, length, seconds, decisions, last
):
    pixels = replace(COUNTER, env_kwargs={"length": length})
    result = collect(pixels, tmp_path, slow, steps=60, until=slow.now + seconds, progress=False)
    assert [played.decisions for played in result.results] == decisions
    assert result.results[-1].ending == last
    data = Dataset.open(tmp_path)
    assert data.transitions == sum(decisions)
    assert [record.ending for record in data.records] == [part.ending for part in result.results]


def test_an_episode_without_end_is_told_where_nothing_bounds_it(monkeypatch):
    monkeypatch.setattr(rollout, "ENDLESS", 30)
    endless = replace(COUNTER, env_kwargs={"length": 1000})
    words = "Counter-v0 with seed 7 has not ended after 30 steps.*max_episode_steps"
    with pytest.raises(ConfigError, match=words):
        run_episodes(endless, Slow(), [7], progress=False)
    assert time_limit(make_pixel_env(endless)) is None
    timed = replace(COUNTER, env_kwargs={"length": 1000, "max_episode_steps": 40})
    assert time_limit(make_pixel_env(timed)) == 40
    (played,) = run_episodes(timed, Slow(), [7], progress=False)
    assert (played.decisions, played.ending) == (40, Ending.TRUNCATED)
    env = make_pixel_env(endless)
    assert run_episode(env, Slow(), 7, max_real_steps=40).decisions == 40
