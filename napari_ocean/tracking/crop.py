"""Square context patch around a target, and the map between frame and patch pixels (Sec. 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ocean.boxes import FloatArray

LAID_OUT = 16
"""With at least how many pixels for one of the patch's, on each side, a square is laid out that
reaches beyond the frame. More are made fewer first, by a whole factor: of a large target on a large
frame they would take gigabytes."""


@dataclass(frozen=True, slots=True)
class CropTransform:
    """Frame pixels to patch pixels and back, both in edge coordinates.

    Attributes
    ----------
    x0_px, y0_px : int
        Frame pixel whose corner is the patch's corner.
    scale : float
        Patch pixels per frame pixel.
    """

    x0_px: int
    y0_px: int
    scale: float

    def to_patch(self, xy: ArrayLike) -> FloatArray:
        """Map frame points (or boxes ``xyxy``), shape ``(..., 2 k)``."""
        return (np.asarray(xy, dtype=np.float64) - self._origin(xy)) * self.scale

    def to_frame(self, xy: ArrayLike) -> FloatArray:
        """Map patch points (or boxes ``xyxy``), shape ``(..., 2 k)``."""
        return np.asarray(xy, dtype=np.float64) / self.scale + self._origin(xy)

    def _origin(self, xy: ArrayLike) -> FloatArray:
        return np.tile([float(self.x0_px), float(self.y0_px)], np.shape(xy)[-1] // 2)


def context_side(size_wh: ArrayLike, context: float = 0.5) -> Any:
    """Side of the square that holds a target with its context (SiamFC).

    Parameters
    ----------
    size_wh : array-like, shape (..., 2)
        Width and height, px.
    context : float
        Margin on each axis, as a share of width plus height.

    Returns
    -------
    float64 or ndarray of float64, shape (...)
    """
    size = np.asarray(size_wh, dtype=np.float64)
    margin = context * size.sum(axis=-1, keepdims=True)
    return np.sqrt((size + margin).prod(axis=-1))


def round_half_up(value: float) -> int:
    """Round a positive number as the search crop does; Python's ``round`` goes to even."""
    return int(np.floor(value + 0.5))


def mean_color(image: NDArray[np.uint8]) -> tuple[int, ...]:
    """Mean of each channel, truncated to whole levels, for filling outside the frame."""
    return tuple(int(level) for level in image.mean(axis=(0, 1)))


def crop_patch(
    image: NDArray[np.uint8],
    center_xy: ArrayLike,
    side_px: int,
    out_px: int,
    fill: Any,
) -> tuple[NDArray[np.uint8], CropTransform]:
    """Cut a square out of a frame and scale it.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
    center_xy : array-like of 2 floats
        Centre of the square in frame pixels; it may lie anywhere, also outside the frame.
    side_px : int
        Side of the square in frame pixels, at least 1.
    out_px : int
        Side of the patch.
    fill : array-like of C numbers
        Colour outside the frame, truncated to whole levels.

    Returns
    -------
    patch : ndarray of uint8, shape (out_px, out_px, C)
        Bilinear, the released code's pixels; of a very large square see :data:`LAID_OUT`.
    transform : CropTransform
    """
    # The released code's corner: half to even, and of the centre less (side + 1) / 2.
    x0, y0 = (round(float(c) - (side_px + 1) / 2) for c in np.asarray(center_xy))
    height, width = image.shape[:2]
    left, right = np.clip([x0, x0 + side_px], 0, width)
    top, bottom = np.clip([y0, y0 + side_px], 0, height)
    inside = image[top:bottom, left:right]
    if inside.shape[:2] == (side_px, side_px):
        square = inside
    else:
        by = max(side_px // (LAID_OUT * out_px), 1)
        square = _surrounded(inside, left - x0, top - y0, side_px, by, fill)
    if side_px != out_px:
        resized = cv2.resize(square, (out_px, out_px)).reshape(out_px, out_px, -1)
        square = resized.astype(np.uint8, copy=False)
    return np.ascontiguousarray(square), CropTransform(x0, y0, out_px / side_px)


def _surrounded(
    inside: NDArray[np.uint8], left: int, top: int, side_px: int, by: int, fill: Any
) -> NDArray[np.uint8]:
    """A square of colour with a picture in it, all of it smaller by a whole factor."""
    if by > 1 and inside.size:
        height, width = (max(side // by, 1) for side in inside.shape[:2])
        small = cv2.resize(inside, (width, height), interpolation=cv2.INTER_AREA)
        inside = small.reshape(height, width, -1).astype(np.uint8, copy=False)
        left, top = min(left // by, side_px // by - width), min(top // by, side_px // by - height)
    square = np.empty((side_px // by, side_px // by, inside.shape[2]), np.uint8)
    square[0] = np.trunc(np.asarray(fill, dtype=np.float64)).astype(np.uint8)
    square[1:] = square[0]  # whole rows: ten times as fast as pixel by pixel
    if inside.size:
        square[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return square
