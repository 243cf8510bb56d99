"""SRVP (Franceschi et al., ICML 2020) as a `WorldModel`, with actions and heads as options."""

import torch
from einops import repeat
from torch import Tensor
from torch.nn.functional import pad

from srvp_world.errors import ConfigError, DataError, SpaceError, StateError
from srvp_world.model.loss import elbo
from srvp_world.model.networks import Networks
from srvp_world.model.state import ContentBank, Inference, SRVPState
from srvp_world.world import WHOLE, Batch, Loss, Observation, Prediction, Shard


class SRVP(Networks):
    """A stochastic latent residual world model: its networks, and the verbs of a world."""

    def infer(
        self,
        observation: Observation,
        actions: Tensor | None = None,
        *,
        episode_start: Tensor | None = None,
        content_frames: Tensor | None = None,
        skip_frame: Tensor | None = None,
        lengths: Tensor | None = None,
        first: Observation | None = None,
        substeps: int | None = None,
        sample: bool = True,
        generator: torch.Generator | None = None,
        shard: Shard = WHOLE,
    ) -> Inference:
        """Watch whole clips and return every distribution of posterior and prior.

        Rows that start an episode take y_1, w and skips from their first frame alone, as a real
        episode must.

        Args:
            observation: Frames (b, t, c, h, w), and the vector (b, t, d) where the model has one.
            actions: (b, t - 1, ...) in the action space's units, where the model takes actions.
            episode_start: (b,) bool; None means no row.
            content_frames: (b, k) frames that w is inferred from; the last k by default.
            skip_frame: (b,) frame that skips come from; the last by default.
            lengths: (b,) frames before padding, which y_1, w and skips never see; None means all.
            first: The first frames (b, c, h, w) of the episodes that the clips were cut from, and
                vectors (b, d): w and skips come from them alone.
            substeps: Euler steps per frame; None means the trained number.
            sample: False takes every mean.
            generator: Source of the noise.
            shard: Which rows of a global batch these are, of whose noise they take their part.

        Raises:
            DataError: If frames have another shape, or are fewer than k and start no episode.
            SpaceError: If actions are missing, not wanted or of another shape.
        """
        substeps = self.check_substeps(substeps)
        shown, maps = self._encode_frames(_and(observation, first))
        codes = shown if first is None else shown[:, :-1]
        b, t = codes.shape[:2]
        encoded = self._encode_actions(actions, (b, t - 1))
        k = self.config.content_frames
        if t < k and episode_start is None:
            raise DataError(
                f"got {t} frames but {k} are needed: give more, or say which rows start an episode"
            )
        rows = torch.arange(b, device=codes.device)
        last = torch.full_like(rows, t - 1) if lengths is None else lengths - 1
        steps = torch.arange(k, device=codes.device)
        beginning = torch.minimum(steps, last[:, None])
        if content_frames is None:
            content_frames = (last[:, None] - k + 1 + steps).clamp(min=0)
        content_frames = torch.minimum(content_frames, last[:, None])
        skip_frame = last if skip_frame is None else skip_frame
        if episode_start is not None:
            beginning = beginning.masked_fill(episode_start[:, None], 0)
            content_frames = content_frames.masked_fill(episode_start[:, None], 0)
            skip_frame = skip_frame.masked_fill(episode_start, 0)
        if first is not None:  # the frame that was put behind the clip
            content_frames, skip_frame = (
                torch.full_like(content_frames, t),
                torch.full_like(last, t),
            )
        with torch.autocast(codes.device.type, enabled=False):
            w = self.content_net(shown[rows[:, None], content_frames])
            q_y1 = self.first_state(codes[rows[:, None], beginning])
            before = None if encoded is None else pad(encoded, (0, 0, 1, 0))  # a_0 = 0
            seen, memory = self.filter(codes, before, None)
            shape, noise = (b, t - 1, self.config.innovation_dim), None
            if sample:
                noise = shard.draw(torch.randn, shape, generator, codes.device)
            context = self._context(encoded, repeat(w, "b d -> b t d", t=t - 1))
            y1 = q_y1.draw(sample, generator, shard)
            rolled = self._roll(y1, seen[:, 1:], noise, context, substeps)
            p_z = self.prior(rolled.y[:, :-1], context)
        content = ContentBank(w, tuple(stage[rows, skip_frame] for stage in maps))
        return Inference(
            **rolled._asdict(),
            q_y1=q_y1,
            p_z=p_z,
            codes=codes,
            content=content,
            context=context,
            memory=memory,
        )

    def encode(
        self,
        observation: Observation,
        actions: Tensor | None = None,
        *,
        episode_start: Tensor | None = None,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> SRVPState:
        """Watch clips and return the state at their last frame; see `infer`."""
        inference = self.infer(
            observation, actions, episode_start=episode_start, sample=sample, generator=generator
        )
        return inference.last

    def observe(
        self,
        state: SRVPState,
        observation: Observation,
        action: Tensor | None = None,
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> SRVPState:
        """Watch one more frame (b, c, h, w), which followed `action`.

        Raises:
            StateError: If the state was imagined, for then the filter does not know what it saw.
            DataError: If the frames have another shape or another number of rows.
            SpaceError: If actions are missing, not wanted or of another shape.
        """
        if state.memory is None:
            raise StateError("an imagined state cannot observe: start from encode or observe")
        vector = None if observation.vector is None else observation.vector[:, None]
        codes, _ = self._encode_frames(Observation(observation.frames[:, None], vector))
        b = state.batch_size
        if codes.shape[0] != b:
            raise DataError(f"got {codes.shape[0]} frames for {b} states: give each state its own")
        encoded = self._encode_actions(None if action is None else action[:, None], (b, 1))
        with torch.autocast(codes.device.type, enabled=False):
            seen, memory = self.filter(codes, encoded, state.memory)
            z = self.filter.innovation(seen[:, 0], state.y).draw(sample, generator)
            context = self._context(None if encoded is None else encoded[:, 0], state.w)
            substates, _ = self.dynamics(state.y, z, context, self.config.substeps)
        return SRVPState(substates[:, -1], state.bank, state.slot, memory)

    def prior_start(self, state: SRVPState, noise: Tensor) -> SRVPState:
        """Keep the content of a state and draw its y_1 from p(y_1) = N(0, I).

        Args:
            state: Any state.
            noise: (b, start_noise_dim) standard normal.
        """
        return state.imagined(noise)

    def step(
        self,
        state: SRVPState,
        action: Tensor | None = None,
        *,
        noise: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        substeps: int | None = None,
    ) -> tuple[SRVPState, Prediction]:
        """Imagine one frame ahead.

        Args:
            state: Any state.
            action: (b, ...) in the action space's units, where the model takes actions.
            noise: (b, noise_dim) standard normal; drawn from `generator` if None.
            temperature: Factor of the prior's standard deviation.
            generator: Source of the noise.
            substeps: Euler steps; None means the trained number.

        Raises:
            SpaceError: If actions are missing, not wanted or of another shape.
        """
        substates, context = self.advance(state, action, noise, temperature, generator, substeps)
        y = substates[:, -1]
        reward = continuation = None
        if self.reward_head:
            reward = self.reward_normaliser.restore(self.reward_head(state.y, y, context))
        if self.continuation_head:
            continuation = self.continuation_head(y, context.content).sigmoid()
        return state.imagined(y), Prediction(reward, continuation)

    @torch.no_grad()
    def predict(
        self,
        frames: Tensor,
        horizon: int,
        *,
        substeps: int | None = None,
        observed_substeps: int | None = None,
        sample: bool = True,
        generator: torch.Generator | None = None,
        intermediate: bool = False,
    ) -> Tensor:
        """Reconstruct clips and continue them.

        Args:
            frames: (b, t, c, h, w) in [0, 1], t >= k.
            horizon: Frames to predict.
            substeps: Euler steps per predicted frame; None means the trained number.
            observed_substeps: The same for observed frames.
            sample: False takes every mean.
            generator: Source of the noise.
            intermediate: Whether to return a frame for every Euler step.

        Returns:
            (b, t + horizon, c, h, w); with `intermediate`, 1 + (t - 1) observed_substeps +
            horizon substeps frames instead of t + horizon.

        Raises:
            SpaceError: If the model needs actions: step it with them instead.
            DataError: If frames are too few, of another shape, or hold NaN or infinite values.
            ConfigError: If the horizon is negative or substeps are fewer than one.
        """
        if self.action:
            raise SpaceError("predict is for worlds without actions: use encode and step instead")
        if horizon < 0:
            raise ConfigError(f"horizon must not be negative, got {horizon}")
        if not frames.isfinite().all():
            raise DataError("frames hold NaN or infinite values: repair the clip or leave it out")
        inference = self.infer(
            Observation(frames), substeps=observed_substeps, sample=sample, generator=generator
        )
        substeps = self.check_substeps(substeps)
        shown = [inference.y[:, :1], inference.substates] if intermediate else [inference.y]
        y, content = inference.y[:, -1], inference.last.w
        for _ in range(horizon):
            context = self._context(None, content)
            z = self.prior(y, context).draw(sample, generator)
            substates, _ = self.dynamics(y, z, context, substeps)
            y = substates[:, -1]
            shown.append(substates if intermediate else substates[:, -1:])
        return self.decode_clip(torch.cat(shown, dim=1), inference.content)

    @torch.no_grad()
    def preview(self, batch: Batch, context: int, generator: torch.Generator) -> Tensor:
        """Watch the first `context` frames of a batch, then imagine the rest with its actions.

        Returns:
            (b, t, c, h, w): reconstructions, then imagined frames.
        """
        vector = None if batch.vector is None else batch.vector[:, :context]
        actions = batch.actions
        inference = self.infer(
            Observation(batch.frames[:, :context], vector),
            None if actions is None else actions[:, : context - 1],
            episode_start=batch.episode_start,
            first=batch.first,
            generator=generator,
        )
        states, state = [inference.y], inference.last
        for i in range(context - 1, batch.frames.shape[1] - 1):
            action = None if actions is None else actions[:, i]
            state, _ = self.step(state, action, generator=generator)
            states.append(state.y[:, None])
        return self.decode_clip(torch.cat(states, dim=1), inference.content)

    def loss(self, batch: Batch, generator: torch.Generator, shard: Shard = WHOLE) -> Loss:
        """Compute the training loss of a shard of a batch; see `model.loss.elbo`.

        As in the original, w comes from k frames and skips from one frame, drawn anew from the
        whole clip.
        """
        valid = batch.valid
        order = shard.draw(torch.rand, valid.shape, generator, valid.device)
        order = order.masked_fill(~valid, 2.0).argsort(dim=1)  # frames past the end come last
        skip = shard.draw(torch.rand, valid.shape, generator, valid.device)
        decoded, shown = None, self.config.objective.decoded_frames
        if 0 < shown < valid.shape[1]:
            lots = shard.draw(torch.rand, valid.shape, generator, valid.device)
            decoded = lots.masked_fill(~valid, 2.0).argsort(dim=1)[:, :shown]
        inference = self.infer(
            batch.observation,
            batch.actions,
            episode_start=batch.episode_start,
            content_frames=order[:, : self.config.content_frames],
            skip_frame=skip.masked_fill(~valid, -1.0).argmax(dim=1),
            lengths=valid.sum(1),
            first=batch.first,
            generator=generator,
            shard=shard,
        )
        return elbo(self, batch, inference, decoded)


def _and(clips: Observation, first: Observation | None) -> Observation:
    """Put the first frames of episodes behind clips, so that all are encoded together."""
    if first is None:
        return clips
    frames = torch.cat([clips.frames, first.frames[:, None]], dim=1)
    if clips.vector is None or first.vector is None:
        return Observation(frames)
    return Observation(frames, torch.cat([clips.vector, first.vector[:, None]], dim=1))
