"""Data-parallel training: the processes that `torchrun` starts, and what they tell each other.

Each has a copy of the model and its own rows of every batch. The first one alone writes and shows;
what only some of them meet, such as Ctrl-C or a broken file, all of them are told.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import sleep

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from srvp_world.checkpoint import check_device
from srvp_world.errors import ConfigError, SRVPWorldError
from srvp_world.model.batch_norm import synchronise
from srvp_world.world import WHOLE, Batch, Loss, Shard, Trainable

LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun
PATIENCE = timedelta(days=1)  # the others wait while the first one validates
GRACE = 1.0  # seconds in which the first one tells what happened, before the launcher ends it
SETTLE = 0.1  # seconds
MESSAGE_BYTES = 2000


class Processes:
    """The processes that train one model together, as one of them sees them; or a single one.

    Args:
        shard: The rows of this process.
        device: Where it computes.

    Attributes:
        failed: Whether an error was told to all, so that the first process alone has to show it.
    """

    def __init__(self, shard: Shard = WHOLE, device: torch.device | str = "cpu") -> None:
        """Note what is given."""
        self.shard = shard
        self.device = torch.device(device)
        self.failed = False

    @property
    def first(self) -> bool:
        """Whether this one writes files and shows progress."""
        return self.shard.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.shard.ranks > 1

    def total(self, number: int) -> int:
        """Add up a number of every process."""
        if not self.several:
            return number
        numbers = torch.tensor([number], dtype=torch.int64)
        dist.all_reduce(numbers)
        return int(numbers)

    def mean(self, values: Tensor) -> Tensor:
        """Average a tensor on the device over the processes."""
        if self.several:
            values = values.clone()
            dist.all_reduce(values)
        return values / self.shard.ranks

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wait for all processes at the end of a block; a user's mistake in one is raised in all.

        Raises:
            SRVPWorldError: What this process raised in the block, or the first of those that did.
        """
        error: SRVPWorldError | None = None
        try:
            yield
        except SRVPWorldError as caught:
            error = caught
            if not self.several:
                raise
        if self.total(error is not None):
            self.failed = True
            message = self._first_message(str(error or ""))
            raise error or SRVPWorldError(message)

    def _first_message(self, own: str) -> str:
        """Tell all processes a message, and return the first that is not empty."""
        padded = own.encode()[:MESSAGE_BYTES].ljust(MESSAGE_BYTES, b"\0")
        sent = torch.frombuffer(bytearray(padded), dtype=torch.uint8)
        received = [torch.empty_like(sent) for _ in range(self.shard.ranks)]
        dist.all_gather(received, sent)
        texts = [bytes(text.tolist()).rstrip(b"\0").decode(errors="ignore") for text in received]
        return next(filter(None, texts))


@contextmanager
def distributed(device: str) -> Iterator[Processes]:
    """Join the processes that `torchrun` started; without it there is but this one.

    An error that all were told leaves the block in the first process alone, and so does Ctrl-C:
    the others exit with the code of the command.

    Args:
        device: `cuda`, where each process takes the GPU of its local rank, or `cpu`; any device
            where there is but one process.

    Raises:
        ConfigError: If the device is not there, or there are more processes than GPUs.
    """
    if not _launched():
        yield Processes(device=check_device(device))
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    # On a GPU, too, the processes talk through gloo: with tensors on the CPU, which wait for none.
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    processes = Processes(Shard(dist.get_rank(), dist.get_world_size()))
    try:
        with processes.together():
            processes.device = _own_device(device, int(os.environ["LOCAL_RANK"]))
        yield processes
    except (SRVPWorldError, KeyboardInterrupt) as error:
        stopped = isinstance(error, KeyboardInterrupt)
        if not (stopped or processes.failed):  # the others do not know, and may be waiting
            raise
        _leave_group()
        if processes.first:
            raise
        sleep(GRACE)
        raise SystemExit(130 if stopped else 2) from None
    _leave_group()


def shared_loss(model: Trainable, processes: Processes) -> Callable[..., Loss]:
    """Give a model's loss, of which `backward` leaves the gradients of the global batch.

    Args:
        model: An `nn.Module` on its device; where there are several processes, all get the weights
            of the first, and batch norms see the global batch from now on.
        processes: Who trains.
    """
    assert isinstance(model, nn.Module), f"fit needs an nn.Module, got {type(model).__name__}"
    if not processes.several:
        return model.loss
    synchronise(model)
    shared = DistributedDataParallel(_LossModule(model), static_graph=True)
    shared.broadcast_buffers = False  # they are equal: only the first time buffers are sent, too
    return shared


class _LossModule(nn.Module):
    """Computes the loss in `forward`, which is what DDP prepares and follows."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, generator: torch.Generator, shard: Shard) -> Loss:
        loss: Loss = self.model.loss(batch, generator, shard)  # type: ignore[operator]
        return loss


def _launched() -> bool:
    return all(name in os.environ for name in LAUNCHED) and int(os.environ["WORLD_SIZE"]) > 1


def _leave_group() -> None:
    dist.destroy_process_group()
    sleep(SETTLE)  # to free their last tensors, gloo's threads need an interpreter that still runs


def _own_device(device: str, local_rank: int) -> torch.device:
    """Give a process a GPU of its own, or the CPU that all share."""
    if device not in ("cpu", "cuda"):
        raise ConfigError(
            f"device is {device!r}, but processes that share a training run on 'cuda', each on a "
            "GPU of its own, or on 'cpu': choose one of them"
        )
    if device == "cpu":
        return torch.device("cpu")
    there = torch.cuda.device_count()
    if 0 < there <= local_rank:
        raise ConfigError(
            f"process {local_rank} of this machine has no GPU, for there are {there}: "
            f"start torchrun with --nproc-per-node {there} or fewer"
        )
    own = check_device(f"cuda:{local_rank}")
    torch.cuda.set_device(own)
    return own
