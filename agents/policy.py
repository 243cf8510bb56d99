"""Policies on a world's features: small networks, stored as safetensors plus JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from srvp_world.agents.distributions import Distribution, distribution
from srvp_world.agents.exploration import Exploration
from srvp_world.checkpoint import World, load, load_weights, read_tensors, write_tensors
from srvp_world.config import from_json, to_json
from srvp_world.envs.latent import Watcher
from srvp_world.envs.pixels import Observed
from srvp_world.errors import ConfigError, SpaceError, WorldFileError
from srvp_world.spaces import ActionSpec

_HEADER = "srvp_world_policy"
FORMAT_VERSION = 2  # 1 had neither squashed nor greedy policies
ACTIVATIONS: dict[Literal["tanh", "relu"], type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The shape of a policy network.

    Attributes:
        feature_dim: Size of the features it reads.
        hidden: Widths of its hidden layers.
        activation: `tanh` or `relu`.
        action: The actions it takes.
        world: Fingerprint of the world whose features it was trained on.
        squashed: Of a box: the network gives mean and log standard deviation, and a tanh squashes
            what is drawn into the bounds, as in SAC; else it gives the mean alone, and what is
            drawn is clipped, as in PPO.
        greedy: The outputs are values of choices, as in DQN: the best is taken even where others
            draw.
    """

    feature_dim: int
    hidden: tuple[int, ...]
    activation: Literal["tanh", "relu"]
    action: ActionSpec
    world: str
    squashed: bool = False
    greedy: bool = False

    def __post_init__(self) -> None:
        """Refuse policies that no action space has.

        Raises:
            ConfigError: Naming the field.
        """
        widths = (self.feature_dim, *self.hidden)
        if min(widths) < 1:
            raise ConfigError(f"layers of a policy need a width of at least 1, got {widths}")
        is_box = self.action.kind == "box"
        if (self.squashed and not is_box) or (self.greedy and is_box):
            field, kinds = ("greedy", "choices and bits") if is_box else ("squashed", "boxes")
            raise ConfigError(f"{field} policies are for {kinds}, not {self.action.space}")


def mlp(
    inputs: int, hidden: tuple[int, ...], outputs: int, activation: Literal["tanh", "relu"]
) -> nn.Sequential:
    """Build a plain network of linear layers, with an activation after all but the last."""
    layers: list[nn.Module] = []
    sizes = [inputs, *hidden]
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


class LatentPolicy(nn.Module):
    """A policy that reads normalised features.

    It draws from a Gaussian for boxes, from categoricals for choices, from Bernoullis for bits; see
    `agents.distributions`.
    """

    def __init__(self, config: PolicyConfig):
        """Build the network."""
        super().__init__()
        self.config = config
        width = config.action.width
        outputs = 2 * width if config.squashed else width
        self.network = mlp(config.feature_dim, config.hidden, outputs, config.activation)
        free = config.action.kind == "box" and not config.squashed
        self.log_std = nn.Parameter(torch.zeros(width if free else 0))

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    def save(self, path: str | Path) -> Path:
        """Write the policy to one safetensors file, atomically."""
        return write_tensors(Path(path), *self.packed())

    def packed(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Give the tensors and the metadata of a policy file, to which others may add."""
        header = {"version": FORMAT_VERSION, **to_json(self.config)}
        tensors = {name: tensor.detach().cpu() for name, tensor in self.state_dict().items()}
        return tensors, {_HEADER: json.dumps(header)}

    @classmethod
    def load(cls, path: str | Path, world: World) -> "LatentPolicy":
        """Read a policy that was trained on a world.

        Raises:
            WorldFileError: If the file is missing, truncated, no policy, from a newer version, or
                belongs to another world, or does not hold the network that it tells of.
        """
        where = f"policy file {str(path)!r}"
        tensors, metadata = read_tensors(Path(path), "a policy file")
        if _HEADER not in metadata:
            raise WorldFileError(
                f"{where} holds no policy: save a LatentPolicy, as of policy_from_sb3(model, world)"
            )
        config = _read_header(metadata[_HEADER], where)
        if config.world != world.fingerprint:
            raise WorldFileError(
                f"{where} belongs to world {config.world}, not {world.fingerprint}: "
                "give its own world"
            )
        # Before the network is built, for a header may tell of one that no memory holds.
        biases = [tensors.get(f"network.{2 * i}.bias") for i in range(len(config.hidden))]
        widths = tuple(0 if bias is None else len(bias) for bias in biases)
        told = (config.feature_dim, config.hidden, config.action)
        if told != (world.model.feature_dim, widths, world.action):
            raise WorldFileError(
                f"{where} tells of another network than it holds, or than its world can use: "
                "copy it again"
            )
        policy = cls(config)
        load_weights(policy, tensors, where)
        return policy.requires_grad_(False)

    def distribution(self, features: Tensor) -> Distribution:
        """Give the distribution over actions on features (..., d)."""
        log_std = None if self.config.squashed else self.log_std
        return distribution(self.network(features), self.config.action, log_std)

    @torch.no_grad()
    def choose(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Choose actions (b, ...) on features (b, d): the likeliest, or draws from a generator.

        Features may lie anywhere, and actions are given there; the generator lies where the
        weights do.
        """
        actions = self.distribution(features.to(self.device))
        if generator is None or self.config.greedy:
            return actions.mode.to(features.device)
        return actions.draw(generator).to(features.device)


def _read_header(text: str, where: str) -> PolicyConfig:
    """Check and parse what a policy file says beside its tensors."""
    try:
        header = json.loads(text)
        version = header.pop("version", 0) if isinstance(header, dict) else 0
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise WorldFileError(
                f"{where} is from a newer srvp-world: upgrade with `pip install -U srvp-world`"
            )
        return from_json(PolicyConfig, header)
    except (ConfigError, SpaceError, json.JSONDecodeError) as error:
        raise WorldFileError(f"{where} has a broken header ({error}): copy it again") from None


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
            explore: Share of decisions that follow smooth random actions instead.

        Raises:
            ConfigError: For a share outside [0, 1].
        """
        self.policy, self.deterministic = policy, deterministic
        self.watcher = Watcher(world)
        self._exploration = Exploration(policy.config.action, explore)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new episode."""
        self._exploration.reset(seed)
        self._generator = None
        if not self.deterministic:
            self._generator = torch.Generator(self.policy.device).manual_seed(seed)
        self._last: Any = None

    def act(self, shown: Observed) -> Any:
        """Choose an action on a frame (h, w, c) uint8, and the vector beside it."""
        watcher = self.watcher
        features = watcher.begin(shown) if self._last is None else watcher.follow(shown, self._last)
        action = self.policy.choose(torch.from_numpy(features)[None], self._generator)[0].numpy()
        self._last = self._exploration.mix(action, shown)
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
