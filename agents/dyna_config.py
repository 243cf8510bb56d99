"""What the loop of collecting, fitting and improving does, and how much of it."""

import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from srvp_world.config import ModelConfig, TrainConfig
from srvp_world.errors import ConfigError
from srvp_world.presets import preset

AGENTS = ("ppo", "a2c", "sac", "dqn", "actor-critic", "cem", "icem", "mppi")
SEEDS = 4_000_000

_AGENT = preset("agent")
assert isinstance(_AGENT.model, ModelConfig)
_MODEL: ModelConfig = _AGENT.model


@dataclass(frozen=True, kw_only=True)
class DynaConfig:
    """How much of everything a run of the loop does.

    Attributes:
        agent: What acts: ppo, a2c, sac, dqn or actor-critic, which learn in the dream, or cem, icem
            or mppi, which plan in it.
        real_steps: Steps of the real environment to learn from, at most; those of evaluations are
            counted apart.
        minutes: Wall time that the run may take, over all of its starts; None for any. Half of what
            is left, at most, goes into collecting for a round. The first round and the scores of
            its agent are never left out.
        rounds: How often to collect, fit and improve.
        first_share: Share of the real steps that the first round plays at random.
        first_policy: How it plays: `random`, `smooth-random`, or `auto`, which is smooth for boxes.
        explore: Share of random decisions when an agent collects. Without them a world learns
            nothing of what actions do.
        max_transitions: Decisions that the data set keeps, the latest; None for all.
        model: Shape of the world.
        train: How the first round fits it.
        later_updates: Updates of each later fit, which begins with the world of the round before.
        later_learning_rate: Learning rate of later fits before the decay.
        dream_steps: Steps that an agent trains for in each round, all of them imagined.
        settings: Of the agent: arguments of `train_in_dream`, fields of `ActorCriticConfig` or of
            `PlannerConfig`.
        round_episodes: Real episodes that score each round's agent, always of the same seeds.
        final_episodes: Real episodes, of other seeds, that score the agent that is kept.
        dream_episodes: Dreams that score an agent each time; a planner gets as many as real ones.
        keep: Which agent is kept: the one that did `best` in its round's evaluation, whose steps
            then are a part of what was learnt from, or the `last`.
        workers: Processes that step the real environment.
        seed: Of data, worlds and agents; evaluation seeds are fixed.
        device: Where worlds are fitted and dreamt, such as `cuda`; agents act in reality on a CPU.
    """

    agent: str = "ppo"
    real_steps: int = 20_000
    minutes: float | None = None
    rounds: int = 4
    first_share: float = 0.5
    first_policy: Literal["auto", "random", "smooth-random"] = "auto"
    explore: float = 0.3
    max_transitions: int | None = None
    model: ModelConfig = _MODEL
    train: TrainConfig = _AGENT.train
    later_updates: int = 1_000
    later_learning_rate: float = 5e-4
    dream_steps: int = 200_000
    settings: dict[str, Any] = field(default_factory=dict)
    round_episodes: int = 10
    final_episodes: int = 20
    dream_episodes: int = 100
    keep: Literal["best", "last"] = "best"
    workers: int = 2
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what is no run.

        Raises:
            ConfigError: Naming the value.
        """
        positive = ("real_steps", "rounds", "later_updates", "dream_steps", "workers")
        for name in (*positive, "round_episodes", "final_episodes", "dream_episodes"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1", getattr(self, name))
        _require(
            0 <= self.seed < SEEDS,
            f"seed must be from 0 to {SEEDS - 1}, for a round's is seed * 1000 + its number, and "
            "SB3 takes 32 bits",
            self.seed,
        )
        _require(0 < self.first_share <= 1, "first_share must be in (0, 1]", self.first_share)
        _require(0 <= self.explore <= 1, "explore must be in [0, 1]", self.explore)
        _require(
            self.later_learning_rate > 0,
            "later_learning_rate must be positive",
            self.later_learning_rate,
        )
        if self.minutes is not None:
            _require(self.minutes > 0, "minutes must be positive", self.minutes)
        for name, choices in (
            ("first_policy", ("auto", "random", "smooth-random")),
            ("keep", ("best", "last")),
        ):
            _require(
                getattr(self, name) in choices,
                f"{name} must be one of {', '.join(choices)}",
                repr(getattr(self, name)),
            )
        frames, window = self.model.content_frames, self.train.window
        _require(frames < window, f"content_frames must be less than window, {window}", frames)
        try:
            json.dumps(self.settings)
        except TypeError as error:
            raise ConfigError(
                f"settings must be plain JSON, for they are written down ({error}): "
                "give numbers, texts and lists"
            ) from None

    def steps_until(self, index: int, repeat: int) -> int:
        """Give the real steps that may be taken until the end of a round, counted from 0.

        Args:
            index: Of the round.
            repeat: Real steps of a decision, of which the first round takes whole ones.
        """
        if index + 1 >= self.rounds:
            return self.real_steps
        first = max(round(self.real_steps * self.first_share / repeat), 1) * repeat
        later = (self.real_steps - first) // (self.rounds - 1)
        return min(first + index * later, self.real_steps)

    def updates(self, index: int) -> int:
        """Give the updates of a round's fit, counted from 0."""
        return self.later_updates if index else self.train.iterations

    def fit(self, index: int, updates: int) -> TrainConfig:
        """Say how a round, counted from 0, fits, where it has time for so many updates."""
        share = self.train.decay / self.train.iterations
        return replace(
            self.train,
            iterations=updates,
            decay=round(share * updates),
            learning_rate=self.later_learning_rate if index else self.train.learning_rate,
            seed=self.round_seed(index),
        )

    def round_seed(self, index: int) -> int:
        """Give the seed of a round's fit and agent, of 1,000 that no run of another seed has."""
        return self.seed * 1000 + index


def _require(condition: bool, demand: str, value: object) -> None:
    if not condition:
        raise ConfigError(f"{demand}, got {value}")
