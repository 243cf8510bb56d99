"""Where a run of the loop begins from: settings for some environments, and for all others."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from srvp_world.agents.dyna_config import DynaConfig
from srvp_world.config import PixelConfig


@dataclass(frozen=True, kw_only=True)
class AgentPreset:
    """How an environment is seen and learnt.

    Attributes:
        pixels: How it becomes frames.
        config: How much of everything; its settings are left to the next field.
        settings: Of each kind of agent, by its name; those that are not named have their own.
    """

    pixels: PixelConfig
    config: DynaConfig = DynaConfig()
    settings: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def with_agent(self, agent: str) -> DynaConfig:
        """Give the configuration with a kind of agent and the settings for it."""
        return replace(self.config, agent=agent, settings=dict(self.settings.get(agent, {})))


AGENT_PRESETS = {
    "Pendulum-v1": AgentPreset(
        pixels=PixelConfig(env_id="Pendulum-v1", action_repeat=2),
        config=DynaConfig(real_steps=10_000, rounds=3, later_updates=2_000),
    ),
    # The crop leaves out where nothing ever moves, above and below; the width is all of the track.
    "CartPole-v1": AgentPreset(
        pixels=PixelConfig(env_id="CartPole-v1", crop=(165, 0, 160, 600), action_repeat=2),
        config=DynaConfig(
            real_steps=30_000,
            rounds=5,
            first_share=0.2,
            first_policy="random",
            later_updates=1_500,
        ),
        settings={"ppo": {"gamma": 0.97}},
    ),
}


def agent_preset(env_id: str) -> AgentPreset:
    """Give the preset of an environment, or for one that has none what suits most."""
    return AGENT_PRESETS.get(env_id) or AgentPreset(pixels=PixelConfig(env_id=env_id))
