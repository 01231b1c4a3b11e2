"""The dock widget: what each control does, and who talks to whom.

Layers are touched in the GUI thread only; a worker computes and hands over batches. What is drawn
and found lives in one :class:`~napari_ocean.plugin.session.Session` per image layer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Image, Shapes
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_ocean.errors import OceanError, TracksError, VideoError, WeightsError
from napari_ocean.plugin import layers, sessions
from napari_ocean.plugin.choices import Choices
from napari_ocean.plugin.controls import MODEL_FILE, Controls
from napari_ocean.plugin.export import ask_path
from napari_ocean.plugin.plan import Direction, plan
from napari_ocean.plugin.run import Run
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.view import NEW_OBJECT
from napari_ocean.plugin.worker import Batch

if TYPE_CHECKING:
    from napari_ocean.tracking import Tracker

HINT = "Draw a box around the object, then press Track."


class OceanWidget(QWidget):
    """Draw a box around an object, press Track, get a box on every other frame.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer that the widget works in.

    Attributes
    ----------
    controls : Controls
        All buttons and fields.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.controls = Controls()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.controls)
        self._sessions: dict[Image, Session] = {}
        self._choices = Choices(self.controls)
        self._trackers: dict[tuple[str, str], Tracker] = {}
        self._run: Run | None = None
        self._own_step = False
        self._closed = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.take_over_edits)
        self._connect()
        self.reset_choices()

    # -- set up and take down ----------------------------------------------------------------------

    def _connect(self) -> None:
        on = self.controls
        on.image.changed.connect(lambda: self._show_image())
        on.next_object.changed.connect(self._on_next_object)
        on.label.native.editingFinished.connect(self._on_label)
        on.draw.clicked.connect(self.draw)
        on.backward.clicked.connect(lambda: self.track(Direction.BACKWARD))
        on.both.clicked.connect(lambda: self.track(Direction.BOTH))
        on.forward.clicked.connect(lambda: self.track(Direction.FORWARD))
        on.stop.clicked.connect(self.stop)
        on.export.clicked.connect(self._on_export)
        for event, callback in self._viewer_events():
            event.connect(callback)

    def _viewer_events(self) -> list[tuple[Any, Callable[..., None]]]:
        of = self.viewer.layers.events
        changes = [of.inserted, of.removed, of.reordered, of.renamed]
        return [
            (of.removed, self._on_layer_removed),
            *((event, self.reset_choices) for event in changes),
            (self.viewer.dims.events.current_step, self._on_step),
        ]

    def event(self, event: QEvent | None) -> bool:
        """Take leave when napari unparents the widget, which is how it closes a dock widget."""
        handled = bool(super().event(event))
        if event is not None and event.type() == QEvent.Type.ParentChange and not self.parent():
            self.shut_down()
        return handled

    def closeEvent(self, event: Any) -> None:
        """Take leave when the widget is closed as a window."""
        self.shut_down()
        super().closeEvent(event)

    def shut_down(self) -> None:
        """Stop the worker and let go of the viewer; the layers stay as they are."""
        if self._closed:
            return
        self._closed = True
        self._soon.stop()
        self._abandon_run()
        for image in list(self._sessions):
            self._forget(image)
        for event, callback in self._viewer_events():
            event.disconnect(callback)

    # -- layers ------------------------------------------------------------------------------------

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        chosen: Image | None = self.controls.image.value
        return chosen

    @property
    def session(self) -> Session | None:
        """Boxes of the chosen image layer, None before there are any."""
        return None if self.image is None else self._sessions.get(self.image)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._run is not None

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers that there are now, keeping what was chosen."""
        self._choices.offer_images(self.viewer.layers)
        self._show_image(getattr(event, "value", None))

    def _show_image(self, added: Any = None) -> None:
        on, image = self.controls, self.image
        usable = image is not None and image.ndim > 2
        for part in (on.draw, on.backward, on.both, on.forward, on.export):
            part.setEnabled(usable)
        if usable:
            session = self._find_session(image)
            self._choices.offer_parts(image, session, list(self.viewer.layers), added)
        else:
            self._choices.offer_nothing()
        self._show_objects()

    def _find_session(self, image: Image) -> Session | None:
        """Return the image's session; take up a boxes layer that is already in the viewer."""
        if image not in self._sessions and image.ndim > 2:
            layer = sessions.boxes_layer_of(image, self.viewer.layers)
            if layer is not None:
                self._begin(image, layer)
        return self._sessions.get(image)

    def _open_session(self) -> Session:
        """Return the session of the chosen image, with its layer in the viewer."""
        image = self.image
        if image is None:
            raise VideoError("There is no image layer; open a video or an image stack first.")
        session = self._find_session(image)
        if session is None:
            chosen = self.controls.shapes.value
            mine = chosen is not None and layers.is_boxes_layer(chosen, image)
            session = self._begin(image, chosen if mine else None)
            session.choose_next(NEW_OBJECT, self.controls.label.value)
            if session.layer not in self.viewer.layers:
                self.viewer.add_layer(session.layer)
        return session

    def _begin(self, image: Image, layer: Shapes | None) -> Session:
        session = self._sessions[image] = sessions.join(image, layer)
        session.edited.connect(self._on_edited)
        session.layer.selected_data.events.items_changed.connect(self._show_label)
        return session

    def _forget(self, image: Image) -> None:
        session = self._sessions.pop(image)
        session.edited.disconnect(self._on_edited)
        session.layer.selected_data.events.items_changed.disconnect(self._show_label)
        sessions.leave(session)

    def _on_layer_removed(self, event: Any) -> None:
        for image, session in list(self._sessions.items()):
            if event.value in (image, session.layer):
                if self._run is not None and self._run.session is session:
                    self._abandon_run()
                self._forget(image)

    # -- objects -----------------------------------------------------------------------------------

    def _on_edited(self) -> None:
        self._soon.start()  # napari has not finished with the shape yet

    def take_over_edits(self) -> None:
        """Bring the models in step with what was drawn, moved or deleted."""
        for session in self._sessions.values():
            session.pull()
            session.flush()
            _warn(session)
        self._show_objects()

    def _show_objects(self) -> None:
        session = self.session
        ids = [] if session is None else session.object_ids
        names = [(f"{session.tracks.label(i)} {i}", i) for i in ids] if session else []
        combo = self.controls.next_object
        with combo.changed.blocked():
            combo.choices = [("new object", NEW_OBJECT), *names]
            combo.value = NEW_OBJECT if session is None else session.next_object
        self._show_label()
        if self._run is None:
            n_boxes = 0 if session is None else len(session.tracks)
            self._tell(f"Objects: {len(ids)} · boxes: {n_boxes}" if n_boxes else HINT)

    def _labelled_object(self) -> int | None:
        """Object whose label the field shows, None for that of new ones."""
        session = self.session
        if session is None:
            return None
        selected = session.selected()
        return selected.pop() if len(selected) == 1 else (session.next_object or None)

    def _show_label(self) -> None:
        session, object_id = self.session, self._labelled_object()
        if session is not None:
            label = session.next_label if object_id is None else session.tracks.label(object_id)
            self.controls.label.value = label

    def _on_label(self) -> None:
        session, label = self.session, self.controls.label.value.strip()
        object_id = self._labelled_object()
        if session is None or not label:
            return
        if object_id is None:
            session.choose_next(session.next_object, label)
        elif label != session.tracks.label(object_id):
            session.rename(object_id, label)
            session.choose_next(session.next_object, label)
        self._show_objects()

    def _on_next_object(self, object_id: int) -> None:
        if self.session is not None:
            self.session.choose_next(object_id)
            self._show_label()

    def draw(self) -> None:
        """Let the next drag on the canvas draw a rectangle."""
        try:
            layer = self._open_session().layer
        except OceanError as error:
            show_error(str(error))
            return
        layer = self.controls.shapes.value or layer
        self.viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        if self._run is not None:
            self._run.follow = False  # a box is drawn on the frame that is shown now

    # -- tracking ----------------------------------------------------------------------------------

    def track(self, direction: Direction) -> None:
        """Start to track the objects that :data:`napari_ocean.plugin.plan.RULE` names."""
        if self._run is not None:
            return
        try:
            self._run = self._prepare(Direction(direction))
        except OceanError as error:
            show_error(str(error))
            self._tell(str(error))
            return
        self.controls.set_running(True)
        self.controls.progress.setRange(0, 0)
        self._tell("Loading the tracker…")
        self._run.advanced.connect(self._on_batch)
        self._run.ended.connect(self._on_ended)
        self._run.start()

    def _prepare(self, direction: Direction) -> Run:
        session = self._open_session()
        image, on, dims = session.image, self.controls, self.viewer.dims
        video = layers.ImageSource(image, layers.shown(image, dims))
        frame = layers.current_frame(image, dims)
        if session.in_run:
            raise TracksError("This video is being tracked already; stop that run first.")
        self._put_down()
        session.pull()
        if on.shapes.value not in (None, session.layer):
            session.absorb(on.shapes.value, frame)
        session.flush()
        _warn(session)
        self._show_objects()
        if on.first.value > on.last.value:
            raise TracksError("The range is empty: its last frame lies before its first one.")
        legs = plan(
            session.tracks,
            direction,
            frame=frame,
            start=on.first.value,
            stop=on.last.value + 1,
            pending=session.pending,
            selected=session.selected(frame),
        )
        load = self._loader()
        self.viewer.layers.selection.active = session.layer
        session.layer.mode = "select"
        return Run(session, video, legs, load, home=frame, follow=on.follow.value)

    def _in_hand(self) -> list[Shapes]:
        """Layers in which a person is in the middle of drawing or dragging."""
        shapes = [layer for layer in self.viewer.layers if isinstance(layer, Shapes)]
        return [layer for layer in shapes if layers.in_hand(layer)]

    def _put_down(self) -> None:
        """Finish what is being drawn, a polygon without its double click for instance."""
        for layer in self._in_hand():
            layers.put_down(layer)

    def _loader(self) -> Callable[[], Tracker]:
        on = self.controls
        model = str(on.model_file.value) if on.model.value == MODEL_FILE else on.model.value
        if on.model.value == MODEL_FILE and not Path(model).is_file():
            raise WeightsError("Choose the weights file of the model, or the model lite.")
        key, trackers = (model, on.device.value), self._trackers

        def load() -> Tracker:
            from napari_ocean.tracking import load_tracker

            if key not in trackers:
                trackers.clear()
                trackers[key] = load_tracker(model, device=key[1])
            return trackers[key]

        return load

    def stop(self) -> None:
        """Stop the run after the frame in work; all boxes found stay."""
        if self._run is not None:
            self._run.stop()
            self.controls.stop.setEnabled(False)

    def _on_batch(self, batch: Batch) -> None:
        run, progress = self._run, self.controls.progress
        if run is None:
            return
        progress.setRange(0, batch.total)
        progress.setValue(batch.done)
        self._tell(run.progress_text(batch))
        _warn(run.session)
        if self._in_hand():
            run.follow = False  # another frame would tear the shape out of the person's hand
        elif run.follow and batch.predictions:
            self._show_frame(run, batch.predictions[-1].frame)

    def _on_ended(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        run.session.flush()
        _warn(run.session)
        self._show_objects()
        self.controls.set_running(False)
        self.controls.progress.setRange(0, 1)
        self.controls.progress.setValue(0 if run.problem else 1)
        if run.problem is not None:
            show_error(run.problem)
        elif run.follow and not run.stopped and not self._in_hand():
            self._show_frame(run, run.home)
        self._tell(run.problem or run.summary())

    def _abandon_run(self) -> None:
        if self._run is not None:
            self._run.abandon()
            self._run = None
            self.controls.set_running(False)

    def _show_frame(self, run: Run, frame: int) -> None:
        self._own_step = True
        try:
            layers.show_frame(run.session.image, self.viewer.dims, frame)
        finally:
            self._own_step = False

    def _on_step(self) -> None:
        if self._run is not None and not self._own_step:
            self._run.follow = False  # the person wants to see another frame

    # -- saving ------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write all boxes of the chosen video; the ending of the path says how."""
        from napari_ocean import formats

        self._put_down()
        self.take_over_edits()
        session = self.session
        try:
            if session is None or not len(session.tracks):
                raise TracksError("There are no boxes to save yet; draw one and track it.")
            formats.write(path, session.tracks)
        except OceanError as error:
            show_error(str(error))
            return
        show_info(f"Saved {len(session.tracks)} boxes to {path}.")

    def _on_export(self) -> None:
        name = f"{self.image.name}.csv" if self.image is not None else "boxes.csv"
        path = ask_path(self, name)
        if path is not None:
            self.save(path)

    def _tell(self, text: str) -> None:
        self.controls.status.setText(text)


def _warn(session: Session) -> None:
    for problem in session.take_news():
        show_warning(problem)
