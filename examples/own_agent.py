"""Write an agent of your own against the torch dream: a policy gradient with a learned baseline.

Run: python examples/own_agent.py
"""

import argparse

import torch
from torch import nn
from torch.distributions import Normal

import srvp_world
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.latent import make_real_env


def main(steps: int, episodes: int, seed: int, dreams: int = 128, horizon: int = 40) -> None:
    """Learn from dreams alone, and print the return in reality."""
    torch.manual_seed(seed)
    world = srvp_world.load()
    options = {"horizon": horizon, "temperature": 0.5, "autoreset_mode": "Disabled"}
    dream = DreamVectorEnv(dreams, world, obs="latent", output="torch", **options)
    sizes = dream.single_observation_space.shape[0], 64
    actor, critic = (nn.Sequential(nn.Linear(*sizes), nn.Tanh(), nn.Linear(64, 1)) for _ in "ac")
    adam = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=3e-3)
    high = dream.single_action_space.high.item()
    for _ in range(max(1, steps // (dreams * horizon))):
        seen, actions, rewards = [dream.reset()[0]], [], []
        for _ in range(horizon):  # tensors in, tensors out: nothing leaves the device
            actions.append(Normal(actor(seen[-1]), 1.0).sample())
            latent, reward, *_ = dream.step(actions[-1].clamp(-high, high))
            seen.append(latent)
            rewards.append(reward / 10)
        values = critic(torch.stack(seen))[..., 0]  # (horizon + 1, dreams)
        returns = [values[-1].detach()]  # each dream goes on where it is cut
        for reward in reversed(rewards):
            returns.append(reward + 0.9 * returns[-1])
        advantage = torch.stack(returns[:0:-1]) - values[:-1]
        gain = advantage.detach() / advantage.detach().std()
        likelihood = Normal(actor(torch.stack(seen[:-1])), 1.0).log_prob(torch.stack(actions))
        adam.zero_grad()
        (advantage.square().mean() - (gain * likelihood[..., 0]).mean()).backward()
        adam.step()
    env, total = make_real_env(world), 0.0
    for episode in range(episodes):
        latent, over = env.reset(seed=10_000 + episode)[0], False
        while not over:
            action = actor(torch.from_numpy(latent)).detach().numpy().clip(-high, high)
            latent, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
    print(f"real return over {episodes} episodes: {total / episodes:.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500_000, help="dream steps to train for")
    parser.add_argument("--episodes", type=int, default=10, help="real episodes to evaluate")
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
