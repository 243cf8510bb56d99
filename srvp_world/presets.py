"""Configurations by name: the paper's runs, small ones for two cores, and worlds of experience.

The paper's hyper-parameters are those of the original's README and code
(github.com/edouardelasalles/srvp), SVG's those of its own (github.com/edenton/svg).
"""

from dataclasses import dataclass, replace
from typing import Any

from srvp_world.baselines.svg_config import SVGConfig, SVGObjective
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

    model: ModelConfig | SVGConfig
    train: TrainConfig
    data: str | None = None
    every_digit: bool = False


_PAPER = TrainConfig(
    learning_rate=3e-4,
    frames_only=True,
    precision="bf16",
    save_every=5_000,
    validation_batches=25,
    validation_batch_size=16,
    validation_samples=100,
    select="psnr",
)


def _schedule(constant: int, decay: int, validate_every: int) -> TrainConfig:
    """Give a run with updates at a constant rate, then at one that falls to 0."""
    return replace(_PAPER, iterations=constant + decay, decay=decay, validate_every=validate_every)


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
    ensemble=5,
    objective=ObjectiveConfig(observation_std=0.2),
)

# What `control` lacks for things that are small, fast or seldom.
_AGENT = replace(
    _CONTROL,
    filter="state",
    content_from_first=True,
    code_head=True,
    objective=ObjectiveConfig(
        observation_std=0.2,
        consistency=0.1,
        overshooting=6,
        decoded_frames=4,
        reward_std_fits=True,
        continuation_weight=10.0,
    ),
)

# With the paper's pixel deviation of 1.0 short runs found no use for y and z: their KL stayed at 0.
_MNIST_SMALL = replace(
    _MNIST, filters=16, objective=ObjectiveConfig(observation_std=0.5, beta_z=2.0)
)
_TWO_CORES = TrainConfig(
    iterations=10_000,
    decay=6_000,
    batch_size=32,
    window=15,
    conditioning=5,
    learning_rate=1e-3,
)


def _moving_mnist(name: str, constant: int) -> Preset:
    """Give the paper's run on one of the two sets, whose lengths alone differ."""
    schedule = _schedule(constant, 100_000, 20_000)
    train = replace(schedule, batch_size=128, window=15, conditioning=5)
    return Preset(model=_MNIST, train=train, data=name, every_digit=True)


# SVG's 300 epochs of 600 updates, all at one rate.
_SVG = replace(
    _schedule(180_000, 0, 20_000),
    batch_size=100,
    window=15,
    conditioning=5,
    learning_rate=2e-3,
    precision="float32",
)

PRESETS: dict[str, Preset] = {
    "smmnist": _moving_mnist("smmnist", 1_000_000),
    "mmnist": _moving_mnist("mmnist", 800_000),
    "kth": Preset(
        model=_KTH,
        train=replace(
            _schedule(150_000, 50_000, 5_000),
            batch_size=100,
            window=20,
            conditioning=10,
            validation_window=30,
            keep="best",
        ),
    ),
    "human36m": Preset(
        model=replace(_KTH, channels=3),
        train=replace(
            _schedule(325_000, 25_000, 20_000),
            batch_size=100,
            window=16,
            conditioning=8,
            validation_batch_size=8,
            validation_window=53,
            keep="best",
        ),
    ),
    "bair": Preset(
        model=_BAIR,
        train=replace(
            _schedule(1_000_000, 500_000, 20_000), batch_size=192, window=12, conditioning=2
        ),
    ),
    # SVG's README has KTH with a fixed prior alone; this is the same with a learnt one.
    "svg-kth": Preset(
        model=SVGConfig(
            architecture="vgg",
            innovation_dim=24,
            content_frames=10,
            objective=SVGObjective(beta_z=1e-6),
        ),
        train=replace(
            _SVG, window=20, conditioning=10, validation_window=30, learning_rate=8e-4, keep="best"
        ),
    ),
    "svg-bair": Preset(
        model=SVGConfig(architecture="vgg", channels=3, innovation_dim=64, content_frames=2),
        train=replace(_SVG, window=12, conditioning=2),
    ),
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
    "agent": Preset(
        model=_AGENT,
        train=TrainConfig(
            iterations=3_000,
            decay=2_400,
            batch_size=16,
            window=16,
            learning_rate=1e-3,
            clip_norm=20_000.0,
            save_every=250,
        ),
    ),
}

_ABLATIONS: dict[str, dict[str, Any]] = {
    "mlp": {"dynamics": "mlp"},
    "gru": {"dynamics": "gru"},
    "no-z": {"innovation_dim": 0},
}


def _beside(name: str) -> dict[str, Preset]:
    """Give what the paper compares SRVP with on a Moving MNIST: its ablations, and SVG."""
    base = PRESETS[name]
    assert isinstance(base.model, ModelConfig)
    presets = {
        f"{name}-{label}": replace(base, model=replace(base.model, **changes))
        for label, changes in _ABLATIONS.items()
    }
    # Small ones have SRVP's budget, but SVG's own rate.
    small = replace(base.train, decay=0, learning_rate=_SVG.learning_rate)
    presets[f"svg-{name}"] = replace(
        base,
        model=SVGConfig(filters=base.model.filters),
        train=_SVG if base.every_digit else small,
    )
    return presets


for _name in ("smmnist", "mmnist", "smmnist-small", "mmnist-small"):
    PRESETS |= _beside(_name)


def preset(name: str) -> Preset:
    """Look a preset up.

    Raises:
        UnknownNameError: With the nearest name.
    """
    if name not in PRESETS:
        raise UnknownNameError(f"no preset {name!r}: {did_you_mean(name, PRESETS)}")
    return PRESETS[name]
