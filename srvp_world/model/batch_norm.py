"""Batch norms over what all training processes see, also on a CPU."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


def synchronise(model: nn.Module) -> None:
    """Let every batch norm of a model see the global batch; weights and their names stay as is.

    The processes must give all of them batches of the same shape. Torch's own norm does it on a
    GPU, and refuses a CPU.
    """
    for name, child in model.named_children():
        if not isinstance(child, _BatchNorm):
            synchronise(child)
        elif child.weight.is_cuda:
            convert = nn.SyncBatchNorm.convert_sync_batchnorm
            setattr(model, name, convert(child))  # type: ignore[no-untyped-call]
        else:
            setattr(model, name, AllReducedBatchNorm(child))


def forget_statistics(model: nn.Module) -> None:
    """Let batch norms know no statistics but those of the batch at hand, in evaluation too."""
    for norm in model.modules():
        if isinstance(norm, _BatchNorm):
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None


class AllReducedBatchNorm(_BatchNorm):
    """Normalises by mean and variance over all processes, which have batches of one shape.

    Mean and variance are reduced one after the other: the mean of squares less the squared mean,
    which needs a single message, loses the digits of maps that are far from zero.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        """Take over parameters and statistics, which stay the same tensors."""
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.training = norm.training

    def _check_input_dim(self, input: Tensor) -> None:
        assert input.dim() >= 2, f"batch norm needs (n, c, ...), got {tuple(input.shape)}"

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (n, c, ...) per channel."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        value = input.to(self.weight.dtype)  # no statistics in half precision
        others = [0, *range(2, value.dim())]
        mean = _mean_over_processes(value.mean(others, keepdim=True))
        variance = _mean_over_processes((value - mean).square().mean(others, keepdim=True))
        self._track(mean.detach().flatten(), variance.detach().flatten(), value.numel())
        scale = self.weight.view_as(mean) / (variance + self.eps).sqrt()
        normalised = torch.addcmul(self.bias.view_as(mean) - mean * scale, value, scale)
        return normalised.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor, numel: int) -> None:
        """Move the running statistics towards those of a global batch."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None and self.momentum is not None
        count = numel // len(mean) * distributed.get_world_size()
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


class _MeanOverProcesses(torch.autograd.Function):
    """Averages a tensor over all processes, and its gradient too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _MeanOverProcesses.forward(ctx, gradient)


def _mean_over_processes(value: Tensor) -> Tensor:
    mean: Tensor = _MeanOverProcesses.apply(value)  # type: ignore[no-untyped-call]
    return mean
