"""Shapes, what networks see, and what they refuse."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import (
    ACTIONS,
    CONFIG,
    KINDS,
    generator,
    random_actions,
    random_frames,
    tiny_model,
)

from srvp_world.errors import ConfigError, DataError, SpaceError
from srvp_world.model.normaliser import Normaliser
from srvp_world.model.srvp import SRVP
from srvp_world.world import Observation

T = 5


def watch(model: SRVP, t: int = T, b: int = 3, seed: int = 0, **options):
    frames, actions = random_frames(b, t, model, seed), random_actions(model.action, b, t - 1)
    return model.infer(Observation(frames), actions, sample=False, **options)


@pytest.mark.parametrize("architecture", ["dcgan", "vgg"])
@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_every_frame_size_encodes_and_decodes(architecture: str, size: int, channels: int):
    skips = channels == 3
    model = tiny_model(
        "none", architecture=architecture, frame_size=size, channels=channels, skips=skips
    )
    state = model.encode(Observation(random_frames(2, 2, model)))
    frames = model.decode(state)
    assert frames.shape == (2, channels, size, size) == (2, *model.frame_shape)
    assert frames.min() >= 0
    assert frames.max() <= 1
    assert (state.skips is not None) == skips
    assert frames.std() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_actions_of_every_kind_move_the_world(kind: str):
    model = tiny_model(kind)
    frames, actions = random_frames(3, T, model), random_actions(model.action, 3, T - 1)
    state = model.encode(Observation(frames), actions)
    noise = torch.zeros(3, model.noise_dim)
    one, prediction = model.step(state, actions[:, 0] * 0, noise=noise)
    two, other = model.step(state, actions[:, 0] * 0 + 1, noise=noise)
    assert one.y.shape == (3, model.config.state_dim)
    assert prediction.reward.shape == prediction.continuation.shape == (3,)
    assert (one.y != two.y).any(1).all()
    assert (prediction.reward != other.reward).all()
    assert ((prediction.continuation > 0) & (prediction.continuation < 1)).all()


@torch.no_grad()
def test_goals_reach_dynamics_and_policies_only_where_asked():
    for dynamics, features in [(False, False), (True, False), (False, True)]:
        model = tiny_model("box", content_in_dynamics=dynamics, content_in_features=features)
        state, action = watch(model).last, random_actions(model.action, 3, 1)[:, 0]
        other = replace(state, slot=state.slot.flip(0))
        noise = torch.zeros(3, model.noise_dim)
        one, two = (model.step(x, action, noise=noise)[0].y for x in (state, other))
        assert torch.allclose(one, two) != dynamics
        assert model.features(state).shape == (3, model.feature_dim)
        assert model.feature_dim == 6 + 16 * features
        assert torch.allclose(model.features(state), model.features(other)) != features


@torch.no_grad()
def test_features_are_normalised_by_frozen_statistics():
    model = tiny_model("box")
    state = watch(model, b=8).last
    raw = model.features(state)
    model.feature_normaliser.freeze(raw.mean(0), raw.std(0))
    features = model.features(state)
    torch.testing.assert_close(features.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(6))


def test_what_is_constant_counts_as_spread_over_its_size_or_over_1():
    normaliser = Normaliser(3)
    normaliser.freeze(torch.tensor([0.01, 0.0, -3.0]), torch.tensor([0.0, 0.0, 4.0]))
    assert normaliser.std.tolist() == pytest.approx([0.01, 1.0, 4.0])
    assert normaliser.size.tolist() == pytest.approx([0.01 * 2**0.5, 1.0, 5.0])


@torch.no_grad()
def test_rewards_are_in_real_units():
    model = tiny_model("box")
    state, action = watch(model).last, random_actions(model.action, 3, 1)[:, 0]
    noise = torch.zeros(3, model.noise_dim)
    raw = model.step(state, action, noise=noise)[1].reward
    model.reward_normaliser.freeze(torch.tensor([-7.0]), torch.tensor([3.0]))
    torch.testing.assert_close(model.step(state, action, noise=noise)[1].reward, 3 * raw - 7)


@torch.no_grad()
def test_rewards_stay_within_what_was_seen():
    model = tiny_model("box")
    state, action = watch(model).last, random_actions(model.action, 3, 1)[:, 0]
    noise = torch.zeros(3, model.noise_dim)
    free = model.step(state, action, noise=noise)[1].reward
    low, high = free.min() + 0.2 * (free.max() - free.min()), free.mean()
    model.reward_normaliser.bound(low[None], high[None])
    bounded = model.step(state, action, noise=noise)[1].reward
    torch.testing.assert_close(bounded, free.clamp(low, high))
    assert not torch.equal(bounded, free)


@torch.no_grad()
def test_a_vector_beside_the_frames_is_read_and_shown():
    model = tiny_model("box", vector_dim=4)
    frames, actions = random_frames(2, T, model), random_actions(model.action, 2, T - 1)
    vector = torch.randn(2, T, 4, generator=generator())
    one = model.infer(Observation(frames, vector), actions, sample=False)
    two = model.infer(Observation(frames, -vector), actions, sample=False)
    assert not torch.allclose(one.codes, two.codes)
    assert model.decode_vector(one.last).shape == (2, 4)
    before = model.encode(
        Observation(frames[:, :-1], vector[:, :-1]), actions[:, :-1], sample=False
    )
    seen = Observation(frames[:, -1], vector[:, -1])
    after = model.observe(before, seen, actions[:, -1], sample=False)
    torch.testing.assert_close(after.y, one.last.y)


def test_a_vector_that_does_not_fit_is_refused():
    frames = random_frames(2, T, tiny_model())
    actions = random_actions(ACTIONS["box"], 2, T - 1)
    with pytest.raises(DataError, match=r"has shape None, the world wants \(2, 5, 4\)"):
        tiny_model(vector_dim=4).encode(Observation(frames), actions)
    with pytest.raises(DataError, match=r"has shape \(2, 5, 3\), the world wants \(2, 5, 4\)"):
        tiny_model(vector_dim=4).encode(Observation(frames, torch.zeros(2, T, 3)), actions)
    with pytest.raises(DataError, match="the world wants None"):
        tiny_model().encode(Observation(frames, torch.zeros(2, T, 3)), actions)
    state = tiny_model().encode(Observation(frames), actions)
    with pytest.raises(ConfigError, match="no vector"):
        tiny_model().decode_vector(state)


BAD_FRAMES = [
    torch.zeros(2, T, 1, 64, 64),
    torch.zeros(2, T, 3, 32, 32),
    torch.zeros(2, 1, 32, 32),
    torch.zeros(2, 0, 1, 32, 32),
    torch.zeros(2, T, 1, 32, 32, dtype=torch.uint8),
]


@pytest.mark.parametrize("frames", BAD_FRAMES, ids=lambda x: f"{x.dtype}{tuple(x.shape)}")
def test_wrong_frames_are_refused(frames: Tensor):
    with pytest.raises(DataError, match=r"frames must be floats .*got torch\.\w+ \(.*: resize"):
        tiny_model("none").encode(Observation(frames))


def test_wrong_numbers_of_frames_are_refused():
    model = tiny_model("box")
    frames, actions = random_frames(3, T, model), random_actions(model.action, 3, T - 1)
    with pytest.raises(DataError, match="got 1 frames but 2 are needed"):
        model.encode(Observation(frames[:, :1]), actions[:, :0])
    state = model.encode(Observation(frames), actions)
    with pytest.raises(DataError, match="got 2 frames for 3 states"):
        model.observe(state, Observation(frames[:2, 0]), actions[:, 0])
    with pytest.raises(DataError, match="NaN or infinite"):
        tiny_model("none").predict(frames * torch.nan, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_actions_are_refused(kind: str):
    model = tiny_model(kind)
    frames, actions = random_frames(2, T, model), random_actions(model.action, 2, T - 1)
    state = model.encode(Observation(frames), actions)
    with pytest.raises(SpaceError, match="got none"):
        model.encode(Observation(frames))
    with pytest.raises(SpaceError, match="needs actions of shape"):
        model.encode(Observation(frames), actions[:, :-1])
    with pytest.raises(SpaceError, match="needs actions of shape"):
        model.step(state, actions)
    with pytest.raises(SpaceError, match="got none"):
        model.step(state)
    with pytest.raises(SpaceError, match="needs actions of shape"):
        model.observe(state, Observation(frames[:, 0]), actions[:1, 0])
    if kind != "box":
        with pytest.raises(SpaceError, match="outside"):
            model.step(state, actions[:, 0] + 3)
    with pytest.raises(SpaceError, match="takes no actions"):
        tiny_model("none").encode(Observation(frames), actions)
    with pytest.raises(SpaceError, match="use encode and step"):
        model.predict(frames, 2)


def test_impossible_numbers_of_steps_are_refused():
    model = tiny_model("none")
    frames = random_frames(2, T, model)
    with pytest.raises(ConfigError, match="horizon"):
        model.predict(frames, -1)
    with pytest.raises(ConfigError, match="substeps must be at least 1, got 0"):
        model.predict(frames, 1, substeps=0)
    with pytest.raises(ConfigError, match="substeps"):
        model.infer(Observation(frames), substeps=-1)


def test_seeds_make_models_and_leave_the_global_stream_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    one, two, other = (SRVP(replace(CONFIG, skips=True), seed=seed) for seed in (0, 0, 1))
    frames = random_frames(2, T, one)
    one.predict(frames, 2, generator=generator())
    assert torch.equal(torch.rand(4), expected)
    for ours, theirs in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(one.prior.network[0].weight, other.prior.network[0].weight)
