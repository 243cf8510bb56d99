"""Configurations: frozen, keyword-only dataclasses that check themselves, and their JSON."""

import dataclasses
import types
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from srvp_world.errors import ConfigError, did_you_mean
from srvp_world.spaces import ActionSpec

FRAME_SIZES = (32, 64, 128)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What training maximises: the paper's ELBO (section 3.3) and the likelihoods of the heads.

    Attributes:
        observation_std: Standard deviation of the Gaussian likelihood of a pixel.
        beta_y: Weight of KL(q(y_1) || p(y_1)).
        beta_z: Weight of the KL of the innovations.
        consistency: Weight of the distance between states at every age and what the model would
            begin with there, q(y_1 = y_t | x_t..x_{t+k-1}), in deviations of the latter: states
            then look alike at any age. Not in the paper.
        overshooting: Frames that are imagined ahead from every inferred state, with its actions and
            the mean of the prior, and held against what came: codes, rewards and ends. It is what
            dreams do. 0 for none, as in the paper.
        residual_weight: Weight of the (not squared) L2 norms of the Euler residuals.
        decoded_frames: Frames of a window, drawn anew in every update, that are decoded and held
            against the true ones; their term counts for all. Half of an update's time is the
            decoder's. 0 for all frames, as in the paper.
        code_std: Standard deviation of the likelihood of a frame's code.
        reward_std: Standard deviation of the likelihood of a reward, in units of the rewards' own.
        reward_std_fits: Whether that deviation grows to the errors' own where they are larger, so
            that rewards which nothing foretells, such as rare ones, do not drown the frames.
        continuation_weight: Weight of the log-likelihood of going on.
        vector_std: Standard deviation of the likelihood of a normalised vector.
    """

    observation_std: float = 1.0
    beta_y: float = 1.0
    beta_z: float = 1.0
    consistency: float = 0.0
    overshooting: int = 0
    code_std: float = 0.1
    residual_weight: float = 1.0
    decoded_frames: int = 0
    reward_std: float = 0.1
    reward_std_fits: bool = False
    continuation_weight: float = 1.0
    vector_std: float = 0.1

    def __post_init__(self) -> None:
        """Refuse scales that are not positive and negative weights."""
        for name in ("observation_std", "code_std", "reward_std", "vector_std"):
            _require(getattr(self, name) > 0, f"{name} must be positive, got {getattr(self, name)}")
        for name in (
            "beta_y",
            "beta_z",
            "consistency",
            "overshooting",
            "residual_weight",
            "decoded_frames",
            "continuation_weight",
        ):
            _require(
                getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of an SRVP network.

    Attributes:
        architecture: `dcgan` or `vgg` encoder and decoder.
        frame_size: Height and width of a frame: 32, 64 or 128.
        channels: 1 (grey) or 3 (colour).
        filters: Filters of the first convolution; deeper ones have up to eight times as many.
        skips: Whether the decoder also sees the encoder's maps of one frame.
        code_dim: Size of the code h of a frame.
        state_dim: Size of the state y.
        innovation_dim: Size of the innovation z; 0 leaves no chance after the first state, which is
            the paper's ablation without z.
        content_frames: How many frames q(y_1) and the content w are inferred from (k).
        filter: Whether z is inferred by the paper's `lstm` on all frames so far, or from the frame
            and the `state` before it, which corrects itself at any age.
        inference_hidden: Width of the inference networks, and size of w.
        inference_layers: Linear layers of q(y_1).
        dynamics_hidden: Width of the prior, of f and of the heads.
        dynamics_layers: Linear layers of the prior and of f.
        dynamics: What moves the state: the paper's `residual` f, or what its ablations put in the
            place of y + f: an `mlp` of the same layers, or a `gru` cell. These have no substeps.
        substeps: Euler steps per frame in training.
        dynamics_gain: Gain of the orthogonal initialisation of f.
        action: The actions that the world takes, or None for video.
        vector_dim: Size of the proprioceptive vector beside the frames; 0 for none.
        reward: Whether there is a reward head.
        continuation: Whether there is a continuation head.
        code_head: Whether there is a head that tells a frame's code from its state. Small things
            are hard to learn from pixels, which hardly overlap; codes show them plainly.
        content_in_dynamics: Whether prior, f and heads also see w, where static goals live.
        content_in_features: Whether policies see w beside y.
        content_from_first: Whether w of experience comes from the first frame of the episode, as it
            does where an agent acts, and not from frames anywhere in a window, as of video.
        ensemble: Heads whose disagreement tells where the world guesses; 0 for none.
        objective: The training objective.
    """

    architecture: Literal["dcgan", "vgg"] = "dcgan"
    frame_size: int = 64
    channels: int = 1
    filters: int = 64
    skips: bool = False
    code_dim: int = 128
    state_dim: int = 20
    innovation_dim: int = 20
    content_frames: int = 5
    inference_hidden: int = 256
    inference_layers: int = 3
    dynamics_hidden: int = 512
    dynamics_layers: int = 4
    dynamics: Literal["residual", "mlp", "gru"] = "residual"
    substeps: int = 1
    dynamics_gain: float = 1.41
    action: ActionSpec | None = None
    vector_dim: int = 0
    reward: bool = False
    continuation: bool = False
    code_head: bool = False
    content_in_dynamics: bool = False
    content_in_features: bool = False
    content_from_first: bool = False
    filter: Literal["lstm", "state"] = "lstm"
    ensemble: int = 0
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def __post_init__(self) -> None:
        """Refuse what no network can be built from."""
        _require(
            self.architecture in ("dcgan", "vgg"),
            f"architecture must be 'dcgan' or 'vgg', got {self.architecture!r}",
        )
        _require(
            self.filter in ("lstm", "state"),
            f"filter must be 'lstm' or 'state', got {self.filter!r}",
        )
        _require(
            self.frame_size in FRAME_SIZES,
            f"frame_size must be one of {FRAME_SIZES}, got {self.frame_size}",
        )
        _require(
            self.channels in (1, 3), f"channels must be 1 (grey) or 3 (colour), got {self.channels}"
        )
        positive = [
            "filters",
            "code_dim",
            "state_dim",
            "content_frames",
            "inference_hidden",
            "dynamics_hidden",
            "substeps",
        ]
        for name in positive:
            _require(
                getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}"
            )
        for name in ("inference_layers", "dynamics_layers"):
            _require(
                getattr(self, name) >= 2, f"{name} must be at least 2, got {getattr(self, name)}"
            )
        for name in ("innovation_dim", "vector_dim"):
            _require(
                getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}"
            )
        self._check_dynamics()
        _require(
            self.ensemble == 0 or self.ensemble >= 2,
            f"ensemble must be 0, or 2 or more heads to disagree, got {self.ensemble}",
        )
        _require(
            not self.objective.overshooting or self.code_head or self.reward or self.continuation,
            "overshooting has nothing to hold what it imagines against: set code_head",
        )

    def _check_dynamics(self) -> None:
        """Refuse dynamics that do not exist, have no dt or read nothing."""
        _require(
            self.dynamics in ("residual", "mlp", "gru"),
            f"dynamics must be 'residual', 'mlp' or 'gru', got {self.dynamics!r}",
        )
        _require(
            self.dynamics == "residual" or self.substeps == 1,
            f"substeps must be 1 with dynamics {self.dynamics!r}, which have no dt, got "
            f"{self.substeps}: only 'residual' ones have",
        )
        reads = self.innovation_dim or self.action or self.content_in_dynamics
        _require(
            self.dynamics != "gru" or bool(reads),
            "dynamics 'gru' without innovations, actions and content read nothing: set "
            "innovation_dim, or choose 'residual' or 'mlp'",
        )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is fitted.

    Attributes:
        iterations: Number of updates.
        decay: Number of last updates over which the learning rate falls linearly to 0.
        batch_size: Windows per update.
        window: Frames per window.
        learning_rate: Adam's learning rate before the decay.
        clip_norm: Largest gradient norm; 0 for no clipping.
        episode_start_fraction: Share of windows of experience that begin an episode.
        frames_only: Whether to learn from frames alone, whatever else the data have beside them.
        precision: `float32`, or `bf16` to run encoder and decoder under bfloat16 autocast.
        conditioning: Frames watched before a validation's prediction; 0 for a quarter of the
            window, and k at least.
        seed: Seed of initialisation, windows and noise.
        log_every: Updates between scalars in TensorBoard.
        validate_every: Updates between validations; each may save a new best checkpoint.
        validation_batches: Batches of a validation.
        validation_batch_size: Windows of such a batch; 0 for `batch_size`.
        validation_window: Frames of its windows; 0 for `window`.
        validation_samples: Predictions of a window, of which the best by PSNR counts.
        select: Which checkpoint is best: that of the lowest `loss`, or of the highest `psnr`.
        keep: Whether the world gets the `last` weights or the `best`.
        save_every: Updates between checkpoints that `resume` continues from.
    """

    iterations: int = 2500
    decay: int = 0
    batch_size: int = 16
    window: int = 16
    learning_rate: float = 3e-4
    clip_norm: float = 0.0
    episode_start_fraction: float = 0.125
    frames_only: bool = False
    precision: Literal["float32", "bf16"] = "float32"
    conditioning: int = 0
    seed: int = 0
    log_every: int = 50
    validate_every: int = 500
    validation_batches: int = 2
    validation_batch_size: int = 0
    validation_window: int = 0
    validation_samples: int = 1
    select: Literal["loss", "psnr"] = "loss"
    keep: Literal["last", "best"] = "last"
    save_every: int = 500

    def __post_init__(self) -> None:
        """Refuse empty runs and impossible shares."""
        positive = ["iterations", "batch_size", "log_every", "validate_every", "save_every"]
        for name in [*positive, "validation_batches", "validation_samples"]:
            _require(
                getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}"
            )
        for name in ("validation_batch_size", "validation_window"):
            _require(
                getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}"
            )
        _require(self.seed >= 0, f"seed must not be negative, got {self.seed}")
        _require(self.window >= 2, f"window must be at least 2 frames, got {self.window}")
        _require(
            0 <= self.decay <= self.iterations,
            f"decay must be in [0, iterations], got {self.decay}",
        )
        _require(
            self.learning_rate > 0, f"learning_rate must be positive, got {self.learning_rate}"
        )
        _require(
            0 <= self.conditioning < self.window,
            f"conditioning must be in [0, window), got {self.conditioning} of {self.window} frames",
        )
        _require(self.clip_norm >= 0, f"clip_norm must not be negative, got {self.clip_norm}")
        _require(
            0 <= self.episode_start_fraction <= 1,
            f"episode_start_fraction must be in [0, 1], got {self.episode_start_fraction}",
        )
        _require(
            self.select in ("loss", "psnr"),
            f"select must be 'loss' or 'psnr', got {self.select!r}",
        )
        _require(self.keep in ("last", "best"), f"keep must be 'last' or 'best', got {self.keep!r}")
        _require(
            self.precision in ("float32", "bf16"),
            f"precision must be 'float32' or 'bf16', got {self.precision!r}",
        )


@dataclass(frozen=True, kw_only=True)
class PixelConfig:
    """How a real environment becomes frames; enough to build it again.

    Attributes:
        env_id: Gymnasium id of the environment.
        env_kwargs: Keyword arguments of `gym.make`, JSON-able.
        frame_size: Height and width after resizing.
        channels: 1 for grey, 3 for colour.
        crop: (top, left, height, width) of the rendered image to keep, or None for all of it.
        action_repeat: Real steps per decision; rewards are summed.
        vector: Whether to keep the environment's own observation, as a vector beside the frames.
    """

    env_id: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    frame_size: int = 64
    channels: int = 1
    crop: tuple[int, int, int, int] | None = None
    action_repeat: int = 1
    vector: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that no model takes."""
        _require(
            self.frame_size in FRAME_SIZES,
            f"frame_size must be one of {FRAME_SIZES}, got {self.frame_size}",
        )
        _require(
            self.channels in (1, 3), f"channels must be 1 (grey) or 3 (colour), got {self.channels}"
        )
        _require(
            self.action_repeat >= 1, f"action_repeat must be at least 1, got {self.action_repeat}"
        )
        _require(
            self.crop is None or len(self.crop) == 4,
            f"crop must be (top, left, height, width), got {self.crop}",
        )


