"""What each cell of the score map should say (Sec. 3.1-3.2), on the grid of the network.

Boxes are ``x0, y0, x1, y1`` in pixels of the search crop, counted like the grid: from the centre
of the first pixel (edge coordinates less one half).
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_ocean.network.grid import cell_centers, distances
from napari_ocean.network.presets import STRIDE_PX

POSITIVE_RADIUS_CELLS = 2
"""Radius of the positive region in the released code: city-block distance in whole cells, 13
positives."""

POSITIVE_RADIUS_PX = 16
"""Radius of the positive region in the paper: Euclidean distance from the box's centre."""


def regression_targets(box: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Distances of each cell to the four sides (eq. 1), and which cells lie inside the box.

    Parameters
    ----------
    box : Tensor, shape (N, 4)
    size : int
        Side S of the score map.

    Returns
    -------
    ltrb : Tensor, shape (N, 4, S, S)
        Negative on the far side of an edge.
    inside : Tensor of bool, shape (N, S, S)
        Strictly inside.
    """
    ltrb = distances(box[:, :, None, None], size)
    return ltrb, ltrb.amin(dim=1) > 0


def center_cell(box: Tensor, size: int) -> Tensor:
    """Cell ``(column, row)`` nearest to the centre of each box, shape (N, 2) int64.

    The released code shifts the middle cell by the whole cells of the crop's shift, rounded to
    zero, and so is up to a cell off; the paper means the centre itself, as here.
    """
    center = (box[:, :2] + box[:, 2:]) / 2
    first = cell_centers(size, box.device)[0]
    return torch.round((center - first) / STRIDE_PX).long()


def regular_labels(cell: Tensor, size: int) -> Tensor:
    """1 around the target's cell, else 0, shape (N, S, S).

    Parameters
    ----------
    cell : Tensor of int64, shape (N, 2)
        ``(column, row)`` of the target's middle.
    """
    index = torch.arange(size, device=cell.device)
    dx = (index[None, None, :] - cell[:, 0, None, None]).abs()
    dy = (index[None, :, None] - cell[:, 1, None, None]).abs()
    return (dx + dy <= POSITIVE_RADIUS_CELLS).float()


def round_labels(box: Tensor, size: int) -> Tensor:
    """1 within :data:`POSITIVE_RADIUS_PX` of the centre of each box, else 0, shape (N, S, S)."""
    centers = (box[:, :2] + box[:, 2:]) / 2
    along = (cell_centers(size, box.device) - centers[..., None]).square()  # (N, 2, S)
    return (along[:, 0, None, :] + along[:, 1, :, None] <= POSITIVE_RADIUS_PX**2).float()
