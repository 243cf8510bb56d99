"""The checker of SB3's vector envs: it passes what SB3 ships, and finds every broken rule."""

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from walk import Endless, Walk

from srvp_world.testing import check_sb3_vec_env


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
def test_sb3s_own_batches_pass(name):
    check_sb3_vec_env(make_vec_env(name, 3, env_kwargs={"render_mode": "rgb_array"}))
    check_sb3_vec_env(VecMonitor(DummyVecEnv([Walk] * 3)))


def test_a_batch_of_one_passes():
    check_sb3_vec_env(DummyVecEnv([Walk]))


def test_envs_that_do_not_end_are_warned_of():
    with pytest.warns(UserWarning, match="no episode ended within 20 steps"):
        check_sb3_vec_env(DummyVecEnv([Endless] * 3), steps=20)


def dummies(**changes):
    """Break methods of a batch of SB3: `name=lambda method: its replacement`."""

    def broken():
        env = DummyVecEnv([Walk] * 3)
        for name, change in changes.items():
            setattr(env, name, change(getattr(env, name)))
        return env

    return broken


def after(change):
    """Make a step whose result is changed."""
    return lambda step: lambda actions: change(*step(actions))


def with_infos(change):
    """Make a step whose infos are changed, row by row: `change(info, done)`."""

    def changed(observation, rewards, done, infos):
        infos = [change(info, end) for info, end in zip(infos, done, strict=True)]
        return observation, rewards, done, infos

    return dummies(step=after(changed))


def without(name):
    return lambda info, done: {key: info[key] for key in info if key != name}


def one_dict():
    kept = [{} for _ in range(3)]
    return dummies(step=after(lambda *result: (*result[:3], kept)))


def shown_again(observation, rewards, done, infos):
    for i in np.flatnonzero(done):
        observation[i] = infos[i]["terminal_observation"]
    return observation, rewards, done, infos


def same_seeds(env_seed):
    return lambda seed: env_seed(3)


class Uncloseable(DummyVecEnv):
    def close(self):
        if getattr(self, "shut", False):
            raise RuntimeError("already closed")
        self.shut = True


BROKEN_SB3 = {
    "class": (lambda: SyncVectorEnv([Walk] * 3), "SyncVectorEnv is no VecEnv"),
    "reset": (dummies(reset=lambda reset: lambda: (reset(), {})), "reset must return observations"),
    "dtype": (
        dummies(reset=lambda reset: lambda: reset().astype(float)),
        "must lie in Box.*float32",
    ),
    "shape": (
        dummies(step=after(lambda x, *others: (x[:2], *others))),
        "observations must lie in Box",
    ),
    "five": (dummies(step=after(lambda *result: (*result, {}))), "SB3 knows no truncations"),
    "rewards": (
        dummies(step=after(lambda x, rewards, *others: (x, [*rewards], *others))),
        r"rewards must be floats of shape \(3,\)",
    ),
    "ends": (
        dummies(step=after(lambda x, r, done, infos: (x, r, done.astype(int), infos))),
        r"dones must be bool of shape \(3,\)",
    ),
    "infos": (
        dummies(step=after(lambda *result: (*result[:3], {}))),
        "infos must be a list of 3 dicts",
    ),
    "one dict": (
        dummies(step=after(lambda *result: (*result[:3], [{}] * 3))),
        "infos must hold new dicts",
    ),
    "old dicts": (one_dict(), "infos must hold new dicts"),
    "terminal": (
        with_infos(without("terminal_observation")),
        "must hold terminal_observation where",
    ),
    "terminal elsewhere": (
        with_infos(lambda info, done: {"terminal_observation": np.zeros(2, np.float32), **info}),
        "must hold terminal_observation where a row ended, and only there",
    ),
    "batched terminal": (
        with_infos(
            lambda info, done: (
                info | {"terminal_observation": np.zeros((1, 2), np.float32)} if done else info
            )
        ),
        "terminal_observation must lie in Box",
    ),
    "truncated": (with_infos(without("TimeLimit.truncated")), "must hold TimeLimit.truncated"),
    "truncated elsewhere": (
        with_infos(lambda info, done: info | {"TimeLimit.truncated": True}),
        "must hold TimeLimit.truncated, a bool, where a row ended; elsewhere it is false",
    ),
    "stays": (dummies(step=after(shown_again)), "must show the first observation of the next"),
    "seed": (
        dummies(seed=lambda seed: lambda s: None),
        r"seed\(3\) and reset must lead to the sam",
    ),
    "row seeds": (dummies(seed=same_seeds), "row 1 of seed 3 must be row 0 of seed 4"),
    "attributes": (
        dummies(get_attr=lambda get: lambda name, indices=None: [*get(name)]),
        r"get_attr\('render_mode'\) for indices 0 must be a list of 1",
    ),
    "unknown attributes": (
        dummies(get_attr=lambda get: lambda name, indices=None: get("render_mode", indices)),
        "must raise AttributeError",
    ),
    "methods": (
        dummies(env_method=lambda call: lambda name, indices=None: tuple(call(name))),
        r"env_method\('__str__'\)",
    ),
    "wrapped": (
        dummies(env_is_wrapped=lambda is_wrapped: lambda kind, indices=None: False),
        "env_is_wrapped.Monitor.",
    ),
    "images": (dummies(get_images=lambda images: lambda: images()[:2]), "a tuple of 3 images"),
    "close": (lambda: Uncloseable([Walk] * 3), "close must work twice"),
}


@pytest.mark.parametrize(("broken", "rule"), BROKEN_SB3.values(), ids=BROKEN_SB3)
def test_each_broken_rule_of_sb3_is_found(broken, rule):
    with pytest.raises(AssertionError, match=rule) as found:
        check_sb3_vec_env(broken())
    assert "\n" not in str(found.value)


def test_buffers_that_take_turns_are_found():
    buffers, t = [np.zeros((3, 2), np.float32) for _ in range(2)], [0]

    def change(observation, *others):
        t[0] += 1
        buffer = buffers[t[0] % 2]
        buffer[:] = observation
        return (buffer, *others)

    with pytest.raises(AssertionError, match="must not share memory"):
        check_sb3_vec_env(dummies(step=after(change))())
