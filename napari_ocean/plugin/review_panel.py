"""The review queue: frames that a person should look at, the most doubtful first.

Flags in, signals out; it knows nothing of tracks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_ocean.annotation.review import Flag
from napari_ocean.plugin.keys import tip

SHOWN = 100
"""Flags that the list shows; the others come up as these are dealt with."""

_LINES = range(2, 7)
"""The list is as high as its lines, within these."""

LINK = "#2f7de1"
"""Colour of links, readable on dark and on light."""

_BUTTONS = (
    ("previous_flag", "◀ Previous", "Go to the flagged frame before"),
    ("fine", "✓ Fine", "The boxes flagged here are good; go to the next"),
    ("next_flag", "Next ▶", "Go to the next flagged frame"),
)

CLEAR = (
    "Nothing to review: no low score, no jump, no two objects in one place. Slow drift and "
    "look-alikes without a box do not show here; play the clip through once."
)


class ReviewPanel(QWidget):
    """What is left to review, the list of flags, and what to do with the one in view.

    Attributes
    ----------
    go : Signal(object)
        :class:`~napari_ocean.annotation.review.Flag` that a person chose.
    asked : Signal(str)
        Command: ``previous_flag``, ``fine`` or ``next_flag``.
    suggested : Signal(int, int)
        Object and frame of a suggested correction that a person chose.
    """

    go = Signal(object)
    asked = Signal(str)
    suggested = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("review")
        self._flags: list[Flag] = []
        self.left = QLabel(CLEAR)
        self.left.setObjectName("review_left")
        self.left.setWordWrap(True)
        self.suggestions = QLabel()
        self.suggestions.setObjectName("review_suggestions")
        self.suggestions.setWordWrap(True)
        self.suggestions.setToolTip("Frames where correcting the box would mend most.")
        self.suggestions.linkActivated.connect(self._on_link)
        self.list = QListWidget()
        self.list.setObjectName("review_list")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.itemClicked.connect(self._on_clicked)
        self.list.itemActivated.connect(self._on_clicked)
        self.buttons = {name: self._button(name, text) for name, text, _ in _BUTTONS}
        row = QWidget()
        buttons = QHBoxLayout(row)
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.setSpacing(4)
        for button in self.buttons.values():
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for part in (self.left, row, self.list, self.suggestions):
            layout.addWidget(part)
        self.show_flags([], {}, {})

    def _button(self, name: str, text: str) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName(f"review_{name}")
        button.clicked.connect(lambda: self.asked.emit(name))
        return button

    def show_flags(
        self,
        flags: Sequence[Flag],
        names: Mapping[int, str],
        helpful: Mapping[int, Sequence[int]],
    ) -> None:
        """Show what is left.

        Parameters
        ----------
        flags : sequence of Flag
            In the order of the queue.
        names : mapping of int to str
            What each object is called.
        helpful : mapping of int to sequence of int
            Frames to correct first, of the object in view.
        """
        frames = sum(flag.stop - flag.start for flag in flags)
        self.left.setText(
            f"<b>{len(flags)}</b> left to review ({frames} frames)" if flags else CLEAR
        )
        self._hold_lines()
        self.list.setVisible(bool(flags))
        self.list.clear()
        self._flags = list(flags[:SHOWN])
        for flag in self._flags:
            item = QListWidgetItem(_line(flag, names))
            item.setData(Qt.ItemDataRole.UserRole, flag)
            item.setToolTip(f"Frames {flag.start} to {flag.stop - 1}, risk {flag.risk:.2f}")
            self.list.addItem(item)
        if len(flags) > SHOWN:
            more = QListWidgetItem(f"and {len(flags) - SHOWN} more")
            more.setFlags(Qt.ItemFlag.NoItemFlags)
            self.list.addItem(more)
        lines = min(max(len(flags), _LINES.start), _LINES.stop - 1)
        self.list.setFixedHeight(lines * self.list.sizeHintForRow(0) + 8)
        links = [
            f"<a style='color:{LINK}' href='{object_id}:{frame}'>{frame}</a>"
            for object_id, of in helpful.items()
            for frame in of
        ]
        self.suggestions.setText(f"Correct first: {', '.join(links)}")
        self.suggestions.setVisible(bool(links))
        for name, _, what in _BUTTONS:
            self.buttons[name].setEnabled(bool(flags))
            why_not = "There is nothing left to review."
            self.buttons[name].setToolTip(tip(what, name) if flags else why_not)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep all lines of the text at the new width."""
        super().resizeEvent(event)
        self._hold_lines()

    def _hold_lines(self) -> None:
        """Reserve the height of all lines: the collapsible part asks for that of a wide text."""
        self.left.setMinimumHeight(0)  # which counts in what it asks for
        self.left.setMinimumHeight(self.left.heightForWidth(self.width()))

    def mark(self, frame: int, object_ids: Collection[int]) -> None:
        """Mark the line of the flag on a frame, of one of the objects if any are named."""
        here = [
            row
            for row, flag in enumerate(self._flags)
            if flag.start <= frame < flag.stop and (not object_ids or flag.object_id in object_ids)
        ]
        self.list.setCurrentRow(here[0] if here else -1)

    def _on_clicked(self, item: QListWidgetItem) -> None:
        flag = item.data(Qt.ItemDataRole.UserRole)
        if flag is not None:
            self.go.emit(Flag(*flag))

    def _on_link(self, target: str) -> None:
        object_id, _, frame = target.partition(":")
        self.suggested.emit(int(object_id), int(frame))


def _line(flag: Flag, names: Mapping[int, str]) -> str:
    last = flag.stop - 1
    where = f"{flag.start}-{last}" if last > flag.start else str(flag.start)
    return f"{where}  {names.get(flag.object_id, str(flag.object_id))}: {flag.sign}"
