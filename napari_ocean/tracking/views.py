"""Search crops of a target that a person drew, seen in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.network import TEMPLATE_PX
from napari_ocean.online.augment import View, look, moved, shifts
from napari_ocean.tracking.crop import context_side, crop_patch, round_half_up

_MARGIN_PX = 64
"""By how much the patch that views are cut from is wider than they are, on each side."""


class Picture(NamedTuple):
    """One view."""

    view: View
    crop: NDArray[np.uint8]
    """Shape (S, S, 3)."""
    box_px: FloatArray
    """The target in it, counted from the middle of the first pixel, shape (4,)."""


def first_views(
    frame_rgb: NDArray[np.uint8],
    box_xyxy: FloatArray,
    views: Sequence[View],
    *,
    search_px: int,
    context: float,
    fill: Any,
    seed: int,
) -> list[Picture]:
    """Search crops around a drawn box.

    Parameters
    ----------
    frame_rgb : ndarray of uint8, shape (H, W, 3)
    box_xyxy : ndarray of float64, shape (4,)
    views : sequence of View
    search_px : int
        Side of the crops.
    context : float
        Context around the target (:func:`napari_ocean.tracking.crop.context_side`).
    fill : sequence of int
        Colour outside the frame.
    seed : int
        Of the views' random shifts.
    """
    wide_px = search_px + 2 * _MARGIN_PX
    ordinary_px = context_side(boxes.size(box_xyxy), context) * wide_px / TEMPLATE_PX
    center = boxes.center(box_xyxy)
    wides = {
        zoom: crop_patch(
            frame_rgb, center, max(round_half_up(ordinary_px / zoom), 1), wide_px, fill
        )
        for zoom in {view.zoom for view in views}
    }
    pictures = []
    for view, move in zip(views, shifts(views, search_px, jitter=1 / 3, seed=seed), strict=True):
        wide, transform = wides[view.zoom]
        target = moved(view, transform.to_patch(box_xyxy) - 0.5, wide_px)
        crop = look(wide, view, search_px, move)
        pictures.append(Picture(view, crop, target - _MARGIN_PX + np.tile(move, 2)))
    return pictures
