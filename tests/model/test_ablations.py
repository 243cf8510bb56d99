"""What the paper puts in the place of y + f, and worlds without innovations."""

import pytest
import torch
from torch.nn.functional import mse_loss
from worlds import CONFIG, generator, random_actions, random_batch, random_frames, tiny_model

from srvp_world.config import ModelConfig, ObjectiveConfig
from srvp_world.errors import ConfigError
from srvp_world.model.sampling import Futures
from srvp_world.world import Observation

ABLATIONS = {
    "mlp": {"dynamics": "mlp"},
    "gru": {"dynamics": "gru"},
    "no-z": {"innovation_dim": 0},
    "mlp without z": {"dynamics": "mlp", "innovation_dim": 0},
}
VIDEO = {"reward": False, "continuation": False}
every_ablation = pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS)


def state_and_noise(model, b: int = 3):
    state = model.encode(Observation(random_frames(b, 3, model)), sample=False)
    return state, torch.randn(b, model.noise_dim, generator=generator(5))


def test_residual_dynamics_alone_begin_at_the_state_itself() -> None:
    """With f = 0 the residual world stands still; the MLP forgets where it was."""
    for dynamics, stands in (("residual", True), ("mlp", False)):
        model = tiny_model("none", dynamics=dynamics, **VIDEO)
        state, noise = state_and_noise(model)
        with torch.no_grad():
            for parameter in model.dynamics.parameters():
                parameter.zero_()
            following = model.step(state, noise=noise)[0].y
        assert state.y.abs().min() > 0
        assert torch.equal(following, state.y if stands else torch.zeros_like(state.y))


@torch.no_grad()
def test_an_mlp_gives_the_next_state_from_state_and_innovation() -> None:
    model = tiny_model("none", dynamics="mlp", **VIDEO)
    state, noise = state_and_noise(model)
    following, _ = model.step(state, noise=noise)
    z = model.prior(state.y, model._context(None, state.w))
    inputs = torch.cat([state.y, z.mean + z.std * noise], dim=-1)
    torch.testing.assert_close(following.y, model.dynamics.network(inputs))


@torch.no_grad()
def test_a_gru_reads_innovation_and_action_and_remembers_the_state() -> None:
    """By the equations of the cell, with PyTorch's order of gates: reset, update, new."""
    model = tiny_model("box", dynamics="gru", **VIDEO)
    start = torch.ones(3, dtype=torch.bool)
    frames, actions = random_frames(3, 1, model), random_actions(model.action, 3, 1)
    state = model.encode(Observation(frames), actions[:, :0], episode_start=start, sample=False)
    noise = torch.randn(3, model.noise_dim, generator=generator(5))
    following, _ = model.step(state, actions[:, 0], noise=noise)
    context = model._context_of(state, actions[:, 0])
    z = model.prior(state.y, context)
    inputs = torch.cat([z.mean + z.std * noise, context.action], dim=-1)
    cell = model.dynamics.cell
    read = (inputs @ cell.weight_ih.T + cell.bias_ih).chunk(3, dim=-1)
    kept = (state.y @ cell.weight_hh.T + cell.bias_hh).chunk(3, dim=-1)
    reset, update = (read[0] + kept[0]).sigmoid(), (read[1] + kept[1]).sigmoid()
    new = (read[2] + reset * kept[2]).tanh()
    torch.testing.assert_close(following.y, (1 - update) * new + update * state.y)


def test_everything_but_the_dynamics_is_the_same() -> None:
    weights = {
        name: tiny_model("none", dynamics=name, **VIDEO).state_dict()
        for name in ("residual", "mlp", "gru")
    }
    assert weights["mlp"].keys() == weights["residual"].keys()
    others = [name for name in weights["residual"] if not name.startswith("dynamics.")]
    assert set(others) == {name for name in weights["gru"] if not name.startswith("dynamics.")}
    for name in others:
        for dynamics in ("mlp", "gru"):
            assert torch.equal(weights["residual"][name], weights[dynamics][name]), name


def test_only_residuals_are_penalised() -> None:
    for dynamics in ("residual", "mlp", "gru"):
        model = tiny_model("none", dynamics=dynamics, **VIDEO)
        terms = model.loss(random_batch(model), generator()).terms
        assert (terms["residuals"] > 0) == (dynamics == "residual")


