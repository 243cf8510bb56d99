"""An env that an agent solves within seconds; found as `beacon_world:Beacon-v0`."""

import gymnasium as gym
import numpy as np

LENGTH = 8  # decisions of an episode, each worth 1 at best and 1/2 at random


class Beacon(gym.Env):
    """Lights one half of its image, anew at each step; pays for naming the half."""

    metadata = {"render_modes": ["rgb_array"]}
    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._light(), {}

    def step(self, action):
        reward = float(action == self.side)
        return self._light(), reward, False, False, {}

    def render(self):
        image = np.zeros((32, 32, 3), np.uint8)
        image[:, 16 * self.side : 16 * (self.side + 1)] = 255
        return image

    def _light(self):
        self.side = int(self.np_random.integers(2))
        return np.float32([self.side])


gym.register(id="Beacon-v0", entry_point="beacon_world:Beacon", max_episode_steps=LENGTH)


class Unlearnable(Beacon):
    """Takes actions of a kind that no world takes."""

    def __init__(self, kind="dict", render_mode=None):
        super().__init__(render_mode)
        self.action_space = {
            "dict": gym.spaces.Dict({"a": gym.spaces.Discrete(2)}),
            "tuple": gym.spaces.Tuple([gym.spaces.Discrete(2)]),
            "text": gym.spaces.Text(5),
        }[kind]


gym.register(id="Unlearnable-v0", entry_point="beacon_world:Unlearnable")
