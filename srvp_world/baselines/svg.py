"""SVG-LP (Denton and Fergus, ICML 2018) as a `WorldModel`: autoregressive, for video alone.

    h_t = enc(x_t)
    z_{t+1} ~ p(. | h_1..h_t)                    posterior: q(. | h_2..h_{t+1}); both are LSTMs
    x_{t+1} = dec(g_{t+1}, skips)                g_{t+1} = LSTM(h_1, z_2, .., h_t, z_{t+1})

In training all h are of true frames; when imagining, they are of the frames that were imagined.
Skips are the encoder's maps of the frame before the last one that was watched, as in the released
code, which takes new ones for each prediction of a watched frame, and then keeps them.
"""

import torch
from torch import Tensor

from srvp_world.baselines.svg_networks import SVGNetworks, Watched, bank_of
from srvp_world.baselines.svg_state import SVGState
from srvp_world.errors import ConfigError, DataError, SpaceError, StateError
from srvp_world.model.dream_loss import mean_over_batch
from srvp_world.model.encoder import check_frames
from srvp_world.model.normaliser import Normaliser
from srvp_world.world import WHOLE, Batch, Loss, Observation, Prediction, Shard


class SVG(SVGNetworks):
    """A stochastic video generator with a learned prior: its networks, and the verbs of a world."""

    def encode(
        self,
        observation: Observation,
        actions: Tensor | None = None,
        *,
        episode_start: Tensor | None = None,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> SVGState:
        """Watch clips of at least one frame and return the state at their last one.

        Raises:
            DataError: If frames have another shape, or there is a vector beside them.
            SpaceError: If there are actions.
        """
        watched = self.watch(_frames(observation, actions))
        rows = torch.arange(len(watched.codes), device=watched.codes.device)
        return self.follow(watched, watched.q_z.draw(sample, generator), rows)

    def observe(
        self,
        state: SVGState,
        observation: Observation,
        action: Tensor | None = None,
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> SVGState:
        """Watch one more frame (b, c, h, w).

        Raises:
            StateError: If the state was imagined, for then the posterior does not know what it saw.
            DataError: If frames have another shape or number of rows, or there is a vector.
            SpaceError: If there is an action.
        """
        if state.posterior is None:
            raise StateError("an imagined state cannot observe: start from encode or observe")
        frame = _frames(observation, action)
        if len(frame) != state.batch_size:
            raise DataError(
                f"got {len(frame)} frames for {state.batch_size} states: give each state its own"
            )
        check_frames(frame[:, None], self.frame_shape)
        codes, maps = self._encode(torch.stack([state.frame, frame], dim=1))
        with torch.autocast(codes.device.type, enabled=False):
            q_z, posterior = self.posterior(codes[:, 1:], state.posterior)
            _, prior = self.prior(codes[:, :1], state.prior)
            z = q_z.draw(sample, generator)
            _, predictor = self.predictor(codes[:, :1], z, state.predictor)
        rows = torch.arange(len(frame), device=frame.device)
        bank = bank_of([stage[:, 0] for stage in maps])
        return SVGState(frame, predictor, prior, bank, rows, posterior)

    def step(
        self,
        state: SVGState,
        action: Tensor | None = None,
        *,
        noise: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        substeps: int | None = None,
    ) -> tuple[SVGState, Prediction]:
        """Imagine one frame ahead, from the one that the state shows; arguments as of `SRVP.step`.

        Raises:
            SpaceError: If there is an action.
            ConfigError: For other substeps than one.
        """
        check_substeps(substeps)
        frame = _frames(Observation(state.frame), action)
        codes, _ = self._encode(frame[:, None])
        with torch.autocast(codes.device.type, enabled=False):
            p_z, prior = self.prior(codes, state.prior)
            if noise is None:
                shape, device = p_z.mean[:, 0].shape, codes.device
                noise = torch.randn(shape, generator=generator, device=device)
            z = torch.addcmul(p_z.mean, p_z.std, noise[:, None], value=temperature)
            shown, predictor = self.predictor(codes, z, state.predictor)
        imagined = self._decode(shown, [maps[:, None] for maps in state.skips])[:, 0]
        return SVGState(imagined, predictor, prior, state.bank, state.slot), Prediction(None, None)

    def prior_start(self, state: SVGState, noise: Tensor) -> SVGState:
        """There is no such start.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("SVG has no prior of first frames: start from data")

    def decode(self, state: SVGState) -> Tensor:
        """Show the state: the frame itself that was watched or imagined last, (b, c, h, w)."""
        return state.frame

    def decode_vector(self, state: SVGState) -> Tensor:
        """There is no vector.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("this world has no vector beside its frames: SVG sees frames alone")

    def uncertainty(self, state: SVGState, action: Tensor | None = None) -> Tensor:
        """There is no measure.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("SVG cannot tell how uncertain it is: use a world with has_uncertainty")

    @property
    def reward_normaliser(self) -> Normaliser:
        """There is none.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("SVG predicts no rewards: train an SRVP world on experience")

    def features(self, state: SVGState) -> Tensor:
        """What a policy sees: what the frame predictor's last LSTM puts out, normalised."""
        features: Tensor = self.feature_normaliser(state.predictor[:, -1, 0])
        return features

    @torch.no_grad()
    def preview(self, batch: Batch, context: int, generator: torch.Generator) -> Tensor:
        """Watch the first `context` frames of a batch, then imagine the rest.

        Returns:
            (b, t, c, h, w): the first frame as it is, predictions of the other watched ones by the
            posterior, then imagined ones.
        """
        watched = self.watch(batch.frames[:, :context])
        z = watched.q_z.sample(generator)
        shown = [watched.frames[:, :1]]
        if context > 1:
            shown.append(self._reconstruct(watched, z, context))
        state = self.follow(watched, z, torch.arange(len(z), device=z.device))
        for _ in range(context, batch.frames.shape[1]):
            state, _ = self.step(state, generator=generator)
            shown.append(state.frame[:, None])
        return torch.cat(shown, dim=1)

    def loss(self, batch: Batch, generator: torch.Generator, shard: Shard = WHOLE) -> Loss:
        """Compute the training loss of a shard of a batch, per window.

        The squared error is a mean over a frame's pixels, the KL a sum over z; both are summed over
        all frames but the first and averaged over the batch. Every frame is predicted from true
        ones.
        """
        watched, arrived = self.watch(batch.frames), batch.valid[:, 1:].float()
        z = watched.q_z.sample(generator, shard)
        prediction = self._reconstruct(watched, z, self.config.content_frames)
        error = (prediction - batch.frames[:, 1:]).square().mean(dim=(-3, -2, -1))
        terms = {
            "frames": mean_over_batch(error, arrived),
            "kl_z": mean_over_batch(watched.q_z.kl(watched.p_z), arrived),
        }
        total = terms["frames"] + self.config.objective.beta_z * terms["kl_z"]
        detached = {name: term.detach() for name, term in terms.items()}
        return Loss(total, detached, prediction.detach())

    def _reconstruct(self, watched: Watched, z: Tensor, past: int) -> Tensor:
        """Predict all frames but the first, each from the true ones before it and z.

        Args:
            watched: Clips.
            z: (b, t - 1, innovation_dim).
            past: Frames that count as watched where skips are chosen.
        """
        with torch.autocast(z.device.type, enabled=False):
            shown, _ = self.predictor(watched.codes[:, :-1], z, None)
        steps = torch.arange(shown.shape[1], device=z.device)
        chosen = steps.clamp(max=max(past - 2, 0))
        return self._decode(shown, [maps[:, chosen] for maps in watched.maps])


def check_substeps(substeps: int | None) -> None:
    """Refuse time between frames, which SVG does not know.

    Raises:
        ConfigError: For other substeps than one.
    """
    if substeps not in (None, 1):
        raise ConfigError(
            f"substeps are {substeps}, but SVG knows no time between frames: leave substeps out"
        )


def _frames(observation: Observation, actions: Tensor | None) -> Tensor:
    """Give the frames of an observation, which must come alone."""
    if actions is not None:
        raise SpaceError("this world takes no actions: leave them out")
    if observation.vector is not None:
        raise DataError("SVG sees frames alone: leave the vector beside them out")
    return observation.frames
