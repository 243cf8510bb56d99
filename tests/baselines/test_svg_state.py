"""The verbs of SVG's state, and futures of clips that are drawn many at a time."""

import pytest
import torch
from worlds import generator, random_frames, tiny_svg

from srvp_world.baselines import svg_sampling
from srvp_world.baselines.svg_sampling import SVGFutures
from srvp_world.errors import ConfigError, SpaceError, StateError
from srvp_world.world import Observation

PARTS = ("frame", "predictor", "prior", "posterior")


@pytest.fixture(scope="module")
def model():
    return tiny_svg().requires_grad_(False)


@pytest.fixture
def state(model):
    return model.encode(Observation(random_frames(3, 3, model)), sample=False)


def assert_rows(state, of, rows):
    """Check that the rows of a state are these rows of another one, maps included."""
    for name in PARTS:
        assert torch.equal(getattr(state, name), getattr(of, name)[rows]), name
    for maps, others in zip(state.skips, of.skips, strict=True):
        assert torch.equal(maps, others[rows])


def test_rows_are_taken_repeated_joined_and_mixed(model, state):
    assert_rows(state.index(torch.tensor([2, 0])), state, [2, 0])
    assert_rows(state.index(torch.tensor([False, True, True])), state, [1, 2])
    assert_rows(state.repeat(2), state, [0, 0, 1, 1, 2, 2])
    other = model.encode(Observation(random_frames(3, 2, model, seed=7)), sample=False)
    joined = type(state).cat([state, other])
    assert joined.batch_size == 6
    assert_rows(joined.index(torch.arange(3)), state, [0, 1, 2])
    assert_rows(joined.index(torch.arange(3, 6)), other, [0, 1, 2])
    mixed = state.where(torch.tensor([True, False, True]), other)
    assert_rows(mixed, joined, [0, 4, 2])
    with pytest.raises(StateError, match="3 and 6 rows"):
        state.where(torch.ones(3, dtype=torch.bool), joined)


def test_maps_are_shared_until_they_are_compacted(state):
    few = state.index(torch.tensor([1]))
    assert few.bank is state.bank and type(state).cat([few, state]).bank is state.bank
    assert len(few.compact().bank.w) == 1
    assert_rows(few.compact(), state, [1])


def test_an_imagined_row_makes_a_joined_state_an_imagined_one(model, state):
    imagined, _ = model.step(state, noise=torch.zeros(3, model.noise_dim))
    assert imagined.posterior is None and state.forget().posterior is None
    assert type(state).cat([state, imagined]).posterior is None
    assert state.where(torch.ones(3, dtype=torch.bool), imagined).posterior is None


def test_states_are_moved_and_cut_off(state):
    assert state.to("meta").device.type == "meta" and state.to("meta").skips[0].is_meta
    grown = state.index(torch.arange(3))
    grown.predictor.requires_grad_()
    assert not grown.detach().predictor.requires_grad
    assert state.detach().bank is state.bank


@torch.no_grad()
def test_without_noise_futures_are_steps_by_the_means(model, state, monkeypatch):
    frames = random_frames(3, 3, model)
    futures = SVGFutures(model)
    watched = futures.watch(frames)
    noise = torch.zeros(3, 2, futures.noise_size(3, 4))
    decoded = futures.decode(watched, futures.imagine(watched, noise, 4))
    assert decoded.shape == (3, 2, 4, *model.frame_shape)
    for t in range(4):
        state, _ = model.step(state, noise=torch.zeros(3, model.noise_dim))
        for sample in range(2):
            torch.testing.assert_close(decoded[:, sample, t], state.frame, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_every_sample_draws_the_posterior_of_the_observed_frames_again(model, monkeypatch):
    """One clip and one sample at a time, in the order z_2, z_3, ..."""
    frames = random_frames(2, 3, model)
    futures = SVGFutures(model)
    noise = torch.randn(2, 5, futures.noise_size(3, 2), generator=generator())
    watched = futures.watch(frames)
    whole = futures.decode(watched, futures.imagine(watched, noise, 2))
    for clip, sample in ((0, 0), (1, 4)):
        draws = noise[clip, sample].reshape(1, 4, model.noise_dim)
        alone = model.watch(frames[clip : clip + 1])
        z = alone.q_z.mean + alone.q_z.std * draws[:, :2]
        state = model.follow(alone, z, torch.zeros(1, dtype=torch.long))
        for t in range(2):
            state, _ = model.step(state, noise=draws[:, 2 + t])
            torch.testing.assert_close(whole[clip, sample, t], state.frame[0], rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(svg_sampling, "IMAGINED_AT_ONCE", 4)
    pieces = futures.decode(watched, futures.imagine(watched, noise, 2))
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_temperature_scales_the_noise_of_the_prior_and_not_that_of_the_posterior(model):
    noise = torch.randn(2, 3, SVGFutures(model).noise_size(3, 2), generator=generator())
    scaled = noise.clone()
    scaled[..., -2 * model.noise_dim :] *= 0.5
    watched = SVGFutures(model).watch(random_frames(2, 3, model))
    expected = SVGFutures(model).imagine(watched, scaled, 2)
    cooler = SVGFutures(model, temperature=0.5).imagine(watched, noise, 2)
    torch.testing.assert_close(cooler, expected)
    assert not torch.allclose(cooler, SVGFutures(model).imagine(watched, noise, 2), atol=1e-4)


@torch.no_grad()
def test_with_batch_statistics_a_sample_of_all_clips_is_a_batch():
    model = tiny_svg(batch_statistics=True)
    futures = SVGFutures(model)
    watched = futures.watch(random_frames(3, 3, model))
    noise = torch.randn(3, 4, futures.noise_size(3, 2), generator=generator())
    whole = futures.imagine(watched, noise, 2)
    for sample in range(4):
        alone = futures.imagine(watched, noise[:, sample : sample + 1], 2)
        assert torch.equal(whole[:, sample : sample + 1], alone)


def test_futures_have_no_time_between_frames_and_no_actions(model):
    for settings in ({"substeps": 2}, {"observed_substeps": 2}):
        with pytest.raises(ConfigError, match="no time between frames"):
            SVGFutures(model, **settings)
    with pytest.raises(SpaceError, match="no actions"):
        SVGFutures(model).watch(random_frames(1, 2, model), torch.zeros(1, 1, 1))
