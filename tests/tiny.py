"""A tiny model that has all that makes resuming hard, and batches for it."""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from srvp_world.world import WHOLE, Batch, Loss, Shard

LENGTH, SIZE = 5, 4
PIXELS = SIZE * SIZE


class Tiny(nn.Module):
    """A linear predictor of the next frame, with batch statistics and noise."""

    def __init__(self, pixels: int = PIXELS) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(pixels)
        self.linear = nn.Linear(pixels, pixels)
        self.before_loss: Callable[[], None] = lambda: None
        self.after_loss: Callable[[Tensor], Tensor] = lambda total: total
        self.calls = 0

    def predict(self, frames: Tensor, generator: torch.Generator, shard: Shard = WHOLE) -> Tensor:
        flat = rearrange(frames, "n c h w -> n (c h w)")
        noise = shard.draw(torch.randn, flat.shape, generator, flat.device)
        flat = self.linear(self.norm(flat)) + 0.1 * noise
        return rearrange(flat, "n (c h w) -> n c h w", c=1, h=SIZE)

    def loss(self, batch: Batch, generator: torch.Generator, shard: Shard = WHOLE) -> Loss:
        self.calls += 1
        self.before_loss()
        past = rearrange(batch.frames[:, :-1], "b t c h w -> (b t) c h w")
        future = self.predict(past, generator, shard)
        frames = rearrange(future, "(b t) c h w -> b t c h w", t=LENGTH - 1)
        error = (frames - batch.frames[:, 1:]).square().mean()
        size = self.linear.weight.square().mean()
        total = self.after_loss(error + 0.1 * size)
        prediction = torch.cat([batch.frames[:, :1], frames], dim=1).detach()
        return Loss(total, {"error": error.detach(), "size": size.detach()}, prediction)

    def preview(self, batch: Batch, context: int, generator: torch.Generator) -> Tensor:
        frames = list(batch.frames[:, :context].unbind(dim=1))
        while len(frames) < batch.frames.shape[1]:
            frames.append(self.predict(frames[-1], generator))
        return torch.stack(frames, dim=1)


def make_batch(iteration: int, rows: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(iteration)
    return Batch(
        frames=torch.rand(rows, LENGTH, 1, SIZE, SIZE, generator=generator),
        valid=torch.ones(rows, LENGTH, dtype=torch.bool),
        episode_start=torch.zeros(rows, dtype=torch.bool),
    )
