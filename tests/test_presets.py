"""The paper's hyper-parameters by name, as the original's code and README have them."""

from dataclasses import replace

import pytest

from srvp_world.errors import UnknownNameError
from srvp_world.model.srvp import SRVP
from srvp_world.presets import PRESETS, preset

PAPER = {
    # iterations, decay, batch, frames, watched, y and z, k, substeps, pixel std, beta_z, gain
    "smmnist": (1_100_000, 100_000, 128, 15, 5, 20, 5, 1, 1.0, 2.0, 1.41),
    "mmnist": (900_000, 100_000, 128, 15, 5, 20, 5, 1, 1.0, 2.0, 1.41),
    "kth": (200_000, 50_000, 100, 20, 10, 50, 3, 2, 0.2, 1.0, 1.2),
    "human36m": (350_000, 25_000, 100, 16, 8, 50, 3, 2, 0.2, 1.0, 1.2),
    "bair": (1_500_000, 500_000, 192, 12, 2, 50, 2, 2, 0.71, 1.0, 1.41),
}
PARAMETERS = {
    "smmnist": 10_678_284,
    "mmnist": 10_678_284,
    "kth": 23_877_854,
    "human36m": 23_880_158,
    "bair": 23_847_390,
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_runs_have_the_papers_values(name):
    model, train = preset(name).model, preset(name).train
    assert PAPER[name] == (
        train.iterations,
        train.decay,
        train.batch_size,
        train.window,
        train.conditioning,
        model.state_dim,
        model.content_frames,
        model.substeps,
        model.objective.observation_std,
        model.objective.beta_z,
        model.dynamics_gain,
    )
    assert train.learning_rate == 3e-4 and train.clip_norm == 0
    assert model.innovation_dim == model.state_dim
    assert model.objective.beta_y == model.objective.residual_weight == 1
    grey = name in ("smmnist", "mmnist", "kth")
    assert model.channels == (1 if grey else 3)
    assert (model.architecture, model.skips) == (
        ("dcgan", False) if "mnist" in name else ("vgg", True)
    )


VALIDATION = {
    # updates between validations, clips of a batch, frames of a clip, which weights are reported
    "smmnist": (20_000, 16, 15, "last"),
    "mmnist": (20_000, 16, 15, "last"),
    "kth": (5_000, 16, 30, "best"),
    "human36m": (20_000, 8, 53, "best"),
    "bair": (20_000, 16, 12, "last"),
}


@pytest.mark.parametrize("name", VALIDATION)
def test_the_papers_runs_validate_as_the_paper(name):
    train = preset(name).train
    window = train.validation_window or train.window
    found = (train.validate_every, train.validation_batch_size, window, train.keep)
    assert found == VALIDATION[name]
    chosen_by = (train.validation_batches, train.validation_samples, train.select)
    assert chosen_by == (25, 100, "psnr")


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_papers_networks_have_the_papers_size(name):
    network = SRVP(preset(name).model)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


def test_every_preset_can_validate_what_it_trains_on():
    for chosen in PRESETS.values():
        assert chosen.train.conditioning < chosen.train.window
        assert chosen.model.content_frames <= chosen.train.window


ABLATIONS = {"mlp": ("dynamics", "mlp"), "gru": ("dynamics", "gru"), "no-z": ("innovation_dim", 0)}
COMPARED = ("smmnist", "mmnist", "smmnist-small", "mmnist-small")


@pytest.mark.parametrize("base", COMPARED)
def test_ablations_differ_from_the_papers_model_in_one_field(base):
    paper = preset(base)
    for name, (field, value) in ABLATIONS.items():
        ablation = preset(f"{base}-{name}")
        assert ablation == replace(paper, model=replace(paper.model, **{field: value}))
        assert ablation != paper


@pytest.mark.parametrize("base", COMPARED)
def test_svg_sees_the_clips_of_the_world_that_it_is_compared_with(base):
    paper, svg = preset(base), preset(f"svg-{base}")
    assert (svg.data, svg.every_digit) == (paper.data, paper.every_digit)
    assert (svg.train.window, svg.train.conditioning) == (paper.train.window, 5)
    assert svg.model.content_frames == paper.model.content_frames
    assert svg.model.filters == paper.model.filters
    if "small" in base:  # an equal budget
        for name in ("iterations", "batch_size", "precision", "validate_every"):
            assert getattr(svg.train, name) == getattr(paper.train, name)


SVG = {
    # updates, batch, frames, watched, rate, encoder, channels, z, weight of the KL
    "svg-smmnist": (180_000, 100, 15, 5, 2e-3, "dcgan", 1, 10, 1e-4),
    "svg-mmnist": (180_000, 100, 15, 5, 2e-3, "dcgan", 1, 10, 1e-4),
    "svg-kth": (180_000, 100, 20, 10, 8e-4, "vgg", 1, 24, 1e-6),
    "svg-bair": (180_000, 100, 12, 2, 2e-3, "vgg", 3, 64, 1e-4),
}


@pytest.mark.parametrize("name", SVG)
def test_svg_is_fitted_as_its_own_code_does(name):
    model, train = preset(name).model, preset(name).train
    assert SVG[name] == (
        train.iterations,
        train.batch_size,
        train.window,
        train.conditioning,
        train.learning_rate,
        model.architecture,
        model.channels,
        model.innovation_dim,
        model.objective.beta_z,
    )
    assert (train.decay, train.clip_norm, train.precision) == (0, 0, "float32")
    assert model.content_frames == train.conditioning and not model.batch_statistics
    assert (model.code_dim, model.recurrent_hidden, model.filters) == (128, 256, 64)
    assert (model.predictor_layers, model.inference_layers) == (2, 1)


def test_an_unknown_preset_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'smmnist'"):
        preset("smnist")
