"""Feature combination (Sec. 4.1, eq. 9): three dilated branches of depth-wise correlation.

Each branch looks at template and search features through a 3x3 convolution of its own dilation,
so that objects of different aspect are matched; the three maps are mixed by learned weights.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DILATIONS = ((1, 1), (2, 1), (1, 2))
"""Dilation (rows, columns) of the three branches; the paper writes (columns, rows)."""


def conv_block(
    channels: int,
    *,
    separable: bool,
    padding: int,
    dilation: tuple[int, int] = (1, 1),
    bias: bool = False,
) -> list[nn.Module]:
    """3x3 convolution - batch norm - ReLU, dense or separable."""
    conv = (
        [
            nn.Conv2d(channels, channels, 3, 1, padding, dilation, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=bias),
        ]
        if separable
        else [nn.Conv2d(channels, channels, 3, 1, padding, dilation, bias=bias)]
    )
    return [*conv, nn.BatchNorm2d(channels), nn.ReLU()]


class _DepthwiseCorrelation(torch.autograd.Function):
    """Depth-wise correlation whose gradients are depth-wise correlations too.

    PyTorch's own backward of a grouped convolution takes four times as long on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, search: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(search, kernel)
        return _correlate(search, kernel)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        search, kernel = ctx.saved_tensors
        rows, columns = kernel.shape[-2] - 1, kernel.shape[-1] - 1
        padded = F.pad(grads[0], (columns, columns, rows, rows))
        return _correlate(padded, kernel.flip(-2, -1)), _correlate(search, grads[0])


def _correlate(search: Tensor, kernel: Tensor) -> Tensor:
    n, c, height, width = search.shape
    maps = F.conv2d(
        search.reshape(1, n * c, height, width),
        kernel.reshape(n * c, 1, *kernel.shape[-2:]),
        groups=n * c,
    )
    return maps.reshape(n, c, *maps.shape[-2:])


def depthwise_correlation(search: Tensor, kernel: Tensor) -> Tensor:
    """Correlate each channel of the search features with the same channel of the template.

    Parameters
    ----------
    search : Tensor, shape (N, C, H, W)
    kernel : Tensor, shape (N, C, h, w) or (1, C, h, w)

    Returns
    -------
    Tensor, shape (N, C, H - h + 1, W - w + 1)
    """
    kernel = kernel.expand(search.shape[0], -1, -1, -1)
    return _DepthwiseCorrelation.apply(search, kernel)  # type: ignore[no-any-return, no-untyped-call]  # torch's stubs


class Combination(nn.Module):
    """The three branches and their mix, for one head."""

    def __init__(self, channels: int, *, separable: bool) -> None:
        super().__init__()

        def branches() -> nn.ModuleList:
            return nn.ModuleList(
                nn.Sequential(
                    *conv_block(channels, separable=separable, padding=0, dilation=dilation)
                )
                for dilation in DILATIONS
            )

        self.template = branches()
        self.search = branches()
        self.mix = nn.Parameter(torch.ones(len(DILATIONS)))

    def kernels(self, template: Tensor) -> tuple[Tensor, ...]:
        """Correlation kernels 5x5, 3x5, 5x3 of the ``(N, C, 7, 7)`` template features."""
        return tuple(branch(template) for branch in self.template)

    def forward(self, search: Tensor, kernels: tuple[Tensor, ...]) -> Tensor:
        """Matched features ``(N, C, 25, 25)`` for ``(N, C, 31, 31)`` search features."""
        weights = torch.softmax(self.mix, dim=0)
        maps = (
            depthwise_correlation(branch(search), weight * kernel)
            for weight, branch, kernel in zip(weights.unbind(), self.search, kernels, strict=True)
        )
        return reduce(torch.add, maps)
