"""Many futures of the same clips: frames are encoded once, latents are drawn again and again."""

import torch
from einops import rearrange
from torch import Tensor

from srvp_world.model.dynamics import Context
from srvp_world.model.srvp import SRVP
from srvp_world.model.state import Inference, SRVPState
from srvp_world.world import Observation

DECODED_AT_ONCE = 128  # frames; those of the VGG decoder with skips take 10 MB each


class Futures:
    """An SRVP that draws futures of clips.

    Every future draws the whole chain again, as the original's test does: y_1 and the innovations
    of the observed frames from the posterior, those beyond from the prior. All chance is in the
    noise that is given; zeros take every mean.
    """

    def __init__(
        self,
        model: SRVP,
        *,
        substeps: int | None = None,
        observed_substeps: int | None = None,
        temperature: float = 1.0,
    ) -> None:
        """Choose Euler steps per predicted and per observed frame; None means the trained number.

        Args:
            model: In evaluation mode.
            substeps: Of predicted frames.
            observed_substeps: Of observed frames.
            temperature: Factor of the prior's standard deviation.

        Raises:
            ConfigError: For fewer substeps than one, or ones that the dynamics do not know.
        """
        self.model = model
        self.substeps = model.check_substeps(substeps)
        self.observed_substeps = model.check_substeps(observed_substeps)
        self.temperature = temperature

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.model.device

    @property
    def fewest_rows(self) -> int:
        """Clips that the model must watch together."""
        return self.model.fewest_rows

    def noise_size(self, observed: int, horizon: int) -> int:
        """Count the standard normal numbers of one future: y_1, then an innovation a transition."""
        config = self.model.config
        return config.state_dim + (observed - 1 + horizon) * config.innovation_dim

    def watch(self, frames: Tensor, actions: Tensor | None = None) -> Inference:
        """Watch frames (b, t, c, h, w), and actions (b, t - 1, ...) where the model takes them.

        Clips with actions begin an episode.

        Raises:
            DataError: If frames are too few or of another shape.
            SpaceError: If actions are missing, not wanted or of another shape.
        """
        start = None if actions is None else torch.ones(len(frames), device=frames.device).bool()
        return self.model.infer(
            Observation(frames),
            actions,
            episode_start=start,
            substeps=self.observed_substeps,
            sample=False,
        )

    def imagine(
        self,
        watched: Inference,
        noise: Tensor,
        horizon: int,
        actions: Tensor | None = None,
        *,
        intermediate: bool = False,
    ) -> Tensor:
        """Draw futures of b clips in latent space.

        Args:
            watched: What `watch` gave.
            noise: (b, samples, noise_size) standard normal.
            horizon: Frames to predict.
            actions: (b, horizon, ...) from the last observed frame on, the same for all samples.
            intermediate: Whether to give a state for every Euler step, not for every frame.

        Returns:
            States of the predicted frames (b, samples, horizon, state_dim); with `intermediate`,
            horizon * substeps states, of which every `substeps`-th is that of a frame.
        """
        b, samples = noise.shape[:2]
        clip = torch.arange(b, device=noise.device).repeat_interleave(samples)
        flat = rearrange(noise, "b s d -> (b s) d")
        first, rest = flat.tensor_split([self.model.config.state_dim], dim=1)
        observed = watched.codes.shape[1]
        draws = rearrange(rest, "n (t d) -> t n d", t=observed - 1 + horizon)
        y = watched.q_y1.mean[clip] + watched.q_y1.std[clip] * first
        for i in range(observed - 1):
            z = watched.q_z.mean[clip, i] + watched.q_z.std[clip, i] * draws[i]
            now = Context(*(None if part is None else part[clip, i] for part in watched.context))
            y = self.model.dynamics(y, z, now, self.observed_substeps)[0][:, -1]
        state = SRVPState(y, watched.content, clip)
        states = []
        for i, draw in enumerate(draws[observed - 1 :]):
            action = None if actions is None else actions[clip, i]
            path, _ = self.model.advance(
                state, action, draw, self.temperature, substeps=self.substeps
            )
            state = state.imagined(path[:, -1])
            states.append(path if intermediate else path[:, -1:])
        return rearrange(torch.cat(states, dim=1), "(b s) t d -> b s t d", b=b)

    def decode(self, watched: Inference, states: Tensor) -> Tensor:
        """Show states (b, samples, t, state_dim) of watched clips as (b, samples, t, c, h, w)."""
        b, samples, t = states.shape[:3]
        clip = torch.arange(b, device=states.device).repeat_interleave(samples * t)
        flat = rearrange(states, "b s t d -> (b s t) d")
        pieces = (slice(i, i + DECODED_AT_ONCE) for i in range(0, len(flat), DECODED_AT_ONCE))
        frames = [
            self.model.decode(SRVPState(flat[piece], watched.content, clip[piece]))
            for piece in pieces
        ]
        return rearrange(torch.cat(frames), "(b s t) c h w -> b s t c h w", b=b, s=samples)
