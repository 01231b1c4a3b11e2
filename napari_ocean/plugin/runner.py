"""Starts, follows, holds and ends the runs of one widget, and says how far they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Shapes
from napari.utils import progress
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_ocean.errors import WeightsError
from napari_ocean.plugin import layers
from napari_ocean.plugin.controls import MODEL_FILE, Controls
from napari_ocean.plugin.plan import Leg
from napari_ocean.plugin.preferences import weights_of
from napari_ocean.plugin.run import Run
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.worker import Batch

if TYPE_CHECKING:
    from napari_ocean.tracking import Tracker


STOPPING = "Stopping after the frame in work…"
HELD = "Held. It goes on from what you correct on its last frame or draw ahead; T mends the rest."

ACTIVITY_MS = 300
"""How often napari's activity dock is brought up to date."""


class Runner:
    """At most one run at a time.

    Parameters
    ----------
    viewer : napari.Viewer
    controls : Controls
        Buttons and progress bar of the widget.
    weights_folder : str
        As a person has set it in the Preferences.

    Attributes
    ----------
    run : Run or None
        The run under way.
    """

    told = Signal(str)
    """A sentence for the status line."""

    ended = Signal(object)
    """The :class:`~napari_ocean.plugin.run.Run` that is over, whatever the reason."""

    def __init__(self, viewer: Any, controls: Controls, weights_folder: str = "") -> None:
        self.run: Run | None = None
        self._viewer = viewer
        self._controls = controls
        self._weights_folder = weights_folder
        self._trackers: dict[tuple[str, str, bool], Tracker] = {}
        self._own_step = False
        self._activity: Any = None
        self._updating = False
        self._activity_soon = single_shot(None, self._show_activity, ACTIVITY_MS)
        controls.follow.changed.connect(self._on_follow)

    def _on_follow(self, follow: bool) -> None:
        if self.run is not None:
            self.run.follow = follow

    def loader(self) -> Callable[[], Tracker]:
        """What makes the chosen tracker, to be called in the worker.

        Raises
        ------
        WeightsError
            If a weights file is to be used and none is chosen.
        """
        on = self._controls
        model = str(on.model_file.value) if on.model.value == MODEL_FILE else on.model.value
        if on.model.value == MODEL_FILE and not Path(model).is_file():
            raise WeightsError("Choose the weights file of the model, or the model lite.")
        key = (weights_of(model, self._weights_folder), on.device.value, on.fast.value)
        trackers = self._trackers

        def load() -> Tracker:
            from napari_ocean.tracking import load_tracker

            if key not in trackers:
                trackers.clear()
                trackers[key] = load_tracker(key[0], device=key[1], fast=key[2] or None)
            return trackers[key]

        return load

    def start(self, session: Session, legs: Sequence[Leg], load: Callable[[], Tracker]) -> None:
        """Begin to track in another thread, from the frame that is shown."""
        image, dims = session.image, self._viewer.dims
        self.run = Run(
            session,
            layers.ImageSource(image, layers.shown(image, dims)),
            legs,
            load,
            home=layers.current_frame(image, dims),
            follow=self._controls.follow.value,
        )
        self._controls.set_running(True)
        self.told.emit("Loading the tracker…")
        self.run.advanced.connect(self._on_batch)
        self.run.ended.connect(self._on_ended)
        self.run.start()

    def stop(self) -> None:
        """Stop the run after the frame in work; all boxes found stay."""
        if self.run is not None:
            self.run.stop()
            self.told.emit(STOPPING)
            self._controls.stop.setEnabled(False)
            self._controls.pause.setEnabled(False)

    def pause(self) -> None:
        """Hold the run after the frame in work, or let it go on."""
        run = self.run
        if run is None or run.stopped:
            return
        if run.paused:
            run.resume()
            self.told.emit("Going on…")
        else:
            run.pause()
        self._controls.show_held(run.paused)
        if run.paused:
            self.told.emit(HELD)

    def abandon(self) -> None:
        """End the run without listening any longer."""
        if self.run is not None:
            self.run.abandon()
            self.run = None
            self._end_activity()
            self._controls.set_running(False)

    def in_hand(self) -> list[Shapes]:
        """Layers in which a person is in the middle of drawing or dragging."""
        shapes = [layer for layer in self._viewer.layers if isinstance(layer, Shapes)]
        return [layer for layer in shapes if layers.in_hand(layer)]

    def put_down(self) -> None:
        """Finish what is being drawn, a polygon without its double click for instance."""
        for layer in self.in_hand():
            layers.put_down(layer)

    def stay(self) -> None:
        """Follow the run no longer, unless it is the run itself that goes to another frame."""
        if self.run is not None and not self._own_step:
            self.run.follow = False

    def _on_batch(self, batch: Batch) -> None:
        run, bar = self.run, self._controls.progress
        if run is None:
            return
        bar.setUpdatesEnabled(False)  # it would have the whole window drawn, before the frame is
        bar.setRange(0, batch.total)
        bar.setValue(batch.done)
        bar.setUpdatesEnabled(True)
        if not run.stopped:
            self.told.emit(HELD if run.paused else run.progress_text(batch))
        if self.in_hand():
            run.follow = False  # another frame would tear the shape out of the person's hand
        elif run.follow and batch.predictions:
            self._show_frame(run, batch.predictions[-1].frame)
        if not self._activity_soon.isActive():
            self._activity_soon.start()

    def _on_ended(self) -> None:
        run, self.run = self.run, None
        if run is None:
            return
        run.session.flush()
        self._controls.set_running(False)
        self._controls.progress.setValue(0 if run.problem else 1)
        if run.problem is None and run.follow and not run.stopped and not self.in_hand():
            self._show_frame(run, run.home)
        self.ended.emit(run)
        self._end_activity()

    def _show_activity(self) -> None:
        """Move the bar in napari's activity dock.

        napari handles all other events in there, batches and the run's end too: doing this with
        every batch would go ever deeper when the batches come faster than the window is drawn.
        """
        run = self.run
        if run is None or self._updating:
            return
        self._updating = True
        try:
            if self._activity is None:  # not in the handler of a key: another key would be lost
                self._activity = progress(total=run.total, desc="Ocean")
            if self.run is run:
                self._activity.update(run.done - self._activity.n)
        finally:
            self._updating = False
        if self.run is not run:
            self._end_activity()

    def _end_activity(self) -> None:
        self._activity_soon.stop()
        activity, self._activity = self._activity, None
        if activity is not None:
            with suppress(RuntimeError):  # Qt has deleted the bar together with the viewer
                activity.close()

    def _show_frame(self, run: Run, frame: int) -> None:
        self._own_step = True
        try:
            layers.show_frame(run.session.image, self._viewer.dims, frame)
        finally:
            self._own_step = False


def single_shot(parent: QWidget | None, act: Callable[[], None], wait_ms: int) -> QTimer:
    """A timer that acts once, some time after it was last started."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(wait_ms)
    timer.timeout.connect(act)
    return timer
