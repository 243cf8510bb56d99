"""The paper's hyper-parameters by name, as the original's code and README have them."""

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


def test_an_unknown_preset_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'smmnist'"):
        preset("smnist")
