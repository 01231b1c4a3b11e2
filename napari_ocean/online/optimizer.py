"""Training of the filter (eq. 11): steepest descent with the Gauss-Newton step length.

With the filter ``f``, the features ``x`` of a sample and its score map ``z = x * f``, the loss is

    L(f) = sum over samples j and cells of  (s_j (act(z_j) - y_j))^2  +  reg |f|^2

where ``y`` is the wanted score, ``act`` leaves scores as they are near the target and cuts off
negative ones far from it (mask ``m`` from 1 to 0), and ``s`` weighs cells and samples. ``y``, ``m``
and the weight of a cell depend on its distance to the target's centre alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

BINS = 100
BIN_CELLS = 0.1
"""The functions of distance are piecewise linear over this many steps of so many cells."""


class Goals(NamedTuple):
    """What the filter's score maps should be, each of shape (N, H, W)."""

    label: Tensor
    """Wanted score ``y``."""
    mask: Tensor
    """``m`` in [0, 1]: how much a negative score counts."""
    weight: Tensor
    """Weight of a cell."""


def by_distance(table: Tensor, distance: Tensor) -> Tensor:
    """Piecewise linear function of a distance in cells, constant from its last value on.

    Parameters
    ----------
    table : Tensor, shape (BINS,)
        Values at ``0, BIN_CELLS, 2 BIN_CELLS, ...``.
    distance : Tensor
        Not negative, of any shape, which is that of the result.
    """
    position = (distance / BIN_CELLS).clamp(max=BINS - 1)
    below = position.floor().long().clamp(max=BINS - 2)
    return torch.lerp(table[below], table[below + 1], position - below)


def distances(centers: Tensor, size: int) -> Tensor:
    """Distance of each cell of a score map to a target's centre, in cells.

    Parameters
    ----------
    centers : Tensor, shape (N, 2)
        ``x, y`` in cells of the score map, whose first cell is at 0.
    size : int
        Side of the map.

    Returns
    -------
    Tensor, shape (N, size, size)
    """
    cells = torch.arange(size, device=centers.device)
    x = cells - centers[:, 0, None]
    y = cells - centers[:, 1, None]
    return torch.sqrt(y[:, :, None] ** 2 + x[:, None, :] ** 2)


def score_maps(filter_: Tensor, features: Tensor, dilation: int = 1) -> Tensor:
    """Correlation of samples with the filter: a score per cell.

    Parameters
    ----------
    filter_ : Tensor, shape (C, K, K)
        `K` is even.
    features : Tensor, shape (N, C, H, W)
    dilation : int
        Cells between two taps of the filter.

    Returns
    -------
    Tensor, shape (N, H', W')
        ``H + 1`` for a filter with neighbouring taps, whose cells lie half a cell before those of
        the features; ``H`` for one with a dilation of 2, cell upon cell.
    """
    taps = filter_.flatten(1).flip(1).T  # (K K, C); flipped, because fold adds what unfold takes
    by_tap = (taps @ features.flatten(2)).reshape(len(features), -1, features[0, 0].numel())
    geometry = _Geometry(filter_.shape[-1], dilation)
    height, width = (geometry.map_size(n) for n in features.shape[-2:])
    return F.fold(by_tap, (height, width), **geometry.fold())[:, 0]


def _filter_gradient(maps: Tensor, features: Tensor, kernel: int, dilation: int) -> Tensor:
    """The transpose of :func:`score_maps`: ``(C, K, K)`` from maps ``(N, H', W')``."""
    by_tap = F.unfold(maps[:, None], **_Geometry(kernel, dilation).fold())  # (N, K K, H W)
    # a product per sample and then the sum: einsum would copy all features
    gradient = torch.bmm(features.flatten(2), by_tap.mT).sum(dim=0)  # (C, K K)
    return gradient.flip(1).reshape(-1, kernel, kernel)


class _Geometry(NamedTuple):
    kernel: int
    dilation: int

    @property
    def padding(self) -> int:
        """Of fold and unfold: what the taps reach beyond the map, less the half of them."""
        reach = self.dilation * (self.kernel - 1)
        return reach // 2

    def map_size(self, features: int) -> int:
        """Side of the score map."""
        return features + self.dilation * (self.kernel - 1) - 2 * self.padding

    def fold(self) -> dict[str, int]:
        return {
            "kernel_size": self.kernel,
            "dilation": self.dilation,
            "padding": self.padding,
        }


def optimise(
    filter_: Tensor,
    features: Tensor,
    goals: Goals,
    sample_weights: Tensor,
    *,
    regularization: float,
    step_length: float,
    iterations: int,
    dilation: int = 1,
) -> tuple[Tensor, Tensor]:
    """Improve a filter on weighted samples.

    Parameters
    ----------
    filter_ : Tensor, shape (C, K, K)
    features : Tensor, shape (N, C, H, W)
    goals : Goals
        Of shape (N, H', W') each (:func:`score_maps`).
    sample_weights : Tensor, shape (N,)
        Should sum to 1.
    regularization : float
        ``reg`` of the loss.
    step_length : float
        Share of the Gauss-Newton step that is taken.
    iterations : int
    dilation : int
        See :func:`score_maps`.

    Returns
    -------
    filter : Tensor, shape (C, K, K)
    losses : Tensor, shape (iterations + 1,)
        The loss before each step and after the last.
    """
    label, mask, weight = goals
    weight = weight * sample_weights.sqrt()[:, None, None]
    kernel = filter_.shape[-1]
    losses = []
    scores = score_maps(filter_, features, dilation)
    for _ in range(iterations):
        slope = torch.where(scores < 0, mask, 1.0)  # of act, at each cell
        residual = weight * (slope * scores - label)
        losses.append((residual**2).sum() + regularization * (filter_**2).sum())
        gradient = _filter_gradient(slope * weight * residual, features, kernel, dilation)
        gradient = gradient + regularization * filter_
        along = score_maps(gradient, features, dilation)
        square = (gradient**2).sum()
        curvature = ((weight * slope * along) ** 2).sum() + regularization * square
        step = step_length * square / curvature.clamp(min=1e-8)
        filter_ = filter_ - step * gradient
        scores = scores - step * along
    residual = weight * (torch.where(scores < 0, mask, 1.0) * scores - label)
    losses.append((residual**2).sum() + regularization * (filter_**2).sum())
    return filter_, torch.stack(losses)
