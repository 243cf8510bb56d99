"""Many futures of the same clips by SVG: watched once, and drawn and decoded again and again."""

import torch
from einops import rearrange
from torch import Tensor

from srvp_world.baselines.svg import SVG, check_substeps
from srvp_world.baselines.svg_networks import Watched
from srvp_world.errors import SpaceError

IMAGINED_AT_ONCE = 128  # rows; the decoder of VGG takes 10 MB for each


class SVGFutures:
    """An SVG that draws futures of clips; see `model.sampling.Futures`.

    What it draws are frames at once, for each of them is needed for the next one. As there, every
    future draws the innovations of the observed frames anew.
    """

    def __init__(
        self,
        model: SVG,
        *,
        substeps: int | None = None,
        observed_substeps: int | None = None,
        temperature: float = 1.0,
    ) -> None:
        """Take a model in evaluation mode, and a factor of its prior's standard deviation.

        Raises:
            ConfigError: For other substeps than one.
        """
        check_substeps(substeps)
        check_substeps(observed_substeps)
        self.model = model
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
        """Count the standard normal numbers of one future: an innovation a transition."""
        return (observed - 1 + horizon) * self.model.noise_dim

    def watch(self, frames: Tensor, actions: Tensor | None = None) -> Watched:
        """Watch frames (b, t, c, h, w).

        Raises:
            DataError: If frames have another shape.
            SpaceError: If there are actions.
        """
        if actions is not None:
            raise SpaceError("this world takes no actions: leave them out")
        return self.model.watch(frames)

    def imagine(
        self, watched: Watched, noise: Tensor, horizon: int, actions: Tensor | None = None
    ) -> Tensor:
        """Draw futures of b clips; arguments as of `model.sampling.Futures.imagine`.

        With batch statistics, a sample of all clips is a batch, as in the released evaluation.

        Returns:
            Predicted frames (b, samples, horizon, c * h * w), flat.
        """
        b = len(noise)
        together = max(1, IMAGINED_AT_ONCE // b)
        if self.model.config.batch_statistics:
            together = 1
        groups = torch.split(noise, together, dim=1)
        parts = [self._imagine(watched, group, horizon) for group in groups]
        return torch.cat(parts, dim=1)

    def decode(self, watched: Watched, states: Tensor) -> Tensor:
        """Show futures (b, samples, t, c * h * w) as (b, samples, t, c, h, w)."""
        c, h, w = self.model.frame_shape
        return rearrange(states, "b s t (c h w) -> b s t c h w", c=c, h=h, w=w)

    def _imagine(self, watched: Watched, noise: Tensor, horizon: int) -> Tensor:
        """Draw a few futures of each clip together."""
        b, samples = noise.shape[:2]
        clip = torch.arange(b, device=noise.device).repeat_interleave(samples)
        seen = watched.codes.shape[1] - 1
        draws = rearrange(noise, "b s (t d) -> (b s) t d", t=seen + horizon)
        z = watched.q_z.mean[clip] + watched.q_z.std[clip] * draws[:, :seen]
        state, frames = self.model.follow(watched, z, clip), []
        for draw in draws[:, seen:].unbind(dim=1):
            state, _ = self.model.step(state, noise=draw, temperature=self.temperature)
            frames.append(state.frame)
        return rearrange(torch.stack(frames), "t (b s) c h w -> b s t (c h w)", b=b)
