"""Who gets the keys: napari, unless a person types.

A click leaves the focus with the form itself, which has no use for keys, so that they go on to
napari; the Tab key reaches every part. Fields keep the focus while they are typed in, lists while
Up and Down are used.
"""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QComboBox,
    QWidget,
)

_ASIDE = (Qt.Key.Key_Left, Qt.Key.Key_Right)
_DONE = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class KeysPass(QObject):
    """Lets Left, Right and letters through to napari wherever nobody types.

    Qt would take letters for a search in a list and Left for a step to another button, and neither
    would T track nor Left go back a frame.

    Parameters
    ----------
    form : QWidget
        Complete: parts that are added later are not known.
    """

    def __init__(self, form: QWidget) -> None:
        super().__init__(form)
        form.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        for kind in (QAbstractButton, QComboBox, QAbstractScrollArea, QAbstractSpinBox):
            for part in form.findChildren(kind):
                part.installEventFilter(self)
                if not isinstance(part, (QAbstractItemView, QAbstractSpinBox)):
                    part.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Hand keys on to the parent; a number that is typed ends with Return."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return False
        if isinstance(watched, QAbstractSpinBox):
            if event.key() in _DONE:
                watched.clearFocus()
            return False
        text = event.text()
        letter = bool(text) and text.isprintable() and not text.isspace()
        if letter or event.key() in _ASIDE:
            event.ignore()
            return True
        return False
