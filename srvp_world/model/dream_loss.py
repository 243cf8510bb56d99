"""Terms that make a world good to dream in. The paper's objective, for video, has none of them."""

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from srvp_world.model.dynamics import Context
from srvp_world.model.gaussian import negative_log_likelihood
from srvp_world.world import Batch

if TYPE_CHECKING:
    from srvp_world.model.srvp import SRVP
    from srvp_world.model.state import Inference

_SHARPEST = 0.05  # deviations of q(y_1) below this one count as it


def consistency(model: "SRVP", batch: Batch, inference: "Inference") -> Tensor:
    """Say how far states are from what the model would begin with at their frames.

    Windows begin with y_1 from q(y_1), an agent's filter goes on for hundreds of frames: without
    this, states of an age that no window reaches lie where nothing was ever learnt. The term is 0
    for windows that are no longer than what the model begins with.
    """
    k = model.config.content_frames
    b, t = batch.valid[:, k:].shape
    if not t:
        return inference.y.new_zeros(())
    clips = inference.codes.unfold(1, k, 1)[:, 1:]  # (b, t, code_dim, k), from the second on
    with torch.no_grad():  # q(y_1) is only what states should come to
        q_y1 = model.first_state(rearrange(clips, "b t d k -> (b t) k d"))
    y = rearrange(inference.y[:, 1 : 1 + t], "b t d -> (b t) d")
    distance = ((y - q_y1.mean) / q_y1.std.clamp(min=_SHARPEST)).square().sum(-1) / 2
    return mean_over_batch(rearrange(distance, "(b t) -> b t", b=b), batch.valid[:, k:])


def overshooting(model: "SRVP", batch: Batch, inference: "Inference") -> Tensor:
    """Imagine ahead from every inferred state, and say how surprising is what came instead.

    All states of a window are rolled together, with the window's own actions and the prior's mean;
    surprises are averaged over the frames ahead.
    """
    objective, length = model.config.objective, inference.y.shape[1]
    steps = min(objective.overshooting, length - 1)
    starts = length - steps
    y = inference.y[:, :starts]
    total = y.new_zeros(())
    for i in range(steps):
        ahead = slice(i, i + starts)  # rows of transitions, and of what arrives, i after the starts
        context = Context(*(None if part is None else part[:, ahead] for part in inference.context))
        following = _imagine(model, y, context)
        arrived = batch.valid[:, 1:][:, ahead].float()
        surprise = torch.zeros_like(arrived)
        if model.code_head is not None:
            codes = inference.codes[:, 1:][:, ahead]
            surprise = surprise + code_surprise(
                model.code_head(following), codes, objective.code_std
            )
        if model.reward_head is not None and batch.rewards is not None:
            reward = model.reward_head(y, following, context)
            surprise = surprise + reward_surprise(model, reward, batch.rewards[:, ahead], arrived)
        if model.continuation_head is not None and batch.continues is not None:
            logits = model.continuation_head(following, context.content)
            ends = binary_cross_entropy_with_logits(
                logits, batch.continues[:, ahead], reduction="none"
            )
            surprise = surprise + objective.continuation_weight * ends
        total = total + mean_over_batch(surprise, arrived)
        y = following
    return total / max(steps, 1)


def code_surprise(codes: Tensor, seen: Tensor, std: float) -> Tensor:
    """Give -log p of codes (b, t, code_dim) as they were seen, which learn nothing from it."""
    return negative_log_likelihood(codes, seen.detach(), std).sum(-1)


def reward_surprise(model: "SRVP", reward: Tensor, came: Tensor, arrived: Tensor) -> Tensor:
    """Give -log p (b, t) of rewards that came; `reward` is the head's, normalised."""
    objective, target = model.config.objective, model.reward_normaliser(came)
    std: float | Tensor = objective.reward_std
    if objective.reward_std_fits:
        errors = ((reward - target).square() * arrived).sum() / arrived.sum().clamp(min=1)
        std = errors.detach().sqrt().clamp(min=objective.reward_std)
    return negative_log_likelihood(reward, target, std)


def mean_over_batch(term: Tensor, valid: Tensor) -> Tensor:
    """Sum a (b, t) term over the valid times and average over the batch."""
    return (term * valid).sum() / term.shape[0]


def _imagine(model: "SRVP", y: Tensor, context: Context) -> Tensor:
    """Move states (b, t, state_dim) one frame ahead by the prior's mean."""
    flat = "b t d -> (b t) d"
    now = Context(*(None if part is None else rearrange(part, flat) for part in context))
    rows = rearrange(y, flat)
    substates, _ = model.dynamics(rows, model.prior(rows, now).mean, now, model.config.substeps)
    following: Tensor = rearrange(substates[:, -1], "(b t) d -> b t d", b=len(y))
    return following
