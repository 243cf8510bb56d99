"""An env whose every frame tells what led to it; found as `diary:Diary-v0`.

A page is (label, age, action, total, over): a number of the episode, real steps so far, the action
that led here, the sum of all rewards so far, and whether the episode terminated here.
"""

from dataclasses import dataclass
from functools import partial

import gymnasium as gym
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.envs.collect import collect
from srvp_world.envs.policies import RandomPolicy

LABEL, AGE, ACTION, TOTAL, OVER = range(5)
CHOICES, BAND = 8, 4  # a field is shown in as many rows of pixels


class Diary(gym.Env):
    """Rewards each action `delay` steps after it was taken; ends at `length`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    action_space = gym.spaces.Discrete(CHOICES)
    observation_space = gym.spaces.Box(0, 255, (5,), np.float32)

    def __init__(self, length=6, ending="terminated", delay=0, render_mode=None):
        self.length, self.ending, self.delay = length, ending, delay
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.label, self.taken = int(self.np_random.integers(1, 250)), []
        self.total, self.over = 0, False
        return self.page(), {}

    def step(self, action):
        assert len(self.taken) < self.length, "stepped past the end"
        self.taken.append(int(action))
        earned = self.taken[-1 - self.delay] if len(self.taken) > self.delay else 0
        self.total += earned
        last = len(self.taken) == self.length
        self.over = last and self.ending in ("terminated", "both")
        return self.page(), earned, self.over, last and self.ending in ("truncated", "both"), {}

    def page(self):
        led = self.taken[-1] if self.taken else 0
        return np.array([self.label, len(self.taken), led, self.total, self.over], np.float32)

    def render(self):
        image = np.zeros((32, 32, 3), np.uint8)
        image[: 5 * BAND] = self.page().repeat(BAND)[:, None, None]
        return image


gym.register(id="Diary-v0", entry_point="diary:Diary")


@dataclass(frozen=True)
class Rules:
    """What is known of a diary whose rewards come at once or, with `delay` 1, a step late."""

    length: int = 6
    delay: int = 0
    repeat: int = 1
    terminates: bool = True

    def turn(self, page: Tensor, action: Tensor) -> Tensor:
        """Give the pages (..., 5) that actions (...) lead to."""
        label, age, before, total, _ = page.unbind(-1)
        action = action.float()
        steps = (self.length - age).clamp(0, self.repeat)
        late = self.delay * (steps > 0.5)  # then the first of the steps rewards the action before
        total = total + late * before + (steps - late) * action
        over = self.terminates & (age + steps > self.length - 0.5)
        return torch.stack([label, age + steps, action, total, over.float()], dim=-1)

    def play(self, page: Tensor, choose, horizon: int) -> tuple[float, int]:
        """Give return and length of an episode from a page (5,) on."""
        first, steps = page[TOTAL], 0
        while steps < horizon and not page[OVER]:
            page, steps = self.turn(page, choose(page[None])[0]), steps + 1
        return float(page[TOTAL] - first), steps

    @property
    def pixels(self) -> PixelConfig:
        ending = "terminated" if self.terminates else "truncated"
        return diary(self.repeat, length=self.length, delay=self.delay, ending=ending)


def diary(repeat: int = 1, vector: bool = False, **env_kwargs) -> PixelConfig:
    return PixelConfig(
        env_id="diary:Diary-v0",
        env_kwargs=env_kwargs,
        frame_size=32,
        action_repeat=repeat,
        vector=vector,
    )


def record(folder, *configs: PixelConfig, episodes: int = 6) -> Dataset:
    """Play episodes of each diary at random."""
    play = partial(collect, make_policy=RandomPolicy, episodes=episodes, progress=False)
    for i, config in enumerate(configs):
        play(config, folder / str(i), seed=100 * i)
        for path in sorted((folder / str(i)).glob("*.safetensors")):
            path.rename(folder / path.name)
        (folder / str(i) / "dataset.json").rename(folder / "dataset.json")
    return Dataset.open(folder)


def read(frames: Tensor) -> Tensor:
    """Read the pages (..., 5) that frames (..., c, h, w) in [0, 1] show."""
    return (frames[..., 0, : 5 * BAND : BAND, 0] * 255).round()


def read_pixels(frames: np.ndarray) -> Tensor:
    """Read the pages (..., 5) that uint8 frames (..., h, w, c) show."""
    return torch.tensor(frames[..., : 5 * BAND : BAND, 0, 0]).float()


def draw(pages: Tensor) -> Tensor:
    """Show pages (n, 5) as frames (n, 1, 32, 32)."""
    bands = rearrange(pages / 255, "n p -> n 1 p 1").repeat_interleave(BAND, -2)
    frames = torch.zeros(len(pages), 1, 32, 32)
    frames[..., : 5 * BAND, :] = bands
    return frames.clamp(0, 1)
