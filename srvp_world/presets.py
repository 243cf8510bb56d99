"""Configurations by name: the paper's runs, small ones for two cores, and worlds of experience.

The paper's hyper-parameters are those of the original's README and code
(github.com/edouardelasalles/srvp).
"""

from dataclasses import dataclass, replace

from srvp_world.config import ModelConfig, ObjectiveConfig, TrainConfig
from srvp_world.errors import UnknownNameError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A model and how to fit it.

    Attributes:
        model: Shape of the network.
        train: How it is fitted.
        data: Name of the data set that is made on the fly for it, or None.
        every_digit: Whether it wants all 60,000 digits of MNIST, which do not ship.
    """

    model: ModelConfig
    train: TrainConfig
    data: str | None = None
    every_digit: bool = False


def _paper(
    iterations: int, decay: int, batch_size: int, window: int, conditioning: int
) -> TrainConfig:
    return TrainConfig(
        iterations=iterations + decay,
        decay=decay,
        batch_size=batch_size,
        window=window,
        conditioning=conditioning,
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

# The paper's pixels have a likelihood so wide (1.0) that a short run finds no use for the latents.
_MNIST_SMALL = replace(_MNIST, filters=16, objective=ObjectiveConfig(observation_std=0.4, beta_z=2))
_TWO_CORES = TrainConfig(
    iterations=8_000,
    decay=4_000,
    batch_size=32,
    window=15,
    conditioning=5,
    learning_rate=1e-3,
)

PRESETS = {
    "smmnist": Preset(
        model=_MNIST,
        train=_paper(1_000_000, 100_000, 128, 15, 5),
        data="smmnist",
        every_digit=True,
    ),
    "mmnist": Preset(
        model=_MNIST,
        train=_paper(800_000, 100_000, 128, 15, 5),
        data="mmnist",
        every_digit=True,
    ),
    "kth": Preset(model=_KTH, train=_paper(150_000, 50_000, 100, 20, 10)),
    "human36m": Preset(model=replace(_KTH, channels=3), train=_paper(325_000, 25_000, 100, 16, 8)),
    "bair": Preset(model=_BAIR, train=_paper(1_000_000, 500_000, 192, 12, 2)),
    "smmnist-small": Preset(model=_MNIST_SMALL, train=_TWO_CORES, data="smmnist"),
    "mmnist-small": Preset(model=_MNIST_SMALL, train=_TWO_CORES, data="mmnist"),
    "video-small": Preset(
        model=replace(
            _MNIST_SMALL,
            skips=True,
            content_frames=3,
            objective=ObjectiveConfig(observation_std=0.2),
        ),
        train=replace(_TWO_CORES, conditioning=0),
    ),
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
