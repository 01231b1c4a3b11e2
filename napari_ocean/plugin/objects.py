"""The objects list: who is there, over which frames, and what can be done to whole objects.

Rows in, signals out; it knows nothing of tracks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from psygnal import Signal
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QPushButton,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ocean.plugin.keys import native
from napari_ocean.plugin.reviewing import Summary

ID, LABEL, FRAMES, KEYS, LOW, HIDE, LOCK = range(7)
"""Columns of the list."""

_HEADERS = ("Id", "Label", "Frames", "◆", "Low", "H", "L")
_HEADER_TIPS = (
    "Id and colour; double-click to choose another colour.",
    "Double-click to rename.",
    "Frames of the first and the last box; double-click to go to the first, then to the last.",
    "Number of boxes that you drew or corrected.",
    "Lowest score of the boxes found.",
    "Hide: leave its boxes out of the picture.",
    "Lock: protect its boxes from tracking and from edits.",
)

_SHOWN_ROWS = range(2, 9)
"""The list is as high as its rows, within these."""

_BUTTONS = (
    ("start_here", "[ Start", "Begin the object on this frame: it is out of view before it."),
    ("end_here", "End ]", "End the object on this frame: it is out of view after it."),
    ("split", "Split", "Give the boxes from this frame on to a new object."),
    ("join", "Merge", "Merge the selected objects into the first of them."),
    ("delete", "Delete", "Delete the selected objects with all their boxes."),
)


_SWITCHES = """
QTreeWidget::indicator { width: 10px; height: 10px; border: 1px solid gray; border-radius: 2px; }
QTreeWidget::indicator:checked { background: #5a8dee; }
"""
"""Qt's own are drawn in the dark colours of its palette, which do not show on a dark theme."""


class ObjectsPanel(QWidget):
    """The list and its buttons.

    Attributes
    ----------
    selected : Signal(list)
        Ids of the objects that a person selected in the list.
    edited : Signal(int, dict)
        Id, and settings to change: any of label, color, hidden and locked.
    asked : Signal(str, list)
        ``start_here``, ``end_here``, ``split``, ``join`` or ``delete``, and the selected ids.
    sought : Signal(int)
        Id of an object that the person wants to see the first or the last box of.
    """

    selected = Signal(list)
    edited = Signal(int, dict)
    asked = Signal(str, list)
    sought = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("objects")
        self._rows: dict[int, Summary] = {}
        self._filling = False
        self.list = _list()
        self.list.itemChanged.connect(self._on_changed)
        self.list.itemSelectionChanged.connect(self._on_selected)
        self.list.itemDoubleClicked.connect(self._on_double_clicked)
        self.list.customContextMenuRequested.connect(self._show_menu)
        self.buttons: dict[str, QPushButton] = {}
        row = QWidget()
        buttons = QHBoxLayout(row)
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.setSpacing(3)
        for name, text, tip in _BUTTONS:
            button = QPushButton()
            button.setObjectName(f"objects_{name}")
            button.setText(text)
            button.setToolTip(tip)
            button.setMinimumWidth(0)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.clicked.connect(partial(self._ask, name))
            buttons.addWidget(button, button.fontMetrics().horizontalAdvance(text))
            self.buttons[name] = button
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.list)
        layout.addWidget(row)
        self._explain()

    @property
    def ids(self) -> list[int]:
        """Ids of the selected objects, in the order of the list."""
        items = self.list.selectedItems()
        return sorted(int(item.data(ID, Qt.ItemDataRole.UserRole)) for item in items)

    def show_rows(self, rows: Sequence[Summary]) -> None:
        """Show these objects; only what differs is written."""
        self._filling = True
        try:
            wanted = {row.object_id: row for row in rows}
            for k in reversed(range(self.list.topLevelItemCount())):
                item = self._item(k)
                if item.data(ID, Qt.ItemDataRole.UserRole) not in wanted:
                    self.list.takeTopLevelItem(k)
            for k, row in enumerate(rows):
                there = self.list.topLevelItemCount() > k
                if not there or self._item(k).data(ID, Qt.ItemDataRole.UserRole) != row.object_id:
                    self.list.insertTopLevelItem(k, _new_item(row.object_id))
                    self._rows.pop(row.object_id, None)
                if self._rows.get(row.object_id) != row:
                    _fill(self._item(k), row)
            self._rows = wanted
        finally:
            self._filling = False
        shown = min(max(len(rows), _SHOWN_ROWS.start), _SHOWN_ROWS.stop - 1)
        self.list.setFixedHeight((shown + 1) * self._row_px + 8)
        self._explain()

    @property
    def _row_px(self) -> int:
        return max(self.list.sizeHintForRow(0), self.list.fontMetrics().height() + 4)

    def select(self, ids: Sequence[int]) -> None:
        """Select these objects; tells nobody of it."""
        if sorted(ids) == self.ids:
            return
        self._filling = True
        try:
            for k in range(self.list.topLevelItemCount()):
                item = self._item(k)
                item.setSelected(item.data(ID, Qt.ItemDataRole.UserRole) in ids)
        finally:
            self._filling = False
        self._explain()

    def _item(self, k: int) -> QTreeWidgetItem:
        item = self.list.topLevelItem(k)
        if item is None:
            raise IndexError(k)
        return item

    def _explain(self) -> None:
        """Enable the buttons that make sense; the others say why not."""
        ids = self.ids
        locked = [k for k in ids if k in self._rows and self._rows[k].locked]
        for name, _, tip in _BUTTONS:
            why = ""
            if not ids:
                why = "Select an object in the list first."
            elif locked:
                why = f"Object {locked[0]} is locked; unlock it first."
            elif name == "join" and len(ids) < 2:
                why = f"Select two objects or more ({native('Ctrl + click')})."
            elif name == "split" and len(ids) > 1:
                why = "Select one object only."
            self.buttons[name].setEnabled(not why)
            self.buttons[name].setToolTip(f"{tip} {why}".strip())

    def _ask(self, name: str) -> None:
        self.asked.emit(name, self.ids)

    def _on_selected(self) -> None:
        if not self._filling:
            self._explain()
            self.selected.emit(self.ids)

    def _on_changed(self, item: QTreeWidgetItem, column: int) -> None:
        object_id = int(item.data(ID, Qt.ItemDataRole.UserRole))
        before = self._rows.get(object_id)
        if self._filling or before is None:
            return
        checked = item.checkState(column) == Qt.CheckState.Checked
        if column == HIDE and checked is not before.hidden:
            self.edited.emit(object_id, {"hidden": checked})
        elif column == LOCK and checked is not before.locked:
            self.edited.emit(object_id, {"locked": checked})
        elif column == LABEL:
            label = item.text(LABEL).strip()
            if label and label != before.label:
                self.edited.emit(object_id, {"label": label})
            else:
                self._filling = True
                item.setText(LABEL, before.label)
                self._filling = False

    def _on_double_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        if column == ID:
            self._choose_color(int(item.data(ID, Qt.ItemDataRole.UserRole)))
        elif column == LABEL:
            self.list.editItem(item, LABEL)
        elif column == FRAMES:
            self.sought.emit(int(item.data(ID, Qt.ItemDataRole.UserRole)))

    def _choose_color(self, object_id: int) -> None:
        chosen = QColorDialog.getColor(QColor(self._rows[object_id].color), self)
        if chosen.isValid():
            self.edited.emit(object_id, {"color": chosen.name()})

    def _show_menu(self, at: QPoint) -> None:
        item = self.list.itemAt(at)
        if item is None:
            return
        object_id = int(item.data(ID, Qt.ItemDataRole.UserRole))
        row = self._rows[object_id]
        menu = QMenu(self)
        entries: list[tuple[str, Callable[[], None]]] = [
            ("Rename", partial(self.list.editItem, item, LABEL)),
            ("Colour…", partial(self._choose_color, object_id)),
            ("Show" if row.hidden else "Hide", partial(self._turn, row, "hidden")),
            ("Unlock" if row.locked else "Lock", partial(self._turn, row, "locked")),
        ]
        for text, act in entries:
            menu.addAction(text, act)
        menu.exec(self.list.mapToGlobal(at))
        menu.deleteLater()

    def _turn(self, row: Summary, name: str) -> None:
        self.edited.emit(row.object_id, {name: not getattr(row, name)})


