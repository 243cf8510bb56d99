"""Train Stable-Baselines3's PPO in the dream that ships, then act in the real Pendulum.

Run: python examples/ppo_in_the_dream.py
"""

import argparse

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import srvp_world
from srvp_world.agents.policy import LatentPolicy
from srvp_world.envs.latent import make_real_env
from srvp_world.envs.sb3 import DreamVecEnv


def main(steps: int, episodes: int, seed: int, save: str | None) -> None:
    """Learn from dreams alone, and print the return in reality."""
    world = srvp_world.load()
    dream = DreamVecEnv(64, world, obs="latent", horizon=50, temperature=0.5, reward_scale=0.1)
    model = PPO(
        "MlpPolicy",
        dream,
        n_steps=32,
        batch_size=256,
        gamma=0.9,
        learning_rate=lambda left: 1e-3 * left,  # `left` falls from 1 to 0
        seed=seed,
    )
    model.learn(steps)
    if save:  # for `srvp-world evaluate pendulum FILE`
        LatentPolicy.from_sb3(model, world).save(save)
    real = Monitor(make_real_env(world))
    mean, std = evaluate_policy(model, real, n_eval_episodes=episodes)
    print(f"real return over {episodes} episodes: {mean:.0f} +- {std:.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="dream steps to train for")
    parser.add_argument("--episodes", type=int, default=10, help="real episodes to evaluate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE", help="where to keep the policy (.safetensors)")
    arguments = parser.parse_args()
    main(arguments.steps, arguments.episodes, arguments.seed, arguments.save)
