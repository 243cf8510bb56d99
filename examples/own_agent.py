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
    sizes, high = (world.model.feature_dim, 64), world.action.high[0]
    actor, critic = (nn.Sequential(nn.Linear(*sizes), nn.Tanh(), nn.Linear(64, 1)) for _ in "ac")
    adam = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=3e-3)
    for _ in range(max(1, steps // (dreams * horizon))):
        latent, alive, played = dream.reset()[0], torch.ones(dreams) > 0, []
        for _ in range(horizon):  # tensors in, tensors out: nothing leaves the device
            action = Normal(actor(latent), 1.0).sample()
            following, reward, terminated, *_ = dream.step(action.clamp(-high, high))
            played.append((latent, action, reward / 10, alive, alive & ~terminated))
            latent, alive = following, alive & ~terminated
        # (horizon, dreams, ...) each; what follows an end was dreamt as well, but does not count
        seen, actions, rewards, lived, goes_on = map(torch.stack, zip(*played, strict=True))
        returns = [critic(latent)[..., 0].detach()]  # a dream goes on where it is cut
        for reward, on in zip(rewards.flip(0), goes_on.flip(0), strict=True):
            returns.append(reward + 0.9 * on * returns[-1])
        advantage = (torch.stack(returns[:0:-1]) - critic(seen)[..., 0])[lived]
        likelihood = Normal(actor(seen), 1.0).log_prob(actions)[..., 0][lived]
        gain = advantage.detach() / advantage.detach().std() * likelihood
        adam.zero_grad()
        (advantage.square().mean() - gain.mean()).backward()
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
