"""Rolling a policy through a world model, with gradients where both of them have some."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from srvp_world.errors import ConfigError
from srvp_world.world import S, WorldModel


class Rollout(NamedTuple):
    """What b imagined rollouts of h steps went through.

    Attributes:
        features: (b, h + 1, d) of the states; the last is where the rollout was cut.
        actions: (b, h, ...) taken in all states but the last, in the space's units.
        rewards: (b, h) of the arrivals, in the environment's units.
        continues: (b, h) probabilities that the episode goes on after the arrivals.
    """

    features: Tensor
    actions: Tensor
    rewards: Tensor
    continues: Tensor


def imagine(
    model: WorldModel[S],
    start: S,
    act: Callable[[Tensor], Tensor],
    horizon: int,
    *,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> Rollout:
    """Imagine from start states.

    Rollouts do not stop where an episode may have ended: `continues` says how much still counts.

    Args:
        model: The world.
        start: b states.
        act: Gives actions (b, ...) on features (b, d).
        horizon: Steps.
        generator: Source of the model's noise, on its device.
        temperature: Factor of the prior's standard deviation.

    Raises:
        ConfigError: If the model predicts no rewards.
    """
    state, seen = start, [model.features(start)]
    actions, rewards, continues = [], [], []
    for _ in range(horizon):
        actions.append(act(seen[-1]))
        shape = (start.batch_size, model.noise_dim)
        noise = torch.randn(shape, generator=generator, device=model.device)
        state, prediction = model.step(state, actions[-1], noise=noise, temperature=temperature)
        if prediction.reward is None:
            raise ConfigError(
                "the world predicts no rewards, and an agent has nothing to learn from: fit one on "
                "experience with rewards"
            )
        rewards.append(prediction.reward)
        going = prediction.continuation
        continues.append(torch.ones_like(rewards[-1]) if going is None else going)
        seen.append(model.features(state))
    parts = (torch.stack(part, dim=1) for part in (seen, actions, rewards, continues))
    return Rollout(*parts)
