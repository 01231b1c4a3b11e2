"""The first frame seen in many ways: what a classifier begins to learn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray

Patch = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One way of looking at the target."""

    shift_xy: tuple[float, float] = (0.0, 0.0)
    """Move of the target, as a share of the crop's side."""
    flip: bool = False
    """Left and right exchanged."""
    rotation_deg: float = 0.0
    """Counter-clockwise, about the target."""
    blur_yx: tuple[float, float] = (0.0, 0.0)
    """Standard deviation of a Gaussian blur, px."""
    zoom: float = 1.0
    """Factor on the target's size, for whoever cuts the patch."""

    @property
    def upright(self) -> bool:
        """Whether the target's box is still its box."""
        return not self.rotation_deg


def look(wide: Patch, view: View, side_px: int, shift_px: FloatArray) -> Patch:
    """Cut one view out of a patch that is wider than it.

    Parameters
    ----------
    wide : ndarray of uint8, shape (E, E, 3)
        The target in the middle, at the scale of the crop.
    view : View
    side_px : int
        Side of the crop.
    shift_px : ndarray of float, shape (2,)
        Whole px by which the target moves, at most ``(E - side_px) / 2`` either way.

    Returns
    -------
    ndarray of uint8, shape (side_px, side_px, 3)
    """
    if view.flip:
        wide = np.ascontiguousarray(wide[:, ::-1])
    if any(view.blur_yx):
        # sizes of the released kernels: to twice the deviation either way, nothing beyond the edge
        y, x = (2 * math.ceil(2 * sigma) + 1 for sigma in view.blur_yx)
        sigma_y, sigma_x = view.blur_yx
        blurred = cv2.GaussianBlur(
            wide, (x, y), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_CONSTANT
        )
        wide = blurred.astype(np.uint8, copy=False)
    if view.rotation_deg:
        middle = (wide.shape[0] - 1) / 2
        matrix = cv2.getRotationMatrix2D((middle, middle), view.rotation_deg, 1.0)
        turned = cv2.warpAffine(wide, matrix, wide.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        wide = turned.astype(np.uint8, copy=False)
    margin = (wide.shape[0] - side_px) // 2
    x0, y0 = (margin - int(shift) for shift in shift_px)
    return wide[y0 : y0 + side_px, x0 : x0 + side_px]


def moved(view: View, box_px: FloatArray, wide_px: int) -> FloatArray:
    """Where a view's flip and rotation take a box of the wide patch; its size is kept.

    Parameters
    ----------
    view : View
    box_px : ndarray of float64, shape (4,)
        Counted from the middle of the first pixel.
    wide_px : int
        Side of the wide patch.
    """
    middle = (wide_px - 1) / 2
    x, y = boxes.center(box_px) - middle
    if view.flip:
        x = -x
    angle = math.radians(view.rotation_deg)
    turned = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return boxes.from_center(np.array(turned) + middle, boxes.size(box_px))


def shifts(views: Sequence[View], side_px: int, jitter: float, seed: int) -> FloatArray:
    """Whole px by which each view moves its target, shape ``(len(views), 2)``.

    A view that moves the target does that by its own share of the crop; any other view but the
    plain first one by a random one of up to ``jitter / 2`` either way.
    """
    rng = np.random.default_rng(seed)
    drawn = (rng.random((len(views), 2)) - 0.5) * side_px * jitter
    plain = View()
    moves = [
        np.array(view.shift_xy) * side_px if view == plain or any(view.shift_xy) else move
        for view, move in zip(views, drawn, strict=True)
    ]
    return np.asarray(np.trunc(moves), dtype=np.float64)


def _corners(share: float) -> list[View]:
    return [View(shift_xy=(x, y)) for y in (-share, share) for x in (-share, share)]


RELEASED_VIEWS: tuple[View, ...] = (
    View(),
    *_corners(0.3),
    View(flip=True),
    *(View(blur_yx=s) for s in ((2, 0.2), (0.2, 2), (3, 1), (1, 3), (2, 2))),
    *(View(rotation_deg=a) for a in (5, -5, 10, -10, 20, -20, 30, -30, 45, -45, -60, 60)),
)
"""The views of the released parameters, 23 in all."""

VIEWS: tuple[View, ...] = (
    View(),
    *_corners(0.2),
    View(flip=True),
    View(blur_yx=(2, 2)),
    *(View(rotation_deg=a) for a in (12, -12, 30, -30)),
)
"""Ours: fewer, since each costs a pass of the network."""

EXAMPLE_VIEWS: tuple[View, ...] = (View(), View(flip=True), *_corners(0.2)[1:3])
"""Those of further frames that a person drew the target on."""

ZOOMS = (0.7, 0.84, 1.19, 1.43)
"""Zooms at which the first frame tells of the target's extent, too, as if its size had been taken
wrongly (:mod:`napari_ocean.online.extent`)."""

EXAMPLE_ZOOMS = (0.77, 1.3)
"""Likewise of further frames."""


def zoomed(zooms: Sequence[float], *, mirrored: bool) -> tuple[View, ...]:
    """Views of these zooms, also in the mirror for a tracker that looks there."""
    flips = (False, True) if mirrored else (False,)
    return tuple(View(flip=flip, zoom=zoom) for flip in flips for zoom in zooms)
