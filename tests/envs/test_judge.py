"""Rewards and ends of one's own, and what uncertainty costs: known answers of a counting world."""

import json
import math
import sys
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest
import torch
from oracle import counting_world
from torch import Tensor
from worlds import tiny_model, tiny_world

from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.view import Transition
from srvp_world.errors import ConfigError

ROWS = 3
ACTIONS = np.float32([[1], [2], [3]])


def counting(**settings) -> DreamVectorEnv:
    """Dream of counting up from 10 in all rows."""
    defaults = {"obs": "latent", "horizon": 50}
    dream = DreamVectorEnv(ROWS, counting_world(10), **{**defaults, **settings})
    dream.reset(seed=0)
    return dream


def test_a_reward_of_ones_own_sees_both_sides_of_its_own_step():
    def reward(step: Transition) -> Tensor:
        return 10_000 * step.before.features[:, 0] + 100 * step.features[:, 0] + step.action[:, 0]

    dream = counting(reward_fn=reward)
    for count in (11, 12):
        _, rewards, *_ = dream.step(ACTIONS)
        assert rewards.tolist() == [10_000 * (count - 1) + 100 * count + x for x in (1, 2, 3)]


@pytest.mark.parametrize("obs", ["latent", "pixels"])
def test_an_end_of_ones_own_is_that_of_the_arrival(obs: str):
    dream = counting(obs=obs, termination_fn=lambda step: step.frames[:, 0, 0, 0] * 255 > 12.5)
    ends = [dream.step(ACTIONS)[2].tolist() for _ in range(6)]
    assert ends == 2 * [[False] * ROWS, [False] * ROWS, [True] * ROWS]


def test_the_functions_see_vectors_and_are_found_by_name(monkeypatch: pytest.MonkeyPatch):
    module = ModuleType("judges_of_ones_own")
    module.reward = lambda step: step.vector[:, 0]
    monkeypatch.setitem(sys.modules, "judges_of_ones_own", module)
    dream = counting(reward_fn="judges_of_ones_own:reward")
    assert dream.step(ACTIONS)[1].tolist() == [1011] * ROWS


def test_a_named_function_goes_through_the_spec_of_gymnasium(monkeypatch: pytest.MonkeyPatch):
    module = ModuleType("judges_of_ones_own")
    module.reward = lambda step: torch.full((len(step.features),), 7.0)
    monkeypatch.setitem(sys.modules, "judges_of_ones_own", module)
    env = gym.make("SRVPDream-v0", reward_fn="judges_of_ones_own:reward", obs="latent")
    assert json.loads(env.spec.to_json())["kwargs"]["reward_fn"] == "judges_of_ones_own:reward"
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[1] == 7.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reward_fn": "nowhere"}, "reward_fn must be a function or 'module:name', got 'nowhere'"),
        ({"reward_fn": 3}, "reward_fn must be a function or 'module:name', got 3"),
        ({"termination_fn": "no_module:x"}, "cannot import 'no_module'"),
        ({"termination_fn": "math:isnam"}, "math has no function 'isnam': did you mean"),
        ({"penalty": -1.0}, "need penalty >= 0 and max_uncertainty > 0 or None, got -1.0"),
        ({"penalty": math.nan}, "need penalty >= 0"),
        ({"max_uncertainty": 0.0}, "need penalty >= 0 and max_uncertainty > 0"),
    ],
)
def test_what_judges_nothing_is_refused(settings: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        counting(**settings)


@pytest.mark.parametrize("given", [torch.zeros(ROWS, 1), torch.zeros(()), np.zeros(ROWS), None])
def test_answers_of_another_shape_are_refused(given: object):
    dream = counting(reward_fn=lambda step: given)
    with pytest.raises(ConfigError, match=r"reward_fn must give a tensor \(3,\), one value a row"):
        dream.step(ACTIONS)


def test_uncertainty_is_of_the_state_and_action_that_are_left_behind_and_costs_above_one():
    dream = counting(penalty=2.0)
    for count in (10, 11):  # the counting world is as uncertain as count + action / 100
        _, rewards, _, _, infos = dream.step(ACTIONS)
        doubt = count + ACTIONS[:, 0] / 100
        np.testing.assert_allclose(infos["uncertainty"], doubt, rtol=1e-6)
        expected = 100 * (count + 1) + ACTIONS[:, 0] - 2 * (doubt - 1)
        np.testing.assert_allclose(rewards, expected, rtol=1e-6)


def test_no_penalty_below_what_is_usual_on_data():
    dream = DreamVectorEnv(ROWS, counting_world(0), obs="latent", horizon=9, penalty=5.0)
    dream.reset(seed=0)
    assert dream.step(ACTIONS)[1].tolist() == [101, 102, 103]


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_dreams_are_truncated_where_the_world_is_too_uncertain(output: str):
    dream = counting(max_uncertainty=12.025, output=output)
    actions = torch.tensor(ACTIONS) if output == "torch" else ACTIONS
    seen = []
    for _ in range(3):
        observation, _, terminated, truncated, infos = dream.step(actions)
        assert not terminated.any()
        seen.append(truncated.tolist())
    assert seen == [[False] * 3, [False] * 3, [False, False, True]]
    assert observation[:, 0].tolist() == [13, 13, 10]
    assert infos["final_obs"][2][0] == 13
    if output == "numpy":  # as in Gymnasium, infos of the end are in final_info
        assert infos["_uncertainty"].tolist() == [True, True, False]
        np.testing.assert_allclose(infos["final_info"]["uncertainty"][2], 12.03, rtol=1e-6)
        assert infos["final_info"]["_uncertainty"].tolist() == [False, False, True]


def test_a_world_that_cannot_tell_is_refused():
    with pytest.raises(ConfigError, match="cannot tell how uncertain it is.*--ensemble 5"):
        DreamVectorEnv(1, tiny_world(), penalty=1.0)


def test_without_a_price_nobody_asks_how_uncertain_a_step_is():
    dream = counting()
    assert "uncertainty" not in dream.step(ACTIONS)[4]


def test_ends_are_said_in_bool():
    dream = counting(termination_fn=lambda step: torch.full((ROWS,), 0.01))
    with pytest.raises(ConfigError, match="termination_fn must give bool, got torch.float32"):
        dream.step(ACTIONS)


def test_noise_as_an_action_is_none_to_the_world_that_is_asked_how_uncertain_it_is():
    world = tiny_world("none", tiny_model("none", ensemble=2))
    dream = DreamVectorEnv(2, world, obs="latent", actions="noise", penalty=1.0)
    dream.reset(seed=0)
    state = dream.state
    _, _, _, _, infos = dream.step(np.ones((2, 3), np.float32))
    np.testing.assert_allclose(infos["uncertainty"], world.model.uncertainty(state), rtol=1e-5)


def test_rows_that_only_begin_tell_how_and_are_not_uncertain():
    dream = counting(penalty=1.0, horizon=2, autoreset_mode="NextStep")
    for step in range(1, 7):
        infos = dream.step(ACTIONS)[4]
        begins = step % 3 == 0
        assert infos["_uncertainty"].tolist() == [not begins] * ROWS
        assert ("start" in infos) == begins
    assert list(infos["start"]) == ["data"] * ROWS and infos["_start"].all()
