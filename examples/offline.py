"""From experience that is there already to an agent, without one more real step.

The experience is a Minari data set with images (--minari ID), or the replay buffer of an SB3 agent,
which is filled here with random play of a pendulum.

Run: python examples/offline.py
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from stable_baselines3 import SAC

from srvp_world.agents.evaluate import evaluate_in_dream
from srvp_world.agents.policy import LatentAgent
from srvp_world.agents.sb3 import train_in_dream
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.data.experience import from_minari, from_sb3
from srvp_world.envs.collect import run_episodes
from srvp_world.envs.learn import learn_world
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.presets import preset

PIXELS = PixelConfig(env_id="Pendulum-v1", action_repeat=2)


def main(args: argparse.Namespace, folder: Path) -> None:
    """Import, learn the world, train in its dream, and only then look at reality."""
    if args.minari:
        from_minari(args.minari, folder / "data")
    else:
        env, count = make_pixel_env(PIXELS), args.collect
        agent = SAC("CnnPolicy", env, buffer_size=count, learning_starts=count)
        from_sb3(agent.learn(count), folder / "data")
    train = replace(preset("control").train, iterations=args.updates, decay=args.updates // 2)
    data = Dataset.open(folder / "data")
    world, pool, _ = learn_world(data, preset("control").model, train, folder / "run")
    policy = policy_from_sb3(train_in_dream(world, steps=args.steps, pool=pool), world)
    print(f"dream return: {np.mean(evaluate_in_dream(world, policy, pool=pool)):.0f}")
    if not args.minari:  # a data set of your own: name its env, as PIXELS does
        agent, seeds = LatentAgent(world, policy), range(10_000, 10_000 + args.episodes)
        returns = [result.episode_return for result in run_episodes(PIXELS, agent, seeds)]
        print(f"real return over {args.episodes} episodes: {np.mean(returns):.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minari", metavar="ID", help="data set with images, on this machine")
    parser.add_argument("--collect", type=int, default=10_000, help="decisions in the buffer")
    parser.add_argument("--updates", type=int, default=2500, help="of the world")
    parser.add_argument("--steps", type=int, default=100_000, help="dream steps to train for")
    parser.add_argument("--episodes", type=int, default=10, help="real episodes to evaluate")
    with tempfile.TemporaryDirectory() as made:
        main(parser.parse_args(), Path(made))
