"""Several processes that train as one: what each has of a batch adds up to what one would have.

A mean over the batch, be it of a loss or of batch norm (the paper's synchronised SGD), is one over
all processes, so how many there are changes a training by rounding alone. Everything here does
nothing where there is one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from napari_ocean.tracking.tracker import find_device


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Join the group that ``torchrun`` describes, if any; gives this process's device.

    Raises
    ------
    ConfigError
        If there is no such device.
    """
    if "WORLD_SIZE" not in os.environ:
        yield find_device(device)
        return
    own_gpu = f"cuda:{os.environ['LOCAL_RANK']}"
    place = find_device(own_gpu if device.startswith("cuda") else device)
    on_gpus = place.type == "cuda"
    distributed.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield torch.device(own_gpu) if on_gpus else place
    finally:
        distributed.destroy_process_group()


def place() -> tuple[int, int]:
    """Number of this process, and how many there are."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def mean(total: Tensor, count: Tensor) -> Tensor:
    """Mean over the cells of all processes, as far as those of this one are part of it.

    The mean of this over the processes, which is how their gradients are brought together, is the
    mean over all cells.

    Parameters
    ----------
    total, count : Tensor
        Sum over this process's cells, and how many they are; without any cell the mean is 0.
    """
    _, processes = place()
    if processes > 1:
        count = count.detach().clone()
        distributed.all_reduce(count)
    return processes * total / count.clamp_min(1)


def largest(value: float, device: torch.device) -> float:
    """Largest of the processes' values."""
    if place()[1] == 1:
        return value
    held = torch.tensor(value, device=device)
    distributed.all_reduce(held, distributed.ReduceOp.MAX)
    return float(held)


def average(values: Tensor) -> Tensor:
    """Mean of the processes' values."""
    _, processes = place()
    if processes > 1:
        distributed.all_reduce(values)
    return values / processes


def together(trained: nn.Module) -> nn.Module:
    """A module with gradients and batch statistics of all processes."""
    if place()[1] == 1:
        return trained
    for module in list(trained.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, _SharedNorm(child))
    return DistributedDataParallel(trained, broadcast_buffers=False)


class _Sum(torch.autograd.Function):
    """Sum over the processes; each of them has a share in the gradients of all."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _Sum.forward(ctx, grads[0])


def _sum(values: Tensor) -> Tensor:
    return _Sum.apply(values)  # type: ignore[no-any-return, no-untyped-call]  # torch's stubs


class _SharedNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all processes, with the weights and statistics of another.

    PyTorch's own works on GPUs alone; this one can be tested anywhere.
    """

    def __init__(self, own: nn.BatchNorm2d) -> None:
        super().__init__(own.num_features, own.eps)
        self.train(own.training)
        self.rate = 0.1 if own.momentum is None else own.momentum
        self.weight, self.bias = own.weight, own.bias
        for name, statistic in own.named_buffers():
            setattr(self, name, statistic)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``."""
        if not self.training:
            return super().forward(x)
        wide = x.float()
        count = x.numel() // x.shape[1] * place()[1]
        means = _sum(wide.sum(dim=(0, 2, 3))) / count
        away = wide - means[:, None, None]
        variances = _sum(away.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            seen = {"running_mean": means, "running_var": variances * count / (count - 1)}
            for name, statistic in seen.items():
                getattr(self, name).lerp_(statistic, self.rate)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * (variances + self.eps).rsqrt()
        return (away * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)
