"""Every face of the dream, and reality, tell the same story, event by event."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch
from diary import AGE, CHOICES, OVER, TOTAL, Rules, read_pixels, record
from knowing import knowing_world
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from srvp_world.checkpoint import World
from srvp_world.data.episodes import Episode
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.latent import make_real_env
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.envs.single import DreamEnv

ROWS, STEPS, HORIZON = 6, 30, 3
RULES = [Rules(length=5, delay=1), Rules(length=7, repeat=2), Rules(length=1), Rules(length=2)]
KINDS = ["pixels", "latent", "dict"]


class Event(NamedTuple):
    """One step of one row, as a user sees it."""

    before: Tensor
    action: float
    reward: float
    terminated: bool
    truncated: bool
    after: Tensor  # where the action led, shown as the last observation if an episode ended
    following: Tensor  # what the next action is chosen on
    elapsed: int  # steps since the row began


def look(observation) -> Tensor:
    """Read pages off an observation of any kind, of one row or of many."""
    if isinstance(observation, dict):
        vector = look(observation["vector"])
        torch.testing.assert_close(look(observation["pixels"]), vector, atol=0.05, rtol=0)
        return vector
    array = np.asarray(observation)
    return read_pixels(array) if array.dtype == np.uint8 else torch.tensor(array)


def check(events: list[Event], rules: Rules, starts: Tensor, horizon: int = HORIZON) -> Tensor:
    """Hold events to the rules; give (n, 2): which of them terminated, and were truncated."""
    for event in events:
        arrived = rules.turn(event.before, torch.tensor(event.action))
        torch.testing.assert_close(event.after, arrived, atol=0.05, rtol=0)
        earned = float(arrived[TOTAL] - event.before[TOTAL])
        assert event.reward == pytest.approx(earned, abs=0.05)
        assert event.terminated == bool(arrived[OVER])
        assert event.truncated == (event.elapsed == horizon)
        if event.terminated or event.truncated:
            assert ((event.following - starts).abs() < 0.05).all(-1).any()
        else:
            torch.testing.assert_close(event.following, event.after)
    return torch.tensor([[event.terminated, event.truncated] for event in events])


class Rows:
    """Counts the steps of each row, and makes events."""

    def __init__(self, n: int):
        self.elapsed = np.zeros(n, int)
        self.events: list[Event] = []

    def add(self, row: int, *story) -> None:
        self.elapsed[row] += 1
        self.events.append(Event(*story, int(self.elapsed[row])))
        if story[3] or story[4]:
            self.elapsed[row] = 0


def drawn(rows: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(1)
    for _ in range(STEPS):
        yield rng.integers(CHOICES, size=rows)


def same_step(env: DreamVectorEnv) -> list[Event]:
    story, pages = Rows(ROWS), look(env.reset(seed=0)[0])
    for actions in drawn(ROWS):
        given = torch.tensor(actions) if env.output == "torch" else actions
        observation, reward, terminated, truncated, infos = env.step(given)
        following = look(observation)
        for i in range(ROWS):
            after = following[i]
            if terminated[i] or truncated[i]:
                assert infos["_final_obs"][i]
                final = infos["final_obs"]
                # Tensors are dense; of Gymnasium's object arrays each row is an observation.
                dense = isinstance(final, dict)
                after = look({k: v[i] for k, v in final.items()} if dense else final[i])
            ends = bool(terminated[i]), bool(truncated[i])
            story.add(i, pages[i], actions[i], float(reward[i]), *ends, after, following[i])
        pages = following
    return story.events


def next_step(env: DreamVectorEnv) -> list[Event]:
    story, pages = Rows(ROWS), look(env.reset(seed=0)[0])
    waiting: dict[int, tuple] = {}  # rows that ended and have not yet begun
    for actions in drawn(ROWS):
        given = torch.tensor(actions) if env.output == "torch" else actions
        observation, reward, terminated, truncated, _ = env.step(given)
        arrived = look(observation)
        for i in range(ROWS):
            ends = bool(terminated[i]), bool(truncated[i])
            told = pages[i], actions[i], float(reward[i]), *ends, arrived[i]
            if i in waiting:
                assert told[2:5] == (0.0, False, False)
                story.add(i, *waiting.pop(i), arrived[i])
            elif any(ends):
                waiting[i] = told
            else:
                story.add(i, *told, arrived[i])
        pages = arrived
    return story.events


def disabled(env: DreamVectorEnv) -> list[Event]:
    story, pages = Rows(ROWS), look(env.reset(seed=0)[0])
    for actions in drawn(ROWS):
        given = torch.tensor(actions) if env.output == "torch" else actions
        observation, reward, terminated, truncated, _ = env.step(given)
        arrived = following = look(observation)
        over = np.asarray(terminated | truncated)
        if over.any():
            following = look(env.reset(options={"reset_mask": over})[0])
        for i in range(ROWS):
            ends = bool(terminated[i]), bool(truncated[i])
            told = actions[i], float(reward[i]), *ends, arrived[i], following[i]
            story.add(i, pages[i], *told)
        pages = following
    return story.events


def single(env: gym.Env) -> list[Event]:
    story, page = Rows(1), look(env.reset(seed=0)[0])
    for (action,) in drawn(1):
        observation, reward, terminated, truncated, _ = env.step(action)
        after = following = look(observation)
        if terminated or truncated:
            following = look(env.reset()[0])
        story.add(0, page, action, reward, terminated, truncated, after, following)
        page = following
    env.close()
    return story.events


def sb3(env: VecEnv) -> list[Event]:
    story, pages = Rows(ROWS), look(env.reset())
    for actions in drawn(ROWS):
        observation, reward, done, infos = env.step(actions)
        following = look(observation)
        for i in range(ROWS):
            after, truncated = following[i], False
            if done[i]:
                after = look(infos[i]["terminal_observation"])
                # SB3 is told of truncation only where the world did not end as well.
                truncated = infos[i]["TimeLimit.truncated"] or story.elapsed[i] + 1 == HORIZON
            terminated = done[i] and not infos[i]["TimeLimit.truncated"]
            ends = bool(terminated), bool(truncated)
            story.add(i, pages[i], actions[i], float(reward[i]), *ends, after, following[i])
        pages = following
    return story.events


class Dreamt(NamedTuple):
    """Rules, a world that knows them, pages that dreams may begin from, and an episode."""

    rules: Rules
    world: World
    starts: Tensor
    episode: Episode


@pytest.fixture(scope="module", params=RULES, ids=lambda rules: f"{rules.length}x{rules.repeat}")
def dreamt(request, tmp_path_factory) -> Dreamt:
    rules = request.param
    data = record(tmp_path_factory.mktemp("data"), replace(rules.pixels, vector=True), episodes=5)
    world = knowing_world(rules, data, horizon=HORIZON, vector=True)
    pages = torch.cat([read_pixels(data.read(i).frames) for i in range(len(data))])
    return Dreamt(rules, world, pages[pages[:, OVER] == 0], data.read(0))


VECTOR = {"SameStep": same_step, "NextStep": next_step, "Disabled": disabled}


@pytest.mark.parametrize("obs", KINDS)
@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("mode", VECTOR)
def test_many_dreams(dreamt, mode, output, obs):
    rules, world, starts, _ = dreamt
    env = DreamVectorEnv(ROWS, world, obs=obs, output=output, autoreset_mode=mode)
    ends = check(VECTOR[mode](env), rules, starts)
    terminated, truncated = ends.T
    assert terminated.any()
    if rules.length > HORIZON * rules.repeat:
        assert (truncated & ~terminated).any()
        assert (truncated & terminated).any(), "both in one step"


@pytest.mark.parametrize("obs", KINDS)
@pytest.mark.parametrize("made", ["class", "gym"])
def test_one_dream(dreamt, made, obs):
    rules, world, starts, _ = dreamt
    options = {"world": world, "obs": obs}
    env = DreamEnv(**options) if made == "class" else gym.make("SRVPDream-v0", **options)
    assert check(single(env), rules, starts).any()


@pytest.mark.parametrize("obs", KINDS)
def test_dreams_of_sb3(dreamt, obs):
    rules, world, starts, _ = dreamt
    ends = check(sb3(DreamVecEnv(ROWS, world, obs=obs)), rules, starts)
    assert ends.any()


@pytest.mark.parametrize("obs", KINDS)
def test_reality(dreamt, obs):
    """What a world infers of a real env is where the real env is."""
    rules, world, *_ = dreamt
    events = single(make_real_env(world, obs))
    assert all(event.following[1:].tolist() == [0, 0, 0, 0] for event in events if event.terminated)
    begun = torch.stack([event.following for event in events])
    assert check(events, rules, begun, horizon=STEPS + 1).any()


@pytest.mark.parametrize("obs", KINDS)
def test_dreams_begin_where_the_given_frames_end(dreamt, obs):
    """An action after the first t frames of an episode leads to its next frame."""
    episode, world = dreamt.episode, dreamt.world
    env = DreamVectorEnv(2, world, obs=obs, autoreset_mode="Disabled")
    for t in range(1, len(episode.frames)):
        given = {name: episode.arrays[name][:t] for name in ("frames", "vector")}
        given["actions"] = episode.actions[: t - 1]
        before = look(env.reset(options=given)[0])
        observation, reward, terminated, _, _ = env.step(episode.actions[[t - 1, t - 1]])
        for seen, frame in ((before, t - 1), (look(observation), t)):
            shown = read_pixels(episode.frames[[frame, frame]])
            torch.testing.assert_close(seen, shown, atol=0.05, rtol=0)
        np.testing.assert_allclose(reward, episode.rewards[t - 1], atol=0.05)
        assert (terminated == (t == len(episode.frames) - 1)).all()


def test_first_starts_are_of_age_nothing(dreamt):
    """And no dream begins where an episode ended."""
    for kind, ages in (("first", {0.0}), ("data", set(dreamt.starts[:, AGE].tolist()))):
        env = DreamVectorEnv(64, dreamt.world, obs="latent", start=kind)
        assert set(look(env.reset(seed=0)[0])[:, AGE].tolist()) == ages
