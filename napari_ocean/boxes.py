"""The one box convention: ``xyxy`` float64 in frame pixels, edge coordinates.

Pixel ``(row 0, column 0)`` covers ``[0, 1) x [0, 1)``, so a box around the whole frame is
``(0, 0, W, H)`` and ``width = x1 - x0``. Other conventions (``xywh``; pixel centres) appear only at
the edges: in ``formats/``, in ``plugin/layers.py``, on the command line and within the network's
crops. The functions here convert what is of another form but counts from the same place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ocean.errors import BoxError

FloatArray = NDArray[np.float64]

MIN_SIZE_PX = 2.0
"""A target whose width or height is under this many pixels carries no texture to track."""


def from_xywh(box_xywh: ArrayLike) -> FloatArray:
    """Convert ``(x, y, width, height)`` to ``(x0, y0, x1, y1)``, shape ``(..., 4)``."""
    box = np.asarray(box_xywh, dtype=np.float64)
    return np.concatenate([box[..., :2], box[..., :2] + box[..., 2:]], axis=-1)


def to_xywh(box_xyxy: ArrayLike) -> FloatArray:
    """Convert ``(x0, y0, x1, y1)`` to ``(x, y, width, height)``, shape ``(..., 4)``."""
    box = np.asarray(box_xyxy, dtype=np.float64)
    return np.concatenate([box[..., :2], box[..., 2:] - box[..., :2]], axis=-1)


def from_center(center_xy: ArrayLike, size_wh: ArrayLike) -> FloatArray:
    """Box of a given centre and size, each of shape ``(..., 2)`` in pixels."""
    center = np.asarray(center_xy, dtype=np.float64)
    half = np.asarray(size_wh, dtype=np.float64) / 2
    return np.concatenate([center - half, center + half], axis=-1)


def center(box_xyxy: ArrayLike) -> FloatArray:
    """Centre ``(x, y)`` of a box, shape ``(..., 2)``."""
    box = np.asarray(box_xyxy, dtype=np.float64)
    return (box[..., :2] + box[..., 2:]) / 2


def size(box_xyxy: ArrayLike) -> FloatArray:
    """Width and height of a box, shape ``(..., 2)``."""
    box = np.asarray(box_xyxy, dtype=np.float64)
    return box[..., 2:] - box[..., :2]


def clip(box_xyxy: ArrayLike, frame_hw: tuple[int, int]) -> FloatArray:
    """Cut a box at the frame's edges; wholly outside it becomes empty at the nearest edge."""
    height, width = frame_hw
    return np.clip(np.asarray(box_xyxy, dtype=np.float64), 0, [width, height, width, height])


def iou(a_xyxy: ArrayLike, b_xyxy: ArrayLike) -> FloatArray:
    """Intersection over union, broadcast over the leading axes; 0 where both are empty.

    Parameters
    ----------
    a_xyxy, b_xyxy : array-like, shape (..., 4)

    Returns
    -------
    ndarray of float64, shape (...)
        In ``[0, 1]``; NaN boxes give NaN.
    """
    a = np.asarray(a_xyxy, dtype=np.float64)
    b = np.asarray(b_xyxy, dtype=np.float64)
    overlap = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.clip(overlap, 0, None).prod(axis=-1)
    union = size(a).prod(axis=-1) + size(b).prod(axis=-1) - intersection
    return np.asarray(np.divide(intersection, union, out=np.zeros_like(union), where=union != 0))


def check(box_xyxy: Any, frame_hw: tuple[int, int] | None = None) -> FloatArray:
    """Return the box as float64 ``(4,)`` or say why it cannot be a target.

    Parameters
    ----------
    box_xyxy : array-like of 4 numbers
        Corners in frame pixels.
    frame_hw : tuple of int, optional
        Height and width of the frame; when given, the part inside the frame must be a target.

    Returns
    -------
    ndarray of float64, shape (4,)
        The box as given (not clipped).

    Raises
    ------
    BoxError
        If the box is not four finite numbers, is inverted, smaller than ``MIN_SIZE_PX`` on a
        side, or (with ``frame_hw``) has less than that inside the frame.
    """
    try:
        box = np.asarray(box_xyxy, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BoxError(f"A box is four numbers (x0, y0, x1, y1), not {box_xyxy!r}.") from error
    if box.shape != (4,):
        raise BoxError(f"A box is four numbers (x0, y0, x1, y1), not an array {box.shape}.")
    text = "({:g}, {:g}, {:g}, {:g})".format(*box)
    if not np.isfinite(box).all():
        raise BoxError(f"The box {text} holds a value that is not finite; draw it again.")
    width, height = size(box)
    if width < 0 or height < 0:
        raise BoxError(f"The box {text} is inverted: x1 and y1 must be right of and below x0, y0.")
    if min(width, height) < MIN_SIZE_PX:
        raise BoxError(
            f"The box {text} is {width:g} x {height:g} px; a target needs at least "
            f"{MIN_SIZE_PX:g} px on each side."
        )
    if frame_hw is not None:
        inside = size(clip(box, frame_hw))
        if inside.min() < MIN_SIZE_PX:
            raise BoxError(
                f"The box {text} lies outside the frame, which is {frame_hw[1]} px wide and "
                f"{frame_hw[0]} px high; draw it inside."
            )
    return box
