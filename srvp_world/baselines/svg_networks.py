"""The networks of SVG-LP, and what watching, imagining and training share."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from srvp_world.baselines.recurrent import FramePredictor, GaussianLSTM
from srvp_world.baselines.svg_config import SVGConfig
from srvp_world.baselines.svg_state import SVGState
from srvp_world.errors import ConfigError
from srvp_world.model.batch_norm import forget_statistics
from srvp_world.model.decoder import Decoder
from srvp_world.model.encoder import Encoder, check_frames
from srvp_world.model.gaussian import Gaussian
from srvp_world.model.normaliser import Normaliser
from srvp_world.model.state import ContentBank


class Watched(NamedTuple):
    """What SVG makes of b clips of t frames; nothing in it is drawn.

    Attributes:
        frames: (b, t, c, h, w).
        codes: (b, t, code_dim).
        maps: (b, t, c, h, w) of each stage of the encoder, coarsest first.
        q_z: Posterior of z_2..z_t, (b, t - 1, innovation_dim).
        p_z: Prior of the same.
        posterior: Memory of the posterior after the last frame.
        prior: Memory of the prior after the last frame but one.
    """

    frames: Tensor
    codes: Tensor
    maps: list[Tensor]
    q_z: Gaussian
    p_z: Gaussian
    posterior: Tensor
    prior: Tensor


class SVGNetworks(nn.Module):
    """All networks of a configuration.

    Initialisation is drawn from `seed` and leaves the global random state alone.
    """

    action = None
    vector_dim = 0
    start_noise_dim = 0
    has_reward = has_continuation = has_uncertainty = False

    def __init__(self, config: SVGConfig, *, seed: int = 0):
        """Build all networks of a configuration."""
        super().__init__()
        self.config = config
        code_dim, hidden = config.code_dim, config.recurrent_hidden
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = Encoder(config, bias=True, first_norm=True)
            self.decoder = Decoder(config, code_dim, bias=True)
            sizes = (code_dim, config.innovation_dim, hidden)
            self.predictor = FramePredictor(*sizes, config.predictor_layers)
            self.posterior = GaussianLSTM(*sizes, config.inference_layers)
            self.prior = GaussianLSTM(*sizes, config.inference_layers)
            self.apply(initialise_linear)
        self.feature_normaliser = Normaliser(hidden)
        if config.batch_statistics:
            forget_statistics(self)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of a frame."""
        return (self.config.channels, self.config.frame_size, self.config.frame_size)

    @property
    def fewest_rows(self) -> int:
        """Two where batch norms know nothing but the batch at hand."""
        return 1 + self.config.batch_statistics

    @property
    def noise_dim(self) -> int:
        """Size of z."""
        return self.config.innovation_dim

    @property
    def feature_dim(self) -> int:
        """Width of the frame predictor."""
        return self.config.recurrent_hidden

    def watch(self, frames: Tensor) -> Watched:
        """Watch frames (b, t, c, h, w) and tell all that does not depend on chance.

        Raises:
            DataError: If frames have another shape.
        """
        codes, maps = self._encode(frames)
        with torch.autocast(codes.device.type, enabled=False):
            q_z, posterior = self.posterior(codes[:, 1:], None)
            p_z, prior = self.prior(codes[:, :-1], None)
        return Watched(frames, codes, maps, q_z, p_z, posterior, prior)

    def follow(self, watched: Watched, z: Tensor, clip: Tensor) -> SVGState:
        """Give states after the last watched frames.

        Args:
            watched: Clips.
            z: (n, t - 1, innovation_dim) that led there.
            clip: (n,) long, the clip of each row.
        """
        with torch.autocast(z.device.type, enabled=False):
            _, predictor = self.predictor(watched.codes[clip, :-1], z, None)
        shown = max(watched.codes.shape[1] - 2, 0)
        return SVGState(
            frame=watched.frames[clip, -1],
            predictor=predictor,
            prior=watched.prior[clip],
            bank=bank_of([maps[:, shown] for maps in watched.maps]),
            slot=clip,
            posterior=watched.posterior[clip],
        )

    def _encode(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Give codes (b, t, code_dim), and maps (b, t, c, h, w) of each stage, coarsest first."""
        check_frames(frames, self.frame_shape)
        apart = self.config.batch_statistics
        if len(frames) < self.fewest_rows:
            raise ConfigError(
                "with batch_statistics frames are normalised by those of other clips, but there is "
                "one clip alone: give more, or train without batch_statistics"
            )

        def encode(frames: Tensor) -> list[Tensor]:
            code, maps = self.encoder(frames)
            return [code.float(), *maps]

        codes, *maps = over_time(encode, [frames], apart=apart)
        return codes, maps

    def _decode(self, codes: Tensor, maps: list[Tensor]) -> Tensor:
        """Show codes (b, t, code_dim) with maps of as many frames as (b, t, c, h, w)."""

        def decode(code: Tensor, *maps: Tensor) -> list[Tensor]:
            return [self.decoder(code, maps).float()]

        (frames,) = over_time(decode, [codes, *maps], apart=self.config.batch_statistics)
        return frames


def bank_of(maps: list[Tensor]) -> ContentBank:
    """Keep the maps (n, c, h, w) of one frame of each clip."""
    return ContentBank(w=maps[0].new_empty(len(maps[0]), 0), skips=tuple(maps))


def initialise_linear(module: nn.Module) -> None:
    """Draw linear layers from N(0, 0.02), without bias; LSTMs keep PyTorch's initialisation."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)


def over_time(
    function: Callable[..., Sequence[Tensor]], clips: Sequence[Tensor], *, apart: bool
) -> list[Tensor]:
    """Apply a function of frames (n, ...) to clips (b, t, ...), all of them together.

    Args:
        function: Takes as many tensors as there are clips; may give more of them.
        clips: Of the same rows and times.
        apart: Whether frames of different times are kept apart, for norms that see their batch.
    """
    b, t = clips[0].shape[:2]
    if apart:
        times = [function(*(clip[:, i] for clip in clips)) for i in range(t)]
        return [torch.stack(parts, dim=1) for parts in zip(*times, strict=True)]
    results = function(*(rearrange(clip, "b t ... -> (b t) ...") for clip in clips))
    return [rearrange(result, "(b t) ... -> b t ...", b=b) for result in results]