@pytest.mark.parametrize("dynamics", ["mlp", "gru"])
def test_dynamics_without_a_dt_refuse_substeps(dynamics) -> None:
    with pytest.raises(ConfigError, match="substeps must be 1 with dynamics .* got 2"):
        ModelConfig(dynamics=dynamics, substeps=2)
    model = tiny_model("none", dynamics=dynamics, **VIDEO)
    frames = random_frames(1, 3, model)
    state = model.encode(Observation(frames))
    for refused in (
        lambda: model.step(state, substeps=2),
        lambda: model.infer(Observation(frames), substeps=3),
        lambda: model.predict(frames, 1, substeps=2),
        lambda: Futures(model, substeps=2),
        lambda: Futures(model, observed_substeps=2),
    ):
        with pytest.raises(ConfigError, match=f"'{dynamics}' dynamics have no dt"):
            refused()
    one, trained = (
        model.step(state, noise=torch.zeros(1, 3), substeps=substeps)[0].y for substeps in (1, None)
    )
    assert torch.equal(one, trained)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dynamics": "lstm"}, "'residual', 'mlp' or 'gru', got 'lstm'"),
        ({"dynamics": "gru", "innovation_dim": 0}, "read nothing"),
        ({"innovation_dim": -1}, "innovation_dim must not be negative, got -1"),
    ],
)
def test_shapes_that_make_no_dynamics(changes, words) -> None:
    with pytest.raises(ConfigError, match=words):
        ModelConfig(**changes)


@torch.no_grad()
def test_without_innovations_all_chance_is_in_the_first_state() -> None:
    model = tiny_model("none", innovation_dim=0, **VIDEO)
    inference = model.infer(Observation(random_frames(2, 4, model)), generator=generator(1))
    y = inference.y[:, 0]
    for t in range(1, 4):
        y = y + model.dynamics.network(y)
        torch.testing.assert_close(inference.y[:, t], y)
    again = model.infer(Observation(random_frames(2, 4, model)), generator=generator(2))
    assert not torch.allclose(inference.y, again.y)
    futures = [
        model.step(inference.last, temperature=heat, generator=generator(seed))[0].y
        for heat, seed in ((1.0, 1), (9.0, 2))
    ]
    assert torch.equal(*futures) and model.noise_dim == 0 and model.start_noise_dim == 6


def test_without_innovations_there_is_nothing_to_infer_or_to_divide() -> None:
    model = tiny_model("none", innovation_dim=0, **VIDEO)
    names = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert names == {"encoder", "decoder", "content_net", "first_state", "dynamics"}
    loss = model.loss(random_batch(model), generator())
    assert loss.terms["kl_z"] == 0 and loss.terms["kl_y1"] > 0
    loss.total.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@every_ablation
@torch.no_grad()
def test_watching_frame_by_frame_is_watching_the_longer_clip(changes) -> None:
    model = tiny_model("none", **changes, **VIDEO)
    frames = random_frames(2, 5, model)
    state = model.encode(Observation(frames[:, :3]), sample=False)
    for t in (3, 4):
        state = model.observe(state, Observation(frames[:, t]), sample=False)
    whole = model.encode(Observation(frames), sample=False)
    torch.testing.assert_close(state.y, whole.y)


@every_ablation
@torch.no_grad()
def test_futures_of_every_ablation_are_the_models_own_prediction(changes) -> None:
    model = tiny_model("none", **changes, **VIDEO)
    frames = random_frames(2, 3, model)
    futures = Futures(model)
    watched = futures.watch(frames)
    states = futures.imagine(watched, torch.zeros(2, 2, futures.noise_size(3, 4)), 4)
    expected = model.predict(frames, 4, sample=False)[:, 3:]
    for sample in futures.decode(watched, states).unbind(1):
        torch.testing.assert_close(sample, expected, rtol=1e-4, atol=1e-5)


@every_ablation
def test_every_ablation_learns_a_clip_by_heart(changes) -> None:
    objective = ObjectiveConfig(observation_std=0.1)
    model = tiny_model("none", objective=objective, **changes, **VIDEO).train()
    batch = random_batch(model, (4, 4))
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    errors = []
    for i in range(30):
        loss = model.loss(batch, generator(i))
        adam.zero_grad()
        loss.total.backward()
        adam.step()
        errors.append(mse_loss(loss.prediction, batch.frames))
    assert errors[-1] < 0.7 * errors[0]


def test_a_configuration_without_the_new_fields_is_the_papers() -> None:
    assert (CONFIG.dynamics, ModelConfig().dynamics, ModelConfig().innovation_dim) == (
        "residual",
        "residual",
        20,
    )
