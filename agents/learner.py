"""What an actor and a critic learn from imagined rollouts (Hafner et al., ICLR 2020 and 2021).

The critic learns the lambda-returns of rollouts, and the actor climbs them: along the gradient of
the world's own dynamics where actions are continuous, by the score function where they are choices
or bits.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from srvp_world.agents.critic import Critic
from srvp_world.agents.imagine import Rollout, imagine
from srvp_world.agents.policy import LatentPolicy, PolicyConfig
from srvp_world.agents.returns import ReturnNormaliser, lambda_returns, survival
from srvp_world.errors import ConfigError
from srvp_world.world import S, WorldModel


@dataclass(frozen=True, kw_only=True)
class ActorCriticConfig:
    """How an actor-critic is built and learns.

    Attributes:
        starts: Rollouts of an update.
        horizon: Steps of a rollout.
        gamma: Discount of a step.
        gae_lambda: How far returns trust rewards rather than values.
        learning_rate: Of the actor's Adam; like the critic's, it falls linearly to 0 over a call of
            `learn`, for at a constant rate the last policies swing to and fro.
        critic_learning_rate: Of the critic's.
        entropy: Weight of the policy's entropy, where returns are divided by their spread.
        target_rate: Share of the critic that its slow copy takes over at each update.
        clip_norm: Largest gradient norm, of the actor and of the critic.
        temperature: Factor of the prior's standard deviation in the rollouts.
        hidden: Widths of the hidden layers of both networks.
        activation: `tanh` or `relu`, of both.
    """

    starts: int = 64
    horizon: int = 15
    gamma: float = 0.97
    gae_lambda: float = 0.95
    learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    entropy: float = 1e-3
    target_rate: float = 0.02
    clip_norm: float = 1.0
    temperature: float = 1.0
    hidden: tuple[int, ...] = (128, 128)
    activation: Literal["tanh", "relu"] = "tanh"

    def __post_init__(self) -> None:
        """Refuse what cannot learn.

        Raises:
            ConfigError: Naming the value.
        """
        for name in ("starts", "horizon"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("gamma", "gae_lambda", "target_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("learning_rate", "critic_learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("entropy", "temperature"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        if any(width < 1 for width in self.hidden):
            raise ConfigError(f"hidden layers need a width of at least 1, got {self.hidden}")


class Objectives(NamedTuple):
    """What rollouts teach; scalars on the device, for which nobody has waited.

    Attributes:
        actor: Loss of the actor.
        critic: Loss of the critic.
        reward: Sum of a rollout's rewards while it lives, in the environment's units.
        entropy: Mean of the policy's where rollouts live, in nats.
        scale: What the actor's returns are divided by.
    """

    actor: Tensor
    critic: Tensor
    reward: Tensor
    entropy: Tensor
    scale: Tensor


class Learner(nn.Module):
    """An actor, its critic, and what an update does to them."""

    reward_size: Tensor

    def __init__(self, config: ActorCriticConfig, policy: PolicyConfig, *, seed: int = 0):
        """Build the networks; their initialisation leaves the global random state alone."""
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # and not those of other devices
            self.policy = LatentPolicy(policy)
            self.critic = Critic(policy.feature_dim, policy.hidden, policy.activation)
        self.returns = ReturnNormaliser()
        self.register_buffer("reward_size", torch.ones(()))
        self._through_dynamics = policy.action.kind == "box"
        weights = (self.policy.network.parameters(), self.critic.network.parameters())
        self._adams = [torch.optim.Adam(parameters) for parameters in weights]
        self._rates = (config.learning_rate, config.critic_learning_rate)

    def update(
        self, model: WorldModel[S], start: S, generator: torch.Generator, pace: float = 1.0
    ) -> Objectives:
        """Imagine once from every start state, and step both networks at a share of their rates."""
        rollout = self.imagine(model, start, generator)
        values, returns = self.judge(rollout)
        self.returns.update(returns.detach())
        objectives = self.objectives(rollout, values, returns)
        losses = (objectives.actor, objectives.critic)
        for loss, adam, rate in zip(losses, self._adams, self._rates, strict=True):
            group = adam.param_groups[0]
            group["lr"] = pace * rate
            adam.zero_grad()
            loss.backward(inputs=group["params"])  # type: ignore[no-untyped-call]
            clip_grad_norm_(group["params"], self.config.clip_norm)
            adam.step()
        self.critic.follow(self.config.target_rate)
        return Objectives(*(value.detach() for value in objectives))

    def imagine(self, model: WorldModel[S], start: S, generator: torch.Generator) -> Rollout:
        """Roll the policy; the rollout has gradients where the actor climbs the dynamics."""
        with torch.set_grad_enabled(self._through_dynamics):
            return imagine(
                model,
                start,
                lambda features: self.policy.distribution(features).draw(generator),
                self.config.horizon,
                generator=generator,
                temperature=self.config.temperature,
            )

    def judge(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Give values (b, h + 1) and returns (b, h) of rollouts, in units of the rewards' size.

        Where rollouts are cut, the slow critic says what would have followed.
        """
        values = self.critic.target(rollout.features)
        returns = lambda_returns(
            rollout.rewards / self.reward_size,
            rollout.continues,
            values[:, :-1],
            values[:, -1],
            self.config.gamma,
            self.config.gae_lambda,
        )
        return values, returns

    def objectives(self, rollout: Rollout, values: Tensor, returns: Tensor) -> Objectives:
        """Say what rollouts teach that were judged."""
        weight = survival(rollout.continues).detach()
        seen = rollout.features[:, :-1].detach()
        policy = self.policy.distribution(seen)
        gain = returns
        if not self._through_dynamics:
            gain = policy.log_prob(rollout.actions) * (returns - values[:, :-1]).detach()
        entropies = weight * policy.entropy()
        climbed = (weight * gain).mean() / self.returns.scale
        errors = self.critic(seen) - returns.detach()
        return Objectives(
            actor=-climbed - self.config.entropy * entropies.mean(),
            critic=(weight * errors.square()).mean() / 2,
            reward=(weight * rollout.rewards).sum(1).mean(),
            entropy=entropies.sum() / weight.sum(),
            scale=self.returns.scale,
        )
