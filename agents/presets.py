"""Where a run of the loop begins from: settings for some environments, and for all others."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from srvp_world.agents.dyna_config import DynaConfig
from srvp_world.config import PixelConfig

# Short dreams from states that were seen keep to what the world knows. Where that is much, their
# length decides little: docs/agents.md has what PPO got in dreams of 20, 50 and 100 steps.
_SETTINGS = {
    "ppo": {"num_envs": 128, "horizon": 20, "n_steps": 20, "temperature": 1.0, "gamma": 0.97}
}


@dataclass(frozen=True, kw_only=True)
class AgentPreset:
    """How an environment is seen and learnt.

    Attributes:
        pixels: How it becomes frames.
        config: How much of everything; its settings are left to the next field.
        settings: Of each kind of agent, by its name; those that are not named have their own.
        dream_steps: Of each kind of agent; those that are not named have the configuration's.
    """

    pixels: PixelConfig
    config: DynaConfig = DynaConfig()
    settings: Mapping[str, dict[str, Any]] = field(default_factory=lambda: _SETTINGS)
    dream_steps: Mapping[str, int] = field(default_factory=lambda: {"actor-critic": 1_000_000})

    def with_agent(self, agent: str) -> DynaConfig:
        """Give the configuration with a kind of agent, and the settings and steps for it."""
        return replace(
            self.config,
            agent=agent,
            settings=dict(self.settings.get(agent, {})),
            dream_steps=self.dream_steps.get(agent, self.config.dream_steps),
        )


# The last round's agents are kept, so that real steps count all that results rest on.
AGENT_PRESETS = {
    "Pendulum-v1": AgentPreset(
        pixels=PixelConfig(env_id="Pendulum-v1", action_repeat=2),
        config=DynaConfig(
            real_steps=10_000, rounds=3, first_share=0.4, later_updates=2_000, keep="last"
        ),
    ),
    # The middle half of the track, where the pole is twice as wide as in all of it: an angle of
    # 0.03 rad moves its tip by 0.8 pixels. Whoever keeps it up stays there.
    "CartPole-v1": AgentPreset(
        pixels=PixelConfig(env_id="CartPole-v1", crop=(165, 150, 160, 300), action_repeat=2),
        config=DynaConfig(
            real_steps=30_000,
            first_share=0.2,
            first_policy="random",
            train=replace(DynaConfig().train, iterations=2_500, decay=2_000),
            later_updates=2_000,
            keep="last",
        ),
    ),
}


def agent_preset(env_id: str) -> AgentPreset:
    """Give the preset of an environment, or for one that has none what suits most."""
    return AGENT_PRESETS.get(env_id) or AgentPreset(pixels=PixelConfig(env_id=env_id))
