"""The training objective: the paper's ELBO with its penalty on residuals, and the heads' terms."""

from typing import TYPE_CHECKING

import torch
from einops import reduce, repeat
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from srvp_world.model.dream_loss import (
    code_surprise,
    consistency,
    mean_over_batch,
    overshooting,
    reward_surprise,
)
from srvp_world.model.gaussian import negative_log_likelihood
from srvp_world.world import Batch, Loss

if TYPE_CHECKING:
    from srvp_world.model.srvp import SRVP
    from srvp_world.model.state import Inference


def elbo(
    model: "SRVP", batch: Batch, inference: "Inference", decoded: Tensor | None = None
) -> Loss:
    """Compute the loss of a batch, per window (sums over time and pixels, means over the batch).

    Every term counts valid frames and transitions only. As in the original, the Gaussian
    likelihood keeps its constant and residuals are penalised by their L2 norm, not its square.
    Under autocast only the decoder runs in less than float32, for dreams are made in float32.

    Args:
        model: Whose loss it is.
        batch: What came.
        inference: What the model makes of it.
        decoded: (b, n) times of the frames to decode, which stand for all of a window, valid ones
            first; None for all.
    """
    config = model.config.objective
    arrived = batch.valid[:, 1:].float()  # (b, t - 1), whether a transition happened
    substeps = inference.residuals.shape[1] // max(arrived.shape[1], 1)
    prediction, frames = _frames_term(model, batch, inference, decoded)
    with torch.autocast(arrived.device.type, enabled=False):
        terms = {
            "frames": frames,
            "kl_y1": inference.q_y1.kl_standard().mean(),
            "kl_z": mean_over_batch(inference.q_z.kl(inference.p_z), arrived),
            "residuals": mean_over_batch(
                inference.residuals.norm(dim=-1), repeat(arrived, "b t -> b (t s)", s=substeps)
            ),
            **_head_terms(model, batch, inference, arrived),
        }
        if config.consistency:
            terms["consistency"] = consistency(model, batch, inference)
        if config.overshooting:
            terms["overshooting"] = overshooting(model, batch, inference)
    weights = {
        "consistency": config.consistency,
        "kl_y1": config.beta_y,
        "kl_z": config.beta_z,
        "residuals": config.residual_weight,
        "continuation": config.continuation_weight,
    }
    total = torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
    return Loss(total, {name: term.detach() for name, term in terms.items()}, prediction.detach())


def _frames_term(
    model: "SRVP", batch: Batch, inference: "Inference", decoded: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Decode frames and give them with their -log p, that of all frames of a window."""
    y, frames, counts = inference.y, batch.frames, batch.valid.float()
    if decoded is not None:
        rows = torch.arange(len(y), device=y.device)[:, None]
        y, frames, chosen = y[rows, decoded], frames[rows, decoded], counts[rows, decoded]
        # chosen.sum is 0 for no window: each has a valid frame, and valid ones come first
        counts = chosen * (counts.sum(1) / chosen.sum(1))[:, None]
    prediction = model.decode_clip(y, inference.content)
    pixels = negative_log_likelihood(prediction, frames, model.config.objective.observation_std)
    return prediction, mean_over_batch(reduce(pixels, "b t c h w -> b t", "sum"), counts)


def _head_terms(
    model: "SRVP", batch: Batch, inference: "Inference", arrived: Tensor
) -> dict[str, Tensor]:
    """Give the losses of reward, continuation and vector, where model and batch have them."""
    config = model.config.objective
    y, context = inference.y, inference.context
    terms = {}
    if model.reward_head is not None and batch.rewards is not None:
        reward = model.reward_head(y[:, :-1], y[:, 1:], context)
        likelihood = reward_surprise(model, reward, batch.rewards, arrived)
        terms["reward"] = mean_over_batch(likelihood, arrived)
    if model.continuation_head is not None and batch.continues is not None:
        logits = model.continuation_head(y[:, 1:], context.content)
        likelihood = binary_cross_entropy_with_logits(logits, batch.continues, reduction="none")
        terms["continuation"] = mean_over_batch(likelihood, arrived)
    if model.code_head is not None:
        codes = model.code_head(y)
        likelihood = code_surprise(codes, inference.codes, config.code_std)
        terms["codes"] = mean_over_batch(likelihood, batch.valid)
    if model.ensemble is not None:
        errors = model.ensemble.errors(y, context, arrived)
        terms["ensemble"] = mean_over_batch(errors, arrived)
    if model.vector_nets is not None and batch.vector is not None:
        w = repeat(inference.content.w, "b d -> b t d", t=y.shape[1])
        vector = model.vector_nets.decoder(torch.cat([w, y], dim=-1))
        target = model.vector_normaliser(batch.vector)
        likelihood = negative_log_likelihood(vector, target, config.vector_std).sum(-1)
        terms["vector"] = mean_over_batch(likelihood, batch.valid)
    return terms
