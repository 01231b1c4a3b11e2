"""Combo boxes that are too narrow for what they say: both ends of it, and all of it in a tip.

Names of layers and files often begin alike, and Qt cuts off where they differ.
"""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QToolTip


class Elided(QObject):
    """Draws a combo box with the middle of a long text left out, and has its list show all.

    Parameters
    ----------
    combo : QComboBox
        Owns this.
    """

    def __init__(self, combo: QComboBox) -> None:
        super().__init__(combo)
        self._combo = combo
        combo.installEventFilter(self)

    @property
    def text(self) -> str:
        """What is shown."""
        return str(self._option().currentText)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Draw and explain in place of the combo box; widen its list before it opens."""
        if event is None or watched is not self._combo:
            return False
        if event.type() == QEvent.Type.Paint:
            painter, option = QStylePainter(self._combo), self._option()
            painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
            painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
            return True
        if isinstance(event, QHelpEvent) and self.text != self._combo.currentText():
            tip = f"{self._combo.currentText()}\n\n{self._combo.toolTip()}"
            QToolTip.showText(event.globalPos(), tip, self._combo)
            return True
        if event.type() == QEvent.Type.MouseButtonPress:
            view = self._combo.view()
            if view is not None:
                view.setMinimumWidth(view.sizeHintForColumn(0))
        return False

    def _option(self) -> QStyleOptionComboBox:
        combo, option = self._combo, QStyleOptionComboBox()
        combo.initStyleOption(option)
        style, kind = combo.style(), QStyle.ComplexControl.CC_ComboBox
        if style is not None:
            field = QStyle.SubControl.SC_ComboBoxEditField
            room = style.subControlRect(kind, option, field, combo).width()
            option.currentText = option.fontMetrics.elidedText(
                option.currentText, Qt.TextElideMode.ElideMiddle, room
            )
        return option
