"""The networks of SRVP, and what watching, imagining and training share."""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from srvp_world.config import ModelConfig
from srvp_world.errors import ConfigError, DataError, SpaceError
from srvp_world.model.decoder import Decoder
from srvp_world.model.dynamics import DYNAMICS, Context, NoPrior, Prior
from srvp_world.model.encoder import Encoder, check_frames
from srvp_world.model.gaussian import Gaussian
from srvp_world.model.heads import CodeHead, ContinuationHead, Ensemble, RewardHead, VectorNets
from srvp_world.model.inference import ContentNet, Filter, FirstState, NoFilter
from srvp_world.model.normaliser import Normaliser
from srvp_world.model.state import ContentBank, SRVPState
from srvp_world.spaces import ActionSpec
from srvp_world.world import Observation


class Rolled(NamedTuple):
    """States along a clip.

    Attributes:
        y: (b, t, state_dim) at whole times.
        z: (b, t - 1, innovation_dim).
        q_z: What z were drawn from.
        substates: (b, (t - 1) substeps, state_dim), after each Euler step.
        residuals: The Euler steps themselves, likewise.
    """

    y: Tensor
    z: Tensor
    q_z: Gaussian
    substates: Tensor
    residuals: Tensor


class Networks(nn.Module):
    """All networks of a configuration.

    Initialisation is drawn from `seed` and leaves the global random state alone.
    """

    fewest_rows = 1  # each row is normalised by running statistics alone

    def __init__(self, config: ModelConfig, *, seed: int = 0):
        """Build all networks of a configuration."""
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = Encoder(config)
            self.decoder = Decoder(config, config.inference_hidden + config.state_dim)
            self.content_net = ContentNet(config)
            self.first_state = FirstState(config)
            chance = config.innovation_dim > 0
            self.filter: Filter | NoFilter = Filter(config) if chance else NoFilter()
            self.prior: Prior | NoPrior = Prior(config) if chance else NoPrior()
            self.dynamics = DYNAMICS[config.dynamics](config)
            self.reward_head = RewardHead(config) if config.reward else None
            self.continuation_head = ContinuationHead(config) if config.continuation else None
            self.code_head = CodeHead(config) if config.code_head else None
            self.vector_nets = VectorNets(config) if config.vector_dim else None
            self.ensemble = Ensemble(config) if config.ensemble else None
        self.reward_normaliser = Normaliser(1)
        self.feature_normaliser = Normaliser(self.feature_dim)
        self.vector_normaliser = Normaliser(config.vector_dim)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of a frame."""
        return (self.config.channels, self.config.frame_size, self.config.frame_size)

    @property
    def action(self) -> ActionSpec | None:
        """The actions that the model takes, or None."""
        return self.config.action

    @property
    def noise_dim(self) -> int:
        """Size of z."""
        return self.config.innovation_dim

    @property
    def start_noise_dim(self) -> int:
        """Size of y."""
        return self.config.state_dim

    @property
    def feature_dim(self) -> int:
        """Size of y, and of w where the configuration shows it to policies."""
        return (
            self.config.state_dim + self.config.content_in_features * self.config.inference_hidden
        )

    @property
    def has_reward(self) -> bool:
        """Whether steps predict rewards."""
        return self.config.reward

    @property
    def has_continuation(self) -> bool:
        """Whether steps predict ends."""
        return self.config.continuation

    @property
    def vector_dim(self) -> int:
        """Size of the vector beside the frames; 0 for none."""
        return self.config.vector_dim

    @property
    def has_uncertainty(self) -> bool:
        """Whether `uncertainty` can tell."""
        return self.ensemble is not None

    def decode(self, state: SRVPState) -> Tensor:
        """Show the state as frames (b, c, h, w) in [0, 1]."""
        frames: Tensor = self.decoder(torch.cat([state.w, state.y], dim=-1), state.skips)
        return frames.float()

    def decode_clip(self, y: Tensor, content: ContentBank) -> Tensor:
        """Show states (b, t, state_dim) of b clips as frames (b, t, c, h, w)."""
        b, t = y.shape[:2]
        slot = torch.arange(b, device=y.device).repeat_interleave(t)
        frames = self.decode(SRVPState(rearrange(y, "b t d -> (b t) d"), content, slot))
        return rearrange(frames, "(b t) c h w -> b t c h w", b=b)

    def decode_vector(self, state: SRVPState) -> Tensor:
        """Show the state as the vector (b, d) beside the frames.

        Raises:
            ConfigError: If the world has none.
        """
        if self.vector_nets is None:
            raise ConfigError("this world has no vector beside its frames: vector_dim is 0")
        vector = self.vector_nets.decoder(torch.cat([state.w, state.y], dim=-1))
        return self.vector_normaliser.restore(vector)

    def uncertainty(self, state: SRVPState, action: Tensor | None = None) -> Tensor:
        """Say how uncertain the next step is: (b,), on average 1 on the training data.

        It is the disagreement of heads that guess the next state, each on its own: they learnt the
        same where there was data, and differ where there was none.

        Raises:
            ConfigError: If the world has no such heads.
            SpaceError: If actions are missing, not wanted or of another shape.
        """
        if self.ensemble is None:
            raise ConfigError(
                "this world cannot tell how uncertain it is: train one with `--ensemble 5`"
            )
        context = self._context_of(state, action)
        return self.ensemble.disagreement(state.y, context)

    def features(self, state: SRVPState) -> Tensor:
        """What a policy sees: (b, feature_dim), normalised by the statistics of the world."""
        raw = torch.cat([state.y, state.w], dim=-1) if self.config.content_in_features else state.y
        features: Tensor = self.feature_normaliser(raw)
        return features

    def advance(
        self,
        state: SRVPState,
        action: Tensor | None = None,
        noise: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        substeps: int | None = None,
    ) -> tuple[Tensor, Context]:
        """Imagine one frame ahead and show every state on the way; arguments as of `step`.

        Returns:
            States (b, substeps, state_dim) after each Euler step, and what all of them were told.

        Raises:
            SpaceError: If actions are missing, not wanted or of another shape.
            ConfigError: If substeps are fewer than one.
        """
        context = self._context_of(state, action)
        with torch.autocast(state.y.device.type, enabled=False):  # as in training
            prior = self.prior(state.y, context)
            if noise is None:
                shape, device = prior.mean.shape, prior.mean.device
                noise = torch.randn(shape, generator=generator, device=device)
            z = torch.addcmul(prior.mean, prior.std, noise, value=temperature)
            substates, _ = self.dynamics(state.y, z, context, self.check_substeps(substeps))
        return substates, context

    def _encode_frames(self, observation: Observation) -> tuple[Tensor, list[Tensor]]:
        """Give codes (b, t, code_dim) and, where the model has skips, maps (b, t, c, h, w)."""
        frames, vector = observation
        self._check_observation(observation)
        b = frames.shape[0]
        flat = rearrange(frames, "b t c h w -> (b t) c h w")
        codes, maps = self.encoder(flat)
        codes = rearrange(codes.float(), "(b t) d -> b t d", b=b)
        if self.vector_nets is not None and vector is not None:
            codes = codes + self.vector_nets.encoder(self.vector_normaliser(vector))
        if not self.config.skips:
            return codes, []
        return codes, [rearrange(stage, "(b t) c h w -> b t c h w", b=b) for stage in maps]

    def _check_observation(self, observation: Observation) -> None:
        """Refuse frames and vectors that the encoder cannot read, without looking at values."""
        frames, vector = observation
        check_frames(frames, self.frame_shape)
        size = self.config.vector_dim
        expected = (*frames.shape[:2], size) if size else None
        given = None if vector is None else tuple(vector.shape)
        if given != expected:
            raise DataError(
                f"the vector beside the frames has shape {given}, the world wants {expected}: "
                "give the proprioception that it was trained with"
            )

    def _encode_actions(self, actions: Tensor | None, lead: tuple[int, ...]) -> Tensor | None:
        if self.action is None:
            if actions is not None:
                raise SpaceError("this world takes no actions: leave them out")
            return None
        expected = (*lead, *self.action.shape)
        if actions is None or tuple(actions.shape) != expected:
            got = "none" if actions is None else f"shape {tuple(actions.shape)}"
            raise SpaceError(
                f"this world needs actions of shape {expected}, got {got}: "
                f"give each frame's successor one action of {self.action.space}"
            )
        return self.action.encode(actions)

    def _context(self, action: Tensor | None, content: Tensor) -> Context:
        return Context(action, content if self.config.content_in_dynamics else None)

    def _context_of(self, state: SRVPState, action: Tensor | None) -> Context:
        """Join an action and the state's content, which is gathered only where it is used."""
        encoded = self._encode_actions(action, (state.batch_size,))
        return Context(encoded, state.w if self.config.content_in_dynamics else None)

    def check_substeps(self, substeps: int | None) -> int:
        """Give the number of Euler steps per frame: the trained one for None.

        Raises:
            ConfigError: For fewer than one, or others than one where dynamics have no dt.
        """
        if substeps is None:
            return self.config.substeps
        if substeps < 1:
            raise ConfigError(
                f"substeps must be at least 1, got {substeps}: None is the trained number"
            )
        if substeps != 1 and self.config.dynamics != "residual":
            raise ConfigError(
                f"substeps are {substeps}, but {self.config.dynamics!r} dynamics have no dt: "
                "leave substeps out, or train 'residual' dynamics"
            )
        return substeps

    def _roll(
        self, y1: Tensor, seen: Tensor, noise: Tensor | None, context: Context, substeps: int
    ) -> Rolled:
        """Roll states along the innovations that are inferred from what was seen.

        Args:
            y1: (b, state_dim).
            seen: (b, t - 1, d), what the filter saw at each frame but the first.
            noise: (b, t - 1, innovation_dim) standard normal; None takes means.
            context: Of the transitions.
            substeps: Euler steps per frame.
        """
        known = None if self.filter.sees_state else self.filter.innovation(seen, y1)
        y, moves = y1, []
        for i in range(seen.shape[1]):
            q_z = self.filter.innovation(seen[:, i], y) if known is None else known.at(i)
            z = q_z.mean if noise is None else q_z.mean + q_z.std * noise[:, i]
            now = Context(*(None if part is None else part[:, i] for part in context))
            substates, residuals = self.dynamics(y, z, now, substeps)
            y = substates[:, -1]
            moves.append((y, z, *q_z, substates, residuals))
        if not moves:
            return self._unmoved(y1)
        y, z, mean, std, substates, residuals = (
            torch.stack(parts, 1) for parts in zip(*moves, strict=True)
        )
        flat = "b t s d -> b (t s) d"
        return Rolled(
            y=torch.cat([y1[:, None], y], dim=1),
            z=z,
            q_z=Gaussian(mean, std),
            substates=rearrange(substates, flat),
            residuals=rearrange(residuals, flat),
        )

    def _unmoved(self, y1: Tensor) -> Rolled:
        """Give what a single frame comes to."""
        z, still = (y1.new_empty(len(y1), 0, d) for d in (self.noise_dim, y1.shape[1]))
        return Rolled(y1[:, None], z, Gaussian(z, z), still, still)
