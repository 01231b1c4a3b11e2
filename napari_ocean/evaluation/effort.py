"""How much work labelling is: every method on every sequence, and what it cost.

The annotator (:mod:`napari_ocean.evaluation.annotator`) looks at machine-made boxes, accepts those
whose overlap with the truth reaches a bound, and draws others anew, until every frame is within the
bound. What counts is the boxes drawn and the frames looked at.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_ocean.errors import ConfigError, DataError
from napari_ocean.evaluation.annotator import Annotator
from napari_ocean.evaluation.labelling import INTERPOLATED, TRACKED, Queue
from napari_ocean.evaluation.report import table
from napari_ocean.evaluation.runs import made
from napari_ocean.evaluation.trackers import TrackerSpec
from napari_ocean.evaluation.walks import Walks
from napari_ocean.video import FrameSource

if TYPE_CHECKING:
    from napari_ocean.evaluation.datasets import Sequence as Clip
    from napari_ocean.evaluation.store import Store

BOUNDS = (0.5, 0.7)
"""Overlaps with which an annotator may be content."""


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
    scrubbed: int = 0
    queue: Queue | None = None

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Effort:
        """Get back what ``dataclasses.asdict`` made; what is not a field is left out."""
        fields = {name: kept[name] for name in cls.__slots__ if name in kept}
        if fields.get("queue") is not None:
            fields["queue"] = Queue(**fields["queue"])
        return cls(**fields)


def measure(plan: Plan, sequence: Clip, bound: float) -> Effort:
    """Label one sequence by a plan until every box reaches the bound.

    Raises
    ------
    DataError
        If the sequence has not two frames to judge.
    """
    with sequence.open() as video:
        walks = None if plan.tracker is None else _walks(plan.tracker, sequence, video)
        return _measure(plan, sequence, bound, (video.height, video.width), walks)


def _measure(
    plan: Plan, sequence: Clip, bound: float, frame_hw: tuple[int, int], walks: Walks | None
) -> Effort:
    annotator = Annotator(sequence.truth_xyxy, bound, frame_hw)
    if len(annotator.frames) < 2:
        raise DataError(
            f"{sequence.name} has no true box inside the frame on two frames or more, which "
            "labelling needs to be measured; leave it out."
        )
    queue = None
    if walks is None:
        INTERPOLATED[plan.method](annotator)
    else:
        queue = TRACKED[plan.method](walks, annotator)
    return Effort(
        label=plan.label,
        sequence=sequence.name,
        bound=bound,
        frames=len(annotator.ious),
        drawn=len(annotator.drawn),
        corrections=annotator.corrections,
        visited=annotator.visited,
        mean_iou=float(annotator.ious.mean()),
        scrubbed=annotator.scrubbed,
        queue=queue,
    )


def _walks(spec: TrackerSpec, sequence: Clip, video: FrameSource) -> Walks:
    taught = spec.name == "ocean" and spec.online == "default"
    if taught:
        from napari_ocean.tracking.tracker import EXAMPLES  # loads torch, as the tracker does
    pickled = pickle.dumps(spec)
    return Walks(
        lambda: made(pickled), video, sequence.truth_xyxy, examples=EXAMPLES if taught else 0
    )


# ------------------------------------------------------------------------------ many, and kept


Task = tuple[Plan, float]
"""A plan and the bound to reach."""

Job = tuple[list[Task], "Clip", "Store"]
"""Tasks of one tracker on one sequence, which share what it found, and where results are kept."""


def missing(plans: Sequence[Plan], sequences: Sequence[Clip], store: Store) -> list[Job]:
    """What is not on disk yet, the longest jobs first, so that processes end together."""
    jobs = []
    for sequence in sequences:
        by_tracker: dict[str, list[Task]] = {}
        for plan in plans:
            left = [b for b in BOUNDS if store.kept(kind(b), plan.label, sequence) is None]
            name = "" if plan.tracker is None else plan.tracker.label
            by_tracker.setdefault(name, []).extend((plan, bound) for bound in left)
        jobs += [(tasks, sequence, store) for tasks in by_tracker.values() if tasks]
    return sorted(jobs, key=lambda job: len(job[0]) * len(job[1]), reverse=True)


def run(tasks: Sequence[Task], sequence: Clip, store: Store) -> int:
    """Do one job, keep each result at once, and return how many there are."""
    spec = tasks[0][0].tracker
    with sequence.open() as video:
        walks = None if spec is None else _walks(spec, sequence, video)
        for plan, bound in tasks:
            done = _measure(plan, sequence, bound, (video.height, video.width), walks)
            store.keep(kind(bound), done.label, sequence, asdict(done))
    return len(tasks)


def kind(bound: float) -> str:
    """Under which kind of files the results for a bound are kept."""
    return f"effort/{bound:g}"


# ------------------------------------------------------------------------------------- report


ANY_TRACKER = ("forward", "backward")
"""Methods that every tracker is measured by."""

WAYS = (*INTERPOLATED, *TRACKED)
"""Methods that can be measured; all are unless some are asked for."""


def plans_for(specs: Iterable[TrackerSpec], ways: Iterable[str] | None = None) -> list[Plan]:
    """Interpolation, each tracker in both directions, the first of ours in the other ways too.

    Parameters
    ----------
    specs : iterable of TrackerSpec
    ways : iterable of str, optional
        Of :data:`WAYS`; default: all that these trackers can serve.

    Raises
    ------
    ConfigError
        If a way is asked for that only ours can serve, and ours is not among the trackers.
    """
    specs, wanted = list(specs), list(dict.fromkeys(WAYS if ways is None else ways))
    ours = next((spec for spec in specs if spec.name == "ocean"), None)
    further = [way for way in wanted if way in TRACKED and way not in ANY_TRACKER]
    if ours is None and further and ways is not None:
        raise ConfigError(f"Only the tracker ocean is measured by --way {further[0]}; name it too.")
    return [
        *(Plan(method=way) for way in wanted if way in INTERPOLATED),
        *(Plan(method=w, tracker=s) for w in wanted if w in ANY_TRACKER for s in specs),
        *(Plan(method=way, tracker=ours) for way in further if ours is not None),
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """All sequences of one label and bound; the counts are per 1000 frames."""

    drawn: float
    corrections: float
    visited: float
    scrubbed: float
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
        scrubbed=per_1000(effort.scrubbed for effort in of),
        mean_iou=sum(effort.mean_iou * effort.frames for effort in of) / frames,
    )


def points(efforts: Sequence[Effort]) -> dict[str, list[tuple[float, float]]]:
    """Drawn boxes per 1000 frames and mean overlap of each label, one point per bound."""
    return {
        label: [(of.drawn, of.mean_iou) for of in (by[label] for by in _totals(efforts).values())]
        for label in _labels(efforts)
    }


def as_markdown(efforts: Sequence[Effort]) -> str:
    """For each bound: totals, where the review queue led, and the boxes drawn on each sequence."""
    parts = []
    for bound, by_label in _totals(efforts).items():
        of = [effort for effort in efforts if effort.bound == bound]
        parts += [f"Every frame at an overlap of {bound:g} or more:", _totals_table(by_label)]
        if queues := _queue_table(of):
            parts.append(queues)
        parts.append(_drawn_table(of))
    return "\n\n".join(parts)


def _totals_table(by_label: Mapping[str, Total]) -> str:
    head = ["per 1000 frames", "drawn boxes", "corrections", "looked at", "scrubbed", "mean IoU"]
    rows = [
        [
            label,
            f"{of.drawn:.1f}",
            f"{of.corrections:.1f}",
            f"{of.visited:.0f}",
            f"{of.scrubbed:.0f}" if of.scrubbed else "-",
            f"{of.mean_iou:.3f}",
        ]
        for label, of in by_label.items()
    ]
    return table(head, rows)


def _queue_table(efforts: Sequence[Effort]) -> str:
    """Where the review queue led; empty if no method had one."""
    head = [
        "when the queue is empty, per 1000 frames",
        "drawn boxes",
        "looked at",
        "still under the bound",
        "under it at first",
        "of these flagged (recall)",
        "of the flagged under it (precision)",
    ]
    rows = []
    for label in _labels(efforts):
        of = [(e, e.queue) for e in efforts if e.label == label and e.queue is not None]
        if not of:
            continue
        frames = sum(effort.frames for effort, _ in of)
        drawn, looked_at, left, bad, flagged, found = (
            sum(counts)
            for counts in zip(
                *((q.drawn, q.looked_at, q.left, q.bad, q.flagged, q.found) for _, q in of),
                strict=True,
            )
        )
        rows.append(
            [
                label,
                f"{1000 * drawn / frames:.1f}",
                f"{1000 * looked_at / frames:.0f}",
                f"{1000 * left / frames:.1f}",
                f"{1000 * bad / frames:.1f}",
                _share(found, bad),
                _share(found, flagged),
            ]
        )
    return table(head, rows) if rows else ""


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _drawn_table(efforts: Sequence[Effort]) -> str:
    labels = _labels(efforts)
    by_name = {(e.sequence, e.label): e for e in efforts}
    rows = [
        [
            name,
            str(by_name[name, labels[0]].frames),
            *(str(by_name[name, label].drawn) for label in labels),
        ]
        for name in dict.fromkeys(e.sequence for e in efforts)
    ]
    return table(["drawn boxes", "frames", *labels], rows)


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
