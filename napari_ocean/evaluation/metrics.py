"""Scores of tracking results: pure functions of overlaps, boxes and the simulated annotator."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from napari_ocean.boxes import FloatArray

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
"""Overlap thresholds of the success curve (OTB: 0 to 1 in steps of 0.05)."""


def success_curve(ious: ArrayLike) -> FloatArray:
    """Share of frames whose overlap exceeds each threshold (Wu et al., OTB), shape (21,)."""
    overlaps = np.asarray(ious, dtype=np.float64)
    return np.asarray((overlaps[:, None] > SUCCESS_THRESHOLDS).mean(axis=0))


def success_auc(ious: ArrayLike) -> float:
    """Area under the success curve, the mean over its thresholds."""
    return float(success_curve(ious).mean())


def success_rate(ious: ArrayLike, threshold: float) -> float:
    """Share of frames whose overlap exceeds a threshold (GOT-10k: SR.50, SR.75)."""
    return float((np.asarray(ious) > threshold).mean())
