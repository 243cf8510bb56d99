"""An env that obeys every rule, in batches that tests break."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper

SAME, NEXT, NONE = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED


class Walk(gym.Env):
    """Walks at random and by its action, for two to five steps."""

    metadata = {"render_modes": ["rgb_array"]}
    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self):
        self.render_mode = "rgb_array"
        self.t = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.place = 0, self.np_random.normal()
        self.length = int(self.np_random.integers(2, 6))
        return self.seen(), {"begun": self.place}

    def step(self, action):
        if self.t is None:
            raise RuntimeError("not yet reset")
        self.t += 1
        self.place += float(action[0]) + 0.1 * self.np_random.normal()
        return self.seen(), self.place, self.t == self.length, False, {}

    def render(self):
        return np.full((8, 8, 3), self.t, np.uint8)

    def seen(self):
        return np.array([self.place, self.t], np.float32)


class Restless(Walk):
    """Steps before its first reset, too."""

    def __init__(self):
        super().__init__()
        self.reset()


class Endless(Walk):
    """Never ends."""

    def step(self, action):
        return (*super().step(action)[:2], False, False, {})


class Shared(SyncVectorEnv):
    """A batch whose instances write into one metadata."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        type(self).metadata = self.metadata


class Tensors(VectorWrapper):
    """Takes and gives tensors."""

    def reset(self, **given):
        observation, infos = self.env.reset(**given)
        return torch.tensor(observation), infos

    def step(self, actions):
        *arrays, infos = self.env.step(actions.numpy())
        return (*(torch.tensor(array) for array in arrays), infos)


def walks(mode=NEXT, kind=Walk, batch=SyncVectorEnv, **options):
    return batch([kind] * 3, autoreset_mode=mode, **options)


def on_step(change, mode=NEXT):
    """Break what a step returns: `change(env, result, actions)`."""

    def broken():
        env = walks(mode)
        step = env.step
        env.step = lambda actions: change(env, step(actions), actions)
        return env

    return broken


def on_reset(change, mode=NEXT):
    """Break how a reset is done: `change(reset, seed, options)`."""

    def broken():
        env = walks(mode)
        reset = env.reset
        env.reset = lambda seed=None, options=None: change(reset, seed, options)
        return env

    return broken


def with_attribute(name, value, mode=NEXT):
    def broken():
        env = walks(mode)
        setattr(env, name, value(env))
        return env

    return broken


def keep(position, value):
    """Replace one part of a result by what `value` makes of it."""

    def change(env, result, actions):
        return (*result[:position], value(result[position]), *result[position + 1 :])

    return change


def masked(change):
    """Break what a reset of some rows does: `change(env, reset, mask, seed)`."""

    def broken():
        env = walks(NONE)
        reset = env.reset

        def altered(*, seed=None, options=None):
            mask = (options or {}).get("reset_mask")
            if mask is None or mask.shape != (3,) or mask.dtype != bool or not mask.any():
                return reset(seed=seed, options=options)
            return change(env, lambda **given: reset(seed=seed, **given), mask, seed)

        env.reset = altered
        return env

    return broken