def _list() -> QTreeWidget:
    tree = QTreeWidget()
    tree.setObjectName("objects_list")
    tree.setStyleSheet(_SWITCHES)
    tree.setColumnCount(len(_HEADERS))
    tree.setHeaderLabels(list(_HEADERS))
    tree.setRootIsDecorated(False)
    tree.setUniformRowHeights(True)
    tree.setIndentation(0)
    tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    tree.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    tree.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
    tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    header = tree.header()
    if header is not None:
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(LABEL, QHeaderView.ResizeMode.Stretch)
        for column in (HIDE, LOCK):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, 26)
    top = tree.headerItem()
    if top is not None:
        for column, tip in enumerate(_HEADER_TIPS):
            top.setToolTip(column, tip)
    return tree


def _new_item(object_id: int) -> QTreeWidgetItem:
    item = QTreeWidgetItem()
    item.setData(ID, Qt.ItemDataRole.UserRole, object_id)
    item.setFlags(
        Qt.ItemFlag.ItemIsEnabled
        | Qt.ItemFlag.ItemIsSelectable
        | Qt.ItemFlag.ItemIsEditable
        | Qt.ItemFlag.ItemIsUserCheckable
    )
    return item


def _fill(item: QTreeWidgetItem, row: Summary) -> None:
    swatch = QPixmap(12, 12)
    swatch.fill(QColor(row.color))
    item.setIcon(ID, QIcon(swatch))
    item.setText(ID, str(row.object_id))
    item.setText(LABEL, row.label)
    item.setToolTip(LABEL, row.label)
    item.setText(FRAMES, "-" if row.first is None else f"{row.first}-{row.last}")
    item.setText(KEYS, str(row.n_keyframes))
    item.setText(LOW, "" if row.lowest_score is None else f"{row.lowest_score:.2f}")
    for column, on in ((HIDE, row.hidden), (LOCK, row.locked)):
        item.setCheckState(column, Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
