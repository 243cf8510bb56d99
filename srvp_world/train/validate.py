"""What a model does on clips that it is not trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from srvp_world.metrics.frame import psnr
from srvp_world.pictures import side_by_side
from srvp_world.world import Batch, Trainable

PICTURE_ROWS = 4


class Validation(NamedTuple):
    """The result of a validation.

    Attributes:
        scalars: Means of the loss (`total`), of its terms, and `psnr` of what was imagined.
        movie: (t, h, w, 3) uint8, truth beside prediction for the first rows of the first batch.
    """

    scalars: dict[str, float]
    movie: np.ndarray


@torch.no_grad()
def validate(
    model: Trainable, batches: Sequence[Batch], context: int, generator: torch.Generator, seed: int
) -> Validation:
    """Measure the loss, and the open-loop prediction after `context` watched frames.

    Every validation draws the same noise, so that two of them differ by their models only.

    Args:
        model: In evaluation mode already.
        batches: At least one; moved to the device of the generator one by one.
        context: Frames to watch before imagining.
        generator: Reseeded here.
        seed: Seed of the noise.
    """
    terms: list[dict[str, Tensor]] = []
    ratios: list[Tensor] = []
    pictures: list[np.ndarray] = []
    generator.manual_seed(seed)
    for batch in batches:
        batch = batch.to(generator.device)
        loss = model.loss(batch, generator)
        terms.append({"total": loss.total, **loss.terms})
        preview = model.preview(batch, context, generator).float().clamp(0, 1)
        imagined = psnr(preview, batch.frames)[:, context:]
        ratios.append(imagined[batch.valid[:, context:]])
        if not pictures:
            rows = slice(PICTURE_ROWS)
            pictures.append(side_by_side(batch.frames[rows], preview[rows], context))
    scalars = {
        name: float(torch.stack([entry[name].float() for entry in terms]).mean())
        for name in terms[0]
    }
    return Validation({**scalars, "psnr": float(torch.cat(ratios).mean())}, pictures[0])
