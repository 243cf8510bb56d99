"""SVG-LP: its wiring against cells that are called by hand, its loss, and the laws of a world."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from worlds import SVG_CONFIG, generator, random_batch, random_frames, tiny_svg

from srvp_world.baselines.svg import SVG
from srvp_world.baselines.svg_config import SVGConfig, SVGObjective
from srvp_world.errors import ConfigError, DataError, SpaceError, StateError
from srvp_world.presets import preset
from srvp_world.world import Observation

PARAMETERS = {
    "svg-smmnist": 12_614_057,
    "svg-bair": 22_831_747,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_networks_have_the_size_of_the_released_ones(name):
    model = SVG(preset(name).model)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


def cells(recurrent) -> list[nn.LSTMCell]:
    """Copy the layers of a recurrent network into cells."""
    lstm, copies = recurrent.lstm, []
    for layer in range(lstm.num_layers):
        cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).data.copy_(getattr(lstm, f"{name}_l{layer}"))
        copies.append(cell)
    return copies


def run_cells(recurrent, sequence):
    """Read (b, t, d) cell by cell; give what the last layer puts out, (b, t, hidden)."""
    layers, outputs = cells(recurrent), []
    memories = [None] * len(layers)
    for value in recurrent.embed(sequence).unbind(1):
        for i, cell in enumerate(layers):
            memories[i] = cell(value, memories[i])
            value = memories[i][0]
        outputs.append(value)
    return torch.stack(outputs, 1)


@torch.no_grad()
def test_posterior_sees_the_frame_that_comes_and_prior_the_one_that_is_there():
    model = tiny_svg()
    frames = random_frames(2, 4, model)
    watched = model.watch(frames)
    codes = torch.stack([model.encoder(frames[:, t])[0] for t in range(4)], 1)
    for found, network, seen in (
        (watched.q_z, model.posterior, codes[:, 1:]),
        (watched.p_z, model.prior, codes[:, :-1]),
    ):
        outputs = run_cells(network.recurrent, seen)
        torch.testing.assert_close(found.mean, network.mean(outputs))
        torch.testing.assert_close(found.std.log() * 2, network.log_variance(outputs))


@torch.no_grad()
def test_every_frame_is_predicted_from_true_ones_and_skips_stop_before_the_last_watched_one():
    model = tiny_svg(content_frames=3)
    batch = random_batch(model, (5, 5))
    prediction = model.loss(batch, generator(3)).prediction
    watched = model.watch(batch.frames)
    z = watched.q_z.sample(generator(3))
    codes, maps = zip(*(model.encoder(batch.frames[:, t]) for t in range(5)), strict=True)
    inputs = torch.cat([torch.stack(codes[:-1], 1), z], dim=-1)
    told = model.predictor.output(run_cells(model.predictor.recurrent, inputs)).tanh()
    for t, skip in enumerate((0, 1, 1, 1)):  # with three watched frames no later than the second
        expected = model.decoder(told[:, t], maps[skip])
        torch.testing.assert_close(prediction[:, t], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_loss_is_mean_squares_of_pixels_and_weighted_kl_summed_over_time():
    model = tiny_svg(objective=SVGObjective(beta_z=0.3))
    batch = random_batch(model, (5, 3))
    loss = model.loss(batch, generator(3))
    watched = model.watch(batch.frames)
    q, p = (torch.distributions.Normal(*z) for z in (watched.q_z, watched.p_z))
    divergence = torch.distributions.kl_divergence(q, p).sum(-1)
    error = (loss.prediction - batch.frames[:, 1:]).flatten(2).square().mean(-1)
    frames = (error[0].sum() + error[1, :2].sum()) / 2  # the second clip has three frames
    kl = (divergence[0].sum() + divergence[1, :2].sum()) / 2
    torch.testing.assert_close(loss.terms["frames"], frames)
    torch.testing.assert_close(loss.terms["kl_z"], kl)
    torch.testing.assert_close(loss.total, frames + 0.3 * kl)


def test_under_bfloat16_loss_and_gradients_are_those_of_float32_but_for_rounding():
    def learn(enabled):
        model = tiny_svg()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = model.loss(random_batch(model, (5, 5)), generator(3))
        assert loss.total.dtype == loss.prediction.dtype == torch.float32
        loss.total.backward()
        return loss.total.item(), torch.cat([p.grad.flatten() for p in model.parameters()])

    (exact, gradient), (rounded, other) = learn(False), learn(True)
    assert rounded == pytest.approx(exact, rel=1e-2) and rounded != exact
    assert torch.cosine_similarity(gradient, other, dim=0) > 0.99


@torch.no_grad()
def test_a_step_that_is_told_the_true_frame_and_innovation_is_the_prediction_of_the_loss():
    model = tiny_svg()
    batch = random_batch(model, (5, 5))
    prediction = model.loss(batch, generator(3)).prediction
    watched = model.watch(batch.frames)
    z = watched.q_z.sample(generator(3))
    noise = (z - watched.p_z.mean) / watched.p_z.std
    state = model.encode(Observation(batch.frames[:, :1]))
    for t in range(4):
        state = replace(state, frame=batch.frames[:, t])
        state, _ = model.step(state, noise=noise[:, t])
        torch.testing.assert_close(model.decode(state), prediction[:, t], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_what_is_imagined_next_depends_on_the_frame_that_was_imagined():
    model = tiny_svg()
    state = model.encode(Observation(random_frames(2, 3, model)), sample=False)
    still = torch.zeros(2, model.noise_dim)
    state, _ = model.step(state, noise=still)
    same, _ = model.step(state, noise=still)
    other, _ = model.step(replace(state, frame=1 - state.frame), noise=still)
    again, _ = model.step(state, noise=still)
    assert torch.equal(model.decode(same), model.decode(again))
    assert not torch.allclose(model.decode(same), model.decode(other), atol=1e-4)
    assert not torch.allclose(model.features(same), model.features(other), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("begin", [1, 2, 3])
def test_watching_frame_by_frame_is_watching_the_longer_clip(begin):
    model = tiny_svg()
    frames = random_frames(2, 5, model)
    state = model.encode(Observation(frames[:, :begin]), sample=False)
    for t in range(begin, 5):
        state = model.observe(state, Observation(frames[:, t]), sample=False)
    whole = model.encode(Observation(frames), sample=False)
    for name in ("frame", "predictor", "prior", "posterior"):
        torch.testing.assert_close(getattr(state, name), getattr(whole, name), msg=name)
    torch.testing.assert_close(state.skips, whole.skips)
    noise = torch.randn(2, model.noise_dim, generator=generator())
    both = [model.decode(model.step(each, noise=noise)[0]) for each in (state, whole)]
    torch.testing.assert_close(*both)


@torch.no_grad()
def test_rows_do_not_know_their_neighbours():
    model = tiny_svg()
    frames = random_frames(3, 3, model)
    noise = torch.randn(3, model.noise_dim, generator=generator())
    state = model.encode(Observation(frames), sample=False)
    together = model.decode(model.step(state, noise=noise)[0])
    for row in range(3):
        alone = model.encode(Observation(frames[row : row + 1]), sample=False)
        shown = model.decode(model.step(alone, noise=noise[row : row + 1])[0])
        torch.testing.assert_close(shown, together[row : row + 1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


@torch.no_grad()
def test_batch_statistics_are_those_of_one_time_of_the_batch_in_evaluation_too():
    model = tiny_svg(batch_statistics=True)
    assert not any("running" in name for name in model.state_dict())
    frames = random_frames(4, 3, model)
    codes = model.watch(frames).codes
    for t in range(3):
        torch.testing.assert_close(codes[:, t], model.encoder(frames[:, t])[0])
    torch.testing.assert_close(model.train().watch(frames).codes, codes)
    assert not torch.allclose(model.eval().watch(frames[:2]).codes, codes[:2], atol=1e-3)
    with pytest.raises(ConfigError, match="one clip alone"):
        model.watch(frames[:1])
    default = tiny_svg()
    torch.testing.assert_close(default.watch(frames[:2]).codes, default.watch(frames).codes[:2])


@torch.no_grad()
def test_temperature_scales_the_noise_of_the_prior():
    model = tiny_svg()
    state = model.encode(Observation(random_frames(2, 3, model)), sample=False)
    noise = torch.randn(2, model.noise_dim, generator=generator())
    shown = {
        (heat, factor): model.decode(model.step(state, noise=factor * noise, temperature=heat)[0])
        for heat, factor in ((1.0, 1.0), (2.0, 0.5), (0.0, 1.0), (1.0, 0.0))
    }
    torch.testing.assert_close(shown[1.0, 1.0], shown[2.0, 0.5])
    torch.testing.assert_close(shown[0.0, 1.0], shown[1.0, 0.0])
    assert not torch.allclose(shown[1.0, 1.0], shown[0.0, 1.0], atol=1e-4)
    drawn = model.step(state, generator=generator())[0]
    assert torch.equal(model.decode(drawn), shown[1.0, 1.0])


@torch.no_grad()
def test_a_preview_watches_with_the_posterior_and_goes_on_with_its_own_frames():
    model = tiny_svg()
    batch = random_batch(model, (5, 5))
    shown = model.preview(batch, 3, generator(3))
    assert shown.shape == batch.frames.shape
    assert torch.equal(shown[:, 0], batch.frames[:, 0])
    draws = generator(3)
    state = model.encode(Observation(batch.frames[:, :3]), generator=draws)
    for t in (3, 4):
        state, _ = model.step(state, generator=draws)
        torch.testing.assert_close(shown[:, t], model.decode(state))
    other = replace(batch, frames=torch.cat([batch.frames[:, :3], 0 * batch.frames[:, 3:]], 1))
    assert torch.equal(model.preview(other, 3, generator(3)), shown)  # it saw three frames
    begun = model.preview(batch, 1, generator(3))
    assert torch.equal(begun[:, 0], batch.frames[:, 0]) and begun.shape == shown.shape


def test_a_clip_is_learnt_by_heart():
    model = tiny_svg().train()
    batch = random_batch(model, (4, 4))
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    errors = []
    for i in range(80):
        loss = model.loss(batch, generator(i))
        adam.zero_grad()
        loss.total.backward()
        adam.step()
        errors.append(loss.terms["frames"])
    assert errors[-1] < 0.5 * errors[0]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_initialisation_is_that_of_dcgan_and_from_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = SVG(replace(SVG_CONFIG, filters=16), seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            assert module.bias.abs().max() == 0
    assert model.decoder.stages[0][0].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert model.predictor.recurrent.embed.weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_what_svg_does_not_know_is_refused_in_one_line():
    model = tiny_svg()
    frames = random_frames(2, 3, model)
    state = model.encode(Observation(frames))
    imagined, prediction = model.step(state)
    assert prediction == (None, None)
    vector = torch.zeros(2, 3, 1)
    refusals = [
        (StateError, "imagined", lambda: model.observe(imagined, Observation(frames[:, 0]))),
        (StateError, "imagined", lambda: model.observe(state.forget(), Observation(frames[:, 0]))),
        (SpaceError, "no actions", lambda: model.step(state, torch.zeros(2, 1))),
        (SpaceError, "no actions", lambda: model.encode(Observation(frames), vector)),
        (DataError, "alone", lambda: model.encode(Observation(frames, vector))),
        (DataError, "floats", lambda: model.encode(Observation(frames[..., :16]))),
        (DataError, "floats", lambda: model.observe(state, Observation(frames[:, 0, :, :16]))),
        (DataError, "1 frames for 2", lambda: model.observe(state, Observation(frames[:1, 0]))),
        (ConfigError, "substeps are 2", lambda: model.step(state, substeps=2)),
        (ConfigError, "no prior", lambda: model.prior_start(state, torch.zeros(2, 0))),
        (ConfigError, "no vector", lambda: model.decode_vector(state)),
        (ConfigError, "uncertain", lambda: model.uncertainty(state)),
        (ConfigError, "no rewards", lambda: model.reward_normaliser),
    ]
    for error, words, refused in refusals:
        with pytest.raises(error, match=words) as caught:
            refused()
        assert len(str(caught.value).splitlines()) == 1
    assert torch.equal(
        *(
            model.step(state, noise=0 * imagined.frame[:, 0, 0, :3], substeps=n)[0].frame
            for n in (1, None)
        )
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "unet"}, "'dcgan', 'vgg', got 'unet'"),
        ({"frame_size": 48}, "32, 64, 128, got 48"),
        ({"channels": 2}, "1, 3, got 2"),
        ({"innovation_dim": 0}, "innovation_dim must be at least 1, got 0"),
    ],
)
def test_shapes_that_make_no_svg(changes, words):
    with pytest.raises(ConfigError, match=words):
        SVGConfig(**changes)
    with pytest.raises(ConfigError, match="beta_z must not be negative"):
        SVGObjective(beta_z=-1.0)
