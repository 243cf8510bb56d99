"""Train Stable-Baselines3's PPO in a dream, that of the world that ships, then act in reality.

Run: python examples/ppo_in_the_dream.py
"""

import argparse
import json

from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import srvp_world
from srvp_world.agents.sb3 import train_in_dream
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.envs.latent import make_real_env


def main(args: argparse.Namespace) -> None:
    """Learn from dreams alone, and print the return in reality."""
    world = srvp_world.load(args.world)
    model = train_in_dream(
        world,
        args.algorithm,
        steps=args.steps,
        seed=args.seed,
        log=args.log,  # returns of dreams and of reality, side by side
        evaluate_every=args.log and args.steps // 10,
        **json.loads(args.settings),
    )
    if args.save:  # for `srvp-world evaluate WORLD FILE`
        policy_from_sb3(model, world).save(args.save)
    real = Monitor(make_real_env(world))
    mean, std = evaluate_policy(model, real, n_eval_episodes=args.episodes)
    print(f"real return over {args.episodes} episodes: {mean:.0f} +- {std:.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", default="pendulum", help="a file, or the one that ships")
    parser.add_argument("--algorithm", default="PPO", help="PPO, A2C or SAC")
    parser.add_argument("--settings", default="{}", help="of train_in_dream, as JSON")
    parser.add_argument("--steps", type=int, default=100_000, help="dream steps to train for")
    parser.add_argument("--episodes", type=int, default=10, help="real episodes to evaluate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", metavar="FOLDER", help="for TensorBoard and curve.json")
    parser.add_argument("--save", metavar="FILE", help="where to keep the policy (.safetensors)")
    main(parser.parse_args())
