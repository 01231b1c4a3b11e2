"""Ways to label a sequence, each one small function that asks an annotator and a tracker.

All end with every frame within the annotator's bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from napari_ocean.annotation import edits, review
from napari_ocean.annotation.review import Flag
from napari_ocean.boxes import FloatArray
from napari_ocean.evaluation.annotator import Annotator
from napari_ocean.evaluation.walks import Walks
from napari_ocean.tracks import ObjectPrediction, Prediction, Tracks


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """How far the review queue led, before the person played the rest through."""

    drawn: int
    """Boxes drawn until the queue was empty."""
    looked_at: int
    """Looks at a frame until then."""
    left: int
    """Frames whose box was still refusable then."""
    bad: int
    """Frames whose box was refusable after the first walk."""
    flagged: int
    """Frames that the queue flagged then."""
    found: int
    """Frames that were both."""


# ----------------------------------------------------------------------------- with a tracker


def forward(walks: Walks, annotator: Annotator) -> None:
    """Follow from the first frame to the last, and anew from each box that had to be drawn."""
    first, last = annotator.ends
    annotator.draw(first)
    _watch(walks, annotator, first, last)


def backward(walks: Walks, annotator: Annotator) -> None:
    """Follow from the last frame to the first, and anew from each box that had to be drawn."""
    first, last = annotator.ends
    annotator.draw(last)
    _watch(walks, annotator, last, first)


def _watch(
    walks: Walks, annotator: Annotator, key: int, end: int, *, in_passing: bool = False
) -> None:
    """Follow from a drawn box to one end, and anew from each box that had to be drawn."""
    step = 1 if end >= key else -1
    for frame in range(key + step, end + step, step):
        here = walks.between(key, frame, annotator.drawn)[-1]
        if not annotator.look(frame, here.box_xyxy, in_passing=in_passing):
            annotator.draw(frame)
            key = frame


def two_sided(walks: Walks, annotator: Annotator) -> None:
    """Fuse the walks from both keyframes of an interval; split it at its worst frame."""
    _bisect(lambda a, b: _boxes(_fused(walks, a, b)[0]), annotator)


def reviewed(walks: Walks, annotator: Annotator) -> Queue:
    """Work as in the window: draw once, track, go by the review queue, play the rest through.

    The person looks at the riskiest flag, at its riskiest frame first, and draws the first box
    that is refused, which is tracked anew on both sides; a flag without one is marked as fine.
    When no flag is left, the frames not looked at yet are played through; what is drawn then is
    tracked forward only, since all before it is accepted. Between keyframes the walks from both
    are fused, each taught by the other's box; after the last one the boxes drawn nearest teach.
    """
    desk = _Desk(walks, annotator)
    first, _ = annotator.ends
    desk.draw(first)
    bad = set(annotator.refusable(first, desk.boxes_xyxy).tolist())
    flagged = {k for flag in desk.queue() for k in _span(flag)} & set(annotator.frames.tolist())
    while flags := desk.queue():
        frames = _span(flags[0])
        refused = next((k for k in frames if not annotator.look(k, desk.box_xyxy(k))), None)
        if refused is None:
            desk.mark_fine(flags[0])
        else:
            desk.draw(refused)
    queue = Queue(
        drawn=len(annotator.drawn),
        looked_at=annotator.visited,
        left=len(annotator.refusable(first, desk.boxes_xyxy)),
        bad=len(bad),
        flagged=len(flagged),
        found=len(bad & flagged),
    )
    _play(desk, walks, annotator)
    return queue


def _play(desk: _Desk, walks: Walks, annotator: Annotator) -> None:
    """Look in passing at what was not looked at yet; track forward from each box drawn."""
    for frame in annotator.frames.tolist():
        if annotator.has_seen(frame):
            continue
        if annotator.look(frame, desk.box_xyxy(frame), in_passing=True):
            continue
        if desk.is_last(frame):
            annotator.draw(frame)
            _watch(walks, annotator, frame, annotator.ends[1], in_passing=True)
            return
        desk.draw(frame, both_ways=False)


class _Desk:
    """One object's annotation as the window keeps it: tracked anew around each drawn box."""

    def __init__(self, walks: Walks, annotator: Annotator) -> None:
        self._walks = walks
        self._annotator = annotator
        self._tracks = Tracks()
        self._id = self._tracks.add_object()
        self._agreement: dict[int, float] = {}

    @property
    def boxes_xyxy(self) -> FloatArray:
        """Boxes from the first frame that can be judged to the last, shape (N, 4)."""
        first, last = self._annotator.ends
        return np.array([self.box_xyxy(frame) for frame in range(first, last + 1)])

    def box_xyxy(self, frame: int) -> FloatArray:
        """The box on a frame, shape (4,)."""
        box = self._tracks.get(self._id, frame)
        assert box is not None
        return box.box_xyxy

    def is_last(self, frame: int) -> bool:
        """Whether no box was drawn after a frame."""
        return frame > max(self._tracks.keyframes(self._id))

    def queue(self) -> list[Flag]:
        """What is left to review, the riskiest first."""
        risks = review.risks(self._tracks, self._id, self._agreement)
        return review.queue(review.flags(self._id, risks))

    def mark_fine(self, flag: Flag) -> None:
        """Take a flag's frames for reviewed."""
        edits.mark_fine(self._tracks, self._id, flag.start, flag.stop)

    def draw(self, frame: int, *, both_ways: bool = True) -> None:
        """Draw a box; track from it to the next keyframe or the end, and from the one before."""
        _, last = self._annotator.ends
        keyframes = self._tracks.keyframes(self._id)
        before = max((k for k in keyframes if k < frame), default=None)
        after = min((k for k in keyframes if k > frame), default=None)
        self._tracks.draw(self._id, frame, self._annotator.draw(frame))
        if before is not None and both_ways:
            self._fuse(before, frame)
        if after is not None:
            self._fuse(frame, after)
        else:
            found = self._walks.between(frame, last, self._annotator.drawn)
            self._take(frame + 1, found[1:])

    def _fuse(self, left: int, right: int) -> None:
        found, overlaps = _fused(self._walks, left, right)
        self._take(left + 1, found[1:-1], overlaps[1:-1].tolist())

    def _take(
        self, first: int, found: Sequence[Prediction], overlaps: Sequence[float] = ()
    ) -> None:
        """Take over what was found on consecutive frames, and how far two walks agreed there."""
        stop = first + len(found)
        for frame, of in zip(range(first, stop), found, strict=True):
            self._agreement.pop(frame, None)
            self._tracks.merge(
                ObjectPrediction(
                    object_id=self._id,
                    frame=frame,
                    box_xyxy=of.box_xyxy,
                    score=of.score,
                    state=of.state,
                )
            )
        self._agreement.update(zip(range(first, stop), overlaps, strict=False))
        self._annotator.forget(first, stop)


