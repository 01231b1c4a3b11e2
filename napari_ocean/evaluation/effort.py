"""How much work labelling is: a simulated annotator, and the methods that serve one.

The annotator looks at machine-made boxes, accepts those whose overlap with the truth reaches a
bound, and draws the others anew, until every frame is within the bound. What counts is the boxes
drawn and the frames looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import ConfigError, DataError
from napari_ocean.evaluation.protocols import Session, Start
from napari_ocean.evaluation.report import table
from napari_ocean.evaluation.trackers import TrackerSpec, make
from napari_ocean.video import FrameSource

if TYPE_CHECKING:
    from napari_ocean.evaluation.datasets import Sequence as Clip

EXAMPLES = 4
"""Boxes drawn last that a tracker is taught by when it starts again (as in the product)."""

BOUNDS = (0.5, 0.7)
"""Overlaps with which an annotator may be content."""


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

    Raises
    ------
    DataError
        If fewer than two frames can be judged.

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
    """

    def __init__(self, truth_xyxy: FloatArray, bound: float, frame_hw: tuple[int, int]) -> None:
        self.truth_xyxy = truth_xyxy
        self._bound = bound
        sides = boxes.size(boxes.clip(truth_xyxy, frame_hw)).min(axis=1)
        self._judged = sides >= boxes.MIN_SIZE_PX  # false for NaN
        self.frames = np.flatnonzero(self._judged)
        if len(self.frames) < 2:
            raise DataError("A sequence needs a true box on at least two frames to be measured.")
        self._ious = np.full(len(truth_xyxy), np.nan)
        self.drawn: list[int] = []
        self.corrections = 0
        self.visited = 0

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
        refused = bool(np.isfinite(self._ious[frame]))
        self.corrections += refused
        self.visited += not refused
        self.drawn.append(frame)
        self._ious[frame] = 1
        return np.asarray(self.truth_xyxy[frame])

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

    def accepts(self, first: int, boxes_xyxy: FloatArray) -> bool:
        """Whether the boxes of consecutive frames would be accepted, without a look at them."""
        return bool((self._overlaps(first, boxes_xyxy)[1] >= self._bound).all())

    def _overlaps(self, first: int, boxes_xyxy: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
        """Frames of these boxes that can be judged, and their overlap with the truth."""
        offsets = np.flatnonzero(self._judged[first : first + len(boxes_xyxy)])
        return first + offsets, boxes.iou(boxes_xyxy[offsets], self.truth_xyxy[first + offsets])


# ------------------------------------------------------------------------------------- methods


def forward(start: Start, video: FrameSource, annotator: Annotator) -> None:
    """Follow from the first frame to the last, and anew from each box that had to be drawn."""
    first, last = annotator.ends
    drawn = [(video.frame(first), annotator.draw(first))]
    session = start(*drawn[0])
    for frame in range(first + 1, last + 1):
        image = video.frame(frame)
        if annotator.worst(frame, session.step(image).box_xyxy[None]) is not None:
            drawn = [(image, annotator.draw(frame)), *drawn[:EXAMPLES]]
            session = start(*drawn[0], examples=drawn[1:])


def two_sided(start: Start, video: FrameSource, annotator: Annotator) -> None:
    """Fuse the runs from both keyframes of an interval; split it at its worst frame."""
    from napari_ocean.tracking.fuse import fuse

    runs = _Runs(start, video)

    def fill(left: int, right: int, a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
        there, there_score = runs.between(left, right, a_xyxy, b_xyxy)
        back, back_score = runs.between(right, left, b_xyxy, a_xyxy)
        return fuse(there, back[::-1], there_score, back_score[::-1])[0]

    _bisect(fill, annotator)


def from_left(start: Start, video: FrameSource, annotator: Annotator) -> None:
    """Split as :func:`two_sided` does, by the forward run alone: what fusion has to beat."""
    runs = _Runs(start, video)
    _bisect(lambda left, right, a, b: runs.between(left, right, a, b)[0], annotator)


def from_right(start: Start, video: FrameSource, annotator: Annotator) -> None:
    """Split as :func:`two_sided` does, by the backward run alone."""
    runs = _Runs(start, video)
    _bisect(lambda left, right, a, b: runs.between(right, left, b, a)[0][::-1], annotator)


def linear(annotator: Annotator) -> None:
    """Interpolate between keyframes; split an interval at its worst frame."""
    _bisect(lambda left, right, a, b: interpolate(a, b, right - left + 1), annotator)


def linear_fewest(annotator: Annotator) -> None:
    """Interpolate as far as one straight line reaches, as only a person who foresees all could."""
    truth = annotator.truth_xyxy
    left, last = annotator.ends
    annotator.draw(left)
    while left < last:
        for right in annotator.frames[::-1].tolist():
            straight = interpolate(truth[left], truth[right], right - left + 1)[1:-1]
            if annotator.accepts(left + 1, straight):
                break
        annotator.worst(left + 1, straight)
        annotator.draw(right)
        left = right


def interpolate(a_xyxy: ArrayLike, b_xyxy: ArrayLike, n: int) -> FloatArray:
    """`n` boxes on the straight line from one box to another, both included, shape (n, 4)."""
    return np.linspace(np.asarray(a_xyxy, float), np.asarray(b_xyxy, float), n)


Fill = Callable[[int, int, FloatArray, FloatArray], FloatArray]
"""Boxes from a keyframe to the next, both included: ``fill(left, right, a_xyxy, b_xyxy)``."""


def _bisect(fill: Fill, annotator: Annotator) -> None:
    """Draw both ends, then the worst frame of each interval until all are accepted."""
    first, last = annotator.ends
    drawn = {frame: annotator.draw(frame) for frame in (first, last)}
    intervals = [(first, last)]
    while intervals:
        left, right = intervals.pop()
        between = fill(left, right, drawn[left], drawn[right])[1:-1]
        worst = annotator.worst(left + 1, between)
        if worst is not None:
            drawn[worst] = annotator.draw(worst)
            intervals += [(left, worst), (worst, right)]


class _Runs:
    """Runs from keyframes in either direction, each frame stepped once."""

    def __init__(self, start: Start, video: FrameSource) -> None:
        self._start = start
        self._video = video
        self._known: dict[tuple[int, int], tuple[Session, list[FloatArray], list[float]]] = {}

    def between(
        self, key: int, other: int, box_xyxy: FloatArray, other_xyxy: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Boxes (N, 4) and scores (N,) from a keyframe to another one, in the order of the run."""
        step = 1 if other > key else -1
        if (key, step) not in self._known:
            examples = [(self._video.frame(other), other_xyxy)]
            session = self._start(self._video.frame(key), box_xyxy, examples=examples)
            self._known[key, step] = session, [box_xyxy], [1.0]
        session, found, scores = self._known[key, step]
        n = abs(other - key) + 1
        for frame in range(key + step * len(found), other + step, step):
            prediction = session.step(self._video.frame(frame))
            found.append(prediction.box_xyxy)
            scores.append(prediction.score)
        return np.array(found[:n]), np.array(scores[:n])


INTERPOLATED: dict[str, Callable[[Annotator], None]] = {
    "linear": linear,
    "linear-fewest": linear_fewest,
}
"""Methods that need no tracker."""

TRACKED: dict[str, Callable[[Start, FrameSource, Annotator], None]] = {
    "forward": forward,
    "two-sided": two_sided,
    "from-left": from_left,
    "from-right": from_right,
}
"""Methods that any tracker can serve."""


# ----------------------------------------------------------------------------------- measuring


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A way to label: a method, and the tracker that it needs.

    Raises
    ------
    ConfigError
        If there is no such method.
    """

    method: str = "forward"
    """Of :data:`TRACKED` with a tracker, of :data:`INTERPOLATED` without."""
    tracker: TrackerSpec | None = None

    def __post_init__(self) -> None:
        known = INTERPOLATED if self.tracker is None else TRACKED
        if self.method not in known:
            kind = "with a tracker" if self.tracker else "without a tracker"
            raise ConfigError(
                f"There is no method {self.method!r} {kind}; there are {', '.join(known)}."
            )

    @property
    def label(self) -> str:
        """Name for tables: ``linear``, ``csrt``, ``ocean two-sided``."""
        if self.tracker is None:
            return self.method
        return self.tracker.label + ("" if self.method == "forward" else f" {self.method}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """What it took to label one sequence; its first frame does not count in `frames`."""

    label: str
    sequence: str
    bound: float
    frames: int
    drawn: int
    corrections: int
    visited: int
    mean_iou: float


def measure(plan: Plan, sequence: Clip, bound: float) -> Effort:
    """Label one sequence by a plan until every box reaches the bound.

    Raises
    ------
    DataError
        If the sequence has not two frames to judge.
    """
    with sequence.open() as video:
        annotator = Annotator(sequence.truth_xyxy, bound, (video.height, video.width))
        if plan.tracker is None:
            INTERPOLATED[plan.method](annotator)
        else:
            TRACKED[plan.method](make(plan.tracker), video, annotator)
    return Effort(
        label=plan.label,
        sequence=sequence.name,
        bound=bound,
        frames=len(annotator.ious),
        drawn=len(annotator.drawn),
        corrections=annotator.corrections,
        visited=annotator.visited,
        mean_iou=float(annotator.ious.mean()),
    )


# ------------------------------------------------------------------------------------- report


def default_plans(specs: Iterable[TrackerSpec]) -> list[Plan]:
    """Interpolation, each tracker forward, and ours also from both sides."""
    specs = list(specs)
    plans = [Plan(method=name) for name in INTERPOLATED]
    plans += [Plan(tracker=spec) for spec in specs]
    return plans + [Plan(method="two-sided", tracker=s) for s in specs if s.name == "ocean"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """All sequences of one label and bound; the counts are per 1000 frames."""

    drawn: float
    corrections: float
    visited: float
    mean_iou: float


def total(efforts: Iterable[Effort]) -> Total:
    """Sum up; every frame counts alike."""
    of = list(efforts)
    frames = sum(effort.frames for effort in of)

    def per_1000(counts: Iterable[int]) -> float:
        return 1000 * sum(counts) / frames

    return Total(
        drawn=per_1000(effort.drawn for effort in of),
        corrections=per_1000(effort.corrections for effort in of),
        visited=per_1000(effort.visited for effort in of),
        mean_iou=sum(effort.mean_iou * effort.frames for effort in of) / frames,
    )


def points(efforts: Sequence[Effort]) -> dict[str, list[tuple[float, float]]]:
    """Drawn boxes per 1000 frames and mean overlap of each label, one point per bound."""
    return {
        label: [(of.drawn, of.mean_iou) for of in (by[label] for by in _totals(efforts).values())]
        for label in _labels(efforts)
    }


def as_markdown(efforts: Sequence[Effort]) -> str:
    """For each bound a table of totals and one of the boxes drawn on each sequence."""
    labels = _labels(efforts)
    parts = []
    for bound, by_label in _totals(efforts).items():
        head = ["per 1000 frames", "drawn boxes", "corrections", "frames looked at", "mean IoU"]
        rows = [
            [
                label,
                f"{of.drawn:.1f}",
                f"{of.corrections:.1f}",
                f"{of.visited:.0f}",
                f"{of.mean_iou:.3f}",
            ]
            for label, of in by_label.items()
        ]
        parts += [f"Every frame at an overlap of {bound:g} or more:", table(head, rows)]
        drawn = {(e.sequence, e.label): e for e in efforts if e.bound == bound}
        sequences = list(dict.fromkeys(sequence for sequence, _ in drawn))
        rows = [
            [
                name,
                str(drawn[name, labels[0]].frames),
                *(str(drawn[name, of].drawn) for of in labels),
            ]
            for name in sequences
        ]
        parts.append(table(["drawn boxes", "frames", *labels], rows))
    return "\n\n".join(parts)


def _labels(efforts: Iterable[Effort]) -> list[str]:
    return list(dict.fromkeys(effort.label for effort in efforts))


def _totals(efforts: Sequence[Effort]) -> dict[float, dict[str, Total]]:
    """Totals by bound and label, in the order of the records."""
    return {
        bound: {
            label: total(e for e in efforts if (e.label, e.bound) == (label, bound))
            for label in _labels(efforts)
        }
        for bound in sorted({effort.bound for effort in efforts})
    }
