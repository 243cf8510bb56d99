"""Plan in the dream that ships, act in the real Pendulum: nothing is trained.

Run: python examples/plan_with_cem.py
"""

import argparse
import time

import srvp_world
from srvp_world.agents.planning import METHODS, Planner, PlannerConfig
from srvp_world.agents.planning_agent import PlanningAgent
from srvp_world.envs.collect import run_episodes
from srvp_world.envs.dream import DreamVectorEnv


def main(config: PlannerConfig, episodes: int) -> None:
    """Plan for a batch of dreams at once, then act in reality, and print the return."""
    world = srvp_world.load()
    dream = DreamVectorEnv(8, world, obs="latent", start="first", output="torch")
    dream.reset(seed=0)
    planner = Planner(world.model, config)
    plan = planner.plan(dream.state)  # of 8 states, each on its own
    dream.step(plan.action)
    plan = planner.plan(dream.state, warm=plan)
    print(f"promised for {config.horizon} decisions from 8 starts: {plan.value.mean():.1f}")

    assert world.pixels is not None
    started = time.perf_counter()
    seeds = range(10_000, 10_000 + episodes)
    played = run_episodes(world.pixels, PlanningAgent(world, config), seeds)
    mean = sum(result.episode_return for result in played) / episodes
    each = (time.perf_counter() - started) / sum(result.decisions for result in played)
    print(f"{1000 * each:.0f} ms for each decision")
    print(f"real return over {episodes} episodes: {mean:.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=METHODS, default="cem")
    parser.add_argument("--horizon", type=int, default=20, help="decisions to look ahead")
    parser.add_argument("--samples", type=int, default=32, help="sequences of an iteration")
    parser.add_argument("--iterations", type=int, default=3, help="for each decision")
    parser.add_argument("--episodes", type=int, default=10, help="real episodes to evaluate")
    given = vars(parser.parse_args())
    episodes = given.pop("episodes")
    main(PlannerConfig(**given), episodes)
