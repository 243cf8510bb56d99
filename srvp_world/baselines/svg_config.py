"""The shape of SVG-LP; its fields are named as those of `config.ModelConfig` where they can be."""

from dataclasses import dataclass, field
from typing import Literal

from srvp_world.config import FRAME_SIZES
from srvp_world.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SVGObjective:
    """What training minimises: the mean squared error of pixels, and the weighted KL of z.

    Attributes:
        beta_z: Weight of the KL of the innovations.
    """

    beta_z: float = 1e-4

    def __post_init__(self) -> None:
        """Refuse a negative weight."""
        if self.beta_z < 0:
            raise ConfigError(f"beta_z must not be negative, got {self.beta_z}")


@dataclass(frozen=True, kw_only=True)
class SVGConfig:
    """The shape of an SVG-LP network (Denton and Fergus, ICML 2018), which learns from video alone.

    Attributes:
        architecture: `dcgan` or `vgg` encoder and decoder.
        frame_size: Height and width of a frame: 32, 64 or 128.
        channels: 1 (grey) or 3 (colour).
        filters: Filters of the first convolution; deeper ones have up to eight times as many.
        code_dim: Size of the code of a frame.
        innovation_dim: Size of the innovation z.
        content_frames: Frames that are watched before it predicts. In training, too, skips come
            from no later one than the last but one of them.
        recurrent_hidden: Width of all LSTMs.
        predictor_layers: LSTMs of the frame predictor.
        inference_layers: LSTMs of the posterior, and of the prior.
        batch_statistics: Whether batch norms know nothing but the frames of one time of the batch
            at hand, in evaluation too, as in the released evaluation of SVG. What is predicted for
            a clip then depends on the other clips of its batch, and dreams on their neighbours.
        objective: The training objective.
    """

    architecture: Literal["dcgan", "vgg"] = "dcgan"
    frame_size: int = 64
    channels: int = 1
    filters: int = 64
    code_dim: int = 128
    innovation_dim: int = 10
    content_frames: int = 5
    recurrent_hidden: int = 256
    predictor_layers: int = 2
    inference_layers: int = 1
    batch_statistics: bool = False
    objective: SVGObjective = field(default_factory=SVGObjective)

    # What worlds of other kinds may have, and this one has not.
    action = None
    vector_dim = 0
    substeps = 1
    skips = True
    content_from_first = False

    def __post_init__(self) -> None:
        """Refuse what no network can be built from."""
        choices = {
            "architecture": ("dcgan", "vgg"),
            "frame_size": FRAME_SIZES,
            "channels": (1, 3),
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                listed = ", ".join(map(repr, known))
                raise ConfigError(f"{name} must be one of {listed}, got {value!r}")
        for name, value in vars(self).items():
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
