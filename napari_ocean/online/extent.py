"""How far a target reaches: what its drawn boxes ask for where the network means another extent.

A network finishes objects: shown a face, it comes to box the head. What the drawn boxes ask for
beyond the network's boxes is learnt as one linear map from the features of the box tower to the
logarithms of a cell's distances to the sides (eq. 1), by ridge regression in closed form. Ours;
the paper's online update teaches the score alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_ocean.network.grid import decode, distances
from napari_ocean.network.heads import added
from napari_ocean.network.presets import STRIDE_PX

REACH_PX = 2.5 * STRIDE_PX
"""Cells up to this far from a target's middle, in city-block distance, say how far it reaches:
those that the score is trained to answer on, and their next."""

_LEAST_PX = 1.0
"""Distances under it count as it, and cells as near to a side say nothing."""

_MOST_PX = 1e4
"""Distances over it count as it."""

_FLAT = 0.05
"""Spread, as a share of the mean one, that every feature is given at least."""


def learn_sides(
    features: Tensor, said_px: Tensor, boxes_px: Tensor, *, ridge: float, share: float
) -> Tensor:
    """Learn what to add to the logarithms of the distances to the sides.

    Parameters
    ----------
    features : Tensor, shape (V, C, S, S)
        Of the box tower, for V views of a target.
    said_px : Tensor, shape (V, 4, S, S)
        The box ``x0, y0, x1, y1`` that the network sees from each cell, px of the search crop.
    boxes_px : Tensor, shape (V, 4)
        The true ones, counted likewise from the middle of the first pixel.
    ridge : float
        Weight of the penalty on the map, whose inputs are standardised.
    share : float
        How much of what is learnt is taken, in [0, 1].

    Returns
    -------
    Tensor, shape (4, C + 1)
        Kernel and constant (:func:`napari_ocean.network.heads.added`), on the CPU; zeros where no
        cell lies on the target.
    """
    true = distances(boxes_px[:, :, None, None], said_px.shape[-1])
    said = distances(said_px, said_px.shape[-1]).clamp(_LEAST_PX, _MOST_PX)
    away = (true[:, 2] - true[:, 0]).abs() / 2 + (true[:, 3] - true[:, 1]).abs() / 2
    near = (away <= REACH_PX) & (true.amin(dim=1) > _LEAST_PX)
    if not near.any():
        return torch.zeros(4, features.shape[1] + 1)
    seen = features.movedim(1, -1)[near].cpu().double()  # (cells, C)
    missing = (true / said).movedim(1, -1)[near].cpu().double().log()  # (cells, 4)
    mean, spread = seen.mean(dim=0), seen.std(dim=0, correction=0)
    spread = spread + _FLAT * spread.mean() + 1e-6  # what hardly varies explains nothing
    standard = (seen - mean) / spread
    penalty = ridge * len(seen) * torch.eye(len(mean), dtype=torch.float64)
    constant = missing.mean(dim=0)
    kernel = torch.linalg.solve(
        standard.T @ standard + penalty, standard.T @ (missing - constant)
    )  # (C, 4)
    kernel = kernel / spread[:, None]
    return share * torch.cat([kernel, (constant - mean @ kernel)[None]]).T.float()


def taught(said_px: Tensor, features: Tensor, sides: Tensor) -> Tensor:
    """What the network says once it knows the sides.

    Parameters
    ----------
    said_px : Tensor, shape (V, 4, S, S)
    features : Tensor, shape (V, C, S, S)
        As for :func:`learn_sides`.
    sides : Tensor, shape (4, C + 1)

    Returns
    -------
    Tensor, shape (V, 4, S, S)
    """
    ltrb = distances(said_px, said_px.shape[-1])
    return decode(ltrb * added(sides[None].to(features.device), features).exp())
