"""Planning in the dream: CEM, iCEM and MPPI for any `WorldModel`, batched, on its device.

Every iteration draws sequences of actions, imagines them, and moves to the best, the elites. The
methods are one loop: iCEM draws noise that is coloured over time and keeps more elites from one
iteration, and one plan, to the next; MPPI weighs its elites by their values. All of them follow the
best sequence that they imagined, not the mean of the elites, which may be worth less than each.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from einops import reduce, repeat
from torch import Tensor

from srvp_world.agents.search import CategoricalSearch, GaussianSearch, Search, softmax_weights
from srvp_world.errors import ConfigError, did_you_mean
from srvp_world.spaces import ActionSpec
from srvp_world.world import State, WorldModel

METHODS = ("cem", "icem", "mppi")
Terminal = Callable[[Tensor], Tensor]
"""Says what features (n, d) are worth after the horizon: (n,), as a critic does."""


@dataclass(frozen=True, kw_only=True)
class PlannerConfig:
    """How a planner searches.

    Attributes:
        method: `cem`, the cross-entropy method; for boxes also `icem` or `mppi`.
        horizon: Decisions that it looks ahead.
        samples: Sequences that an iteration imagines for each row.
        elites: The best of them, from which it learns.
        iterations: Rounds of drawing and learning for each decision.
        gamma: Discount of a reward for each decision that it lies ahead.
        momentum: Share of what it believed before that each iteration keeps.
        std: Standard deviation at first, in units of half the box.
        min_std: The least that it may shrink to.
        smoothing: Share of the uniform distribution in what it learns about choices.
        colour: Exponent of iCEM's noise, whose power falls as f^-colour: 0 is white, 8 the most.
        keep: Share of the elites that iCEM imagines again with the next candidates.
        mppi_temperature: Of the softmax of MPPI's weights, in standard deviations of the elites'
            values.
        temperature: Of the dream; 0 plans with the mean of what is to come.
        particles: Dreams that are averaged for each sequence, of a temperature above 0.
        penalty: What each unit of uncertainty above 1, the mean on the data, costs in reward.
    """

    method: Literal["cem", "icem", "mppi"] = "cem"
    horizon: int = 20
    samples: int = 32
    elites: int = 4
    iterations: int = 3
    gamma: float = 0.99
    momentum: float = 0.1
    std: float = 0.7
    min_std: float = 0.1
    smoothing: float = 0.1
    colour: float = 2.0
    keep: float = 0.3
    mppi_temperature: float = 1.0
    temperature: float = 0.0
    particles: int = 1
    penalty: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what plans nothing.

        Raises:
            ConfigError: Naming the value.
        """
        if self.method not in METHODS:
            hint = did_you_mean(str(self.method), METHODS)
            raise ConfigError(f"no planner {self.method!r}: {hint}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                self._require(field.name, isinstance(value, int), "be a whole number")
            elif field.type is float:
                self._require(field.name, math.isfinite(value), "be a finite number")
        for name in ("horizon", "elites", "iterations", "particles"):
            self._require(name, getattr(self, name) >= 1, "be at least 1")
        enough = self.elites + 2
        self._require("samples", self.samples >= enough, f"be at least elites + 2, {enough}")
        self._require("gamma", 0 < self.gamma <= 1, "be in (0, 1]")
        for name in ("momentum", "smoothing"):
            self._require(name, 0 <= getattr(self, name) < 1, "be in [0, 1)")
        self._require("keep", 0 <= self.keep <= 1, "be in [0, 1]")
        self._require("colour", 0 <= self.colour <= 8, "be in [0, 8]")
        for name in ("std", "mppi_temperature"):
            self._require(name, getattr(self, name) > 0, "be positive")
        for name in ("min_std", "temperature", "penalty"):
            self._require(name, getattr(self, name) >= 0, "not be negative")
        if self.particles > 1 and not self.temperature:
            raise ConfigError(
                f"{self.particles} particles of temperature 0 are all alike: "
                "set a temperature, or particles to 1"
            )

    def _require(self, name: str, condition: bool, demand: str) -> None:
        if not condition:
            raise ConfigError(f"{name} of a planner must {demand}, got {getattr(self, name)}")


@dataclass(frozen=True)
class Plan:
    """What to do from each of b states on.

    Attributes:
        sequence: (b, t, ...) actions in the units of the space.
        value: (b,) what the world promises for them.
        elites: (b, e, t, w) the best points of the search, the plan's own first; the next plan
            begins with them.
    """

    sequence: Tensor
    value: Tensor
    elites: Tensor

    @property
    def action(self) -> Tensor:
        """(b, ...) what to do now."""
        return self.sequence[:, 0]


class Planner:
    """Searches for the sequence of actions that a world promises most for.

    A sequence is worth the discounted sum of its predicted rewards, each weighted with how likely
    the dream is to have gone on until then; the reward of the step that ends it still counts. In a
    world that predicts ends but no rewards, every step is worth 1.
    """

    def __init__(
        self,
        model: WorldModel[Any],
        config: PlannerConfig | None = None,
        *,
        seed: int = 0,
        terminal: Terminal | None = None,
    ):
        """Plan in a world.

        Args:
            model: Steps states; must take actions.
            config: How to search.
            seed: Every random draw follows from it and from the plans before.
            terminal: What the features at the horizon are worth; by default nothing.

        Raises:
            ConfigError: If there is nothing to choose or nothing to want in this world, or if the
                method does not fit its actions.
        """
        self.config, self.model, self.terminal = config or PlannerConfig(), model, terminal
        action = _check(model, self.config)
        self._search = _search(action, self.config, model.device)
        self._width = len(action.low or action.nvec)
        self.generator = torch.Generator(model.device).manual_seed(seed)

    @torch.no_grad()
    def plan(self, state: State, warm: Plan | None = None) -> Plan:
        """Plan from b states, each on its own.

        Args:
            state: Where to plan from.
            warm: The plan of the same rows one decision ago, where there is one.

        Raises:
            ConfigError: If `warm` is a plan of other rows, or of another planner, or if `terminal`
                does not give one value a row.
        """
        config, search, rows = self.config, self._search, state.batch_size
        state = state.forget()
        kept = None if warm is None else self._shift(warm, rows)
        belief = search.start(rows, None if kept is None else kept[:, 0])
        known = search.centre(belief)[:, None] if kept is None else kept  # its first is the centre
        noise = self._noise()
        for left in reversed(range(config.iterations)):
            drawn = search.draw(belief, config.samples - known.shape[1], self.generator)
            points = torch.cat([known, drawn], dim=1)
            values, best = self._values(state, points, noise).topk(config.elites)
            elites = points[torch.arange(rows, device=best.device)[:, None], best]
            if left:
                belief = search.refit(belief, elites, self._weigh(values))
                known = torch.cat([elites[:, : self._keep], search.centre(belief)[:, None]], dim=1)
        return Plan(search.to_actions(elites[:, 0]), values[:, 0], elites)

    @property
    def _keep(self) -> int:
        """How many elites are imagined again: the best, so that no iteration does worse."""
        config = self.config
        return max(1, round(config.keep * config.elites)) if config.method == "icem" else 1

    def _shift(self, warm: Plan, rows: int) -> Tensor:
        """Move points of the last plan on by a step, the last of which stays."""
        config, kept = self.config, warm.elites[:, : self._keep]
        if kept.shape != (rows, self._keep, config.horizon, self._width):
            raise ConfigError(
                f"a warm start from plans {tuple(warm.elites.shape)} does not fit {rows} states "
                f"and a horizon of {config.horizon} ({self._width} wide): give their last plan"
            )
        return torch.cat([kept[:, :, 1:], kept[:, :, -1:]], dim=2)

    def _noise(self) -> Tensor:
        """Draw the innovations (t, particles, z), the same for all sequences of a plan."""
        config, device = self.config, self.model.device
        shape = (config.horizon, config.particles, self.model.noise_dim)
        if not config.temperature:
            return torch.zeros(shape, device=device)
        return torch.randn(shape, generator=self.generator, device=device)

    def _values(self, state: State, points: Tensor, noise: Tensor) -> Tensor:
        """Imagine sequences (b, n, t, w) under the innovations; give their worth (b, n)."""
        (rows, samples), particles = points.shape[:2], noise.shape[1]
        actions = self._search.to_actions(points)
        actions = repeat(actions, "b n t ... -> t (b n p) ...", p=particles)
        noise = repeat(noise, "t p z -> t (m p) z", m=rows * samples)
        state = state.repeat(samples * particles)
        value = torch.zeros(len(noise[0]), device=noise.device)
        weight = torch.ones_like(value)
        for action, innovation in zip(actions, noise, strict=True):
            before = state
            state, (reward, continuation) = self.model.step(
                before, action, noise=innovation, temperature=self.config.temperature
            )
            value = value + weight * (1.0 if reward is None else reward)
            if self.config.penalty:
                doubt = (self.model.uncertainty(before, action) - 1).clamp(min=0)
                value = value - weight * self.config.penalty * doubt
            weight = weight * self.config.gamma
            if continuation is not None:
                weight = weight * continuation
        if self.terminal is not None:
            value = value + weight * self._beyond(state)
        # A dream that breaks is no dream to follow, and NaN would come first.
        value = value.nan_to_num(nan=-torch.inf, posinf=-torch.inf)
        return reduce(value, "(b n p) -> b n", "mean", b=rows, p=particles)

    def _beyond(self, state: State) -> Tensor:
        """Ask what states (n) at the horizon are worth, (n,)."""
        assert self.terminal is not None
        worth = self.terminal(self.model.features(state))
        if worth.shape != (state.batch_size,):
            raise ConfigError(
                f"terminal must give one value a row, ({state.batch_size},), "
                f"got shape {tuple(worth.shape)}"
            )
        return worth

    def _weigh(self, values: Tensor) -> Tensor:
        """Give the weights (b, e) of elites of these values, best first."""
        if self.config.method != "mppi":
            return torch.full_like(values, 1 / values.shape[1])
        return softmax_weights(values, self.config.mppi_temperature)


def _check(model: WorldModel[Any], config: PlannerConfig) -> ActionSpec:
    """Give the actions to plan, if this world and this method can."""
    action = model.action
    if action is None:
        raise ConfigError("this world takes no actions, so there is nothing to plan")
    if not (model.has_reward or model.has_continuation):
        raise ConfigError(
            "this world predicts neither rewards nor ends, so no plan is better than another: "
            "train one with a reward or a continuation head"
        )
    if config.method != "cem" and action.kind != "box":
        raise ConfigError(
            f"the planner '{config.method}' is for boxes, and this world takes {action.space}: "
            "use 'cem'"
        )
    if config.penalty and not model.has_uncertainty:
        raise ConfigError(
            "this world cannot tell how uncertain it is: leave the penalty out, or train one with "
            "`--ensemble 5`"
        )
    return action


def _search(action: ActionSpec, config: PlannerConfig, device: torch.device) -> Search:
    if action.kind != "box":
        return CategoricalSearch(
            action,
            config.horizon,
            smoothing=config.smoothing,
            momentum=config.momentum,
            device=device,
        )
    return GaussianSearch(
        action,
        config.horizon,
        std=config.std,
        min_std=config.min_std,
        momentum=config.momentum,
        colour=config.colour if config.method == "icem" else 0.0,
        device=device,
    )
