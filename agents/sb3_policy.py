"""From a model of Stable-Baselines3 that learnt in the dream to a policy of ours."""

from dataclasses import dataclass
from typing import Literal

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from torch import Tensor, nn

from srvp_world.agents.policy import ACTIVATIONS, LatentPolicy, PolicyConfig
from srvp_world.checkpoint import World
from srvp_world.errors import ConfigError


@dataclass(frozen=True, eq=False)
class _Actor:
    """What of an SB3 model chooses actions.

    Attributes:
        extractor: What makes features of observations.
        hidden: Its hidden layers, with their activations.
        weight: Of its last layer, (outputs, width).
        bias: Likewise, (outputs,).
        log_std: Of PPO's and A2C's boxes.
        squashed: Whether the last layer gives mean and log standard deviation, as SAC's.
        greedy: Whether it gives the values of actions, as DQN's.
    """

    extractor: nn.Module
    hidden: list[nn.Module]
    weight: Tensor
    bias: Tensor
    log_std: Tensor | None = None
    squashed: bool = False
    greedy: bool = False


def policy_from_sb3(model: BaseAlgorithm, world: World) -> LatentPolicy:
    """Copy what acts of an SB3 PPO, A2C, SAC or DQN model that learnt on a world's latents.

    The model is left as it is, and so are the random numbers that it will draw.

    Raises:
        ConfigError: For other algorithms and policies, for observations that were normalised on
            the way to the model, and for a model of other actions or latents than the world's.
    """
    _check_spaces(model, world)
    assert world.action is not None
    actor = _actor(model)
    activation = _activation(actor.hidden)
    if activation is None or not isinstance(actor.extractor, FlattenExtractor):
        raise ConfigError(
            "cannot store the policy: use an MLP with tanh or ReLU on the world's latents"
        )
    linear = [layer for layer in actor.hidden if isinstance(layer, nn.Linear)]
    config = PolicyConfig(
        feature_dim=world.model.feature_dim,
        hidden=tuple(layer.out_features for layer in linear),
        activation=activation,
        action=world.action,
        world=world.fingerprint,
        squashed=actor.squashed,
        greedy=actor.greedy,
    )
    with torch.random.fork_rng(devices=[]):  # a network begins with random weights
        policy = LatentPolicy(config)
    *targets, last = (layer for layer in policy.network if isinstance(layer, nn.Linear))
    with torch.no_grad():
        for target, source in zip(targets, linear, strict=True):
            target.weight.copy_(source.weight)
            target.bias.copy_(source.bias)
        last.weight.copy_(actor.weight)
        last.bias.copy_(actor.bias)
        if actor.log_std is not None:
            policy.log_std.copy_(actor.log_std)
    return policy.requires_grad_(False)


def _check_spaces(model: BaseAlgorithm, world: World) -> None:
    """Refuse models that see or do something else than policies of this world."""
    if model.get_vec_normalize_env() is not None:
        raise ConfigError(
            "cannot store a policy whose observations VecNormalize scales: leave it out, latents "
            "are normalised already"
        )
    if world.action is None or model.action_space != world.action.space:
        takes = "no actions" if world.action is None else str(world.action.space)
        raise ConfigError(
            f"the model acts in {model.action_space}, the world takes {takes}: give the world that "
            "it learnt in"
        )
    if model.observation_space.shape != (world.model.feature_dim,):
        raise ConfigError(
            f"the model sees {model.observation_space}, the world shows {world.model.feature_dim} "
            "latents: give the world that it learnt in, and learn with obs='latent'"
        )


def _actor(model: BaseAlgorithm) -> _Actor:
    """Find what acts."""
    policy = model.policy
    if getattr(model, "use_sde", False):
        raise ConfigError("cannot store a policy that explores by gSDE: leave use_sde out")
    if isinstance(policy, ActorCriticPolicy):
        net, head = policy.mlp_extractor.policy_net, policy.action_net
        assert isinstance(head, nn.Linear)
        log_std = getattr(policy, "log_std", None)
        return _Actor(policy.pi_features_extractor, [*net], head.weight, head.bias, log_std)
    if isinstance(policy, SACPolicy):
        mean, log_std = policy.actor.mu, policy.actor.log_std
        assert isinstance(mean, nn.Linear) and isinstance(log_std, nn.Linear)
        weight = torch.cat([mean.weight, log_std.weight])
        bias = torch.cat([mean.bias, log_std.bias])
        extractor, net = policy.actor.features_extractor, policy.actor.latent_pi
        return _Actor(extractor, [*net], weight, bias, squashed=True)
    if isinstance(policy, DQNPolicy):
        *hidden, last = policy.q_net.q_net
        assert isinstance(last, nn.Linear)
        extractor = policy.q_net.features_extractor
        return _Actor(extractor, hidden, last.weight, last.bias, greedy=True)
    raise ConfigError(
        f"cannot store a {type(model).__name__} policy: use PPO, A2C, SAC or DQN with 'MlpPolicy'"
    )


def _activation(hidden: list[nn.Module]) -> Literal["tanh", "relu"] | None:
    """Name the activation between the layers; None for one that our policies do not have."""
    kinds = {type(layer) for layer in hidden if not isinstance(layer, nn.Linear)}
    names = [name for name, kind in ACTIVATIONS.items() if kinds <= {kind}]
    return names[0] if names else None
