"""The filter over whole episodes: how good it stays as it ages, and where it leads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from tqdm import tqdm

from srvp_world.checkpoint import StartClips, World
from srvp_world.data.dataset import Dataset
from srvp_world.data.windows import to_batch
from srvp_world.metrics.frame import PSNR_LIMIT, psnr
from srvp_world.model.srvp import SRVP
from srvp_world.world import Batch, Observation, State, WorldModel

LONGEST = 1_001  # frames of an episode that are watched
_FRAMES_AT_ONCE = 2_048
_STATES = 4_000  # that are compared with one another, at most

S = TypeVar("S", bound=State)


@dataclass(frozen=True, eq=False, kw_only=True)
class Filtered:
    """What the filter made of n episodes.

    Attributes:
        first: Age, in frames seen, of column 0.
        psnr: (n, ages) decibels of the mean prediction one step after a frame; NaN past an end.
        kl: (n, ages) KL(q(z) || p(z)) of that step in nats, or None where a model does not tell.
        features: (n, 1 + ages, d) after each frame; NaN past an end.
    """

    first: int
    psnr: np.ndarray
    kl: np.ndarray | None
    features: np.ndarray


def filter_episodes(world: World, data: Dataset, *, progress: bool = True) -> Filtered:
    """Run the filter over the beginnings of all episodes, by its means.

    Raises:
        DataError: Where a file is gone or broken.
    """
    begins = [i for i, record in enumerate(data.records) if record.part == 0]
    longest = min(max(data.records[i].frames for i in begins), LONGEST)
    size = max(1, _FRAMES_AT_ONCE // longest)

    def batches() -> Iterator[Batch]:
        with tqdm(total=len(begins), desc="filtering", unit="episode", disable=not progress) as bar:
            for start in range(0, len(begins), size):
                rows = begins[start : start + size]
                yield to_batch([data.read(i, 0, longest) for i in rows], length=longest)
                bar.update(len(rows))

    return _filter(world, batches())


def filter_starts(world: World) -> Filtered:
    """Run the filter over the clips that dreams begin from, by its means."""
    return _filter(world, iter([_as_batch(world.starts)]))


def _as_batch(starts: StartClips) -> Batch:
    n, longest = starts.frames.shape[:2]
    return Batch(
        frames=rearrange(starts.frames, "n t h w c -> n t c h w").float() / 255,
        valid=torch.arange(longest) < starts.lengths[:, None],
        episode_start=torch.full((n,), starts.begin_episodes),
        actions=starts.actions,
        vector=starts.vector,
    )


def _filter(world: World, batches: Iterator[Batch]) -> Filtered:
    """Filter batch by batch; all have the same number of frames."""
    model = world.model
    qualities, kls, features = [], [], []
    # The first state of a video needs k frames, that of an episode one.
    first = 1 if world.starts.begin_episodes else model.config.content_frames
    for batch in batches:
        moved = batch.to(model.device)
        quality, seen = one_step_ahead(model, moved, first)
        qualities.append(quality)
        features.append(seen)
        if isinstance(model, SRVP):
            kls.append(surprise(model, moved, first))
    return Filtered(
        first=first,
        psnr=torch.cat(qualities).cpu().numpy(),
        kl=torch.cat(kls).cpu().numpy() if kls else None,
        features=torch.cat(features).cpu().numpy(),
    )


@torch.no_grad()
def one_step_ahead(model: WorldModel[S], batch: Batch, first: int) -> tuple[Tensor, Tensor]:
    """Observe frame after frame, and predict each next one from the state before it is observed.

    Args:
        model: Whose filter.
        batch: Whole episodes, padded.
        first: Frames that the first state is made from.

    Returns:
        Decibels (b, t - first) of the mean predictions, and features (b, t - first + 1, d) after
        each frame from the `first` one on; NaN past the end.
    """
    (b, length), qualities = batch.valid.shape, []
    state = model.encode(
        _seen(batch, slice(0, first)),
        None if batch.actions is None else batch.actions[:, : first - 1],
        episode_start=batch.episode_start,
        sample=False,
    )
    features = [model.features(state)]
    still = torch.zeros(b, model.noise_dim, device=model.device)
    for t in range(first, length):
        action = None if batch.actions is None else batch.actions[:, t - 1]
        imagined, _ = model.step(state, action, noise=still)
        qualities.append(psnr(model.decode(imagined), batch.frames[:, t], limit=PSNR_LIMIT))
        state = model.observe(state, _seen(batch, t), action, sample=False)
        features.append(model.features(state).clone())
    seen = batch.valid[:, first - 1 :]
    quality = torch.stack(qualities, 1) if qualities else seen.new_zeros((b, 0)).float()
    return (
        quality.masked_fill(~seen[:, 1:], torch.nan),
        torch.stack(features, 1).masked_fill(~seen[..., None], torch.nan),
    )


def _seen(batch: Batch, when: slice | int) -> Observation:
    return Observation(
        batch.frames[:, when], None if batch.vector is None else batch.vector[:, when]
    )


@torch.no_grad()
def surprise(model: SRVP, batch: Batch, first: int) -> Tensor:
    """Compute KL(q(z) || p(z)) (b, t - first) in nats of each step; NaN past the end.

    Content comes from the first frames, as in the filter, and not from the last ones.
    """
    b, k = len(batch.frames), model.config.content_frames
    begin = torch.arange(k, device=model.device).clamp(max=first - 1)
    inference = model.infer(
        batch.observation,
        batch.actions,
        episode_start=batch.episode_start,
        content_frames=begin.expand(b, k),
        skip_frame=torch.full((b,), first - 1, device=model.device),
        lengths=batch.valid.sum(1),
        sample=False,
    )
    kl = inference.q_z.kl(inference.p_z)[:, first - 1 :]
    return kl.masked_fill(~batch.valid[:, first:], torch.nan)


@dataclass(frozen=True, eq=False, kw_only=True)
class Coverage:
    """How far states of the data are from the states that dreams begin from.

    Attributes:
        data: (m,) distance of each state to the nearest one of the start clips.
        starts: (p,) distance of each of their states to the nearest one of another start clip.
    """

    data: np.ndarray
    starts: np.ndarray

    @property
    def ratio(self) -> float:
        """The median distance, relative to the start clips' own: 1 where both are as dense."""
        own = float(np.median(self.starts))
        return float(np.median(self.data)) / own if own > 0 else float("nan")

    @property
    def limit(self) -> float:
        """The 95th percentile of the start clips' own distances."""
        return float(np.percentile(self.starts, 95))

    @property
    def beyond(self) -> float:
        """Share of states farther off than that; 0.05 where they are spread like the start clips'.

        Many are of situations that dreams neither begin in nor, maybe, were trained on.
        """
        return float((self.data > self.limit).mean())


def cover(data: Filtered, starts: Filtered) -> Coverage:
    """Compare latent features of episodes with those of at least two start clips."""
    pool, clip = _states(starts)
    held_out, _ = _states(data)
    own = torch.cdist(pool, pool).masked_fill(clip[:, None] == clip, torch.inf).amin(1)
    return Coverage(data=torch.cdist(held_out, pool).amin(1).numpy(), starts=own.numpy())


def _states(filtered: Filtered) -> tuple[Tensor, Tensor]:
    """Give states (m, d), evenly thinned out if they are too many, and which row each is of."""
    features = torch.from_numpy(filtered.features)
    valid = features.isfinite().all(-1)
    every = -(-int(valid.sum()) // _STATES)
    return features[valid][::every], valid.nonzero()[:, 0][::every]
