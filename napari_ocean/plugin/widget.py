"""The dock widget: what each control does, and who talks to whom.

Layers are touched in the GUI thread only; boxes live in one ``Session`` per image layer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_ocean.errors import OceanError, TracksError, VideoError
from napari_ocean.plugin import files, layers, preferences, shaders
from napari_ocean.plugin.choices import Choices
from napari_ocean.plugin.commands import Commands
from napari_ocean.plugin.controls import Controls, show_keys
from napari_ocean.plugin.dashboard import NO_CLIP, Dashboard, whereabouts
from napari_ocean.plugin.held import Held
from napari_ocean.plugin.keys import COMMANDS, Shortcuts
from napari_ocean.plugin.naming import Naming
from napari_ocean.plugin.plan import Direction, Leg, Reach, between
from napari_ocean.plugin.recovery import Recovery
from napari_ocean.plugin.run import Run
from napari_ocean.plugin.runner import Runner, single_shot
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.view import NEW_OBJECT, ColorBy


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
        self.setSizePolicy(self.controls.sizePolicy())  # napari fills what it does not want
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.controls)
        self._preferences = preferences.load()
        self.controls.model.value = self._preferences.model
        self.controls.device.value = self._preferences.device
        self._held = Held(viewer)
        self._naming = Naming(self.controls, lambda: self.session)
        self._choices = Choices(self.controls)
        self._dashboard = Dashboard(self.controls)
        self._commands = Commands(self)
        self._runner = Runner(viewer, self.controls, self._preferences.weights_folder)
        self._shortcuts = Shortcuts(viewer, self.perform)
        self._recovery = Recovery(
            self.controls, on=self._preferences.autosave, open_session=self._open_session
        )
        self._chosen: list[int] = []
        self._closed = False
        self._soon = single_shot(self, self.take_over_edits, 0)
        self._refresh_soon = single_shot(self, self._show_objects, 30)
        self._step_soon = single_shot(self, self._show_chosen, 30)
        self._connect()
        self._shortcuts.bind()
        self.reset_choices()

    # -- set up and take down ----------------------------------------------------------------------

    def _connect(self) -> None:
        on = self.controls
        on.image.changed.connect(self._on_image)
        on.shapes.changed.connect(self._shortcuts.draw_in)
        on.color_by.changed.connect(lambda: self._show_colors())
        on.next_object.changed.connect(lambda: self._count())  # whose it is not is said no longer
        for command in COMMANDS:
            button = getattr(on, command.name, None)
            if button is not None:
                button.clicked.connect(lambda _=False, name=command.name: self.perform(name))
        on.strip.clicked.connect(lambda frame, object_id: self.visit(frame, object_id or None))
        on.objects.selected.connect(self.choose)
        on.objects.edited.connect(self._on_object_edited)
        on.objects.asked.connect(self._on_objects_asked)
        on.objects.sought.connect(self._commands.end_of)
        on.review.asked.connect(self.perform)
        on.review.go.connect(lambda flag: self.visit(flag.frame, flag.object_id))
        on.review.suggested.connect(lambda object_id, frame: self.visit(frame, object_id))
        self._held.begun.connect(self._on_begun)
        self._held.ending.connect(self._on_ending)
        self._recovery.warned.connect(show_warning)
        self._recovery.resumed.connect(self._on_resumed)
        self._runner.told.connect(self.tell)
        self._runner.ended.connect(self._on_ended)
        for event, callback in self._viewer_events():
            event.connect(callback)

    def _viewer_events(self) -> list[tuple[Any, Callable[..., None]]]:
        of = self.viewer.layers.events
        changes = [of.inserted, of.removed, of.reordered, of.renamed]
        return [
            (of.removed, self._on_layer_removed),
            (of.inserted, self._on_layer_inserted),
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
        for timer in (self._soon, self._refresh_soon, self._step_soon):
            timer.stop()
        self._runner.abandon()
        for session in self._held:
            self._held.forget(session)
        self._shortcuts.unbind()
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
        return self._held.get(self.image)

    @property
    def frame(self) -> int:
        """Frame of the chosen video in view."""
        if (image := self.image) is None or image.ndim < 3:
            return 0
        return layers.current_frame(image, self.viewer.dims)

    @property
    def chosen(self) -> list[int]:
        """Objects that the person has selected, last in the layer or in the list."""
        return list(self._chosen)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._runner.run is not None

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers that there are now, keeping what was chosen."""
        self._choices.offer_images(self.viewer.layers)
        self._show_image(getattr(event, "value", None))

    def _on_image(self) -> None:
        self._chosen = []  # another clip's
        self._show_image()
        self._on_selection()

    def _show_image(self, added: Any = None) -> None:
        on, image = self.controls, self.image
        usable = image is not None and image.ndim > 2
        tracks = (on.backward, on.both, on.forward, on.to_keyframe)
        for button in (on.draw, *tracks, on.load, on.export):
            on.allow(button, "" if usable else NO_CLIP)
        if usable:
            session = self._held.find(image)
            self._choices.offer_parts(image, session, list(self.viewer.layers), added)
            self._show_colors()
        else:
            self._choices.offer_nothing()
        self._recovery.look(image if usable else None)
        self._show_objects()
        self._count()

    def _clip(self) -> Image:
        if self.image is None:
            raise VideoError("There is no image layer; open a video or an image stack first.")
        return self.image

    def _open_session(self) -> Session:
        """Return the session of the chosen image, with its layer in the viewer."""
        image = self._clip()
        session = self._held.find(image)
        if session is None:
            chosen = self.controls.shapes.value
            mine = chosen is not None and layers.is_boxes_layer(chosen, image)
            session = self._held.begin(image, chosen if mine else None)
            session.choose_next(NEW_OBJECT, self.controls.label.value)
            self._held.show(session)
        return session

    def _on_begun(self, session: Session) -> None:
        session.follow(self.viewer.dims)
        session.edited.connect(self._on_edited)
        session.changed.connect(self._on_changed)
        session.news.connect(self._warn)
        session.layer.selected_data.events.items_changed.connect(self._on_selection)
        self._shortcuts.claim(session.layer)
        shaders.mend(session.layer)
        self._recovery.begin(session)
        self._warn()

    def _on_ending(self, session: Session) -> None:
        session.edited.disconnect(self._on_edited)
        session.changed.disconnect(self._on_changed)
        session.news.disconnect(self._warn)
        session.layer.selected_data.events.items_changed.disconnect(self._on_selection)
        self._shortcuts.release(session.layer)

    def _on_layer_inserted(self, event: Any) -> None:
        if any(event.value is session.layer for session in self._held):
            shaders.mend(event.value)

    def _on_layer_removed(self, event: Any) -> None:
        for session in self._held:
            if event.value in (session.image, session.layer):
                if self._runner.run is not None and self._runner.run.session is session:
                    self._runner.abandon()
                self._held.forget(session)
                self._recovery.forget(session)

    # -- where the person is -----------------------------------------------------------------------

    def visit(self, frame: int, object_id: int | None = None) -> None:
        """Go to a frame, and select an object there."""
        if self.image is not None:
            layers.show_frame(self.image, self.viewer.dims, frame)
            if object_id is not None:
                self.choose([object_id])

    def choose(self, ids: list[int]) -> None:
        """Select some objects, in the layer too where they have a box on this frame."""
        if self.session is not None:
            self.session.select(ids)
        self._chosen = list(ids)  # the layer names those only that have a box on this frame
        self._show_chosen()

    def _on_selection(self) -> None:
        session = self.session
        ids = sorted(session.selected()) if session is not None else []
        turning = session is not None and session.turning  # not all have a box on each frame
        if ids and ids != self._chosen and not turning:
            self._chosen = ids
            self._step_soon.start()
        self._naming.show_label()

    def _on_step(self) -> None:
        self._runner.stay()
        self._step_soon.start()

    def _show_chosen(self) -> None:
        self._forget_gone()
        self._naming.show_frame(self.frame)
        self._dashboard.show_chosen(self.session, self._chosen, self.frame)

    def _forget_gone(self) -> None:
        there = [] if self.session is None else self.session.tracks.object_ids
        self._chosen = [object_id for object_id in self._chosen if object_id in there]

    def _on_resumed(self, where: dict[str, Any]) -> None:
        self.visit(int(where.get("frame", self.frame)))
        self.take_over_edits()

    # -- objects -----------------------------------------------------------------------------------

    def _on_edited(self) -> None:
        self._soon.start()  # napari has not finished with the shape yet

    def _on_changed(self) -> None:
        self._refresh_soon.start()

    def take_over_edits(self) -> None:
        """Bring the models in step with what was drawn, moved or deleted."""
        if self.session in self._held.take_over(Session.pull):
            self._on_selection()  # a box that was drawn just now had no object yet
        self._show_objects()
        self._count()

    def _show_objects(self) -> None:
        self._refresh_soon.stop()
        self._naming.show()
        self._forget_gone()
        self._dashboard.show(self.session, self._chosen, self.frame)
        self._dashboard.show_history(self.session)

    def _count(self) -> None:
        """Say how much there is, or what to do first."""
        if not self.running:
            self.tell(whereabouts(self.image, self.session))

    def _show_colors(self) -> None:
        if self.session is not None:
            self.session.view.color_by = ColorBy(self.controls.color_by.value)

    def _on_object_edited(self, object_id: int, settings: dict[str, Any]) -> None:
        if self.session is not None:
            self.session.set_object(object_id, **settings)

    def _on_objects_asked(self, name: str, ids: list[int]) -> None:
        self._chosen = list(ids)
        self.perform(name)

    # -- commands ----------------------------------------------------------------------------------

    def perform(self, name: str) -> None:
        """Do what a key, a button or the palette asks for: a name of ``keys.COMMANDS``."""
        own: dict[str, Callable[[], object]] = {
            "draw": self.draw,
            "forward": partial(self.track, Direction.FORWARD),
            "backward": partial(self.track, Direction.BACKWARD),
            "both": partial(self.track, Direction.BOTH),
            "to_keyframe": partial(self.track, Direction.FORWARD, Reach.KEYFRAME),
            "between": self.fuse,
            "interpolate": lambda: self._commands.interpolate(self.controls.curve.value),
            "pause": self._runner.pause,
            "stop": self._runner.stop,
            "keys": partial(show_keys, self),
            "load": self.load,
            "export": self.save,
        }
        if self.session in self._held.take_over(Session.flush):  # what was drawn just now counts
            self._on_selection()
        try:
            (own[name] if name in own else getattr(self._commands, name))()
        except OceanError as error:
            self._fail(error)
        self._dashboard.show_history(self.session)

    def _fail(self, error: OceanError) -> None:
        show_error(str(error))
        self.tell(str(error))

    def draw(self) -> None:
        """Let the next drag on the canvas draw a rectangle; raise an OceanError if none can be."""
        session = self._open_session()
        layer = self.controls.shapes.value or session.layer
        self.viewer.layers.selection.active = layer
        layer.visible, layer.mode = True, "add_rectangle"
        if layer.mode != "add_rectangle":
            raise TracksError(f"Nothing can be drawn in {layer.name} now; switch to the 2D view.")
        self._runner.stay()  # a box is drawn on the frame that is shown now
        self._naming.propose(self._chosen, self.frame)
        self._count()

    # -- tracking ----------------------------------------------------------------------------------

    def track(self, direction: Direction, reach: Reach = Reach.RANGE) -> None:
        """Start to track the objects of `plan.RULE`; raise an OceanError if that cannot be."""
        self._start(
            lambda session: self._choices.legs(
                session, Direction(direction), reach, self.frame, self._chosen
            )
        )

    def fuse(self) -> None:
        """Track between the keyframes around this frame from both sides, and fuse the runs."""
        self._start(lambda session: between(session.tracks, self._commands.objects(), self.frame))

    def _start(self, legs_of: Callable[[Session], list[Leg]]) -> None:
        if self.running:
            return
        session = self._open_session()
        self._prepare(session)
        legs, load = legs_of(session), self._runner.loader()
        self.viewer.layers.selection.active = session.layer
        session.layer.mode = "select"
        self._runner.start(session, legs, load)

    def _prepare(self, session: Session) -> None:
        """Take over what was drawn up to now."""
        layers.time_axis(session.image)
        if session.in_run:
            raise TracksError("This video is being tracked already; stop that run first.")
        self._runner.put_down()
        session.pull()
        own = self.controls.shapes.value
        if own not in (None, session.layer):
            session.absorb(own, self.frame)
        session.flush()
        self._show_objects()

    def _on_ended(self, run: Run) -> None:
        self._soon.stop()
        self.take_over_edits()  # before the run's own sentence, which would be lost
        if run.problem is not None:
            show_error(run.problem)
        elif run.session.review.flags():
            self.controls.show_review()
        self.tell(run.problem or run.summary())

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: Path | None = None) -> None:
        """Write all boxes of the chosen video; the ending of the path, or the person, says how."""
        path = path or files.ask_path(self, self.image)
        if path is not None:
            self._handle(lambda: files.save(self.session, path))

    def load(self, path: Path | None = None) -> None:
        """Add the objects of an annotation file to those of the chosen video."""
        path = path or files.ask_file(self, self.image)
        if path is not None:
            self._handle(lambda: files.load(path, self._clip(), self._open_session))

    def _handle(self, a_file: Callable[[], files.Told]) -> None:
        self._runner.put_down()
        self.take_over_edits()
        try:
            told = a_file()
        except OceanError as error:
            self._fail(error)
            return
        self._show_objects()
        (show_warning if told.left_out else show_info)(told.text)
        self.tell(told.text)

    def tell(self, text: str) -> None:
        """Say something in the status line."""
        self.controls.status.setText(text)

    def _warn(self) -> None:
        for session in self._held:
            for problem in session.take_news():
                show_warning(problem)
