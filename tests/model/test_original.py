"""The model agrees with the original implementation to float precision."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import Tensor

from srvp_world import original
from srvp_world.errors import WorldFileError
from srvp_world.model.loss import elbo
from srvp_world.model.srvp import SRVP
from srvp_world.presets import PRESETS
from srvp_world.world import Batch, Observation

GOLDEN = Path(__file__).parents[1] / "golden"


class Golden:
    """One file of the original's numbers, with batch-first axes."""

    def __init__(self, name: str):
        self.arrays = dict(np.load(GOLDEN / f"{name}.npz"))
        self.config = json.loads(str(self.arrays["config"]))
        self.frames = self.clip("input")

    def model(self) -> SRVP:
        state = {
            k.removeprefix("state/"): torch.tensor(v)
            for k, v in self.arrays.items()
            if k.startswith("state/")
        }
        return original.load(self.config, state)

    def __getitem__(self, key: str) -> Tensor:
        return torch.tensor(self.arrays[key])

    def clip(self, key: str) -> Tensor:
        return rearrange(self[key], "t b ... -> b t ...")


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def assert_raw(gaussian, raw: Tensor) -> None:
    """Compare a Gaussian with the original's raw parameters."""
    mean, scale = raw.chunk(2, -1)
    assert_close(gaussian.mean, mean)
    assert_close(gaussian.std, torch.nn.functional.softplus(scale) + 1e-8)


def whole_batch(frames: Tensor) -> Batch:
    b, t = frames.shape[:2]
    return Batch(frames, torch.ones(b, t, dtype=torch.bool), torch.zeros(b, dtype=torch.bool))


CASES = [("srvp_dcgan", 1), ("srvp_dcgan", 2), ("srvp_vgg_skip", 2), ("srvp_vgg_skip", 4)]


@pytest.mark.parametrize(("name", "substeps"), CASES)
@torch.no_grad()
def test_inference_and_prediction(name: str, substeps: int):
    golden = Golden(name)
    model, key = golden.model(), f"out/predict.euler{substeps}"
    observed = golden.frames[:, : golden.config["nt_cond"]]
    inference = model.infer(Observation(observed), substeps=substeps, sample=False)
    assert_close(inference.codes, golden.clip("out/encode.h"))
    assert_close(inference.content.w, golden["out/infer.w"])
    assert_raw(inference.q_y1, golden["out/infer.q_y1_raw"])
    assert_raw(inference.q_z, golden.clip(f"{key}.q_z_raw"))

    y, residuals = [*inference.y.unbind(1)], [inference.residuals]
    prior_mean, prior_std = [inference.p_z.mean], [inference.p_z.std]
    state = inference.last
    for _ in range(golden.config["nt_pred"]):
        context = model._context(None, state.w)
        prior = model.prior(state.y, context)
        residuals.append(model.dynamics(state.y, prior.mean, context, substeps)[1])
        prior_mean.append(prior.mean[:, None])
        prior_std.append(prior.std[:, None])
        state, _ = model.step(state, noise=torch.zeros_like(prior.mean), substeps=substeps)
        y.append(state.y)
    assert_close(torch.stack(y, 1), golden.clip(f"{key}.y"))
    assert_close(torch.cat(residuals, 1), golden.clip(f"{key}.residuals"))
    assert_raw(
        (type(prior))(torch.cat(prior_mean, 1), torch.cat(prior_std, 1)),
        golden.clip(f"{key}.p_z_raw"),
    )


@pytest.mark.parametrize(("name", "substeps"), [("srvp_dcgan", 1), ("srvp_vgg_skip", 2)])
def test_predicted_frames(name: str, substeps: int):
    golden = Golden(name)
    observed = golden.frames[:, : golden.config["nt_cond"]]
    frames = golden.model().predict(
        observed,
        golden.config["nt_pred"],
        substeps=substeps,
        observed_substeps=substeps,
        sample=False,
    )
    assert_close(frames, golden.clip(f"out/predict.euler{substeps}.frames"))


def test_frames_between_frames():
    golden = Golden("srvp_dcgan")
    observed = golden.frames[:, : golden.config["nt_cond"]]
    frames = golden.model().predict(
        observed,
        golden.config["nt_pred"],
        substeps=2,
        observed_substeps=2,
        sample=False,
        intermediate=True,
    )
    assert_close(frames, golden.clip("out/predict.euler2.all_frames"))


