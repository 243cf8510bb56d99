"""What a world model is measured against: SB3's model-free PPO with a CNN on the same real pixels.

Frames are those that a world sees, a few of them stacked, for one alone does not show how things
move. Every step of the environment counts, also those that the action repeat hides.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)
from tqdm import tqdm

from srvp_world.agents.policy import FrameAgent
from srvp_world.agents.sb3_model import build, check_seed, check_settings
from srvp_world.config import PixelConfig
from srvp_world.envs.collect import run_episodes
from srvp_world.envs.pixels import Observed, frame_and_vector, make_pixel_env
from srvp_world.envs.rollout import EpisodeResult
from srvp_world.errors import ConfigError

SETTINGS: dict[str, Any] = {  # those of rl-baselines3-zoo for Atari's pixels
    "n_epochs": 4,
    "learning_rate": lambda left: 2.5e-4 * left,
    "clip_range": lambda left: 0.1 * left,
    "vf_coef": 0.5,
    "ent_coef": 0.01,
}
PROTOCOL = {  # the same in words, for who reads its results
    "algorithm": "PPO of stable-baselines3 with its CnnPolicy",
    "settings": "those of rl-baselines3-zoo for Atari's pixels, not tuned: 4 epochs, 4 "
    "minibatches, learning rate 2.5e-4 and clip range 0.1 falling to 0, value weight 0.5, entropy "
    "0.01, gamma 0.99",
    "envs": "4, rollouts of 128 decisions each or a little fewer, rewards scaled by the deviation "
    "of returns",
    "frame_stack": 4,
}
ROLLOUT = 128  # decisions of each env between updates, or a little fewer
MINIBATCHES = 4
SMALLEST = 36  # pixels that the CNN of SB3 needs
TRAINING_SEED = 1 << 30  # of the first env; evaluation never comes so far


def train_baseline(
    pixels: PixelConfig,
    steps: int,
    *,
    seed: int = 0,
    num_envs: int = 4,
    frame_stack: int = 4,
    progress: bool = True,
    **settings: Any,
) -> PPO:
    """Train PPO with a CNN on the pixels of a real environment, within a budget of real steps.

    The rollouts are shortened a little, so that whole ones fill the budget; it is never exceeded.
    Rewards are scaled by the deviation of the returns, as `VecNormalize` does it.

    Args:
        pixels: The env; a vector beside the frames is left out.
        steps: Real steps, over all environments; a decision counts `action_repeat` of them.
        seed: Of the policy and of the episodes.
        num_envs: Environments side by side, in this process.
        frame_stack: Frames that the policy sees.
        progress: Whether to show a bar.
        settings: Arguments of `PPO` that replace ours; `n_steps` and `batch_size` follow the
            budget.

    Raises:
        ConfigError: For frames that are too small for the CNN, a budget too small for a rollout,
            and settings that are fixed or refused; what `make_pixel_env` raises.
    """
    check_seed(seed)
    _check(pixels, num_envs, frame_stack)
    check_settings(PPO, settings, fixed=("policy", "env", "seed", "n_steps", "batch_size"))
    rollouts, n_steps = _plan(steps, pixels.action_repeat, num_envs)
    decisions = n_steps * num_envs  # of a rollout
    chosen = {"device": "cpu", "gamma": 0.99, **SETTINGS, **settings}
    env = _make_env(pixels, num_envs, frame_stack, chosen["gamma"])
    try:
        model = build(
            PPO,
            "CnnPolicy",
            env,
            n_steps=n_steps,
            batch_size=decisions // MINIBATCHES,
            seed=seed,
            **chosen,
        )
        env.seed(TRAINING_SEED + seed * num_envs)  # the model gave it seeds that are evaluated on
        with tqdm(total=steps, unit="step", desc="PPO on pixels", disable=not progress) as bar:
            model.learn(rollouts * decisions, callback=_RealSteps(bar))
    finally:
        env.close()
    return model


def evaluate_baseline(
    model: PPO, pixels: PixelConfig, seeds: Sequence[int], *, progress: bool = True
) -> list[EpisodeResult]:
    """Play a real episode for each seed with the likeliest actions of a trained baseline.

    Raises:
        ConfigError: For seeds that may have begun episodes of the training, and for a model of
            other frames.
    """
    if seeds and max(seeds) >= TRAINING_SEED:
        raise ConfigError(
            f"seed {max(seeds)} may have begun an episode of the training: give seeds below "
            f"{TRAINING_SEED}"
        )
    agent = FrameStackAgent(model, pixels)
    return run_episodes(replace(pixels, vector=False), agent, seeds, progress=progress)


class FrameStackAgent:
    """Acts with an SB3 model on the last few frames, as `VecFrameStack` showed them."""

    def __init__(self, model: PPO, pixels: PixelConfig):
        """Act with a model that was trained on frames of these pixels.

        Raises:
            ConfigError: If it was trained on others.
        """
        shape, size = model.observation_space.shape, pixels.frame_size
        assert shape is not None
        if shape[1:] != (size, size) or shape[0] % pixels.channels:
            raise ConfigError(
                f"the model sees frames of shape {shape}, not {pixels.channels} x {size} x {size} "
                "and multiples: give the pixels that it was trained on"
            )
        self._agent, self._count = FrameAgent(model), shape[0] // pixels.channels
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new episode; nothing is drawn."""
        self._frames: list[np.ndarray] = []

    def act(self, shown: Observed) -> Any:
        """Choose an action on a frame (h, w, c) uint8 and those before it."""
        frame, _ = frame_and_vector(shown)
        if not self._frames:
            self._frames = [np.zeros_like(frame)] * self._count
        self._frames = [*self._frames[1:], frame]
        stacked = np.concatenate(self._frames, axis=-1)
        return self._agent.act(stacked)


