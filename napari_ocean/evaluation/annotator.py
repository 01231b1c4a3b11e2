"""A person who labels, simulated: knows the truth, looks, draws, and counts both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray

Frames = NDArray[np.intp]


class Annotator:
    """A person who knows the truth, and a count of what was asked of them.

    Frames whose target is absent, not labelled, or too small to be drawn inside the frame are
    neither judged nor counted.

    Parameters
    ----------
    truth_xyxy : ndarray of float64, shape (T, 4)
        NaN where there is no target.
    bound : float
        Overlap from which a box is accepted.
    frame_hw : tuple of int
        Height and width of the frames.

    Attributes
    ----------
    frames : ndarray of int
        Frames that can be judged.
    drawn : list of int
        Frames with a box drawn by hand.
    corrections : int
        Boxes drawn because the machine's was refused.
    visited : int
        Looks at a frame; one whose box has changed since is looked at again.
    scrubbed : int
        Looks at a frame in passing, while the film plays; they are not in `visited`.
    """

    def __init__(self, truth_xyxy: FloatArray, bound: float, frame_hw: tuple[int, int]) -> None:
        self.truth_xyxy = truth_xyxy
        self._bound = bound
        sides = boxes.size(boxes.clip(truth_xyxy, frame_hw)).min(axis=1)
        self._judged = sides >= boxes.MIN_SIZE_PX  # false for NaN
        self.frames = np.flatnonzero(self._judged)
        self._ious = np.full(len(truth_xyxy), np.nan)
        self.drawn: list[int] = []
        self.corrections = 0
        self.visited = 0
        self.scrubbed = 0

    @property
    def ends(self) -> tuple[int, int]:
        """First and last frame that can be judged."""
        return int(self.frames[0]), int(self.frames[-1])

    @property
    def ious(self) -> FloatArray:
        """Overlap of the result on the judged frames after the first; drawn boxes count as 1."""
        return np.asarray(self._ious[self.frames[1:]])

    def draw(self, frame: int) -> FloatArray:
        """Draw the true box, of shape (4,)."""
        refused = self.has_seen(frame)
        self.corrections += refused
        self.visited += not refused
        self.drawn.append(frame)
        self._ious[frame] = 1
        return np.asarray(self.truth_xyxy[frame])

    def look(self, frame: int, box_xyxy: FloatArray, *, in_passing: bool = False) -> bool:
        """Look at a box of shape (4,): whether it is accepted."""
        if not self._judged[frame]:
            return True
        self._ious[frame] = boxes.iou(box_xyxy, self.truth_xyxy[frame])
        self.visited += not in_passing
        self.scrubbed += in_passing
        return bool(self._ious[frame] >= self._bound)

    def has_seen(self, frame: int) -> bool:
        """Whether the box that stands on a frame was looked at, or drawn."""
        return bool(np.isfinite(self._ious[frame]))

    def forget(self, first: int, stop: int) -> None:
        """Take note that the boxes on ``range(first, stop)`` are others now."""
        self._ious[first:stop] = np.nan

    def worst(self, first: int, boxes_xyxy: FloatArray) -> int | None:
        """Look at the boxes of consecutive frames; the worst frame, None if all are accepted.

        The worst is the one of least overlap, among several the one furthest off.
        """
        frames, ious = self._overlaps(first, boxes_xyxy)
        self.visited += len(frames)
        self._ious[frames] = ious
        if (ious >= self._bound).all():
            return None
        off_xy = boxes.center(boxes_xyxy[frames - first]) - boxes.center(self.truth_xyxy[frames])
        return int(frames[np.lexsort((-np.hypot(*off_xy.T), ious))[0]])

    def refusable(self, first: int, boxes_xyxy: FloatArray) -> Frames:
        """Consecutive frames whose boxes would be refused, found without a look at them."""
        frames, ious = self._overlaps(first, boxes_xyxy)
        return frames[ious < self._bound]

    def _overlaps(self, first: int, boxes_xyxy: FloatArray) -> tuple[Frames, FloatArray]:
        """Frames of these boxes that can be judged, and their overlap with the truth."""
        offsets = np.flatnonzero(self._judged[first : first + len(boxes_xyxy)])
        return first + offsets, boxes.iou(boxes_xyxy[offsets], self.truth_xyxy[first + offsets])
