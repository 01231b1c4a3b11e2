"""Whether a score means something: against the overlap that was really reached.

A score is read as the chance that the box is right, that is that its overlap with the true box
reaches :data:`RIGHT_IOU`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from napari_ocean.boxes import FloatArray

RIGHT_IOU = 0.5
"""Overlap from which a box counts as right."""

BINS = 10
"""Equal intervals of the score in which right boxes are counted."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """How far scores can be trusted.

    Attributes
    ----------
    calibration_error : float
        Expected calibration error: mean distance of score and share of right boxes over the bins,
        each weighing as much as it has frames (Guo et al. 2017).
    roc_area : float
        Chance that a right box scores higher than a wrong one; NaN if there are only one kind.
    mean_score, share_right : tuple of float
        Of each bin; NaN for an empty one.
    frames : tuple of int
        In each bin.
    """

    calibration_error: float
    roc_area: float
    mean_score: tuple[float, ...]
    share_right: tuple[float, ...]
    frames: tuple[int, ...]


def confidence(scores: ArrayLike, ious: ArrayLike) -> Confidence:
    """Compare scores with overlaps, frame by frame.

    Parameters
    ----------
    scores : array-like, shape (N,)
        In [0, 1].
    ious : array-like, shape (N,)
        Frames without a true box (NaN) do not count.
    """
    score, iou = np.asarray(scores, dtype=np.float64), np.asarray(ious, dtype=np.float64)
    seen = np.isfinite(iou)
    score, right = score[seen], iou[seen] >= RIGHT_IOU
    bins = np.clip((score * BINS).astype(int), 0, BINS - 1)
    frames = np.bincount(bins, minlength=BINS)
    counted = np.where(frames, frames, np.nan)
    mean_score = np.bincount(bins, score, BINS) / counted
    share_right = np.bincount(bins, right, BINS) / counted
    gaps = np.nan_to_num(np.abs(mean_score - share_right))
    return Confidence(
        calibration_error=float((gaps * frames).sum() / max(frames.sum(), 1)),
        roc_area=_roc_area(score[right], score[~right]),
        mean_score=tuple(mean_score.tolist()),
        share_right=tuple(share_right.tolist()),
        frames=tuple(frames.tolist()),
    )


def _roc_area(high: FloatArray, low: FloatArray) -> float:
    """Share of pairs in which the first is larger; equal ones count half (Mann-Whitney)."""
    if not len(high) or not len(low):
        return float("nan")
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, side="left")
    up_to = np.searchsorted(ordered, high, side="right")
    return float((below + up_to).mean() / 2 / len(low))
