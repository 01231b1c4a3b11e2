"""Tracking in another thread: batches of predictions out, nothing of napari's touched."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from napari.qt.threading import thread_worker

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import OceanError
from napari_ocean.plugin.pending import Key
from napari_ocean.plugin.plan import Leg
from napari_ocean.tracks import ObjectPrediction, State, Tracks
from napari_ocean.video import FrameSource

if TYPE_CHECKING:
    from napari_ocean.tracking import Tracker
    from napari_ocean.tracking.propagate import Correction

BATCH_S = 0.15
"""Seconds of work per batch: often enough to look live, and drawing one takes a third of it."""

HELD_S = 0.02
"""Seconds between two looks at whether a held run may go on."""


class Control:
    """How the window holds, corrects and ends a run, from another thread."""

    def __init__(self) -> None:
        self.stop = Event()
        self.hold = Event()
        self._corrections: list[Correction] = []

    def correct(self, *correction: *Correction) -> None:
        """Have the run know what a person has drawn, marked or taken back meanwhile."""
        self._corrections.append(correction)

    def corrections(self) -> Callable[[], list[Correction]]:
        """What gives all corrections, each once; every pass over the frames has its own."""
        given = 0

        def new() -> list[Correction]:
            nonlocal given
            found = self._corrections[given:]
            given += len(found)
            return found

        return new

    def wait(self) -> float:
        """Wait while the run is held; return the seconds that took."""
        began = perf_counter()
        while self.hold.is_set() and not self.stop.wait(HELD_S):
            pass
        return perf_counter() - began


class Batch(NamedTuple):
    """What was found since the last batch, and how far the run is.

    Attributes
    ----------
    predictions : list of ObjectPrediction
        In the order in which they were made; empty once, when the tracker is loaded.
    done : int
        Boxes made so far.
    total : int
        Boxes of the whole run.
    per_second : float
        Boxes per second, 0 while nothing is known.
    reverse : bool
        Whether the predictions were made on the way towards the first frame.
    agreement : mapping of (int, int) to float
        How far two runs overlap (IoU), by object and frame, where the boxes were fused.
    """

    predictions: list[ObjectPrediction]
    done: int
    total: int
    per_second: float
    reverse: bool = False
    agreement: Mapping[Key, float] = {}

    @property
    def seconds_left(self) -> float | None:
        """Time to the end at this rate, None while the rate is unknown."""
        return (self.total - self.done) / self.per_second if self.per_second > 0 else None


Batches = Generator[Batch, None, str | None]


def track_batches(
    video: FrameSource,
    tracks: Tracks,
    legs: Sequence[Leg],
    load: Callable[[], Tracker],
    control: Control,
    batch_s: float = BATCH_S,
) -> Batches:
    """Run the legs one after the other.

    Parameters
    ----------
    video : FrameSource
    tracks : Tracks
        Boxes to begin with; a copy that nobody else changes.
    legs : sequence of Leg
    load : callable
        Makes the tracker; called here because that takes seconds.
    control : Control
        Holds the run, or ends it after the frame in work; what was found is still yielded.
    batch_s : float
        Seconds between two batches.

    Yields
    ------
    Batch

    Returns
    -------
    str or None
        What went wrong, in a sentence for the user.
    """
    try:
        yield from _Runner(video, tracks, load(), control, batch_s).run(legs)
    except OceanError as error:
        return str(error)
    return None


class _Runner:
    """Where a run is, and how quick."""

    def __init__(
        self, video: FrameSource, tracks: Tracks, tracker: Tracker, control: Control, batch_s: float
    ) -> None:
        self._video = video
        self._tracks = tracks
        self._tracker = tracker
        self._control = control
        self._batch_s = batch_s
        self._done = self._total = 0
        self._begun = self._last = perf_counter()

    def run(self, legs: Sequence[Leg]) -> Generator[Batch, None, None]:
        self._total = sum(leg.steps for leg in legs)
        yield self._batch([])
        self._begun = self._last = perf_counter()
        for leg in legs:
            if leg.fused:
                yield from self._both(leg)
            else:
                yield from self._pass(leg, self._tracks, reverse=leg.reverse)
            if self._control.stop.is_set():
                break

    def _pass(
        self, leg: Leg, seeds: Tracks, *, reverse: bool, show: bool = True
    ) -> Generator[Batch, None, list[ObjectPrediction]]:
        """Walk over the frames once; hand over what was found unless `show` is off."""
        from napari_ocean.tracking import propagate  # torch is loaded here, in the thread

        found: list[ObjectPrediction] = []
        told = 0
        predictions = propagate(
            self._video,
            seeds,
            tracker=self._tracker,
            start=leg.start,
            stop=leg.stop,
            reverse=reverse,
            object_ids=leg.object_ids,
            taught_by=self._tracks,
            corrections=None if leg.fused else self._control.corrections(),
        )
        try:
            with closing(predictions):
                for prediction in predictions:
                    found.append(prediction)
                    self._done += 1
                    held = self._control.hold.is_set()
                    if held or perf_counter() - self._last >= self._batch_s:
                        yield self._batch(found[told:] if show else [], reverse=reverse)
                        told = len(found)
                        if held:
                            self._begun += self._control.wait()
                        self._last = perf_counter()
                    if self._control.stop.is_set():
                        break
        except Exception:  # raised again: what was found up to there stays
            yield from self._rest(found[told:], reverse=reverse, show=show)
            raise
        yield from self._rest(found[told:], reverse=reverse, show=show)
        return found

    def _rest(self, found: list[ObjectPrediction], *, reverse: bool, show: bool) -> Iterator[Batch]:
        """What was found since the last batch; it stays, however a pass ends."""
        if found:
            yield self._batch(found if show else [], reverse=reverse)

    def _both(self, leg: Leg) -> Generator[Batch, None, None]:
        """Track from both keyframes and fuse; after a stop the forward run is what stays."""
        ends = leg.start, leg.stop - 1
        there, back = (_seeded(self._tracks, leg, frame) for frame in ends)
        forward = yield from self._pass(leg, there, reverse=False)
        if self._control.stop.is_set():
            return
        backward = yield from self._pass(leg, back, reverse=True, show=False)
        if self._control.stop.is_set():
            return
        found, agreement = _fused(forward, backward)
        yield self._batch(found)._replace(agreement=agreement)
        for reverse in (False, True):  # both keyframes have been met
            keyframes = [of for of in _keyframes(self._tracks, leg) if of.frame == ends[reverse]]
            yield self._batch(keyframes, reverse=reverse)

    def _batch(self, found: list[ObjectPrediction], *, reverse: bool = False) -> Batch:
        rate = self._done / max(perf_counter() - self._begun, 1e-9) if self._done else 0.0
        return Batch(found, self._done, self._total, rate, reverse)


def _seeded(tracks: Tracks, leg: Leg, frame: int) -> Tracks:
    """The boxes at one end of a leg alone: a run from there meets none at the other."""
    known = Tracks()
    for object_id in leg.object_ids:
        known.add_object(object_id=object_id)
        known.put(object_id, frame, tracks.get(object_id, frame))
    return known


def _keyframes(tracks: Tracks, leg: Leg) -> Iterator[ObjectPrediction]:
    for object_id in leg.object_ids:
        for frame in (leg.start, leg.stop - 1):
            box = tracks.get(object_id, frame)
            if box is not None:
                yield _prediction(object_id, frame, box.box_xyxy, 1.0, State.FOUND)


def _fused(
    forward: Iterable[ObjectPrediction], backward: Iterable[ObjectPrediction]
) -> tuple[list[ObjectPrediction], dict[Key, float]]:
    """Fuse two runs over the same frames, object by object; also how far they agree."""
    from napari_ocean.tracking.fuse import fuse_runs

    runs: dict[int, tuple[dict[int, ObjectPrediction], dict[int, ObjectPrediction]]] = {}
    for way, found in enumerate((forward, backward)):
        for of in found:
            runs.setdefault(of.object_id, ({}, {}))[way][of.frame] = of
    fused: list[ObjectPrediction] = []
    agreement: dict[Key, float] = {}
    for object_id, (there, back) in runs.items():
        frames = sorted(there.keys() & back.keys())
        one, overlaps = fuse_runs([there[f] for f in frames], [back[f] for f in frames])
        for k, frame in list(enumerate(frames))[1:-1]:
            fused.append(_prediction(object_id, frame, one[k].box_xyxy, one[k].score, one[k].state))
            agreement[object_id, frame] = float(overlaps[k])
    return fused, agreement


def _prediction(
    object_id: int, frame: int, box_xyxy: FloatArray, score: float, state: State
) -> ObjectPrediction:
    return ObjectPrediction(
        object_id=object_id, frame=frame, box_xyxy=box_xyxy, score=score, state=state
    )


track_in_thread = thread_worker(track_batches)
""":func:`track_batches` as a napari worker, not yet started."""
