"""Precise RoI pooling, in closed form: the first filter is what the features hold in the box."""

from __future__ import annotations

import torch
from torch import Tensor


def pool_box(features: Tensor, boxes: Tensor, bins: int) -> Tensor:
    """Mean of bilinearly interpolated features over each bin of a box (Jiang et al., 2018).

    The bilinear kernel is separable, so the integral over a bin is a product of two
    one-dimensional ones: ``out = H_y F H_x^T / area``.

    Parameters
    ----------
    features : Tensor, shape (N, C, H, W)
        Zero outside the map.
    boxes : Tensor, shape (N, 4)
        ``x0, y0, x1, y1`` in cells, cell ``j`` at coordinate ``j``.
    bins : int
        Bins per side.

    Returns
    -------
    Tensor, shape (N, C, bins, bins)
        Zero for an empty box.
    """
    height, width = features.shape[-2:]
    rows = _bin_weights(boxes[:, 1], boxes[:, 3], bins, height)
    columns = _bin_weights(boxes[:, 0], boxes[:, 2], bins, width)
    return torch.einsum("npi,ncij,nqj->ncpq", rows, features, columns)


def _bin_weights(start: Tensor, end: Tensor, bins: int, cells: int) -> Tensor:
    """Mean of each cell's hat function over each bin, shape (N, bins, cells)."""
    steps = torch.linspace(0, 1, bins + 1, device=start.device)
    edges = start[:, None] + (end - start)[:, None] * steps  # (N, bins + 1)
    below = _hat_integral(edges[..., None] - torch.arange(cells, device=start.device))
    length = edges.diff(dim=1)[..., None]
    return below.diff(dim=1) / length.clamp(min=1e-12) * (length > 0)


def _hat_integral(t: Tensor) -> Tensor:
    """Integral of ``max(0, 1 - |t|)`` from minus infinity to ``t``."""
    t = t.clamp(-1, 1)
    return 0.5 + t - t * t.abs() / 2
