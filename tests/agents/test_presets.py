"""Presets of the loop: what an environment gives each kind of agent."""

from srvp_world.agents.dyna_config import AGENTS, DynaConfig
from srvp_world.agents.improve import check_agent
from srvp_world.agents.presets import AGENT_PRESETS, AgentPreset, agent_preset
from srvp_world.config import PixelConfig
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.spaces import ActionSpec


def test_a_kind_of_agent_has_its_own_settings_and_steps_or_those_of_all():
    preset = AgentPreset(
        pixels=PixelConfig(env_id="CartPole-v1"),
        config=DynaConfig(dream_steps=7, real_steps=9),
        settings={"dqn": {"gamma": 0.5}},
        dream_steps={"a2c": 11},
    )
    dqn, a2c = preset.with_agent("dqn"), preset.with_agent("a2c")
    assert (dqn.agent, dqn.settings, dqn.dream_steps) == ("dqn", {"gamma": 0.5}, 7)
    assert (a2c.agent, a2c.settings, a2c.dream_steps) == ("a2c", {}, 11)
    dqn.settings["gamma"] = 0.1
    assert preset.with_agent("dqn").settings == {"gamma": 0.5}
    assert dqn.real_steps == a2c.real_steps == 9


def test_every_preset_suits_its_environment():
    for env_id, preset in AGENT_PRESETS.items():
        assert preset.pixels.env_id == env_id
        env = make_pixel_env(preset.pixels)
        action = ActionSpec.from_space(env.action_space)
        frame, _ = env.reset(seed=0)
        assert frame.min() < frame.max()
        for kind in {*preset.settings, *preset.dream_steps}:
            assert kind in AGENTS
            check_agent(kind, preset.with_agent(kind).settings, action)
        env.close()


def test_what_has_no_preset_is_seen_whole():
    pixels = agent_preset("Acrobot-v1").pixels
    assert pixels == PixelConfig(env_id="Acrobot-v1")
