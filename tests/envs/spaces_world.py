"""An environment with any spaces, found as `spaces_world:Spaces-v0`; its frames count steps."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

ACTIONS = {
    "box": Box(np.float32([-7, 0.5]), np.float32([1, 0.75])),
    "matrix": Box(np.float32([[-1, 0], [2, 3]]), np.float32([[1, 5], [3, 9]])),
    "number": Box(0.1, 0.7, ()),
    "discrete": Discrete(4),
    "multidiscrete": MultiDiscrete([3, 2, 5]),
    "multibinary": MultiBinary(3),
}
OBSERVATIONS = {
    "box": Box(-np.inf, np.inf, (3,), np.float32),
    "double": Box(-1, 1, (2, 2), np.float64),
    "number": Box(0, 1, ()),
    "dict": Dict({"b": Box(-1, 1, (2,)), "a": Tuple((Box(0, 9, (1,)), Box(0, 9, (1,))))}),
    "choice": Discrete(3),
    "image": Box(0, 255, (8, 8, 3), np.uint8),
    "mixed": Dict({"a": Box(0, 1, (2,)), "b": MultiBinary(2)}),
    "empty": Dict({}),
}


class Spaces(gym.Env):
    """Takes 4 steps; observations are samples, or hold a number that is not finite."""

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, action="discrete", observation="box", broken_at=-1, render_mode=None):
        self.action_space = ACTIONS[action]
        self.observation_space = OBSERVATIONS[observation]
        self.broken_at, self.render_mode, self.t = broken_at, render_mode, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        assert action in self.action_space
        self.t += 1
        return self.observe(), float(self.t), False, self.t == 4, {}

    def observe(self):
        self.seen = self.observation_space.sample()
        if self.t == self.broken_at:
            self.seen[1] = np.nan
        return self.seen

    def render(self):
        return np.full((32, 32, 3), 50 * self.t, np.uint8)


gym.register(id="Spaces-v0", entry_point="spaces_world:Spaces")
