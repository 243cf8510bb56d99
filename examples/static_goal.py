"""Walk to a goal that rests for a whole episode, and so lives in the content `w` of the world.

Run: python examples/static_goal.py
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from srvp_world.agents.policy import LatentAgent
from srvp_world.agents.sb3 import train_in_dream
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.config import ObjectiveConfig, PixelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.envs.collect import collect, run_episodes
from srvp_world.envs.learn import learn_world
from srvp_world.envs.policies import Policy, PolicyFactory, RandomPolicy
from srvp_world.envs.toy import GoalWalker
from srvp_world.presets import preset
from srvp_world.results import write_results

PIXELS = PixelConfig(env_id="SRVPGoal-v0", frame_size=32)


def play(args: argparse.Namespace, policy: Policy | PolicyFactory) -> float:
    """Give the mean return of real episodes that nothing was trained on."""
    played = run_episodes(PIXELS, policy, range(10_000, 10_000 + args.episodes), progress=False)
    return sum(result.episode_return for result in played) / args.episodes


def solve(args: argparse.Namespace, dynamics: bool, features: bool) -> float:
    """Learn a world from random play, train PPO in its dream alone, and play in reality."""
    content = {"content_in_dynamics": dynamics, "content_in_features": features}
    objective = ObjectiveConfig(observation_std=0.5)
    # A real episode begins with one frame, which shows the whole content. Where w came from two,
    # and fewer windows began an episode, agents found dreams that pay more than reality can.
    model = replace(preset("control").model, content_frames=1, objective=objective, **content)
    schedule = {"iterations": args.updates, "decay": args.updates * 3 // 4, "seed": args.seed}
    windows = {"batch_size": 32, "window": 8, "episode_start_fraction": 0.25}
    train = replace(preset("control").train, **schedule, **windows)
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder, "data"), Path(folder, "run")
        collect(PIXELS, data, RandomPolicy, episodes=args.collect, seed=args.seed)
        world, pool, _ = learn_world(Dataset.open(data), model, train, run)
    ppo = train_in_dream(world, steps=args.steps, horizon=10, seed=args.seed, pool=pool)
    return play(args, LatentAgent(world, policy_from_sb3(ppo, world)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collect", type=int, default=1000, help="random real episodes")
    parser.add_argument("--updates", type=int, default=2000, help="of the world")
    parser.add_argument("--steps", type=int, default=100_000, help="dream steps to train for")
    parser.add_argument("--episodes", type=int, default=200, help="real episodes to evaluate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--controls", action="store_true", help="also try without w")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for results.json")
    args = parser.parse_args()
    numbers = {"random": play(args, RandomPolicy), "best": play(args, GoalWalker())}
    numbers["agent"] = solve(args, dynamics=True, features=True)
    if args.controls:
        numbers["agent that does not see w"] = solve(args, dynamics=True, features=False)
        numbers["nothing sees w but the decoder"] = solve(args, dynamics=False, features=False)
    for name, value in numbers.items():
        print(f"{name}: real return over {args.episodes} episodes: {value:.2f}")
    if args.out:
        command, path = f"python {' '.join(sys.argv)}", args.out / "results.json"
        told = {"command": command, "protocol": vars(args), "seed": args.seed, "device": "cpu"}
        write_results(path, numbers, **told)
