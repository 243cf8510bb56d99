"""What agents and worlds are judged by: known returns, ends and errors, wrong ones if shifted."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diary import ACTION, AGE, CHOICES, LABEL, OVER, TOTAL, Rules, read, record
from knowing import CHOICE, Knows, knowing_world

from srvp_world.agents.evaluate import evaluate_in_dream, roll
from srvp_world.agents.policy import LatentAgent
from srvp_world.benchmark.report import ReportConfig, measure
from srvp_world.envs.collect import run_episodes
from srvp_world.envs.dream import DreamVectorEnv

RULES = [Rules(length=6, delay=1), Rules(length=7, repeat=2), Rules(length=1)]


class Reader:
    """Chooses by all that the page tells, so that a page of another time chooses otherwise."""

    config = SimpleNamespace(action=CHOICE)

    def choose(self, pages: torch.Tensor, generator=None) -> torch.Tensor:
        pages = pages.round()
        chosen = pages[:, LABEL] + 3 * pages[:, AGE] + pages[:, ACTION] + 2 * pages[:, TOTAL]
        return (chosen % CHOICES).long()


@pytest.fixture(scope="module", params=RULES, ids=lambda rules: f"{rules.length}x{rules.repeat}")
def case(request, tmp_path_factory):
    data = record(tmp_path_factory.mktemp("data"), request.param.pixels, episodes=12)
    return request.param, data, knowing_world(request.param, data)


def decisions(rules: Rules) -> int:
    return -(-rules.length // rules.repeat)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_dream_returns_are_those_of_the_rules(case, more):
    """Dreams of one step less than an episode, of as many, and of one more."""
    rules, data, _ = case
    horizon = max(decisions(rules) + more, 2)  # a dream has two steps at least
    world = knowing_world(rules, data, horizon=horizon)
    options = {"obs": "latent", "output": "torch", "start": "first", "autoreset_mode": "Disabled"}
    dream = DreamVectorEnv(20, world, **options)
    starts = dream.reset(seed=5)[0]
    expected = [rules.play(page, Reader().choose, horizon) for page in starts]
    returns, lengths = roll(dream, Reader().choose, seed=5)
    assert lengths.tolist() == [steps for _, steps in expected]
    earned = torch.tensor([total for total, _ in expected])
    torch.testing.assert_close(returns, earned, atol=0.05, rtol=0)
    judged = evaluate_in_dream(world, Reader(), episodes=20, seed=5)
    np.testing.assert_allclose(judged, earned, atol=0.05)


def test_an_agent_in_reality_does_as_the_rules_and_the_dream_say(case):
    rules, _, world = case
    results = run_episodes(
        rules.pixels, LatentAgent(world, Reader()), range(6), frames_of=range(6), progress=False
    )
    for result in results:
        pages = read(torch.tensor(result.frames).movedim(-1, 1) / 255)
        total, steps = rules.play(pages[0], Reader().choose, 99)
        assert (result.episode_return, result.decisions) == (total, steps)
        assert torch.equal(pages[1:, ACTION], Reader().choose(pages[:-1]).float())
        assert pages[-1, OVER] == 1 and result.ending == "terminated"


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Give rules, and twelve episodes of them, with seven frames each."""
    rules = Rules(length=6, delay=1)
    return rules, record(tmp_path_factory.mktemp("reported"), rules.pixels, episodes=12)


def report(world, data, watched=2, horizon=3):
    config = ReportConfig(watched=watched, horizon=horizon, samples=2)
    return measure(world, data, config, progress=False)


@pytest.mark.parametrize("watched", [2, 3])
def test_a_world_that_knows_has_a_perfect_report(reported, watched):
    rules, data = reported
    found = report(knowing_world(rules, data), data, watched)
    numbers, imagined = found.numbers, found.imagined
    assert imagined.valid.sum() == 12 * (7 - watched)
    assert (imagined.psnr_mean[imagined.valid] > 60).all()
    assert numbers["reward"]["mae"] < 0.01 and numbers["return"]["mae"] < 0.01
    ends = numbers["continuation"]["ends"]
    assert (ends["true"], ends["found"], ends["false"]) == (12, 12, 0)
    assert ends["absolute_error"] == 0 and numbers["continuation"]["brier"] < 1e-6
    assert (found.imagined.error_shuffled > found.imagined.error_mean)[imagined.valid].mean() > 0.5
    ages = found.filtered
    assert (ages.psnr > 90).all() and ages.kl.std() < 1e-3
    assert torch.equal(read(found.truth), read(found.dream))


@pytest.mark.parametrize("early", [0, 1, 2])
def test_a_report_says_by_how_many_steps_ends_are_early(reported, early):
    rules, data = reported
    world = knowing_world(rules, data)
    last = rules.length - early - 0.5
    world.model.continuation_head = Knows(lambda y, content: 40 - 80 * (y[..., AGE] > last).float())
    ends = report(world, data, watched=2, horizon=5).numbers["continuation"]["ends"]
    assert (ends["true"], ends["found"], ends["error"]) == (12, 12, -early)


def test_a_report_shows_rewards_that_are_of_another_step(reported):
    rules, data = reported
    world = knowing_world(rules, data)
    world.model.reward_head = Knows(
        lambda y, following, context: context.action.argmax(-1).float()  # paid at once, not late
    )
    found = report(world, data, watched=2, horizon=5)
    paid, earned = found.imagined.predicted_reward.mean(1), found.imagined.reward
    np.testing.assert_allclose(paid[:, :-1], earned[:, 1:], atol=0.01)
    assert found.numbers["reward"]["mae"] > 1
