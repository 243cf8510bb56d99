"""Configurations by name: the paper's runs, and worlds learnt from an agent's experience.

The paper's hyper-parameters are those of the original's README and code
(github.com/edouardelasalles/srvp).
"""

from dataclasses import dataclass, replace

from srvp_world.config import ModelConfig, ObjectiveConfig, TrainConfig
from srvp_world.errors import UnknownNameError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A model and how to fit it."""

    model: ModelConfig
    train: TrainConfig


def _paper(iterations: int, decay: int, batch_size: int, window: int) -> TrainConfig:
    return TrainConfig(
        iterations=iterations + decay,
        decay=decay,
        batch_size=batch_size,
        window=window,
        learning_rate=3e-4,
        precision="bf16",
        validate_every=20_000,
        save_every=5_000,
    )


_MNIST = ModelConfig(objective=ObjectiveConfig(observation_std=1.0, beta_z=2.0))
_KTH = ModelConfig(
    architecture="vgg",
    skips=True,
    state_dim=50,
    innovation_dim=50,
    content_frames=3,
    substeps=2,
    dynamics_gain=1.2,
    objective=ObjectiveConfig(observation_std=0.2),
)
_BAIR = replace(
    _KTH,
    channels=3,
    content_frames=2,
    dynamics_gain=1.41,
    objective=ObjectiveConfig(observation_std=0.71),
)
_CONTROL = ModelConfig(
    filters=8,
    code_dim=64,
    state_dim=20,
    innovation_dim=8,
    content_frames=2,
    inference_hidden=128,
    dynamics_hidden=256,
    reward=True,
    continuation=True,
    objective=ObjectiveConfig(observation_std=0.2),
)

PRESETS = {
    "smmnist": Preset(model=_MNIST, train=_paper(1_000_000, 100_000, 128, 15)),
    "mmnist": Preset(model=_MNIST, train=_paper(800_000, 100_000, 128, 15)),
    "kth": Preset(model=_KTH, train=_paper(150_000, 50_000, 100, 20)),
    "human36m": Preset(model=replace(_KTH, channels=3), train=_paper(325_000, 25_000, 100, 16)),
    "bair": Preset(model=_BAIR, train=_paper(1_000_000, 500_000, 192, 12)),
    # float32: the one world of Pendulum-v1 that was tried in bfloat16 gave agents that fell over.
    "control": Preset(
        model=_CONTROL,
        train=TrainConfig(
            iterations=2_200, decay=1_760, batch_size=16, window=16, learning_rate=1e-3
        ),
    ),
}


def preset(name: str) -> Preset:
    """Look a preset up.

    Raises:
        UnknownNameError: With the nearest name.
    """
    if name not in PRESETS:
        raise UnknownNameError(f"no preset {name!r}: {did_you_mean(name, PRESETS)}")
    return PRESETS[name]
