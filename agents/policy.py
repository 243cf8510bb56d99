"""Policies on a world's features: small networks, stored as safetensors plus JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from srvp_world.checkpoint import World, load, load_weights, read_tensors, write_tensors
from srvp_world.config import from_json, to_json
from srvp_world.envs.latent import Watcher
from srvp_world.envs.pixels import Observed
from srvp_world.envs.policies import SmoothRandomPolicy
from srvp_world.errors import ConfigError, WorldFileError
from srvp_world.spaces import ActionSpec

FORMAT_VERSION = 1
_EXPLORATION_KEY = 0x657870  # so that no one else draws the same numbers from a seed
_ACTIVATIONS: dict[Literal["tanh", "relu"], type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The shape of a policy network.

    Attributes:
        feature_dim: Size of the features it reads.
        hidden: Widths of its hidden layers.
        activation: `tanh` or `relu`.
        action: The actions it takes.
        world: Fingerprint of the world whose features it was trained on.
    """

    feature_dim: int
    hidden: tuple[int, ...]
    activation: Literal["tanh", "relu"]
    action: ActionSpec
    world: str


class LatentPolicy(nn.Module):
    """A policy that reads normalised features.

    It draws from a Gaussian for boxes, from categoricals for choices, from Bernoullis for bits.
    """

    def __init__(self, config: PolicyConfig):
        """Build the network."""
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        sizes = [config.feature_dim, *config.hidden]
        for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Linear(inputs, outputs), _ACTIVATIONS[config.activation]()]
        self.network = nn.Sequential(*layers, nn.Linear(sizes[-1], config.action.width))
        self.log_std = nn.Parameter(
            torch.zeros(config.action.width if config.action.kind == "box" else 0)
        )

    @classmethod
    def from_sb3(cls, model: BaseAlgorithm, world: World) -> "LatentPolicy":
        """Copy the actor of an SB3 PPO or A2C model with an MLP policy.

        Raises:
            ConfigError: For other algorithms and policies.
        """
        policy = model.policy
        if not isinstance(policy, ActorCriticPolicy) or world.action is None:
            raise ConfigError(
                f"cannot store a {type(model).__name__} policy: use PPO or A2C with 'MlpPolicy'"
            )
        hidden = [
            layer for layer in policy.mlp_extractor.policy_net if isinstance(layer, nn.Linear)
        ]
        activation = next(
            (n for n, kind in _ACTIVATIONS.items() if kind is policy.activation_fn), None
        )
        if activation is None or policy.features_dim != world.model.feature_dim:
            raise ConfigError(
                "cannot store the policy: use an MLP with tanh or ReLU on the world's latents"
            )
        ours = cls(
            PolicyConfig(
                feature_dim=world.model.feature_dim,
                hidden=tuple(layer.out_features for layer in hidden),
                activation=activation,
                action=world.action,
                world=world.fingerprint,
            )
        )
        linear = [layer for layer in ours.network if isinstance(layer, nn.Linear)]
        for target, source in zip(linear, [*hidden, policy.action_net], strict=True):
            target.load_state_dict(source.state_dict())
        if world.action.kind == "box":
            ours.log_std.data.copy_(policy.log_std.detach())
        return ours.requires_grad_(False)

    def save(self, path: str | Path) -> Path:
        """Write the policy to one safetensors file, atomically."""
        header = {"version": FORMAT_VERSION, **to_json(self.config)}
        tensors = {name: tensor.detach().cpu() for name, tensor in self.state_dict().items()}
        return write_tensors(Path(path), tensors, {"srvp_world_policy": json.dumps(header)})

    @classmethod
    def load(cls, path: str | Path, world: World) -> "LatentPolicy":
        """Read a policy that was trained on a world.

        Raises:
            WorldFileError: If the file is missing, truncated, no policy, from a newer version, or
                belongs to another world.
        """
        where = f"policy file {str(path)!r}"
        tensors, metadata = read_tensors(Path(path), "a policy file")
        if "srvp_world_policy" not in metadata:
            raise WorldFileError(
                f"{where} holds no policy: save one with LatentPolicy.from_sb3(...).save(path)"
            )
        header = json.loads(metadata["srvp_world_policy"])
        if header.pop("version", 0) > FORMAT_VERSION:
            raise WorldFileError(
                f"{where} is from a newer srvp-world: upgrade with `pip install -U srvp-world`"
            )
        config = from_json(PolicyConfig, header)
        if config.world != world.fingerprint:
            raise WorldFileError(
                f"{where} belongs to world {config.world}, not {world.fingerprint}: "
                "give its own world"
            )
        policy = cls(config)
        load_weights(policy, tensors, where)
        return policy.requires_grad_(False)

    @torch.no_grad()
    def choose(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Choose actions (b, ...) on features (b, d): the likeliest, or draws from a generator."""
        output: Tensor = self.network(features)
        action = self.config.action
        if action.kind == "box":
            if generator is not None:
                output = output + self.log_std.exp() * torch.randn(
                    output.shape, generator=generator
                )
            low, high = (output.new_tensor(bound) for bound in (action.low, action.high))
            return output.clamp(low, high).reshape(-1, *action.shape)
        if action.kind == "multibinary":
            level = 0.5 if generator is None else torch.rand(output.shape, generator=generator)
            return (output.sigmoid() > level).long()
        choices = [
            _choose(logits, generator) for logits in torch.split(output, list(action.nvec), dim=-1)
        ]
        return choices[0] if action.kind == "discrete" else torch.stack(choices, dim=-1)


def _choose(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return logits.argmax(-1)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


class LatentAgent:
    """Acts on what a real env shows: watches it with the world and asks a latent policy."""

    def __init__(
        self,
        world: World,
        policy: LatentPolicy,
        *,
        deterministic: bool = True,
        explore: float = 0.0,
    ):
        """Join a policy and its world.

        Args:
            world: What the policy was trained in.
            policy: Reads the world's features.
            deterministic: Whether to take the likeliest action, or to draw one.
            explore: Share of decisions that follow smooth random actions instead. Data to learn
                from need them: where an action always follows from the state, no model can tell
                what the action did.

        Raises:
            ConfigError: For a share outside [0, 1].
        """
        if not 0 <= explore <= 1:
            raise ConfigError(f"explore must be in [0, 1], got {explore}")
        self.policy, self.deterministic, self.explore = policy, deterministic, explore
        self.watcher = Watcher(world)
        self._random = SmoothRandomPolicy(policy.config.action)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new episode."""
        self._random.reset(seed)
        self._rng = np.random.default_rng([seed, _EXPLORATION_KEY])
        self._generator = None if self.deterministic else torch.Generator().manual_seed(seed)
        self._last: Any = None

    def act(self, shown: Observed) -> Any:
        """Choose an action on a frame (h, w, c) uint8, and the vector beside it."""
        watcher = self.watcher
        features = watcher.begin(shown) if self._last is None else watcher.follow(shown, self._last)
        action = self.policy.choose(torch.from_numpy(features)[None], self._generator)[0].numpy()
        # A choice is a NumPy scalar; a number of a box without axes is an array all the same.
        self._last = action[()] if self.policy.config.action.kind == "discrete" else action
        other = self._random.act(shown)
        if self._rng.random() < self.explore:
            self._last = other
        return self._last


class FrameAgent:
    """Acts with an SB3 model that was trained on what an env shows, in this process."""

    def __init__(self, model: BaseAlgorithm, *, deterministic: bool = True):
        """Act with a model."""
        self.model, self.deterministic = model, deterministic

    def reset(self, seed: int) -> None:
        """Begin a new episode; a model that draws its actions draws the same ones for a seed."""
        torch.manual_seed(seed)

    def act(self, shown: Observed) -> Any:
        """Choose an action on a frame (h, w, c) uint8, or on a dictionary with a vector."""
        action, _ = self.model.predict(shown, deterministic=self.deterministic)
        space = self.model.action_space
        action = np.asarray(action, space.dtype)  # bits come as floats
        return action[()] if isinstance(space, gym.spaces.Discrete) else action


@dataclass(frozen=True)
class SavedAgent:
    """Builds a `LatentAgent` from files; travels to worker processes as two paths."""

    world: Path
    policy: Path
    deterministic: bool = True
    explore: float = 0.0

    def __call__(self, action: ActionSpec) -> LatentAgent:
        """Open world and policy.

        Raises:
            ConfigError: If the environment takes other actions than the policy gives.
        """
        world = load(self.world)
        policy = LatentPolicy.load(self.policy, world)
        if policy.config.action != action:
            raise ConfigError(
                f"the policy acts in {policy.config.action.space}, the env takes {action.space}"
            )
        return LatentAgent(world, policy, deterministic=self.deterministic, explore=self.explore)
