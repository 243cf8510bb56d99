"""What is usual on the data, for a model's measure of its own uncertainty."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from srvp_world.model.dynamics import Context
from srvp_world.world import Batch

if TYPE_CHECKING:
    from srvp_world.model.srvp import SRVP


@torch.no_grad()
def calibrate_uncertainty(model: "SRVP", batches: Sequence[Batch]) -> None:
    """Make 1 the mean uncertainty of the transitions in batches that the model learnt from.

    Does nothing where the model has no ensemble.
    """
    if model.ensemble is None:
        return
    before, after, actions, contents = [], [], [], []
    for batch in batches:
        batch = batch.to(model.device)
        watched = model.infer(
            batch.observation,
            batch.actions,
            episode_start=batch.episode_start,
            lengths=batch.valid.sum(1),
            sample=False,
        )
        happened = batch.valid[:, 1:]
        before.append(watched.y[:, :-1][happened])
        after.append(watched.y[:, 1:][happened])
        action, content = watched.context
        actions += [] if action is None else [action[happened]]
        contents += [] if content is None else [content[happened]]
    context = Context(
        torch.cat(actions) if actions else None, torch.cat(contents) if contents else None
    )
    model.ensemble.calibrate(torch.cat(before), torch.cat(after), context)