def _span(flag: Flag) -> list[int]:
    """Frames of a flag in the order in which a person looks at them."""
    return [flag.frame, *(k for k in range(flag.start, flag.stop) if k != flag.frame)]


def _fused(walks: Walks, left: int, right: int) -> tuple[list[Prediction], FloatArray]:
    """Fuse the walks between two keyframes, each of which is the other walk's example.

    Both keyframes are included; also returns the walks' overlap, shape (N,).
    """
    from napari_ocean.tracking.fuse import fuse_runs  # loads torch

    ends = left, right
    return fuse_runs(walks.between(left, right, ends), walks.between(right, left, ends)[::-1])


def _boxes(found: Sequence[Prediction]) -> FloatArray:
    return np.array([of.box_xyxy for of in found])


# -------------------------------------------------------------------------- without a tracker


def linear(annotator: Annotator) -> None:
    """Interpolate between keyframes; split an interval at its worst frame."""
    truth = annotator.truth_xyxy
    _bisect(lambda a, b: interpolate(truth[a], truth[b], b - a + 1), annotator)


def linear_fewest(annotator: Annotator) -> None:
    """Interpolate as far as one straight line reaches, as only a person who foresees all could."""
    truth = annotator.truth_xyxy
    left, last = annotator.ends
    annotator.draw(left)
    while left < last:
        for right in annotator.frames[::-1].tolist():
            straight = interpolate(truth[left], truth[right], right - left + 1)[1:-1]
            if not len(annotator.refusable(left + 1, straight)):
                break
        annotator.worst(left + 1, straight)
        annotator.draw(right)
        left = right


def interpolate(a_xyxy: ArrayLike, b_xyxy: ArrayLike, n: int) -> FloatArray:
    """`n` boxes on the straight line from one box to another, both included, shape (n, 4)."""
    return np.linspace(np.asarray(a_xyxy, float), np.asarray(b_xyxy, float), n)


Fill = Callable[[int, int], FloatArray]
"""Boxes from a keyframe to the next, both included."""


def _bisect(fill: Fill, annotator: Annotator) -> None:
    """Draw both ends, then the worst frame of each interval until all are accepted."""
    ends = annotator.ends
    for frame in ends:
        annotator.draw(frame)
    intervals = [ends]
    while intervals:
        left, right = intervals.pop()
        if right - left < 2:
            continue
        worst = annotator.worst(left + 1, fill(left, right)[1:-1])
        if worst is not None:
            annotator.draw(worst)
            intervals += [(left, worst), (worst, right)]


INTERPOLATED: dict[str, Callable[[Annotator], None]] = {
    "linear": linear,
    "linear-fewest": linear_fewest,
}
"""Methods that need no tracker."""

TRACKED: dict[str, Callable[[Walks, Annotator], Queue | None]] = {
    "forward": forward,
    "backward": backward,
    "two-sided": two_sided,
    "review": reviewed,
}
"""Methods that any tracker can serve."""
