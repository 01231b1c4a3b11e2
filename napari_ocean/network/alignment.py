"""Object-aware classification (Sec. 3.2, eq. 2-3): features sampled where the predicted box is.

The regular 3x3 neighbourhood of a cell is replaced by nine points of the box predicted there:
its centre, the middles of its sides and its corners. A deformable convolution with those offsets
and a bilinear gather are the same thing; the gather needs no compiled extension.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_ocean.network.grid import decode, search_px_of
from napari_ocean.network.presets import STRIDE_PX


def sampling_positions(boxes: Tensor) -> Tensor:
    """Nine positions on the feature map for the box of each cell.

    Parameters
    ----------
    boxes : Tensor, shape (N, 4, S, S)
        Boxes in px of the search crop.

    Returns
    -------
    Tensor, shape (N, 9, S, S, 2)
        ``(x, y)`` in cells, row by row over the 3x3 points. The ``+ 1`` of the extent and the
        unrounded half of the crop are the released code's and belong to its weights.
    """
    size = boxes.shape[-1]
    x0, y0, x1, y1 = boxes.unbind(dim=1)  # each (N, S, S)
    middle = search_px_of(size) / 2
    center_x = ((x0 + x1) / 2 - middle) / STRIDE_PX + size // 2
    center_y = ((y0 + y1) / 2 - middle) / STRIDE_PX + size // 2
    half_width = (x1 - x0 + 1) / STRIDE_PX / 2
    half_height = (y1 - y0 + 1) / STRIDE_PX / 2
    taps = torch.arange(-1.0, 2.0, device=boxes.device)
    tap_y, tap_x = torch.meshgrid(taps, taps, indexing="ij")
    x = center_x[:, None] + tap_x.reshape(1, 9, 1, 1) * half_width[:, None]
    y = center_y[:, None] + tap_y.reshape(1, 9, 1, 1) * half_height[:, None]
    return torch.stack([x, y], dim=-1)


class AlignedConv(nn.Module):
    """3x3 convolution over the nine sampled positions, zero outside the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, features: Tensor, positions: Tensor) -> Tensor:
        """Convolve ``(N, C, S, S)`` features read at ``(N, 9, S, S, 2)`` float32 positions."""
        n, channels, size, _ = features.shape
        # grid_sample wants [-1, 1] from edge to edge of the map
        scale = positions.new_full((2,), size)
        grid = ((2 * positions + 1) / scale - 1).reshape(n, 9 * size, size, 2)
        sampled = F.grid_sample(features.float(), grid, align_corners=False)  # (N, C, 9 S, S)
        sampled = sampled.reshape(n, channels * 9, size, size).to(self.weight.dtype)
        return F.conv2d(sampled, self.weight.reshape(channels, channels * 9, 1, 1))


class AwareHead(nn.Module):
    """Object-aware score from the features of the box tower."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sample = AlignedConv(channels)
        self.predict = nn.Conv2d(channels, 1, 1)

    def forward(self, box_features: Tensor, ltrb: Tensor) -> Tensor:
        """Logits ``(N, 1, S, S)`` from ``(N, C, S, S)`` features and ``(N, 4, S, S)`` distances."""
        positions = sampling_positions(decode(ltrb))
        aligned: Tensor = F.relu(self.sample(box_features, positions))
        logits: Tensor = self.predict(aligned.float())
        return logits