@pytest.mark.parametrize("name", ["srvp_dcgan", "srvp_vgg_skip"])
@torch.no_grad()
def test_states_between_frames(name: str):
    golden = Golden(name)
    model = golden.model()
    inference = model.infer(
        Observation(golden.frames[:, : golden.config["nt_cond"]]), substeps=2, sample=False
    )
    y, state = [inference.y[:, :1], inference.substates], inference.last
    for _ in range(golden.config["nt_pred"]):
        prior = model.prior(state.y, model._context(None, state.w))
        y.append(model.dynamics(state.y, prior.mean, model._context(None, state.w), 2)[0])
        state = state.imagined(y[-1][:, -1])
    assert_close(torch.cat(y, 1), golden.clip("out/predict.euler2.all_y"))


@pytest.mark.parametrize(("name", "substeps"), [("srvp_dcgan", 1), ("srvp_vgg_skip", 2)])
@torch.no_grad()
def test_elbo(name: str, substeps: int):
    golden = Golden(name)
    model = golden.model()
    inference = model.infer(Observation(golden.frames), substeps=substeps, sample=False)
    terms = elbo(model, whole_batch(golden.frames), inference).terms
    for ours, theirs in [
        ("frames", "nll"),
        ("kl_y1", "kl_y1"),
        ("kl_z", "kl_z"),
        ("residuals", "l2_res"),
    ]:
        assert_close(terms[ours], golden[f"out/elbo.{theirs}"])


@pytest.fixture
def one_thread():
    """Sum in one order: batch statistics amplify rounding, to 1.5e-5 of a gradient on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_one_training_step():
    golden = Golden("srvp_train_and_mixed")
    model = golden.model().train()
    inference = model.infer(
        Observation(golden.frames),
        content_frames=rearrange(golden["content_frames"], "k b -> b k"),
        skip_frame=golden["skip_frame"],
        substeps=golden.config["substeps"],
        sample=False,
    )
    loss = elbo(model, whole_batch(golden.frames), inference)
    assert_close(inference.y, golden.clip("out/y"))
    assert_close(loss.prediction, golden.clip("out/frames"))
    for ours, theirs in [
        ("frames", "nll"),
        ("kl_y1", "kl_y1"),
        ("kl_z", "kl_z"),
        ("residuals", "l2_res"),
    ]:
        assert_close(loss.terms[ours].double(), golden[f"out/{theirs}"])
    assert_close(loss.total.double(), golden["out/loss"])

    loss.total.backward()
    norms = {
        original.rename(k.removeprefix("grad_norm/")): golden[k]
        for k in golden.arrays
        if "grad_norm/" in k
    }
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert norms.keys() == gradients.keys()
    for name, norm in norms.items():
        assert_close(gradients[name].double().norm(), norm)
    buffers = dict(model.named_buffers())
    after = [k for k in golden.arrays if k.startswith("after/")]
    assert after
    for key in after:
        assert_close(buffers[original.rename(key.removeprefix("after/"))], golden[key])


def test_observed_and_predicted_substeps_differ():
    golden = Golden("srvp_train_and_mixed")
    observed = golden.frames[:, : int(golden["mixed/observed"])]
    frames = golden.model().predict(observed, 4, observed_substeps=2, substeps=4, sample=False)
    assert_close(frames, golden.clip("mixed/frames"))


PARAMETERS = {  # total, encoder, decoder, w, q(y_1), q(z), p(z), f
    "smmnist": (10_678_284, 3_804_160, 5_016_448, 98_816, 240_168, 405_544, 556_584, 556_564),
    "kth": (23_877_854, 8_685_632, 13_276_992, 98_816, 190_052, 420_964, 602_724, 602_674),
    "human36m": (23_880_158, 8_686_784, 13_278_144, 98_816, 190_052, 420_964, 602_724, 602_674),
    "bair": (23_847_390, 8_686_784, 13_278_144, 98_816, 157_284, 420_964, 602_724, 602_674),
}


@pytest.mark.parametrize("preset", PARAMETERS)
def test_parameter_counts(preset: str):
    model = SRVP(PRESETS[preset].model)
    parts = [
        model,
        model.encoder,
        model.decoder,
        model.content_net,
        model.first_state,
        model.filter,
    ]
    parts += [model.prior, model.dynamics]
    assert tuple(sum(p.numel() for p in part.parameters()) for part in parts) == PARAMETERS[preset]


def test_broken_checkpoints_are_refused():
    golden = Golden("srvp_dcgan")
    state = {
        k.removeprefix("state/"): torch.tensor(v) for k, v in golden.arrays.items() if "state/" in k
    }
    with pytest.raises(WorldFileError, match="lacks 'nhx'"):
        original.load({k: v for k, v in golden.config.items() if k != "nhx"}, state)
    with pytest.raises(WorldFileError, match=r"shape \(8, 12\), but .* \(10, 12\)"):
        original.load({**golden.config, "nz": 5}, {"q_z.weight": state["q_z.weight"]})
    del state["q_z.bias"]
    with pytest.raises(WorldFileError, match="1 tensors are missing, 'filter.output.bias'"):
        original.load(golden.config, state)
