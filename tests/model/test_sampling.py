import pytest
import torch
from worlds import generator, random_actions, random_frames, tiny_model

from srvp_world.model import sampling
from srvp_world.model.sampling import Futures
from srvp_world.world import Observation


def noise_for(futures: Futures, b: int, samples: int, observed: int, horizon: int):
    size = futures.noise_size(observed, horizon)
    return torch.randn(b, samples, size, generator=generator())


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize(("substeps", "observed_substeps"), [(None, None), (3, 1), (1, 2)])
@torch.no_grad()
def test_without_noise_it_is_the_models_own_prediction(skips, substeps, observed_substeps) -> None:
    model = tiny_model("none", skips=skips, substeps=2, reward=False, continuation=False)
    frames = random_frames(3, 4, model)
    futures = Futures(model, substeps=substeps, observed_substeps=observed_substeps)
    watched = futures.watch(frames)
    states = futures.imagine(watched, torch.zeros(3, 2, futures.noise_size(4, 5)), 5)
    expected = model.predict(
        frames, 5, substeps=substeps, observed_substeps=observed_substeps, sample=False
    )
    decoded = futures.decode(watched, states)
    assert decoded.shape == (3, 2, 5, *model.frame_shape)
    for sample in range(2):
        torch.testing.assert_close(decoded[:, sample], expected[:, 4:], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_every_sample_draws_the_posterior_of_the_observed_frames_again() -> None:
    """By hand, one clip and one sample at a time, in the order y_1, z_2, z_3, ..."""
    model = tiny_model("none", reward=False, continuation=False)
    frames = random_frames(2, 3, model)
    futures = Futures(model)
    noise = noise_for(futures, 2, 3, 3, 2)
    watched = futures.watch(frames)
    states = futures.imagine(watched, noise, 2)
    d, e = model.config.state_dim, model.config.innovation_dim
    for clip in range(2):
        for sample in range(3):
            inference = model.infer(Observation(frames[clip : clip + 1]), sample=False)
            one = noise[clip, sample]
            y = inference.q_y1.mean + inference.q_y1.std * one[:d]
            draws = one[d:].reshape(4, e)
            for i in range(2):
                z = inference.q_z.mean[:, i] + inference.q_z.std[:, i] * draws[i]
                y = y + model.dynamics.network(torch.cat([y, z], dim=-1))
            for i in range(2):
                prior = model.prior(y, model._context(None, inference.content.w))
                z = prior.mean + prior.std * draws[2 + i]
                y = y + model.dynamics.network(torch.cat([y, z], dim=-1))
                torch.testing.assert_close(states[clip, sample, i], y[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_temperature_scales_the_noise_of_the_prior_and_not_that_of_the_posterior() -> None:
    model = tiny_model("none", reward=False, continuation=False)
    futures = Futures(model)
    noise = noise_for(futures, 2, 2, 3, 4)
    watched = futures.watch(random_frames(2, 3, model))
    scaled = noise.clone()
    scaled[..., -4 * model.config.innovation_dim :] *= 0.5
    expected = futures.imagine(watched, scaled, 4)
    cooler = Futures(model, temperature=0.5).imagine(watched, noise, 4)
    torch.testing.assert_close(cooler, expected)
    assert not torch.allclose(cooler, futures.imagine(watched, noise, 4), atol=1e-4)


@torch.no_grad()
def test_actions_are_taken_after_the_frames_that_they_follow() -> None:
    model = tiny_model("box")
    frames, actions = random_frames(2, 3, model), random_actions(model.action, 2, 6)
    futures = Futures(model)
    watched = futures.watch(frames, actions[:, :2])
    states = futures.imagine(
        watched, torch.zeros(2, 1, futures.noise_size(3, 4)), 4, actions[:, 2:]
    )
    start = torch.ones(2, dtype=torch.bool)
    state = model.encode(Observation(frames), actions[:, :2], episode_start=start, sample=False)
    for i in range(4):
        noise = torch.zeros(2, model.noise_dim)
        state, _ = model.step(state, actions[:, 2 + i], noise=noise)
        torch.testing.assert_close(states[:, 0, i], state.y, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_frames_that_are_decoded_in_pieces_keep_their_clip(monkeypatch) -> None:
    model = tiny_model("none", skips=True, reward=False, continuation=False)
    futures = Futures(model)
    watched = futures.watch(random_frames(3, 2, model))
    states = futures.imagine(watched, noise_for(futures, 3, 2, 2, 3), 3)
    whole = futures.decode(watched, states)
    monkeypatch.setattr(sampling, "DECODED_AT_ONCE", 4)
    pieces = futures.decode(watched, states)
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)
