"""Laws of the model: shapes, time, chance, and what belongs to whom."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import (
    KINDS,
    generator,
    random_actions,
    random_batch,
    random_frames,
    tiny_model,
)

from srvp_world.errors import StateError
from srvp_world.model.dynamics import Context
from srvp_world.model.srvp import SRVP
from srvp_world.world import Observation

T = 5


def watch(model: SRVP, t: int = T, b: int = 3, seed: int = 0, **options):
    frames, actions = random_frames(b, t, model, seed), random_actions(model.action, b, t - 1)
    return model.infer(Observation(frames), actions, sample=False, **options)


@pytest.mark.parametrize(("observed", "substeps"), [(1, 1), (2, 3), (3, 1)])
def test_predict_shows_every_frame_or_every_euler_step(observed: int, substeps: int):
    model = tiny_model("none")
    options = {"observed_substeps": observed, "substeps": substeps, "sample": False}
    frames = random_frames(2, 4, model)
    whole = model.predict(frames, 3, **options)
    fine = model.predict(frames, 3, **options, intermediate=True)
    assert whole.shape == (2, 4 + 3, 1, 32, 32)
    assert fine.shape == (2, 1 + 3 * observed + 3 * substeps, 1, 32, 32)
    times = [i * observed for i in range(4)] + [3 * observed + (i + 1) * substeps for i in range(3)]
    torch.testing.assert_close(fine[:, times], whole)


def test_predict_without_a_horizon_reconstructs():
    model = tiny_model("none")
    frames = random_frames(2, 4, model)
    longer = model.predict(frames, 2, sample=False)
    torch.testing.assert_close(model.predict(frames, 0, sample=False), longer[:, :4])


def test_predictions_are_drawn_from_the_generator():
    model, frames = tiny_model("none"), random_frames(2, 3, tiny_model("none"))
    one = model.predict(frames, 2, generator=generator(1))
    assert torch.equal(one, model.predict(frames, 2, generator=generator(1)))
    assert not torch.equal(one, model.predict(frames, 2, generator=generator(2)))


@pytest.mark.parametrize("kind", ["none", *KINDS])
@torch.no_grad()
def test_watching_one_frame_more_is_watching_the_longer_clip(kind: str):
    model = tiny_model(kind, substeps=2)
    frames, actions = random_frames(3, T, model), random_actions(model.action, 3, T - 1)
    shorter = None if actions is None else actions[:, :-1]
    before = model.encode(Observation(frames[:, :-1]), shorter, sample=False)
    action = None if actions is None else actions[:, -1]
    after = model.observe(before, Observation(frames[:, -1]), action, sample=False)
    whole = model.encode(Observation(frames), actions, sample=False)
    torch.testing.assert_close(after.y, whole.y)
    torch.testing.assert_close(after.memory, whole.memory)
    assert not torch.allclose(after.y, before.y)


@pytest.mark.parametrize("kind", ["lstm", "state"])
@torch.no_grad()
def test_an_episode_is_watched_alike_in_one_piece_and_frame_by_frame(kind: str):
    model = tiny_model("box", content_in_dynamics=True, skips=True, filter=kind)
    frames, actions = random_frames(3, T, model), random_actions(model.action, 3, T - 1)
    start = torch.ones(3, dtype=torch.bool)
    state = model.encode(
        Observation(frames[:, :1]), actions[:, :0], episode_start=start, sample=False
    )
    for i in range(1, T):
        state = model.observe(state, Observation(frames[:, i]), actions[:, i - 1], sample=False)
    whole = model.encode(Observation(frames), actions, episode_start=start, sample=False)
    torch.testing.assert_close(state.y, whole.y)
    torch.testing.assert_close(model.decode(state), model.decode(whole))


@torch.no_grad()
def test_a_first_frame_alone_gives_the_start_of_an_episode():
    model = tiny_model("box", skips=True)
    frames, actions = random_frames(2, T, model), random_actions(model.action, 2, T - 1)
    other = frames.clone()
    other[:, 1:] = random_frames(2, T - 1, model, seed=5)
    start = torch.tensor([True, False])
    one, two = (
        model.infer(Observation(x), actions, episode_start=start, sample=False)
        for x in (frames, other)
    )
    for name in ("q_y1", "w", "skips"):
        values = [
            inference.q_y1.mean if name == "q_y1" else getattr(inference.content, name)
            for inference in (one, two)
        ]
        left, right = (value[0] if name == "skips" else value for value in values)
        torch.testing.assert_close(left[0], right[0])
        assert not torch.allclose(left[1], right[1])


@torch.no_grad()
def test_only_a_filter_on_the_state_knows_where_the_state_is():
    """Of two states that are watched on, one of which is off, only it treats them differently."""
    for kind, differs in (("lstm", False), ("state", True)):
        model = tiny_model("box", filter=kind)
        state, action = watch(model).last, random_actions(model.action, 3, 1)[:, 0]
        frames = Observation(random_frames(3, 1, model)[:, 0])
        off = replace(state, y=state.y + 1)
        seen, _ = model.filter(
            model.encoder(frames.frames)[0][:, None], action[:, None], state.memory
        )
        one, two = (model.filter.innovation(seen[:, 0], s.y).mean for s in (state, off))
        assert torch.allclose(one, two) != differs


@torch.no_grad()
def test_content_of_experience_comes_from_the_first_frame():
    """As it does in `encode` of an episode, so that training sees what acting will."""
    model = tiny_model("box", skips=True)
    frames, actions = random_frames(3, T, model), random_actions(model.action, 3, T - 1)
    first = Observation(random_frames(3, 1, model, seed=7)[:, 0])
    start = torch.ones(3, dtype=torch.bool)
    window = model.infer(Observation(frames), actions, first=first, sample=False)
    begun = model.encode(Observation(first.frames[:, None]), actions[:, :0], episode_start=start)
    torch.testing.assert_close(window.content.w, begun.w)
    for mine, theirs in zip(window.content.skips, begun.skips, strict=True):
        torch.testing.assert_close(mine, theirs)
    alone = model.infer(Observation(frames), actions, sample=False)
    torch.testing.assert_close(window.y, alone.y)


def test_imagined_states_cannot_observe():
    model = tiny_model("box")
    frames, actions = random_frames(2, T, model), random_actions(model.action, 2, T - 1)
    state, _ = model.step(model.encode(Observation(frames), actions), actions[:, 0])
    with pytest.raises(StateError, match="start from encode or observe"):
        model.observe(state, Observation(frames[:, 0]), actions[:, 0])
    begun = model.prior_start(model.encode(Observation(frames), actions), torch.zeros(2, 6))
    with pytest.raises(StateError):
        model.observe(begun, Observation(frames[:, 0]), actions[:, 0])


@torch.no_grad()
def test_a_step_is_an_euler_step_from_the_prior():
    model = tiny_model("box", content_in_dynamics=True)
    state, action = watch(model).last, random_actions(model.action, 3, 1)[:, 0]
    noise = torch.randn(3, model.noise_dim, generator=generator())
    following, _ = model.step(state, action, noise=noise, temperature=0.5)
    context = Context(model.action.encode(action), state.w)
    prior = model.prior(state.y, context)
    z = prior.mean + 0.5 * prior.std * noise
    expected = state.y + model.dynamics.network(context.join(state.y, z))
    torch.testing.assert_close(following.y, expected)


@torch.no_grad()
def test_temperature_scales_the_deviation_alone():
    model = tiny_model("box")
    state, action = watch(model).last, random_actions(model.action, 3, 1)[:, 0]
    noise = torch.randn(3, model.noise_dim, generator=generator())
    cold, _ = model.step(state, action, noise=noise, temperature=0.0)
    mean, _ = model.step(state, action, noise=torch.zeros_like(noise))
    hot, _ = model.step(state, action, noise=noise, temperature=2.0)
    double, _ = model.step(state, action, noise=2 * noise)
    torch.testing.assert_close(cold.y, mean.y)
    torch.testing.assert_close(hot.y, double.y)
    assert not torch.allclose(hot.y, mean.y)


@torch.no_grad()
def test_substeps_converge_at_first_order():
    dynamics = tiny_model("none").dynamics.double()
    y, z = (torch.randn(8, n, generator=generator()).double() for n in (6, 3))

    def end(substeps: int) -> Tensor:
        states, residuals = dynamics(y, z, Context(None, None), substeps)
        assert states.shape == residuals.shape == (8, substeps, 6)
        return states[:, -1]

    exact = end(4096)
    steps = torch.tensor([8.0, 16, 32, 64, 128])
    errors = torch.stack([(end(int(n)) - exact).norm() for n in steps])
    slope = torch.linalg.lstsq(
        torch.stack([steps.log(), torch.ones(5)], 1), errors.float().log()[:, None]
    ).solution[0, 0]
    assert -1.15 < slope < -0.85


@torch.no_grad()
def test_the_past_does_not_know_the_future():
    model, changed = tiny_model("box"), 3
    frames, actions = random_frames(2, T, model), random_actions(model.action, 2, T - 1)
    other = frames.clone()
    other[:, changed:] = random_frames(2, T - changed, model, seed=5)
    one, two = (model.infer(Observation(x), actions, sample=False) for x in (frames, other))
    torch.testing.assert_close(one.q_z.mean[:, : changed - 1], two.q_z.mean[:, : changed - 1])
    torch.testing.assert_close(one.y[:, :changed], two.y[:, :changed])
    assert not torch.allclose(one.q_z.mean[:, changed - 1], two.q_z.mean[:, changed - 1])
    assert not torch.allclose(one.y[:, changed], two.y[:, changed])


@pytest.mark.parametrize("changed", range(T - 1))
@torch.no_grad()
def test_an_action_moves_what_follows_it(changed: int):
    model = tiny_model("box")
    frames, actions = random_frames(2, T, model), random_actions(model.action, 2, T - 1)
    other = actions.clone()
    other[:, changed] *= -0.5
    one, two = (model.infer(Observation(frames), x, sample=False) for x in (actions, other))
    torch.testing.assert_close(one.y[:, : changed + 1], two.y[:, : changed + 1])
    assert not torch.allclose(one.y[:, changed + 1], two.y[:, changed + 1])
    torch.testing.assert_close(one.q_z.mean[:, :changed], two.q_z.mean[:, :changed])
    assert not torch.allclose(one.q_z.mean[:, changed], two.q_z.mean[:, changed])
    torch.testing.assert_close(one.p_z.mean[:, :changed], two.p_z.mean[:, :changed])
    assert not torch.allclose(one.p_z.mean[:, changed], two.p_z.mean[:, changed])


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_imagining_with_what_was_inferred_repeats_what_was_inferred(kind: str):
    """Actions, z and states stand at the same times in `infer` as in `step`."""
    model = tiny_model(kind, content_in_dynamics=True, substeps=2)
    frames, actions = random_frames(3, T, model), random_actions(model.action, 3, T - 1)
    inference = model.infer(Observation(frames), actions, generator=generator())
    noise = (inference.z - inference.p_z.mean) / inference.p_z.std
    for i in range(T - 1):
        state = inference.last.imagined(inference.y[:, i])
        state, _ = model.step(state, actions[:, i], noise=noise[:, i])
        torch.testing.assert_close(state.y, inference.y[:, i + 1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["none", "box"])
@torch.no_grad()
def test_previews_watch_then_imagine(kind: str):
    model = tiny_model(kind)
    batch = random_batch(model, (5, 5, 5))
    one = model.preview(batch, 2, generator())
    assert one.shape == batch.frames.shape
    changed = replace(batch, frames=batch.frames.clone())
    changed.frames[:, 2:] = 0
    assert torch.equal(model.preview(changed, 2, generator()), one)
    changed.frames[:, 1] = 0
    assert not torch.allclose(model.preview(changed, 2, generator()), one)


@torch.no_grad()
def test_content_does_not_mind_the_order_of_frames_and_skips_are_of_one_frame():
    model = tiny_model("none", skips=True)
    frames = random_frames(2, T, model)
    order = torch.tensor([[1, 3], [0, 2]])
    one, two = (
        model.infer(Observation(frames), content_frames=x, skip_frame=order[:, 0], sample=False)
        for x in (order, order.flip(1))
    )
    torch.testing.assert_close(one.content.w, two.content.w)
    alone = model.infer(
        Observation(frames[torch.arange(2), order[:, 0]][:, None].repeat(1, 2, 1, 1, 1)),
        sample=False,
    )
    for ours, theirs in zip(one.content.skips, alone.content.skips, strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_padding_is_seen_by_nothing_static():
    model = tiny_model("none", skips=True)
    frames = random_frames(2, T, model)
    lengths = torch.tensor([1, 3])
    changed = frames.clone()
    changed[0, 1:], changed[1, 3:] = 0, 0
    one, two = (
        model.infer(Observation(x), lengths=lengths, sample=False) for x in (frames, changed)
    )
    torch.testing.assert_close(one.content.w, two.content.w)
    torch.testing.assert_close(one.q_y1.mean, two.q_y1.mean)
    torch.testing.assert_close(one.content.skips, two.content.skips)
