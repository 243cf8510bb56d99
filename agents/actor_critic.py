"""An actor-critic that learns in imagination alone, behind the interface of SB3's algorithms."""

import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from srvp_world.agents.learner import ActorCriticConfig as ActorCriticConfig
from srvp_world.agents.learner import Learner, Objectives
from srvp_world.agents.policy import LatentPolicy, PolicyConfig
from srvp_world.agents.sb3_model import check_seed
from srvp_world.checkpoint import World, load_weights, read_tensors, write_tensors
from srvp_world.config import from_json, to_json
from srvp_world.envs.starts import StartPool, start_pool
from srvp_world.errors import ConfigError, DataError, TrainError, WorldFileError
from srvp_world.spaces import ActionSpec
from srvp_world.train.log import Logger

FORMAT_VERSION = 2  # 1 had critics in deviations of the rewards
_HEADER = "srvp_world_actor_critic"
_ACTING_KEY = 0x616374  # so that what acts never draws what training draws
_LOG_EVERY = 50  # updates; to read numbers off a device makes the host wait


class ActorCritic:
    """Learns to act in a world's dream, and acts on its latents.

    >>> agent = ActorCritic(srvp_world.load(), seed=0)
    >>> agent.learn(1_000_000).save("agent.safetensors")
    >>> evaluate_policy(agent, Monitor(make_real_env(agent.world)))
    """

    def __init__(
        self,
        world: World,
        *,
        pool: StartPool | None = None,
        seed: int = 0,
        tensorboard_log: str | Path | None = None,
        **settings: Any,
    ):
        """Begin with networks that know nothing, on the device of the world.

        Args:
            world: With a reward head.
            pool: States to dream from, by default those of the world's own clips.
            seed: Of the networks and of every draw.
            tensorboard_log: Folder for scalars; None writes nothing.
            settings: Fields of `ActorCriticConfig`.

        Raises:
            ConfigError: If the world takes no actions or predicts no rewards, or for settings that
                are unknown or out of range.
        """
        self.config = from_json(ActorCriticConfig, settings)
        if world.action is None or not world.model.has_reward:
            lacks = "takes no actions" if world.action is None else "predicts no rewards"
            raise ConfigError(
                f"the world {lacks}, so there is nothing to learn in it: fit one on experience "
                "with actions and rewards"
            )
        check_seed(seed)
        self.world, self.seed, self.num_timesteps = world, int(seed), 0
        self._log = None if tensorboard_log is None else Path(tensorboard_log)
        shape = _policy_config(self.config, world, world.action)
        self._learner = Learner(self.config, shape, seed=self.seed).to(world.device)
        self._learner.reward_size.copy_(world.model.reward_normaliser.size[0])
        self._starts = (pool or start_pool(world)).to(world.device).states.forget()
        self._acting = torch.Generator(world.device).manual_seed(self.seed ^ _ACTING_KEY)

    @property
    def policy(self) -> LatentPolicy:
        """The actor, as it is now."""
        return self._learner.policy

    def learn(
        self,
        total_timesteps: int,
        callback: Callable[[Self], Any] | None = None,
        progress_bar: bool = True,
    ) -> Self:
        """Learn for a number of dream steps, rounded up to whole updates.

        What is drawn follows from the seed and from the steps that were done before.

        Args:
            total_timesteps: Dream steps, on top of those of earlier calls.
            callback: Called with the agent after each update; what is false, but not None, stops.
                It is a plain function and not SB3's `BaseCallback`, which looks at the rollouts of
                an environment.
            progress_bar: Whether to show one.

        Raises:
            ConfigError: If there are no steps to learn for.
            TrainError: If the losses are not finite any more.
            OutputError: If the scalars cannot be written.
        """
        if total_timesteps < 1:
            raise ConfigError(f"total_timesteps must be at least 1, got {total_timesteps}")
        steps = self.config.starts * self.config.horizon
        updates = math.ceil(total_timesteps / steps)
        words = np.random.SeedSequence([self.seed, self.num_timesteps]).generate_state(1, np.uint64)
        generator = torch.Generator(self.world.device).manual_seed(int(words[0]) >> 1)
        log = nullcontext() if self._log is None else Logger(self._log, self.num_timesteps)
        with log, _progress(updates * steps, progress_bar) as bar:
            for update in range(1, updates + 1):
                objectives = self._update(generator, pace=(updates - update + 1) / updates)
                self.num_timesteps += steps
                bar.update(steps)
                if update % _LOG_EVERY == 0 or update == updates:
                    scalars = _scalars(objectives, self.num_timesteps)
                    bar.set_postfix_str(f"return {scalars['dream/return']:.1f} a rollout")
                    if isinstance(log, Logger):
                        log.scalars(scalars, self.num_timesteps)
                answer = None if callback is None else callback(self)
                if answer is not None and not answer:
                    _check_finite(objectives, self.num_timesteps)
                    break
        return self

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Choose actions on latents, as SB3's models do.

        Args:
            observation: Features (d,) of one state, or (n, d).
            state: Given back as it is: the latents are all the memory that there is.
            episode_start: Of no use here.
            deterministic: Whether to take the likeliest action, or to draw one.

        Returns:
            An action, or a batch of them, in the layout and dtype of the space; and `state`.

        Raises:
            DataError: If the observation is no latent of the world.
        """
        dim = self.policy.config.feature_dim
        seen = np.asarray(observation)
        fits = seen.ndim in (1, 2) and seen.shape[-1] == dim and seen.dtype.kind in "iuf"
        if not fits or not np.isfinite(seen).all():
            raise DataError(
                f"the agent reads finite features ({dim},) or (n, {dim}), got {seen.dtype} "
                f"{seen.shape}: make the env with make_real_env(world), or the dream with "
                "obs='latent'"
            )
        features = torch.tensor(seen, dtype=torch.float32, device=self.world.device)
        chosen = self.policy.choose(
            features if seen.ndim == 2 else features[None], None if deterministic else self._acting
        )
        actions = chosen.cpu().numpy().astype(self.policy.config.action.space.dtype)
        return (actions if seen.ndim == 2 else actions[0]), state

    @torch.no_grad()
    def value(self, features: Tensor) -> Tensor:
        """Give the discounted return (...) to expect on features (..., d), in the env's units."""
        return self._learner.critic.target(features) * self._learner.reward_size

    def save(self, path: str | Path) -> Path:
        """Write one safetensors file, atomically: a policy file with the critic beside the policy.

        Adam's moments stay behind; whoever goes on gathers them anew within some updates.

        Raises:
            OutputError: If the file cannot be written.
        """
        tensors, metadata = self.policy.packed()
        for name, tensor in _beside_the_policy(self._learner).state_dict().items():
            tensors[name] = tensor.cpu()
        header = _Header(version=FORMAT_VERSION, steps=self.num_timesteps, config=self.config)
        metadata[_HEADER] = json.dumps(to_json(header))
        return write_tensors(Path(path), tensors, metadata)

    @classmethod
    def load(
        cls,
        path: str | Path,
        world: World,
        *,
        pool: StartPool | None = None,
        seed: int = 0,
        tensorboard_log: str | Path | None = None,
    ) -> Self:
        """Read an agent that learnt in a world, to act or to learn on.

        Raises:
            WorldFileError: If the file is missing, truncated, from a newer version, of another
                world, or holds no critic.
        """
        where = f"agent file {str(path)!r}"
        policy = LatentPolicy.load(path, world)
        tensors, metadata = read_tensors(Path(path), "an agent file")
        header = _read_header(metadata, where)
        if policy.config != _policy_config(header.config, world, policy.config.action):
            raise WorldFileError(
                f"{where} holds a policy of another shape than its agent's: copy it again"
            )
        agent = cls(
            world, pool=pool, seed=seed, tensorboard_log=tensorboard_log, **vars(header.config)
        )
        agent.policy.load_state_dict(policy.state_dict())
        load_weights(_beside_the_policy(agent._learner), tensors, where)
        agent.num_timesteps = header.steps
        return agent

    def _update(self, generator: torch.Generator, pace: float) -> Objectives:
        """Learn from states that are drawn from the pool, each as likely as the others."""
        count = (self.config.starts,)
        device, states = self.world.device, self._starts
        rows = torch.randint(states.batch_size, count, generator=generator, device=device)
        return self._learner.update(self.world.model, states.index(rows), generator, pace)


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What an agent file says beside its tensors and its policy."""

    version: int
    steps: int
    config: ActorCriticConfig


def _policy_config(config: ActorCriticConfig, world: World, action: ActionSpec) -> PolicyConfig:
    """Say of what shape the policy of an agent is."""
    return PolicyConfig(
        feature_dim=world.model.feature_dim,
        hidden=config.hidden,
        activation=config.activation,
        action=action,
        world=world.fingerprint,
        squashed=action.kind == "box",
    )


def _read_header(metadata: dict[str, str], where: str) -> _Header:
    """Check and parse what an agent file says."""
    if _HEADER not in metadata:
        raise WorldFileError(f"{where} holds a policy but no critic: use LatentPolicy.load")
    try:
        header = from_json(_Header, json.loads(metadata[_HEADER]))
    except (ConfigError, json.JSONDecodeError) as error:
        raise WorldFileError(f"{where} has a broken header ({error}): copy it again") from None
    if header.version > FORMAT_VERSION:
        raise WorldFileError(
            f"{where} is from a newer srvp-world: upgrade with `pip install -U srvp-world`"
        )
    if header.version < FORMAT_VERSION:
        raise WorldFileError(
            f"{where} is from an older srvp-world, whose critics had other units: train it again, "
            "or act with LatentPolicy.load"
        )
    return header


def _beside_the_policy(learner: Learner) -> nn.Module:
    """Give what an agent file holds beside its policy, under the names that it has there."""
    return nn.ModuleDict({"critic": learner.critic, "returns": learner.returns})


def _progress(steps: int, shown: bool) -> "tqdm[Any]":
    return tqdm(total=steps, unit="step", unit_scale=True, desc="actor-critic", disable=not shown)


def _scalars(objectives: Objectives, steps: int) -> dict[str, float]:
    """Read what an update did, for which the host waits.

    Raises:
        TrainError: If a loss is not finite.
    """
    _check_finite(objectives, steps)
    values = {name: float(value) for name, value in objectives._asdict().items()}
    return {
        "dream/return": values["reward"],
        "actor/loss": values["actor"],
        "actor/entropy": values["entropy"],
        "actor/return_scale": values["scale"],
        "critic/loss": values["critic"],
    }


def _check_finite(objectives: Objectives, steps: int) -> None:
    """Refuse to go on with losses that are not finite."""
    if not (math.isfinite(objectives.actor) and math.isfinite(objectives.critic)):
        raise TrainError(
            f"the actor-critic's losses are not finite after {steps} dream steps: lower "
            "learning_rate and critic_learning_rate"
        )
