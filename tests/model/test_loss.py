"""Laws of the objective."""

from dataclasses import replace
from itertools import permutations, product
from statistics import mean

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from worlds import generator, random_actions, random_batch, random_frames, tiny_model

from srvp_world.config import ObjectiveConfig
from srvp_world.model.gaussian import Gaussian, negative_log_likelihood
from srvp_world.model.loss import elbo
from srvp_world.world import Observation


def random_gaussian(seed: int) -> Gaussian:
    return Gaussian.from_raw(torch.randn(5, 4, 6, generator=generator(seed)))


def test_divergences_are_those_of_torch():
    one, two = random_gaussian(0), random_gaussian(1)
    expected = kl_divergence(Normal(*one), Normal(*two)).sum(-1)
    torch.testing.assert_close(one.kl(two), expected)
    standard = kl_divergence(Normal(*one), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(one.kl_standard(), standard)
    torch.testing.assert_close(one.kl(one), torch.zeros(5, 4))
    assert (one.kl(two) > 0).all()


def test_likelihoods_are_those_of_torch():
    mean, value = torch.randn(2, 5, generator=generator())
    expected = -Normal(mean, 0.3).log_prob(value)
    torch.testing.assert_close(negative_log_likelihood(mean, value, 0.3), expected)


def test_draws_follow_their_gaussian():
    gaussian = Gaussian(torch.full((20_000,), 3.0), torch.full((20_000,), 0.5))
    draws = gaussian.draw(True, generator())
    assert abs(draws.mean() - 3) < 0.02
    assert abs(draws.std() - 0.5) < 0.02
    assert torch.equal(gaussian.draw(False), gaussian.mean)
    assert torch.equal(draws, gaussian.draw(True, generator()))


def total_and_gradients(model, batch):
    model.zero_grad()
    loss = model.loss(batch, generator())
    loss.total.backward()
    return loss, {name: p.grad.clone() for name, p in model.named_parameters()}


DREAMING = ObjectiveConfig(consistency=0.5, overshooting=2, reward_std_fits=True, decoded_frames=3)


@pytest.mark.parametrize("objective", [ObjectiveConfig(), DREAMING])
@pytest.mark.parametrize("lengths", [(5, 3, 4), (1, 2, 5), (2, 5, 1)])
def test_nothing_past_the_end_of_an_episode_counts(lengths: tuple[int, ...], objective):
    changes = {"content_in_dynamics": True, "code_head": True, "objective": objective}
    model = tiny_model("box", vector_dim=2, skips=True, substeps=2, **changes)
    batch = random_batch(model, lengths)
    garbage = random_batch(model, lengths, seed=7)
    happened = batch.valid[:, 1:]
    changed = replace(
        batch,
        frames=torch.where(batch.valid[..., None, None, None], batch.frames, garbage.frames),
        vector=torch.where(batch.valid[..., None], batch.vector, garbage.vector),
        actions=torch.where(happened[..., None], batch.actions, garbage.actions),
        rewards=torch.where(happened, batch.rewards, garbage.rewards),
        continues=torch.where(happened, batch.continues, garbage.continues),
    )
    assert not torch.equal(changed.frames, batch.frames)
    one, two = total_and_gradients(model, batch), total_and_gradients(model, changed)
    torch.testing.assert_close(one[0].terms, two[0].terms)
    torch.testing.assert_close(one[0].total, two[0].total)
    torch.testing.assert_close(one[1], two[1])


def test_under_autocast_nothing_but_the_decoder_is_rounded():
    """For dreams are made of the rest, and they are made in float32."""
    changes = {"content_in_dynamics": True, "code_head": True, "ensemble": 2}
    model = tiny_model("box", vector_dim=2, objective=DREAMING, **changes)
    batch = random_batch(model)
    inference = model.infer(
        batch.observation, batch.actions, episode_start=batch.episode_start, sample=False
    )
    plain = elbo(model, batch, inference).terms
    with torch.autocast("cpu", torch.bfloat16):
        cast = elbo(model, batch, inference).terms
    assert len(plain) == 11
    assert [name for name in plain if not torch.equal(plain[name], cast[name])] == ["frames"]


@pytest.mark.parametrize("name", ["frames", "rewards", "continues", "vector"])
def test_everything_before_the_end_counts(name: str):
    model = tiny_model("box", vector_dim=2)
    batch = random_batch(model, (5, 3, 4))
    value = getattr(batch, name).clone()
    last = {"frames": 2, "vector": 2}.get(name, 1)  # of the row with three frames
    value[1, last] = 1 - value[1, last]
    changed = replace(batch, **{name: value})
    before, after = (model.loss(x, generator()).total for x in (batch, changed))
    assert before != after


def test_terms_add_up_with_their_weights():
    objective = ObjectiveConfig(
        beta_y=2.0, beta_z=3.0, residual_weight=5.0, continuation_weight=7.0
    )
    model = tiny_model("box", vector_dim=2, objective=objective)
    loss = model.loss(random_batch(model), generator())
    weights = {"kl_y1": 2, "kl_z": 3, "residuals": 5, "continuation": 7}
    expected = sum(weights.get(name, 1) * term for name, term in loss.terms.items())
    torch.testing.assert_close(loss.total.detach(), expected)
    assert set(loss.terms) == {"frames", "reward", "vector", *weights}
    plain = tiny_model("none", reward=False, continuation=False)
    assert set(plain.loss(random_batch(plain), generator()).terms) == {
        "frames",
        "kl_y1",
        "kl_z",
        "residuals",
    }


@pytest.mark.parametrize("substeps", [1, 3])
@torch.no_grad()
def test_terms_by_hand(substeps: int):
    model = tiny_model("none", reward=False, continuation=False, substeps=substeps)
    batch = random_batch(model, (4, 2))
    inference = model.infer(batch.observation, episode_start=batch.episode_start, sample=False)
    terms = elbo(model, batch, inference).terms
    rows = [(0, 4), (1, 2)]
    shown = model.decode_clip(inference.y, inference.content)
    frames = sum(-Normal(shown[b, :t], 1.0).log_prob(batch.frames[b, :t]).sum() for b, t in rows)
    torch.testing.assert_close(terms["frames"], frames / 2)
    divergence = kl_divergence(Normal(*inference.q_z), Normal(*inference.p_z))
    expected = sum(divergence[b, : t - 1].sum() for b, t in rows) / 2
    torch.testing.assert_close(terms["kl_z"], expected)
    residuals = inference.residuals.norm(dim=-1)
    expected = sum(residuals[b, : (t - 1) * substeps].sum() for b, t in rows) / 2
    torch.testing.assert_close(terms["residuals"], expected)


@pytest.mark.parametrize("shown", [1, 2])
@torch.no_grad()
def test_the_frames_that_are_decoded_stand_for_all(shown: int):
    """On average over what may be drawn, the term is that of all frames; padding is never drawn."""
    model = tiny_model("none")
    batch = random_batch(model, (4, 3))
    inference = model.infer(batch.observation, episode_start=batch.episode_start, sample=False)
    draws = [list(permutations(range(t), shown)) for t in (4, 3)]
    terms = [
        elbo(model, batch, inference, torch.tensor(drawn)).terms["frames"]
        for drawn in product(*draws)
    ]
    every = elbo(model, batch, inference).terms["frames"]
    torch.testing.assert_close(torch.stack(terms).mean(), every)
    assert torch.stack(terms).std() > 0
    lone = random_batch(model, (4, 1))  # its second row has fewer frames than are drawn
    inference = model.infer(lone.observation, episode_start=lone.episode_start, sample=False)
    every = elbo(model, lone, inference).terms["frames"]
    everything = torch.tensor([[3, 1, 0, 2], [0, 2, 1, 3]])
    torch.testing.assert_close(elbo(model, lone, inference, everything).terms["frames"], every)


def test_every_frame_is_drawn_in_its_turn():
    """And an update that decodes a part of them costs nothing else: other draws stay the same."""
    models = [tiny_model("box", objective=ObjectiveConfig(decoded_frames=n)) for n in (0, 2, 5)]
    batch = random_batch(models[0], (5, 3))
    losses = [[model.loss(batch, generator(i)).terms for i in range(50)] for model in models]
    whole, part, enough = ([float(terms["frames"]) for terms in of] for of in losses)
    assert whole == enough
    assert abs(mean(part) / mean(whole) - 1) < 0.1
    assert len({round(term, 3) for term in part}) > 10


@torch.no_grad()
def test_rewards_and_ends_belong_to_the_step_that_they_follow():
    """Row i of rewards is scored by what `step` predicts from y_i and a_i."""
    model = tiny_model("box")
    model.reward_normaliser.freeze(torch.tensor([2.0]), torch.tensor([3.0]))
    batch = random_batch(model, (5, 5))
    inference = model.infer(batch.observation, batch.actions, sample=False)
    noise = (inference.z - inference.p_z.mean) / inference.p_z.std
    reward = continuation = 0.0
    for i in range(4):
        state = inference.last.imagined(inference.y[:, i])
        _, prediction = model.step(state, batch.actions[:, i], noise=noise[:, i])
        scaled = (prediction.reward - 2) / 3, (batch.rewards[:, i] - 2) / 3
        reward = reward - Normal(scaled[0], 0.1).log_prob(scaled[1]).sum() / 2
        truth = batch.continues[:, i]
        chance = torch.where(truth == 1, prediction.continuation, 1 - prediction.continuation)
        continuation = continuation - chance.log().sum() / 2
    terms = elbo(model, batch, inference).terms
    torch.testing.assert_close(terms["reward"], reward, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(terms["continuation"], continuation, rtol=1e-3, atol=1e-3)


def test_rewards_that_nothing_foretells_do_not_drown_the_rest():
    """Their deviation fits the errors where these are larger than it, and only there."""
    batch, terms = random_batch(tiny_model("box")), {}
    for fits in (False, True):
        objective = ObjectiveConfig(reward_std=0.1, reward_std_fits=fits)
        for scale in (1, 100):
            model = tiny_model("box", objective=objective)
            wild = replace(batch, rewards=batch.rewards * scale)
            terms[fits, scale] = model.loss(wild, generator()).terms["reward"]
    per_transition = terms[True, 100] / batch.valid[:, 1:].sum() * len(batch.valid)
    assert terms[False, 100] > 1000 * per_transition
    errors = torch.tensor(100.0)  # its logarithm and constants alone are left
    assert per_transition < errors.log() + 2.5
    assert terms[True, 1] <= terms[False, 1]


def test_the_loss_draws_from_its_generator_alone():
    model = tiny_model("box")
    batch = random_batch(model)
    torch.manual_seed(0)
    one = model.loss(batch, generator(1)).total
    torch.manual_seed(1)
    assert torch.equal(model.loss(batch, generator(1)).total, one)
    assert not torch.equal(model.loss(batch, generator(2)).total, one)


def test_a_tiny_world_is_learnt():
    """The reward is the action, and the dream says so after a few seconds."""
    model = tiny_model("box").train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for i in range(150):
        batch = random_batch(model, (5,) * 12, seed=i)
        batch = replace(batch, rewards=batch.actions[..., 0])
        optimizer.zero_grad()
        model.loss(batch, generator(i)).total.backward()
        optimizer.step()
    model.eval()
    frames, actions = random_frames(64, 3, model, 1000), random_actions(model.action, 64, 3, 1000)
    with torch.no_grad():
        state = model.encode(Observation(frames), actions[:, :2], generator=generator())
        _, prediction = model.step(state, actions[:, 2], generator=generator())
    error = (prediction.reward - actions[:, 2, 0]).square().mean()
    assert error < 0.1 * actions[:, 2, 0].var()
