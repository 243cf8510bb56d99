"""Planning in the dream, acting in reality."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srvp_world.agents.exploration import Exploration
from srvp_world.agents.planning import Plan, Planner, PlannerConfig, Terminal
from srvp_world.checkpoint import World, load
from srvp_world.envs.latent import Watcher
from srvp_world.envs.pixels import Observed
from srvp_world.errors import ConfigError
from srvp_world.spaces import ActionSpec


class PlanningAgent:
    """Acts on what a real env shows: watches it with the world and plans anew at each decision.

    Each plan begins with the last one of the episode.
    """

    def __init__(
        self,
        world: World,
        config: PlannerConfig | None = None,
        *,
        seed: int = 0,
        explore: float = 0.0,
        terminal: Terminal | None = None,
    ):
        """Act with a world.

        Args:
            world: What it watches and plans with.
            config: How to plan.
            seed: Of the first episode.
            explore: Share of decisions that follow smooth random actions instead.
            terminal: What the features at the horizon are worth; by default nothing.

        Raises:
            ConfigError: If this world cannot be planned in, or for a share outside [0, 1].
        """
        self.planner = Planner(world.model, config, terminal=terminal)
        self.watcher = Watcher(world)
        assert world.action is not None  # or there would be no planner
        self._exploration = Exploration(world.action, explore)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Begin a new episode; every random draw in it follows from the seed."""
        self.planner.generator.manual_seed(seed)
        self._exploration.reset(seed)
        self._plan: Plan | None = None
        self._last: Any = None

    def act(self, shown: Observed) -> Any:
        """Choose an action on a frame (h, w, c) uint8, and the vector beside it."""
        if self._plan is None:
            self.watcher.begin(shown)
        else:
            self.watcher.follow(shown, self._last)
        assert self.watcher.state is not None
        self._plan = self.planner.plan(self.watcher.state, self._plan)
        self._last = self._exploration.mix(self._plan.action[0].cpu().numpy(), shown)
        return self._last


@dataclass(frozen=True)
class SavedPlanner:
    """Builds a `PlanningAgent` on a world file; travels to worker processes as a path."""

    world: Path
    config: PlannerConfig = field(default_factory=PlannerConfig)
    explore: float = 0.0

    def __call__(self, action: ActionSpec) -> PlanningAgent:
        """Open the world.

        Raises:
            ConfigError: If the environment takes other actions than the world, or if the world
                cannot be planned in.
        """
        world = load(self.world)
        if world.action is not None and world.action != action:
            raise ConfigError(f"the world acts in {world.action.space}, the env in {action.space}")
        return PlanningAgent(world, self.config, explore=self.explore)
