"""Tracking in another thread: batches of predictions out, nothing of napari's touched."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from napari.qt.threading import thread_worker

from napari_ocean.errors import OceanError
from napari_ocean.plugin.plan import Leg
from napari_ocean.tracks import ObjectPrediction, Tracks
from napari_ocean.video import FrameSource

if TYPE_CHECKING:
    from napari_ocean.tracking import Tracker

BATCH_S = 0.4
"""Seconds of work per batch: often enough to look live, seldom enough for a Shapes layer."""


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
    """

    predictions: list[ObjectPrediction]
    done: int
    total: int
    per_second: float
    reverse: bool = False

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
    stop: Event,
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
    stop : threading.Event
        Ends the run after the frame in work; what was found is still yielded.
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
        yield from _run(video, tracks, legs, load, stop, batch_s)
    except OceanError as error:
        return str(error)
    return None


def _run(
    video: FrameSource,
    tracks: Tracks,
    legs: Sequence[Leg],
    load: Callable[[], Tracker],
    stop: Event,
    batch_s: float,
) -> Generator[Batch, None, None]:
    from napari_ocean.tracking import propagate  # torch is loaded here, in the thread

    tracker, total, done = load(), sum(leg.steps for leg in legs), 0
    yield Batch([], 0, total, 0.0)
    begin = last = perf_counter()
    for leg in legs:
        found: list[ObjectPrediction] = []
        predictions = propagate(
            video,
            tracks,
            tracker=tracker,
            start=leg.start,
            stop=leg.stop,
            reverse=leg.reverse,
            object_ids=leg.object_ids,
        )
        with closing(predictions):
            for prediction in predictions:
                found.append(prediction)
                done += 1
                now = perf_counter()
                if now - last >= batch_s:
                    yield Batch(found, done, total, done / (now - begin), leg.reverse)
                    found, last = [], perf_counter()
                if stop.is_set():
                    break
        if found:
            rate = done / max(perf_counter() - begin, 1e-9)
            yield Batch(found, done, total, rate, leg.reverse)
        if stop.is_set():
            break


track_in_thread = thread_worker(track_batches)
""":func:`track_batches` as a napari worker, not yet started."""
