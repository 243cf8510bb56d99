"""What a model does on clips that it is not trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from srvp_world.metrics.frame import PSNR_LIMIT, psnr
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
    model: Trainable,
    batches: Sequence[Batch],
    context: int,
    generator: torch.Generator,
    seed: int,
    samples: int = 1,
) -> Validation:
    """Measure the loss, and the open-loop prediction after `context` watched frames.

    Every validation draws the same noise, so that two of them differ by their models only.

    Args:
        model: In evaluation mode already.
        batches: At least one; moved to the device of the generator one by one.
        context: Frames to watch before imagining.
        generator: Reseeded here.
        seed: Seed of the noise.
        samples: Predictions of a clip, of which the one with the best PSNR counts.
    """
    terms: list[dict[str, Tensor]] = []
    ratios: list[Tensor] = []
    pictures: list[np.ndarray] = []
    generator.manual_seed(seed)
    for batch in batches:
        batch = batch.to(generator.device)
        loss = model.loss(batch, generator)
        terms.append({"total": loss.total, **loss.terms})
        preview, quality = _best_preview(model, batch, context, generator, samples)
        ratios.append(quality[:, context:][batch.valid[:, context:]])
        if not pictures:
            rows = slice(PICTURE_ROWS)
            pictures.append(side_by_side(batch.frames[rows], preview[rows], context))
    scalars = {
        name: float(torch.stack([entry[name].float() for entry in terms]).mean())
        for name in terms[0]
    }
    return Validation({**scalars, "psnr": float(torch.cat(ratios).mean())}, pictures[0])


def _best_preview(
    model: Trainable, batch: Batch, context: int, generator: torch.Generator, samples: int
) -> tuple[Tensor, Tensor]:
    """Predict clips; give the best sample of each (b, t, c, h, w) and its PSNR (b, t).

    As in the original, reconstructions count when the best is chosen, but not in its score.
    """

    def draw() -> tuple[Tensor, Tensor]:
        frames = model.preview(batch, context, generator).float().clamp(0, 1)
        return frames, psnr(frames, batch.frames, PSNR_LIMIT)

    best, quality = draw()
    for _ in range(samples - 1):
        frames, ratios = draw()
        better = (((ratios - quality) * batch.valid).sum(1) > 0)[:, None]
        quality = torch.where(better, ratios, quality)
        best = torch.where(better[..., None, None, None], frames, best)
    return best, quality
