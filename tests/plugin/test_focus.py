"""Keys after clicks into the form, in a real window: frames are stepped, fields are typed in."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QScrollArea, QWidget

from napari_ocean.plugin.controls import Controls
from tests.plugin.conftest import Desk

CENTRE = QPoint()
BOX = QPoint(8, 8)
"""In a checkbox, whose text may end before its centre."""


@pytest.fixture
def shown(desk: Desk) -> Desk:
    """A window in front, all parts of the form open, frame 5 in view."""
    desk.draw(5)
    desk.viewer.show()
    window = desk.viewer.window._qt_window
    window.activateWindow()
    desk.qtbot.waitUntil(window.isActiveWindow)
    on = desk.widget.controls
    for part in (on.review_part, on.objects_part, on.range_part, on.model_part):
        part.expand()
    desk.qtbot.wait(50)
    return desk


def click(part: QWidget, at: QPoint = CENTRE) -> None:
    """Click on a part of the form, where a person sees it."""
    area = part.window().findChild(Controls).findChild(QScrollArea)
    if area.isAncestorOf(part):
        area.ensureWidgetVisible(part)
    QTest.mouseClick(part, Qt.MouseButton.LeftButton, pos=at)


def press(desk: Desk, key: Qt.Key) -> None:
    """Press a key where the focus is."""
    QTest.keyClick(desk.viewer.window._qt_window.windowHandle(), key)


def frames_after_left_and_right(desk: Desk) -> list[int]:
    frames = [desk.widget.frame]
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
        press(desk, key)
        frames.append(desk.widget.frame)
    return frames


def choose(combo: QComboBox, row: int) -> None:
    """Open the list of a combo box and click into it."""
    click(combo)
    view = combo.view()
    assert view is not None
    QTest.qWait(QApplication.doubleClickInterval() + 50)  # Qt takes a quicker one for the first
    at = view.visualRect(combo.model().index(row, 0)).center()
    QTest.mouseMove(view.viewport(), at)
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert combo.currentIndex() == row
    assert not view.isVisible()


def test_after_a_click_into_the_form_the_arrows_step_frames(shown: Desk) -> None:
    on = shown.widget.controls
    combo = on.who.native
    clicks = {
        "button": lambda: click(on.keyframe),
        "disabled button": lambda: click(on.redo),
        "checkbox": lambda: click(on.follow.native, BOX),
        "title of a part": lambda: click(on.model_part.toggleButton()),
        "combo box": lambda: choose(combo, 1),
        "list of objects": lambda: click(on.objects.list.viewport(), QPoint(30, 8)),
        "text": lambda: click(on.status),
        "strip": lambda: click(on.strip, QPoint(on.strip.width() * 11 // 40, 5)),
    }
    for name, do in clicks.items():
        on.label.native.setFocus()
        do()
        assert frames_after_left_and_right(shown) == [5, 4, 5], name
    assert not on.follow.value
    assert shown.widget.chosen == [1]


def test_fields_keep_their_arrows_until_return(shown: Desk) -> None:
    on = shown.widget.controls
    for field in (on.label.native, on.first.native):
        field.setFocus()
        QTest.keyClicks(QApplication.focusWidget(), "2")
        assert frames_after_left_and_right(shown) == [5, 5, 5]
        press(shown, Qt.Key.Key_Return)
        assert frames_after_left_and_right(shown) == [5, 4, 5]
    assert on.first.value == 2
    assert on.label.value.endswith("2")


def test_a_click_on_a_button_ends_what_is_typed(shown: Desk) -> None:
    on = shown.widget.controls
    shown.widget.choose([1])
    on.label.native.setFocus()
    on.label.native.selectAll()
    QTest.keyClicks(on.label.native, "cat")
    click(on.draw)
    assert shown.widget.session.tracks.label(1) == "cat"


def test_the_tab_key_reaches_every_part(shown: Desk) -> None:
    on = shown.widget.controls
    fields = (on.image, on.shapes, on.next_object, on.label, on.who, on.first, on.last, on.at_most)
    more = (on.curve, on.model, on.device, on.fast, on.color_by, on.follow)
    buttons = (on.draw, on.undo, on.forward, on.between, on.absent, on.load, on.export, on.keys)
    parts = {part.native for part in (*fields, *more)} | {*buttons, on.objects.list}
    left = {part for part in parts if part.isEnabled()}
    assert len(left) > 18
    on.image.native.setFocus()
    for _ in range(60):
        left.discard(QApplication.focusWidget())
        press(shown, Qt.Key.Key_Tab)
    assert not {part.objectName() for part in left}


def test_space_presses_the_button_that_tab_has_reached_and_no_other(shown: Desk) -> None:
    on = shown.widget.controls
    asked: list[str] = []
    on.undo.clicked.connect(lambda: asked.append("undo"))
    on.objects.list.setFocus()
    click(on.undo)
    press(shown, Qt.Key.Key_Space)
    assert asked == ["undo"]
    on.redo.setFocus(Qt.FocusReason.TabFocusReason)
    press(shown, Qt.Key.Key_Space)
    assert shown.widget.session.tracks.frames(1) == [5]
