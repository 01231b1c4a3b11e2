"""The joint loss (Sec. 3.3, eq. 4-8). Where paper and released code differ, the code's form.

The paper's ``-ln IoU`` is the code's ``-ln((I + 1) / (U + 1))``, finite for disjoint boxes; the
paper weighs the regular term 1.2, the code all terms 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_ocean.network.ocean import OceanOutput
from napari_ocean.training.processes import mean
from napari_ocean.training.targets import center_cell, regression_targets, regular_labels


class Losses(NamedTuple):
    """Terms of the joint loss, each a scalar."""

    box: Tensor
    regular: Tensor
    aware: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum (eq. 8)."""
        return self.box + self.regular + self.aware


def smoothed_iou(ltrb: Tensor, target: Tensor) -> Tensor:
    """``(I + 1) / (U + 1)`` of boxes that share a cell.

    Parameters
    ----------
    ltrb, target : Tensor, shape (N, 4, S, S)
        Distances to left, top, right and bottom, px.

    Returns
    -------
    Tensor, shape (N, S, S)
    """
    overlap = torch.minimum(ltrb, target)
    intersection = (overlap[:, 0] + overlap[:, 2]) * (overlap[:, 1] + overlap[:, 3])
    area = (ltrb[:, 0] + ltrb[:, 2]) * (ltrb[:, 1] + ltrb[:, 3])
    target_area = (target[:, 0] + target[:, 2]) * (target[:, 1] + target[:, 3])
    return (intersection + 1) / (area + target_area - intersection + 1)


def box_loss(ltrb: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """Mean of ``-ln`` of the IoU over cells inside the target (eq. 5); 0 without such cells."""
    # a masked sum, not an indexed one: indexing by a mask would wait for the device
    loss = -smoothed_iou(ltrb, _inside_only(target, inside)).log() * inside
    return mean(loss.sum(), inside.sum())


def regular_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy, positives and negatives half each over the batch (eq. 6)."""
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    positive = labels > 0.5
    terms = [mean((loss * cells).sum(), cells.sum()) for cells in (positive, ~positive)]
    return torch.stack(terms).sum() / 2


def aware_loss(logits: Tensor, ltrb: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """Cross-entropy against the IoU of the box that each cell predicts (eq. 7).

    Nothing is detached: the label pulls at the boxes too, as in the released code.
    """
    quality = smoothed_iou(ltrb, _inside_only(target, inside))
    return F.binary_cross_entropy_with_logits(logits, quality.clamp(0, 1) * inside)


def _inside_only(target: Tensor, inside: Tensor) -> Tensor:
    """0 outside the target, where the distances are negative and their "IoU" means nothing."""
    return torch.where(inside[:, None], target, target.new_zeros(()))


def joint_loss(
    output: OceanOutput, box: Tensor, present: Tensor, cell: Tensor | None = None
) -> Losses:
    """All terms for a batch.

    Parameters
    ----------
    output : OceanOutput
    box : Tensor, shape (N, 4)
        Target in px of the search crop.
    present : Tensor of bool, shape (N,)
        False for pairs whose search crop does not hold the target: nothing is positive there.
    cell : Tensor of int64, shape (N, 2), optional
        Middle of the positive region; default: the cell nearest to the box's centre.
    """
    size = output.ltrb.shape[-1]
    target, inside = regression_targets(box, size)
    inside = inside & present[:, None, None]
    labels = regular_labels(center_cell(box, size) if cell is None else cell, size)
    labels = labels * present[:, None, None]
    return Losses(
        box=box_loss(output.ltrb, target, inside),
        regular=regular_loss(output.regular[:, 0], labels),
        aware=output.regular.sum() * 0
        if output.aware is None
        else aware_loss(output.aware[:, 0], output.ltrb, target, inside),
    )
