"""What each of several processes does for `test_distributed.py`: `together.py FOLDER JOB...`."""

import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from einops import rearrange
from tiny import Tiny, make_batch
from torch import nn
from worlds import random_batch, tiny_model

from srvp_world.config import TrainConfig
from srvp_world.data.tensors import write_tensors
from srvp_world.errors import DataError, SRVPWorldError
from srvp_world.model.batch_norm import synchronise
from srvp_world.train.distributed import distributed
from srvp_world.train.fit import fit
from srvp_world.train.trainer import Trainer

STOP = 4
CONFIG = TrainConfig(
    iterations=10,
    decay=3,
    batch_size=4,
    learning_rate=1e-3,
    clip_norm=100.0,
    log_every=1,
    validate_every=5,
    save_every=10,
)
NORMS = {
    "images": (nn.BatchNorm2d, torch.float64, torch.contiguous_format),
    "channels_last": (nn.BatchNorm2d, torch.float64, torch.channels_last),
    "vectors": (nn.BatchNorm1d, torch.float64, torch.contiguous_format),
    "half": (nn.BatchNorm2d, torch.bfloat16, torch.channels_last),
}


def share(batch, shard):
    """Take a shard's rows of a batch."""
    rows = shard.rows(len(batch.frames))
    return replace(batch, **{k: v[rows] for k, v in vars(batch).items() if v is not None})


def doubled(batch):
    """Give a batch in double precision."""
    values = {k: v for k, v in vars(batch).items() if v is not None and v.is_floating_point()}
    return replace(batch, **{k: v.double() for k, v in values.items()})


def fit_srvp(run, processes, *, resume=False, press=lambda: None):
    """Fit a tiny world with all its heads; `press` is called in update STOP.

    In double precision: in single, one unit whose sign is within rounding of a kink parts curves.
    """
    model = tiny_model("box", vector_dim=2, skips=True).double()
    loss = model.loss

    def pressed(*arguments):
        if model.training and int(model.encoder.head[1].num_batches_tracked) == before + STOP - 1:
            press()
        return loss(*arguments)

    before = int(model.encoder.head[1].num_batches_tracked)
    model.loss = pressed
    lengths = (5, 3, 5, 4)
    sample = [doubled(random_batch(model, lengths, seed=i)) for i in range(CONFIG.iterations + 1)]
    return fit(
        model,
        lambda iteration: share(sample[iteration], processes.shard),
        CONFIG,
        run,
        validation=sample[-1:],
        resume=resume,
        progress=False,
        processes=processes,
    )


def whole(folder, processes):
    result = fit_srvp(folder / "shared", processes)
    assert (result.best is not None) == processes.first


def stop(folder, processes):
    """Tell the last process alone to stop."""

    def press():
        if not processes.first:
            signal.raise_signal(signal.SIGTERM)

    try:
        fit_srvp(folder / "stopped_shared", processes, press=press)
    except KeyboardInterrupt:
        return
    raise AssertionError("nothing stopped")


def resume(folder, processes):
    fit_srvp(folder / "stopped_alone", processes, resume=True)


def norms(folder, processes):
    for name, (make, dtype, layout) in NORMS.items():
        rows = processes.shard.rows(6)
        found = norm_twice(make, dtype, layout, rows, synchronise)
        write_tensors(folder / f"{name}-{processes.shard.rank}.safetensors", found, {})


def norm_twice(make, dtype, layout, rows, change=lambda model: None):
    """Pass rows of two batches through a norm, forward and backward."""
    model = nn.Sequential(make(3, momentum=0.3))
    half = dtype == torch.bfloat16
    nn.init.uniform_(model[0].weight, generator=torch.Generator().manual_seed(0))
    model.to(torch.float32 if half else dtype)
    change(model)
    draws = torch.Generator().manual_seed(1)
    for _ in range(2):
        value, slope = torch.randn(2, 6, 3, 4, 5, generator=draws, dtype=torch.float64)
        value = value + (1 if half else 100)
        if make is nn.BatchNorm1d:
            value, slope = (rearrange(x, "n c h w -> n c (h w)") for x in (value, slope))
        value = value[rows].to(dtype, memory_format=layout, copy=True).requires_grad_()
        out = model(value)
        (out * slope[rows].to(dtype)).sum().backward()
    return {
        "out": out.detach(),
        "gradient": value.grad,
        "weight_gradient": model[0].weight.grad,
        "bias_gradient": model[0].bias.grad,
        **model.state_dict(),
    }


def update(folder, processes):
    """Make one update in double precision."""
    changed = update_of_tiny(folder / "none", processes)
    if processes.first:
        write_tensors(folder / "update.safetensors", changed, {})


def update_of_tiny(run, processes):
    torch.manual_seed(7)
    model = Tiny().double()
    batch = share(make_batch(0), processes.shard)
    config = replace(CONFIG, clip_norm=0.01)
    trainer = Trainer(model, config, run, (), 2, processes)
    trainer.model.train()
    trainer.update(replace(batch, frames=batch.frames.double()))
    gradients = {f"{name}.grad": p.grad for name, p in model.named_parameters()}
    return gradients | model.state_dict()


def refusals(folder, processes):
    """Make mistakes that one process alone meets; keep what each says."""

    def broken_batches(iteration):
        if iteration == 3 and not processes.first:
            raise DataError("episode 17 is truncated")
        return share(make_batch(iteration), processes.shard)

    def infinite(total):
        return total / 0 if model.calls == 3 and not processes.first else total

    (folder / "file").write_text("not a folder")
    for name, (batches, after_loss, run, size) in {
        "data": (broken_batches, None, folder / "refused", 6),
        "infinite": (lambda i: make_batch(i, 3), infinite, folder / "infinite", 6),
        "folder": (make_batch, None, folder / "file" / "run", 6),
        "size": (make_batch, None, folder / "size", 7),
    }.items():
        model = Tiny()
        model.after_loss = after_loss or model.after_loss
        config = replace(CONFIG, batch_size=size)
        try:
            fit(model, batches, config, run, progress=False, processes=processes)
        except SRVPWorldError as error:
            (folder / f"{name}-{processes.shard.rank}.txt").write_text(str(error))


def fail(folder, processes):
    with processes.together():
        if not processes.first:
            raise DataError("only the last process knows")


def unknown_device(folder, processes):
    raise AssertionError("the device is there")


def main():
    folder, *jobs = sys.argv[1:]
    device = "tpu" if jobs == ["unknown_device"] else "cpu"
    try:
        with distributed(device) as processes:
            for job in jobs:
                globals()[job](Path(folder), processes)
    except SRVPWorldError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
