"""Laws of the terms that make a world good to dream in."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Normal
from worlds import generator, random_batch, tiny_model

from srvp_world.config import ModelConfig, ObjectiveConfig
from srvp_world.errors import ConfigError
from srvp_world.model.dream_loss import code_surprise
from srvp_world.model.loss import elbo
from srvp_world.world import Observation


@pytest.mark.parametrize("steps", [1, 3, 9])
@torch.no_grad()
def test_overshooting_by_hand(steps: int):
    """Imagine from each state with `step`, one by one; a window bounds how far."""
    objective = ObjectiveConfig(overshooting=steps, continuation_weight=7.0, reward_std=0.3)
    model = tiny_model("box", code_head=True, objective=objective)
    batch = random_batch(model, (5, 3))
    inference = model.infer(batch.observation, batch.actions, sample=False)
    steps = min(steps, 4)
    total = 0.0
    for row, start in ((row, start) for row in range(2) for start in range(5 - steps)):
        state = replace(inference.last.index(torch.tensor([row])), y=inference.y[row, start][None])
        for i in range(start, start + steps):
            state, prediction = model.step(state, batch.actions[row, i][None], temperature=0.0)
            if not batch.valid[row, i + 1]:
                continue
            codes = Normal(inference.codes[row, i + 1], 0.1)
            total -= codes.log_prob(model.code_head(state.y)[0]).sum()
            total -= Normal(batch.rewards[row, i], 0.3).log_prob(prediction.reward).sum()
            end = (
                prediction.continuation if batch.continues[row, i] else 1 - prediction.continuation
            )
            total -= 7 * end.log().sum()
    term = elbo(model, batch, inference).terms["overshooting"]
    torch.testing.assert_close(term, total / steps / 2)


@torch.no_grad()
def test_consistency_by_hand():
    """A state is held against the first state that its own k frames would give."""
    model = tiny_model("box", objective=ObjectiveConfig(consistency=1.0))
    batch = random_batch(model, (5, 3))
    inference = model.infer(batch.observation, batch.actions, sample=False)
    total = 0.0
    for row, frames in enumerate((5, 3)):
        for t in range(1, frames - 1):
            clip = Observation(batch.frames[row, t : t + 2][None])
            q_y1 = model.infer(clip, batch.actions[row, t : t + 1][None], sample=False).q_y1
            std = q_y1.std[0].clamp(min=0.05)
            total += ((inference.y[row, t] - q_y1.mean[0]) / std).square().sum() / 2
    torch.testing.assert_close(elbo(model, batch, inference).terms["consistency"], total / 2)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_windows_too_short_for_consistency_have_none(frames: int):
    """A state is held against k frames that begin with its own, and the first needs it not."""
    lengths, start = (frames, frames), torch.ones(2, dtype=torch.bool)
    terms = {}
    for weight in (0.0, 1.0):
        objective = ObjectiveConfig(consistency=weight)
        model = tiny_model("box", content_frames=3, objective=objective)
        batch = replace(random_batch(model, lengths), episode_start=start)
        loss = model.loss(batch, generator())
        loss.total.backward()
        terms[weight] = loss.total.detach()
    assert loss.terms["consistency"] == 0
    assert terms[0.0] == terms[1.0]


def test_what_states_are_consistent_with_costs_no_gradient():
    model = tiny_model("box", objective=ObjectiveConfig(consistency=1.0))
    batch, learnt = random_batch(model), []
    inference = model.infer(batch.observation, batch.actions, sample=False)
    model.first_state.register_forward_hook(
        lambda module, given, q_y1: learnt.append(q_y1.mean.requires_grad)
    )
    elbo(model, batch, inference)
    assert learnt == [False]


def test_targets_of_what_is_imagined_learn_nothing_from_it():
    """Or else the encoder would make frames that are easy to foretell, and all the same."""
    model = tiny_model("none", reward=False, continuation=False, code_head=True)
    batch = random_batch(model)
    inference = model.infer(batch.observation, sample=False)
    code_surprise(
        torch.zeros_like(inference.codes).requires_grad_(), inference.codes, 0.1
    ).sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_overshooting_needs_something_to_hold_against():
    with pytest.raises(ConfigError, match="set code_head"):
        ModelConfig(objective=ObjectiveConfig(overshooting=3))
