"""The two fields that say what is drawn: which object the next box belongs to, and its label."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QEvent, QObject, QStringListModel, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QCompleter, QWidget

from napari_ocean.plugin.controls import Controls
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.view import NEW_OBJECT


class Naming:
    """Keeps the fields in step with a session, and the session with them.

    Parameters
    ----------
    controls : Controls
    session : callable
        Returns the session in view, None before there is one.
    """

    def __init__(self, controls: Controls, session: Callable[[], Session | None]) -> None:
        self._on = controls
        self._session = session
        self._typed_for: tuple[Session | None, int | None] | None = None
        self._labels = QStringListModel()
        completer = QCompleter(self._labels)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        controls.label.native.setCompleter(completer)
        controls.next_object.changed.connect(self._on_next_object)
        controls.next_object.native.activated.connect(self._on_next_chosen)
        controls.label.native.textEdited.connect(self._on_typed)
        controls.label.native.returnPressed.connect(controls.label.native.clearFocus)
        controls.label.native.installEventFilter(_OnEscape(controls, self._give_up))
        controls.label.native.editingFinished.connect(self._on_label)

    def show(self) -> None:
        """Offer the objects there are, and show the label."""
        session = self._session()
        ids = [] if session is None else session.tracks.object_ids
        names = [(session.name(i), i) for i in ids] if session else []
        combo = self._on.next_object
        with combo.changed.blocked():
            combo.choices = [("new object", NEW_OBJECT), *names]
            combo.value = NEW_OBJECT if session is None else session.next_object
        self._labels.setStringList([] if session is None else session.labels())
        self.show_label()

    def show_label(self) -> None:
        """Show the label of the selected box's object, or of new ones; not over what is typed."""
        session, object_id = self._session(), self._labelled_object()
        if self._typed_for not in (None, (session, object_id)):
            self._on_label()  # it was typed for what was selected before
        if session is not None and not self._on.label.native.isModified():
            label = session.next_label if object_id is None else session.tracks.label(object_id)
            self._on.label.value = label
        self._on.say_whose_label(object_id)

    def propose(self, chosen: Sequence[int], frame: int) -> None:
        """Have the next box be that of the only object selected, if it has none on this frame.

        :func:`~napari_ocean.plugin.dashboard.whereabouts` says so then.
        """
        session = self._session()
        if session is not None and session.proposed:
            session.choose_next(NEW_OBJECT)
            self.show()
        if session is None or len(chosen) != 1 or session.next_object != NEW_OBJECT:
            return
        (object_id,), tracks = chosen, session.tracks
        if object_id not in tracks.object_ids or tracks.get(object_id, frame) is not None:
            return
        if tracks.info(object_id).locked:
            return
        session.choose_next(object_id)
        session.proposed = True
        self.show()

    def show_frame(self, frame: int) -> None:
        """Take back a proposal whose object has a box on this frame: it is not to be replaced."""
        session = self._session()
        if session is None or not session.proposed:
            return
        if session.next_object in session.tracks.on_frame(frame):
            session.choose_next(NEW_OBJECT)
            self.show()

    def _labelled_object(self) -> int | None:
        """Object whose label the field shows, None for that of new ones."""
        session = self._session()
        if session is None:
            return None
        selected = session.selected()
        return selected.pop() if len(selected) == 1 else (session.next_object or None)

    def _on_typed(self) -> None:
        """Keep whose label is typed: what is clicked next may select something else first."""
        if self._typed_for is None:
            self._typed_for = self._session(), self._labelled_object()

    def _give_up(self) -> None:
        """Leave the field as it was."""
        self._typed_for = None
        self._on.label.native.setModified(False)
        self.show_label()
        self._on.label.native.clearFocus()

    def _on_label(self) -> None:
        label = self._on.label.value.strip()
        session, object_id = self._typed_for or (self._session(), self._labelled_object())
        self._typed_for = None
        self._on.label.native.setModified(False)
        if session is None or not label:
            return
        if object_id is None:
            session.choose_next(session.next_object, label)
        elif object_id in session.tracks.object_ids and label != session.tracks.label(object_id):
            session.set_object(object_id, label=label)
            session.choose_next(session.next_object, label)
        self.show()

    def _on_next_object(self, object_id: int) -> None:
        session = self._session()
        if session is not None:
            session.choose_next(object_id)
            self.show_label()

    def _on_next_chosen(self) -> None:
        """Let go of the selected objects where a person asks for a new one, also once more."""
        if self._on.next_object.value == NEW_OBJECT:
            self._on.objects.list.clearSelection()


class _OnEscape(QObject):
    """Does something when Escape is pressed in a field, which Qt itself lets pass."""

    def __init__(self, parent: QWidget, act: Callable[[], None]) -> None:
        super().__init__(parent)
        self._act = act

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Keep Escape from anybody else."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return False
        escaped = event.key() == Qt.Key.Key_Escape
        if escaped:
            self._act()
        return bool(escaped)
