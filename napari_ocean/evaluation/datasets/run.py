"""What a tracker gave on a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ocean.boxes import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A tracker's way through a sequence of T frames.

    Attributes
    ----------
    boxes_xyxy : ndarray of float64, shape (T, 4)
        In frame pixels; row 0 is the box that the tracker was given.
    scores : ndarray of float64, shape (T,)
        The tracker's own, 1 for the given box; NaN where they are not known.
    seconds : ndarray of float64, shape (T,)
        Time of each frame without decoding, that of frame 0 being the start; NaN where it is not
        known.
    """

    boxes_xyxy: FloatArray
    scores: FloatArray
    seconds: FloatArray
