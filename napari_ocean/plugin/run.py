"""One press on Track, from the start of its worker to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_ocean.plugin.pending import said
from napari_ocean.plugin.plan import Leg, shut_off
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.words import counted
from napari_ocean.plugin.worker import Batch, Control, track_in_thread
from napari_ocean.tracks import BoxChange, ObjectPrediction, State, TrackBox
from napari_ocean.video import FrameSource

if TYPE_CHECKING:
    from napari_ocean.tracking import Tracker


class Run(QObject):
    """A worker, what it has brought so far, and how to end it.

    Parameters
    ----------
    session : Session
        Receives the boxes.
    video : FrameSource
        Read by the worker only.
    legs : sequence of Leg
    load : callable
        Makes the tracker, in the worker.
    home : int
        Frame that was shown when the run began.
    follow : bool
        Whether the view goes with the tracked frame.
    """

    advanced = Signal(Batch)
    """A batch was merged into the session."""

    ended = Signal()
    """The worker is done, whatever the reason."""

    def __init__(
        self,
        session: Session,
        video: FrameSource,
        legs: Sequence[Leg],
        load: Callable[[], Tracker],
        *,
        home: int,
        follow: bool,
    ) -> None:
        super().__init__()
        self.session = session
        self.home = home
        self.follow = follow
        self.done = 0
        self.total = sum(leg.steps for leg in legs)
        self._states: dict[tuple[int, int], State] = {}  # of each object and frame
        self.problem: str | None = None
        self._n_objects = len({o for leg in legs for o in leg.object_ids})
        self._rate = 0.0
        self._where = "From the other side"
        self._label = _label(session, legs)
        self._shut_off = [of for leg in legs for of in shut_off(session.tracks, leg)]
        self._id = uuid4().hex
        self._control = Control()
        self._seeds = session.tracks.copy()
        self._worker: Any = track_in_thread(video, self._seeds, legs, load, self._control)
        self._worker.yielded.connect(self._on_batch)
        self._worker.returned.connect(self._on_returned)
        self._worker.errored.connect(self._on_errored)
        self._worker.finished.connect(self._on_finished)

    def start(self) -> None:
        """Start the worker."""
        self.session.in_run = True
        self.session.redrawn.connect(self._on_redrawn)
        self._worker.start()

    def stop(self) -> None:
        """End after the frame in work; everything found is still handed over."""
        self._control.stop.set()

    def pause(self) -> None:
        """Hold the run after the frame in work; everything found is handed over."""
        self._control.hold.set()

    def resume(self) -> None:
        """Let a held run go on."""
        self._control.hold.clear()

    @property
    def paused(self) -> bool:
        """Whether a person holds the run."""
        return self._control.hold.is_set()

    @property
    def stopped(self) -> bool:
        """Whether a person has ended the run."""
        return self._control.stop.is_set()

    def abandon(self) -> None:
        """End without listening any longer."""
        self._let_go()
        self._control.stop.set()
        self._worker.quit()
        self.advanced.disconnect()
        self.ended.disconnect()
        self._worker.yielded.disconnect(self._on_batch)
        self._worker.finished.disconnect(self._on_finished)

    def _on_batch(self, batch: Batch) -> None:
        self.session.record(
            [found for found in batch.predictions if not self._is_taken_back(found)],
            reverse=batch.reverse,
            label=self._label,
            run=self._id,
            agreement=batch.agreement,
        )
        self.done = batch.done
        self._rate = batch.per_second
        self._states.update(((p.object_id, p.frame), p.state) for p in batch.predictions)
        self.advanced.emit(batch)
        self.session.flush()  # nothing is left where the view has gone along

    def _is_taken_back(self, found: ObjectPrediction) -> bool:
        """Whether this only repeats a box of the person's, who has deleted it meanwhile."""
        key, tracks = (found.object_id, found.frame), self.session.tracks
        seed = said(self._seeds.get(*key))
        return (
            isinstance(seed, TrackBox)
            and np.array_equal(seed.box_xyxy, found.box_xyxy)
            and found.object_id in tracks.object_ids
            and said(tracks.get(*key)) is None
        )

    def _on_returned(self, problem: str | None) -> None:
        self.problem = problem

    def _on_finished(self) -> None:
        self._let_go()
        self.ended.emit()

    def _let_go(self) -> None:
        self.session.redrawn.disconnect(self._on_redrawn)
        self.session.in_run = False

    def _on_redrawn(self, change: BoxChange) -> None:
        self._control.correct(change.object_id, change.frame, said(change.after))

    def _on_errored(self, error: Exception) -> None:
        self.problem = f"Tracking broke off: {error}"  # napari itself shows where

    def progress_text(self, batch: Batch) -> str:
        """How far the run is, how quick, and how long it will still take."""
        if batch.seconds_left is None:
            return "Looking at the first frames…"
        if batch.predictions:
            self._where = f"Frame {batch.predictions[-1].frame}"
        return f"{self._where} · {self._frames_per_second} · {_clock(batch.seconds_left)} left"

    def summary(self) -> str:
        """Say what the run has brought."""
        word = "Stopped" if self.stopped else "Done"
        count = Counter(self._states.values())
        text = f"{word}: {counted(count.total(), 'box', 'es')} at {self._frames_per_second}."
        uncertain, lost = count[State.UNCERTAIN], count[State.LOST]
        if uncertain or lost:
            text += f" Uncertain on {uncertain}, lost on {lost}: look at these."
        for object_id, span in self._shut_off:
            text += (
                f" {self.session.name(object_id)} is marked out of view from frame {span.start} "
                f"to {span.stop - 1}; press O on frame {span.start} to unmark it."
            )
        return text

    @property
    def _frames_per_second(self) -> str:
        rate = self._rate / max(self._n_objects, 1)
        return f"{rate:.0f} frames/s" if rate >= 10 else f"{rate:.1f} frames/s"


def _label(session: Session, legs: Sequence[Leg]) -> str:
    """What the run does, as the undo button says it."""
    ids = sorted({object_id for leg in legs for object_id in leg.object_ids})
    return f"Track {session.name(ids[0]) if len(ids) == 1 else f'{len(ids)} objects'}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(round(seconds), 0), 60)
    return f"{minutes}:{rest:02d}"
