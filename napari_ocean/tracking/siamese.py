"""Target localisation (Sec. 4.1, eq. 10): score map and boxes to one box per frame.

Plain functions of arrays; a session (:mod:`napari_ocean.tracking.session`) puts them in order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from napari_ocean.boxes import FloatArray
from napari_ocean.network.grid import cell_centers, search_px_of
from napari_ocean.network.presets import STRIDE_PX
from napari_ocean.tracking.crop import context_side
from napari_ocean.tracking.settings import SiameseSettings


class Candidate(NamedTuple):
    """The best cell of a score map."""

    box_xyxy: FloatArray
    """Its box in px of the search crop, shape (4,)."""
    score: float
    """Its score before penalty and window, in [0, 1]."""
    penalty: float
    """Its penalty on change of size and aspect, in (0, 1]."""
    confidence: float
    """How likely it is the target, in [0, 1] (:func:`confidence`)."""


def change(ratio: FloatArray) -> FloatArray:
    """How much a ratio differs from 1, either way: ``max(r, 1 / r)``."""
    return np.maximum(ratio, 1 / ratio)


def size_penalty(size_wh: FloatArray, previous_wh: FloatArray, strength: float) -> FloatArray:
    """Penalty on change of size and aspect against the previous frame (eq. 10).

    Parameters
    ----------
    size_wh : ndarray of float64, shape (..., 2)
    previous_wh : ndarray of float64, shape (2,)
        Both in the same unit.
    strength : float

    Returns
    -------
    ndarray of float64, shape (...)
        In (0, 1]; 1 where nothing changes.
    """
    size_change = change(context_side(size_wh) / context_side(previous_wh))
    aspect_change = change(_aspect(previous_wh) / _aspect(size_wh))
    return np.exp(-(aspect_change * size_change - 1) * strength)


def _aspect(size_wh: FloatArray) -> FloatArray:
    return np.asarray(size_wh[..., 0] / size_wh[..., 1])


def fuse_scores(regular: FloatArray, aware: FloatArray | None, aware_weight: float) -> FloatArray:
    """Weighted sum of regular and object-aware score, both in [0, 1]."""
    if aware is None:
        return regular
    return (1 - aware_weight) * regular + aware_weight * aware


def both_ways(maps: FloatArray) -> FloatArray:
    """Mean of what is said of a crop as it is and in the mirror.

    Parameters
    ----------
    maps : ndarray of float64, shape (2, M, S, S)
        :attr:`napari_ocean.network.Answer.maps`; of length 1 where nobody looked into the mirror.

    Returns
    -------
    ndarray of float64, shape (M, S, S)
        In px of the crop as it is.
    """
    if len(maps) == 1:
        return np.asarray(maps[0])
    plain, mirror = maps[0], maps[1, :, :, ::-1].copy()
    last_px = search_px_of(maps.shape[-1]) - 1  # where the mirror shows the first
    mirror[[0, 2]] = last_px - mirror[[2, 0]]
    return np.asarray((plain + mirror) / 2)


def calibrate(score: FloatArray, offset: float) -> FloatArray:
    """Scores in [0, 1] whose logit is moved (Platt scaling)."""
    if offset == 0:
        return score
    held = np.clip(score, 1e-6, 1 - 1e-6)
    return np.asarray(1 / (1 + (1 - held) / held * np.exp(-offset)))


def stretch(boxes: FloatArray, factor_wh: FloatArray) -> FloatArray:
    """Boxes ``(4, S, S)`` with their width and height multiplied, about their centres."""
    center, half = (boxes[:2] + boxes[2:]) / 2, (boxes[2:] - boxes[:2]) / 2
    half = half * factor_wh[:, None, None]
    return np.concatenate([center - half, center + half])


def at(boxes: FloatArray, score: FloatArray, center_px: FloatArray) -> FloatArray:
    """Box of the best cell within two cells of a place, shape (4,)."""
    cells = cell_centers(len(score)).numpy()
    x, y = (np.abs(cells - middle) <= 2 * STRIDE_PX for middle in center_px)
    near = np.where(np.outer(y, x), score, -1.0)
    best = np.unravel_index(np.argmax(near), near.shape)
    return boxes[:, best[0], best[1]]


def select(
    boxes: FloatArray,
    score: FloatArray,
    previous_wh: FloatArray,
    settings: SiameseSettings,
    learnt: FloatArray | None = None,
) -> Candidate:
    """Best cell after penalty, cosine window and fusion with the online score.

    Parameters
    ----------
    boxes : ndarray of float64, shape (4, S, S)
        ``x0, y0, x1, y1`` per cell, px of the search crop.
    score : ndarray of float64, shape (S, S)
    previous_wh : ndarray of float64, shape (2,)
        Size on the previous frame, px of the search crop.
    settings : SiameseSettings
    learnt : ndarray of float64, shape (S, S), optional
        Score of the online update (Sec. 4.2).
    """
    sizes = np.moveaxis(boxes[2:] - boxes[:2], 0, -1)  # (S, S, 2)
    penalty = size_penalty(sizes, previous_wh, settings.penalty_k)
    influence = settings.window_influence
    ranked = penalty * score * (1 - influence) + _window(len(score)) * influence
    if learnt is not None:
        ranked = settings.learnt_weight * learnt + (1 - settings.learnt_weight) * ranked
    best = np.unravel_index(np.argmax(ranked), ranked.shape)
    own = float(score[best])
    return Candidate(
        boxes[:, best[0], best[1]],
        own,
        float(penalty[best]),
        own if learnt is None else confidence(own, float(learnt[best])),
    )


@lru_cache
def _window(size: int) -> FloatArray:
    """Cosine window over the score map, zero at its border."""
    hann = np.hanning(size)
    return np.outer(hann, hann)


def confidence(score: float, learnt: float) -> float:
    """How likely it is the target, from the Siamese and the online score of its cell."""
    return float(np.sqrt(score * np.clip(learnt, 0, 1)))


def smooth_size(
    previous_wh: FloatArray, predicted_wh: FloatArray, rate: float, *, twice: bool
) -> FloatArray:
    """Move the size towards the prediction by ``rate``, or by ``rate ** 2`` when done twice."""
    return previous_wh + (rate**2 if twice else rate) * (predicted_wh - previous_wh)
