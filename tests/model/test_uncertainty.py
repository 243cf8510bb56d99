"""Where heads that learn apart agree, and where they do not."""

from dataclasses import replace

import pytest
import torch
from worlds import CONFIG, generator, random_batch, random_frames, tiny_model

from srvp_world.errors import ConfigError, SpaceError
from srvp_world.model.calibration import calibrate_uncertainty
from srvp_world.model.dynamics import Context
from srvp_world.model.heads import Ensemble
from srvp_world.world import Observation

DIM = 2
KNOWN = replace(CONFIG, state_dim=DIM, ensemble=5, inference_hidden=32)


@pytest.fixture(scope="module")
def taught() -> Ensemble:
    """An ensemble that saw only states around the origin, which turn by a quarter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ensemble = Ensemble(KNOWN)
    optimizer = torch.optim.Adam(ensemble.parameters(), 3e-3)
    draws = generator()
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    for _ in range(400):
        y = torch.randn(64, DIM, generator=draws)
        pair = torch.stack([y, y @ turn], dim=1)
        optimizer.zero_grad()
        ensemble.errors(pair, Context(None, None), torch.ones(64, 1)).mean().backward()
        optimizer.step()
    y = torch.randn(500, DIM, generator=draws)
    ensemble.calibrate(y, y @ turn, Context(None, None))
    return ensemble.requires_grad_(False)


def disagreement(ensemble: Ensemble, y: torch.Tensor) -> torch.Tensor:
    return ensemble.disagreement(y, Context(None, None))


def test_what_was_seen_is_usual_and_what_lies_further_off_is_less_and_less_so(taught: Ensemble):
    directions = torch.nn.functional.normalize(torch.randn(200, DIM, generator=generator(1)))
    seen = disagreement(taught, torch.randn(500, DIM, generator=generator(2)))
    assert seen.mean() == pytest.approx(1, abs=0.15)
    further = [disagreement(taught, scale * directions).mean() for scale in (1, 4, 8, 16)]
    assert further[1] > 3
    assert all(near < far for near, far in zip(further[:-1], further[1:], strict=True))


def test_the_errors_are_those_of_the_step_relative_to_its_own_size():
    ensemble = Ensemble(KNOWN)
    torch.nn.init.zeros_(ensemble.weights[-1])  # every head guesses that nothing changes
    y = torch.randn(50, 4, DIM, generator=generator()).cumsum(1)
    happened = torch.ones(50, 3)
    errors = ensemble.errors(y, Context(None, None), happened)
    change = y[:, 1:] - y[:, :-1]
    std = change.std((0, 1), correction=0)
    torch.testing.assert_close(errors, (change / std).square().mean(-1))
    torch.testing.assert_close(ensemble.errors(1000 * y, Context(None, None), happened), errors)
    happened[7, 1:] = 0  # what is padding changes nothing
    padded = y.clone()
    padded[7, 2:] += 100
    rest = torch.arange(50) != 7
    one, two = (ensemble.errors(value, Context(None, None), happened) for value in (y, padded))
    torch.testing.assert_close(one[rest], two[rest])


def test_nothing_else_learns_from_the_heads():
    with_heads, without = tiny_model("box", ensemble=3), tiny_model("box")
    batch = random_batch(without)
    for model in (with_heads, without):
        model.train().loss(batch, generator()).total.backward()
    theirs = dict(with_heads.named_parameters())
    for name, parameter in without.named_parameters():
        torch.testing.assert_close(theirs[name].grad, parameter.grad)
    grads = [p.grad for name, p in theirs.items() if name.startswith("ensemble")]
    assert grads and all(grad.abs().sum() > 0 for grad in grads)


def test_calibration_counts_transitions_that_happened_and_no_padding():
    model = tiny_model("box", ensemble=3).requires_grad_(False)
    batch = random_batch(model, (5, 3, 5))
    calibrate_uncertainty(model, [batch, batch])
    watched = model.infer(
        batch.observation,
        batch.actions,
        episode_start=batch.episode_start,
        lengths=batch.valid.sum(1),
        sample=False,
    )
    happened = batch.valid[:, 1:]
    context = Context(watched.context.action[happened], None)
    usual = model.ensemble.disagreement(watched.y[:, :-1][happened], context)
    assert usual.mean() == pytest.approx(1, abs=1e-4)
    calibrate_uncertainty(tiny_model("box"), [batch])  # nothing to do, and no error


def test_uncertainty_is_of_a_state_and_an_action_and_needs_heads():
    model = tiny_model("box", ensemble=3)
    state = model.encode(Observation(random_frames(4, 3, model)), torch.zeros(4, 2, 2))
    idle, busy = (model.uncertainty(state, torch.full((4, 2), value)) for value in (0.0, 1.0))
    assert idle.shape == (4,) and (idle > 0).all()
    assert not torch.allclose(idle, busy)
    assert model.has_uncertainty
    with pytest.raises(SpaceError, match="this world needs actions"):
        model.uncertainty(state)
    with pytest.raises(ConfigError, match="cannot tell how uncertain it is: train one with"):
        tiny_model("box").uncertainty(state, torch.zeros(4, 2))
    with pytest.raises(ConfigError, match="ensemble must be 0, or 2 or more heads"):
        replace(CONFIG, ensemble=1)