class _RealSteps(BaseCallback):
    """Counts steps of the environment, which a decision may cost several of."""

    def __init__(self, bar: "tqdm[Any]"):
        super().__init__()
        self._bar = bar

    def _on_step(self) -> bool:
        self._bar.update(sum(info["real_steps"] for info in self.locals["infos"]))
        return True


def _check(pixels: PixelConfig, num_envs: int, frame_stack: int) -> None:
    """Refuse what SB3 would refuse in many lines, or not at all."""
    if pixels.frame_size < SMALLEST:
        raise ConfigError(
            f"SB3's CNN needs frames of {SMALLEST} pixels at least, got "
            f"frame_size={pixels.frame_size}: use 64"
        )
    for name, value in {"num_envs": num_envs, "frame_stack": frame_stack}.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")


def _plan(steps: int, repeat: int, num_envs: int) -> tuple[int, int]:
    """Give the number of rollouts that fill a budget, and the decisions of each env in one."""
    decisions = steps // repeat // num_envs  # of each env
    rollouts = max(-(-decisions // ROLLOUT), 1)
    unit = MINIBATCHES // math.gcd(MINIBATCHES, num_envs)  # so that minibatches are of one size
    n_steps = decisions // rollouts // unit * unit
    if n_steps * num_envs < 2 * MINIBATCHES:
        least = math.ceil(2 * MINIBATCHES / num_envs / unit) * unit * num_envs * repeat
        raise ConfigError(f"steps must be at least {least} for one rollout, got {steps}")
    return rollouts, n_steps


def _make_env(pixels: PixelConfig, num_envs: int, frame_stack: int, gamma: float) -> VecEnv:
    """Build the real environments, with rewards scaled and frames stacked."""
    alone = replace(pixels, vector=False)
    monitored = VecMonitor(DummyVecEnv([partial(make_pixel_env, alone)] * num_envs))
    scaled = VecNormalize(monitored, norm_obs=False, gamma=gamma)
    return VecFrameStack(scaled, frame_stack, channels_order="last")
