"""An env to learn in seconds; found as `lamp:Lamp-v0`."""

import gymnasium as gym
import numpy as np

END = 0.9  # actions above it end an episode


class Lamp(gym.Env):
    """Shines as bright as the last action says, which is the reward, too."""

    metadata = {"render_modes": ["rgb_array"]}
    action_space = gym.spaces.Box(0, 1, (1,), np.float32)
    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bright = np.float32(self.np_random.random())
        return self.bright[None], {}

    def step(self, action):
        self.bright = np.float32(action[0])
        return self.bright[None], float(self.bright), bool(self.bright > END), False, {}

    def render(self):
        return np.full((32, 32, 3), round(255 * float(self.bright)), np.uint8)


gym.register(id="Lamp-v0", entry_point="lamp:Lamp", max_episode_steps=15)
