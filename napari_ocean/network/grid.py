"""The score map's grid: which pixel of the search crop a cell stands for, and boxes from distances.

Used by the targets of training, the loss, the alignment and the tracker, so that they agree.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_ocean.network.presets import STRIDE_PX, TEMPLATE_PX


def score_size(search_px: int) -> int:
    """Side of the score map for a search crop: 21, 25, 27, 29 for 223, 255, 271, 287 px."""
    return (search_px - TEMPLATE_PX) // STRIDE_PX + 9


def search_px_of(size: int) -> int:
    """Inverse of :func:`score_size`."""
    return (size - 9) * STRIDE_PX + TEMPLATE_PX


def cell_centers(size: int, device: torch.device | str = "cpu") -> Tensor:
    """Pixel of each cell along one axis of the search crop, shape ``(size,)`` float32.

    The middle cell sits at the middle pixel of the crop, ``search_px // 2``.
    """
    cells = torch.arange(size, dtype=torch.float32, device=device)
    return (cells - size // 2) * STRIDE_PX + search_px_of(size) // 2


def decode(ltrb: Tensor) -> Tensor:
    """Boxes from distances to the four sides (eq. 1, inverted).

    Parameters
    ----------
    ltrb : Tensor, shape (N, 4, S, S)
        Left, top, right, bottom distance of each cell, px of the search crop.

    Returns
    -------
    Tensor, shape (N, 4, S, S)
        ``x0, y0, x1, y1`` in px of the search crop.
    """
    centers = cell_centers(ltrb.shape[-1], ltrb.device)
    x, y = centers[None, None, :], centers[None, :, None]
    left, top, right, bottom = ltrb.unbind(dim=1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=1)


def distances(boxes: Tensor, size: int) -> Tensor:
    """Distances of each cell to the four sides of a box (eq. 1); inverse of :func:`decode`.

    Parameters
    ----------
    boxes : Tensor, shape (N, 4, S, S) or (N, 4, 1, 1)
        ``x0, y0, x1, y1`` in px of the search crop, one for each cell or for all.
    size : int
        Side S of the score map.

    Returns
    -------
    Tensor, shape (N, 4, S, S)
        Left, top, right, bottom; negative on the far side of an edge.
    """
    centers = cell_centers(size, boxes.device)
    x, y = centers[None, None, :], centers[None, :, None]
    x0, y0, x1, y1 = boxes.unbind(dim=1)
    return torch.stack(torch.broadcast_tensors(x - x0, y - y0, x1 - x, y1 - y), dim=1)
