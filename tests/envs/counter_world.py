"""Cheap environments for tests, found as `counter_world:Counter-v0`; frames show what happened."""

import os
import sys

import gymnasium as gym
import numpy as np


class Counter(gym.Env):
    """Counts steps from a random start.

    The upper half of its image shows the count, modulo 256, and the lower half the action that led
    there; the reward is the number of the step. `mishap` is what happens at step `mishap_at`.
    """

    metadata = {"render_modes": ["rgb_array"]}
    action_space = gym.spaces.Discrete(200)
    observation_space = gym.spaces.Box(0, 1, (1,))

    def __init__(self, length=5, ending="terminated", mishap="", mishap_at=3, render_mode=None):
        self.render_mode = render_mode
        self.length, self.ending, self.mishap, self.mishap_at = length, ending, mishap, mishap_at
        self.renders = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.start, self.t, self.action = int(self.np_random.integers(100)), 0, 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t, self.action = self.t + 1, action
        reward = float(self.t)
        if self.mishap and self.t == self.mishap_at:
            reward = self._go_wrong()
        over = self.t == self.length
        ends = (over and self.ending == "terminated", over and self.ending == "truncated")
        return np.zeros(1, np.float32), reward, *ends, {}

    def render(self):
        self.renders += 1
        image = np.full((32, 32, 3), (self.start + self.t) % 256, np.uint8)
        image[16:] = self.action
        return image

    def _go_wrong(self):
        if self.mishap == "nan":
            return float("nan")
        if self.mishap == "raise":
            raise ZeroDivisionError("the counter broke")
        if self.mishap == "exit":
            sys.exit(3)
        return os.kill(os.getpid(), 9)


class Blind(Counter):
    """Has no images."""

    metadata = {"render_modes": ["ansi"]}


class Garbled(Counter):
    """Says that it renders, and gives something else."""

    def render(self):
        return np.zeros((4, 4), np.float32)


class Modeless(gym.Env):
    """Takes no render mode."""

    action_space = observation_space = gym.spaces.Discrete(2)


for _world in (Counter, Blind, Garbled, Modeless):
    gym.register(id=f"{_world.__name__}-v0", entry_point=f"counter_world:{_world.__name__}")
gym.register(id="Timed-v0", entry_point="counter_world:Counter", max_episode_steps=5)