def to_json(config: Any) -> dict[str, Any]:
    """Turn a configuration into JSON-able dictionaries and lists."""
    return dataclasses.asdict(config)


def from_json(cls: type[T], data: Any) -> T:
    """Build a configuration from what `to_json` gave, at any depth.

    Raises:
        ConfigError: For unknown or missing fields and for values of another type.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{cls.__name__} must be a JSON object, got {data!r}")
    hints = get_type_hints(cls)
    for name in data:
        if name not in hints:
            raise ConfigError(f"{cls.__name__} has no field {name!r}: {did_you_mean(name, hints)}")
    values = {
        name: _convert(value, hints[name], f"{cls.__name__}.{name}") for name, value in data.items()
    }
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"{cls.__name__} is incomplete: {error}") from None


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Convert one JSON value to the type of its field."""
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(value) and isinstance(value, arguments or hint):
        return value  # a configuration that was built before
    if origin in (Union, types.UnionType):  # only `X | None` occurs
        return None if value is None else _convert(value, arguments[0], where)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(item, arguments[0], where) for item in value)
    if origin is Literal and value in arguments:
        return value
    if origin is dict and isinstance(value, dict):
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if (
        isinstance(hint, type)
        and isinstance(value, hint)
        and (hint is bool) == isinstance(value, bool)
    ):
        return value
    expected = hint.__name__ if isinstance(hint, type) else str(hint)
    raise ConfigError(f"{where} must be {expected}, got {value!r}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)
