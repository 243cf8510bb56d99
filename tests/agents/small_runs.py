"""Runs of the loop that take a second, on an env that can be solved in a few more."""

from dataclasses import replace

import beacon_world
from worlds import CONFIG

from srvp_world.agents.dyna import DynaConfig, run_dyna
from srvp_world.config import ObjectiveConfig, PixelConfig, TrainConfig

PIXELS = PixelConfig(env_id="beacon_world:Beacon-v0", frame_size=32)
LENGTH = beacon_world.LENGTH
SMALL = DynaConfig(
    real_steps=100,
    rounds=2,
    workers=1,
    model=CONFIG,
    train=TrainConfig(iterations=4, decay=2, batch_size=2, window=4, save_every=2),
    later_updates=4,
    dream_steps=64,
    settings={"num_envs": 4, "n_steps": 8, "batch_size": 16, "n_epochs": 1, "horizon": 6},
    round_episodes=2,
    final_episodes=3,
    dream_episodes=3,
)
SOLVING = replace(
    SMALL,
    real_steps=400,
    first_share=0.75,
    model=replace(
        CONFIG,
        filters=4,
        inference_hidden=32,
        dynamics_hidden=32,
        objective=ObjectiveConfig(observation_std=0.2),
    ),
    train=TrainConfig(iterations=150, decay=75, batch_size=8, window=6, learning_rate=3e-3),
    later_updates=10,
    dream_steps=8192,
    settings={"horizon": LENGTH},
    final_episodes=10,
)


def start(out, config=SMALL, pixels=PIXELS, **settings):
    return run_dyna(pixels, out, config, progress=False, **settings)


def timeless(value):
    """Leave out of numbers what the clock says."""
    if isinstance(value, dict):
        clocks = ("seconds", "minutes", "update_seconds", "dream_step_seconds")
        return {name: timeless(item) for name, item in value.items() if name not in clocks}
    return [timeless(item) for item in value] if isinstance(value, list) else value
