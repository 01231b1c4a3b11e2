"""The joint loss (Sec. 3.3, eq. 4-8) as an :data:`Objective`: the released code's or the paper's.

============  ============================================  =====================================
              ``"code"``                                    ``"paper"``
============  ============================================  =====================================
IoU           ``(I + 1) / (U + 1)``                         ``I / U``
terms         all 1                                         regular region 1.2, the others 1
positive      2 cells, city-block, from the nearest cell    16 px, Euclidean, from the centre
============  ============================================  =====================================
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_ocean.network.ocean import OceanOutput
from napari_ocean.training.processes import mean
from napari_ocean.training.targets import (
    center_cell,
    regression_targets,
    regular_labels,
    round_labels,
)

Objective = Literal["code", "paper"]

PAPER_REGULAR_WEIGHT = 1.2
"""Weight of the regular-region term in the paper (eq. 8)."""


class Losses(NamedTuple):
    """Terms of the joint loss, each a scalar."""

    box: Tensor
    regular: Tensor
    aware: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum (eq. 8)."""
        return self.box + self.regular + self.aware


def smoothed_iou(ltrb: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """``(I + 1) / (U + 1)`` of boxes that share a cell; the plain IoU with a `smooth` of 0.

    Parameters
    ----------
    ltrb, target : Tensor, shape (N, 4, S, S)
        Distances to left, top, right and bottom, px.
    smooth : float
        What is added on both sides of the fraction.

    Returns
    -------
    Tensor, shape (N, S, S)
    """
    overlap = torch.minimum(ltrb, target)
    intersection = (overlap[:, 0] + overlap[:, 2]) * (overlap[:, 1] + overlap[:, 3])
    area = (ltrb[:, 0] + ltrb[:, 2]) * (ltrb[:, 1] + ltrb[:, 3])
    target_area = (target[:, 0] + target[:, 2]) * (target[:, 1] + target[:, 3])
    return (intersection + smooth) / (area + target_area - intersection + smooth)


def box_loss(ltrb: Tensor, target: Tensor, inside: Tensor, smooth: float = 1.0) -> Tensor:
    """Mean of ``-ln`` of the IoU over cells inside the target (eq. 5); 0 without such cells."""
    # a masked sum, not an indexed one: indexing by a mask would wait for the device
    overlap = smoothed_iou(ltrb, _inside_only(target, inside), smooth)
    loss = -overlap.clamp_min(1e-9).log() * inside  # outside the target the overlap may be 0
    return mean(loss.sum(), inside.sum())


def regular_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy, positives and negatives half each over the batch (eq. 6)."""
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    positive = labels > 0.5
    terms = [mean((loss * cells).sum(), cells.sum()) for cells in (positive, ~positive)]
    return torch.stack(terms).sum() / 2


def aware_loss(
    logits: Tensor, ltrb: Tensor, target: Tensor, inside: Tensor, smooth: float = 1.0
) -> Tensor:
    """Cross-entropy against the IoU of the box that each cell predicts (eq. 7).

    Nothing is detached: the label pulls at the boxes too, as in the released code.
    """
    quality = smoothed_iou(ltrb, _inside_only(target, inside), smooth)
    return F.binary_cross_entropy_with_logits(logits, quality.clamp(0, 1) * inside)


def _inside_only(target: Tensor, inside: Tensor) -> Tensor:
    """0 outside the target, where the distances are negative and their "IoU" means nothing."""
    return torch.where(inside[:, None], target, target.new_zeros(()))


def joint_loss(
    output: OceanOutput,
    box: Tensor,
    present: Tensor,
    cell: Tensor | None = None,
    objective: Objective = "code",
) -> Losses:
    """All terms for a batch, each by its weight.

    Parameters
    ----------
    output : OceanOutput
    box : Tensor, shape (N, 4)
        Target in px of the search crop.
    present : Tensor of bool, shape (N,)
        False for pairs whose search crop does not hold the target: nothing is positive there.
    cell : Tensor of int64, shape (N, 2), optional
        Middle of the positive region; default: the cell nearest to the box's centre. The paper's
        is the centre itself.
    objective : {"code", "paper"}
    """
    size = output.ltrb.shape[-1]
    target, inside = regression_targets(box, size)
    inside = inside & present[:, None, None]
    if objective == "paper":
        labels, smooth, regular_weight = round_labels(box, size), 0.0, PAPER_REGULAR_WEIGHT
    else:
        labels = regular_labels(center_cell(box, size) if cell is None else cell, size)
        smooth, regular_weight = 1.0, 1.0
    labels = labels * present[:, None, None]
    return Losses(
        box=box_loss(output.ltrb, target, inside, smooth),
        regular=regular_weight * regular_loss(output.regular[:, 0], labels),
        aware=output.regular.sum() * 0
        if output.aware is None
        else aware_loss(output.aware[:, 0], output.ltrb, target, inside, smooth),
    )
