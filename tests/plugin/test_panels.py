"""The panels of the dock by themselves: plain data in, signals out."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari._qt.qt_resources import get_stylesheet
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QComboBox, QTreeWidgetItem

from napari_ocean.annotation.review import Flag, Mark, Sign
from napari_ocean.plugin import elided, objects, strip
from napari_ocean.plugin.controls import WIDTH_PX, Controls
from napari_ocean.plugin.elided import Elided
from napari_ocean.plugin.objects import ObjectsPanel
from napari_ocean.plugin.review_panel import SHOWN, ReviewPanel
from napari_ocean.plugin.reviewing import Summary
from napari_ocean.plugin.strip import COLORS, Lane, ScoreStrip, shrink

# -- score strip --


def argb(mark: Mark) -> int:
    return int(COLORS[mark][1:], 16)


def lane(object_id: int, marks: list[int], scores: list[float] | None = None) -> Lane:
    of = None if scores is None else np.array(scores)
    return Lane(object_id=object_id, name=f"dog {object_id}", marks=np.uint8(marks), scores=of)


@pytest.fixture
def bar(qtbot: Any) -> ScoreStrip:
    widget = ScoreStrip()
    qtbot.addWidget(widget)
    widget.resize(100, widget.height())
    return widget


def test_every_frame_has_its_colour_and_its_place(bar: ScoreStrip) -> None:
    marks = [Mark.KEYFRAME, Mark.TRACKED, Mark.RISKY, Mark.ABSENT, Mark.NOTHING]
    bar.show_lanes([lane(7, marks)], 5)
    row = bar.pixels()[10]
    assert [int(row[x]) for x in (0, 19, 20, 59, 60, 99)] == [
        argb(mark)
        for mark in (
            Mark.KEYFRAME, Mark.KEYFRAME, Mark.TRACKED, Mark.RISKY, Mark.ABSENT, Mark.NOTHING,
        )
    ]  # fmt: skip
    assert [bar.frame_at(x) for x in (-5, 0, 19, 20, 99, 500)] == [0, 0, 0, 1, 4, 4]


def test_one_risky_frame_in_twenty_thousand_shows(bar: ScoreStrip) -> None:
    marks = np.full(20_000, Mark.TRACKED)
    marks[12_345] = Mark.RISKY
    bar.show_lanes([lane(1, list(marks))], len(marks))
    row = bar.pixels()[5]
    assert np.flatnonzero(row == argb(Mark.RISKY)).tolist() == [61]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 80))
@settings(max_examples=50, deadline=None)
def test_shrinking_keeps_the_highest_of_each_pixel(rank: list[int], width: int) -> None:
    shrunk = shrink(np.uint8(rank), width)
    n = len(rank)
    for x in range(width):
        first = x * n // width
        last = max((x + 1) * n // width, first + 1)
        assert shrunk[x] == max(rank[first:last])


def test_low_scores_make_the_row_low(bar: ScoreStrip) -> None:
    bar.show_lanes([lane(1, [Mark.TRACKED] * 2, [1.0, 0.0])], 2)
    heights = (bar.pixels() == argb(Mark.TRACKED)).sum(axis=0)
    assert heights[0] >= bar.height() - 1
    assert 0 < heights[99] < bar.height() / 2


def test_two_hundred_objects_find_a_place_and_none_is_lost(bar: ScoreStrip) -> None:
    lanes = [lane(k, [Mark.TRACKED] * 4) for k in range(1, 200)]
    lanes.append(lane(200, [Mark.TRACKED, Mark.RISKY, Mark.TRACKED, Mark.TRACKED]))
    bar.show_lanes(lanes, 4)
    picture = bar.pixels()
    assert (picture[:, 30] == argb(Mark.RISKY)).any()
    assert not (picture[:, 80] == argb(Mark.RISKY)).any()


def test_clicking_and_dragging_goes_to_the_frame(bar: ScoreStrip, qtbot: Any) -> None:
    bar.show_lanes([lane(3, [Mark.TRACKED] * 50), lane(9, [Mark.TRACKED] * 50)], 50)
    gone: list[tuple[int, int]] = []
    bar.clicked.connect(lambda *of: gone.append(of))
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(41, 2))
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(99, bar.height() - 4))
    assert gone == [(20, 3), (49, 9)]


def test_the_tip_says_what_is_there(bar: ScoreStrip) -> None:
    bar.show_lanes([lane(3, [Mark.RISKY, Mark.ABSENT], [0.25, np.nan])], 2)
    assert bar.describe(QPoint(10, 5)) == "Frame 0: dog 3, look here, score 0.25"
    assert bar.describe(QPoint(90, 5)) == "Frame 1: dog 3, out of view"


def test_painting_marks_the_frame_in_view(bar: ScoreStrip) -> None:
    bar.show_lanes([lane(1, [Mark.TRACKED] * 10)], 10)
    bar.show_frame(4)
    picture = bar.grab().toImage()
    assert picture.pixelColor(45, 20).name() == "#ffffff"
    assert picture.pixelColor(10, 20).name() == "#" + COLORS[Mark.TRACKED][3:]


# -- objects list --

DOG = Summary(
    object_id=1, label="dog", color="#ffb000", hidden=False, locked=False, first=0, last=99,
    n_boxes=100, n_keyframes=3, n_flags=2, lowest_score=0.31,
)  # fmt: skip
CAT = DOG._replace(
    object_id=2, label="cat", color="#4cc9f0", hidden=True, first=10, last=20, n_keyframes=1,
    lowest_score=None,
)  # fmt: skip
OWL = DOG._replace(
    object_id=5, label="owl", locked=True, first=None, last=None, n_keyframes=0, lowest_score=None
)
ROWS = [DOG, CAT, OWL]


@pytest.fixture
def panel(qtbot: Any) -> ObjectsPanel:
    widget = ObjectsPanel()
    qtbot.addWidget(widget)
    widget.show_rows(ROWS)
    return widget


def cells(panel: ObjectsPanel, row: int) -> list[str]:
    item = panel.list.topLevelItem(row)
    assert isinstance(item, QTreeWidgetItem)
    return [item.text(column) for column in range(5)]


def test_the_list_shows_what_is_known(panel: ObjectsPanel) -> None:
    assert cells(panel, 0) == ["1", "dog", "0-99", "3", "0.31"]
    assert cells(panel, 1) == ["2", "cat", "10-20", "1", ""]
    assert cells(panel, 2) == ["5", "owl", "-", "0", ""]
    item = panel.list.topLevelItem(1)
    assert item.checkState(objects.HIDE) == Qt.CheckState.Checked
    assert item.checkState(objects.LOCK) == Qt.CheckState.Unchecked
    assert item.icon(0).pixmap(12, 12).toImage().pixelColor(5, 5).name() == "#4cc9f0"


def test_rows_come_go_and_change_and_the_selection_stays(panel: ObjectsPanel) -> None:
    panel.select([5])
    changed = [ROWS[0]._replace(n_keyframes=4), ROWS[2], CAT._replace(object_id=6, label="elk")]
    panel.show_rows(changed)
    assert [cells(panel, k)[:2] for k in range(3)] == [["1", "dog"], ["5", "owl"], ["6", "elk"]]
    assert cells(panel, 0)[3] == "4"
    assert panel.ids == [5]


def test_renaming_hiding_and_locking_are_told(panel: ObjectsPanel) -> None:
    told: list[tuple[int, dict[str, Any]]] = []
    panel.edited.connect(lambda *of: told.append(of))
    item = panel.list.topLevelItem(0)
    item.setText(objects.LABEL, " wolf ")
    item.setCheckState(objects.HIDE, Qt.CheckState.Checked)
    panel.list.topLevelItem(2).setCheckState(objects.LOCK, Qt.CheckState.Unchecked)
    assert told == [(1, {"label": "wolf"}), (1, {"hidden": True}), (5, {"locked": False})]
    panel.list.topLevelItem(1).setText(objects.LABEL, "  ")
    assert len(told) == 3
    assert cells(panel, 1)[1] == "cat"


def test_a_colour_is_asked_for(panel: ObjectsPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, dict[str, Any]]] = []
    panel.edited.connect(lambda *of: told.append(of))
    monkeypatch.setattr(objects.QColorDialog, "getColor", lambda *_: objects.QColor("#123456"))
    panel.list.itemDoubleClicked.emit(panel.list.topLevelItem(1), objects.ID)
    assert told == [(2, {"color": "#123456"})]


def test_buttons_say_why_they_are_off(panel: ObjectsPanel) -> None:
    asked: list[tuple[str, list[int]]] = []
    panel.asked.connect(lambda *of: asked.append(of))
    assert "Select an object" in panel.buttons["delete"].toolTip()
    panel.list.topLevelItem(0).setSelected(True)
    assert not panel.buttons["join"].isEnabled()
    assert "two objects" in panel.buttons["join"].toolTip()
    panel.buttons["split"].click()
    panel.list.topLevelItem(1).setSelected(True)
    assert not panel.buttons["split"].isEnabled()
    panel.buttons["join"].click()
    assert asked == [("split", [1]), ("join", [1, 2])]
    panel.list.topLevelItem(2).setSelected(True)
    assert "Object 5 is locked" in panel.buttons["delete"].toolTip()


def test_only_the_person_selecting_is_told(panel: ObjectsPanel) -> None:
    told: list[list[int]] = []
    panel.selected.connect(told.append)
    panel.select([1, 2])
    assert (panel.ids, told) == ([1, 2], [])
    panel.list.topLevelItem(0).setSelected(False)
    assert told == [[2]]


# -- review queue --

FLAGS = [
    Flag(1, 705, 700, 720, 0.9, Sign.SCORE),
    Flag(2, 40, 40, 41, 0.6, Sign.PLACE),
]
NAMES = {1: "dog 1", 2: "cat 2"}


@pytest.fixture
def queue(qtbot: Any) -> ReviewPanel:
    widget = ReviewPanel()
    qtbot.addWidget(widget)
    return widget


def test_an_empty_queue_says_so(queue: ReviewPanel) -> None:
    assert "Nothing to review" in queue.left.text()
    assert not queue.buttons["fine"].isEnabled()
    assert "nothing left" in queue.buttons["fine"].toolTip()


def test_the_queue_counts_and_explains(queue: ReviewPanel) -> None:
    queue.show_flags(FLAGS, NAMES, {1: [705, 40]})
    assert "<b>2</b> left to review (21 frames)" in queue.left.text()
    lines = [queue.list.item(k).text() for k in range(queue.list.count())]
    assert lines == ["700-719  dog 1: low score", "40  cat 2: jump of place"]
    gone: list[Any] = []
    queue.go.connect(gone.append)
    queue.list.itemClicked.emit(queue.list.item(1))
    assert gone == [FLAGS[1]]
    suggested: list[tuple[int, int]] = []
    queue.suggested.connect(lambda *of: suggested.append(of))
    queue.suggestions.linkActivated.emit("1:705")
    assert suggested == [(1, 705)]
    asked: list[str] = []
    queue.asked.connect(asked.append)
    for button in queue.buttons.values():
        button.click()
    assert asked == ["previous_flag", "fine", "next_flag"]


def test_the_flag_in_view_is_marked(queue: ReviewPanel) -> None:
    queue.show_flags(FLAGS, NAMES, {})
    flag = FLAGS[1]
    queue.mark(flag.stop - 1, [flag.object_id])
    assert queue.list.currentRow() == 1
    queue.mark(flag.stop - 1, [])
    assert queue.list.currentRow() == 1
    queue.mark(flag.stop - 1, [flag.object_id + 77])
    assert queue.list.currentRow() == -1
    queue.mark(10_000, [])
    assert queue.list.currentRow() == -1


def test_a_long_queue_is_cut(queue: ReviewPanel) -> None:
    flags = [Flag(1, k, k, k + 1, 0.9, Sign.SCORE) for k in range(0, 2 * SHOWN, 1)]
    queue.show_flags(flags, NAMES, {})
    assert queue.list.count() == SHOWN + 1
    assert queue.list.item(SHOWN).text() == f"and {SHOWN} more"
    queue.list.itemClicked.emit(queue.list.item(SHOWN))  # that line is nobody's


def test_the_legend_names_every_colour_but_nothing() -> None:
    for mark in Mark:
        assert (COLORS[mark][3:] in strip.legend()) is (mark is not Mark.NOTHING)


def test_no_line_is_cut_off_where_the_form_is_narrow_and_low(qtbot: Any) -> None:
    form = Controls()
    qtbot.addWidget(form)
    form.setStyleSheet(get_stylesheet("dark"))
    form.resize(WIDTH_PX, 400)
    form.show()
    for part in (form.review_part, form.objects_part, form.range_part, form.model_part):
        part.expand()
    qtbot.wait(30)
    for button in form.objects.buttons.values():  # the style keeps 4 px on either side
        assert button.width() >= button.fontMetrics().horizontalAdvance(button.text()) + 8
    text = form.review.left
    for flags in ([], [Flag(1, 3, 3, 4, 0.9, Sign.SCORE)], []):
        form.review.show_flags(flags, NAMES, {1: [5, 9]})
        qtbot.wait(30)
        lines = text.heightForWidth(text.width()) // text.fontMetrics().height()
        assert (lines == 1) is bool(flags)
        assert text.height() >= text.heightForWidth(text.width())


# -- long names --


@pytest.fixture
def combo(qtbot: Any) -> QComboBox:
    combo = QComboBox()
    qtbot.addWidget(combo)
    combo.addItems(["short", "a name that begins like others and differs at its very end 1"])
    combo.resize(150, combo.sizeHint().height())
    combo.setToolTip("What it is for.")
    return combo


def test_a_long_name_loses_its_middle_and_a_short_one_nothing(combo: QComboBox) -> None:
    shown = Elided(combo)
    assert shown.text == "short"
    combo.setCurrentIndex(1)
    assert re.fullmatch("a name.*….*end 1", shown.text)
    combo.resize(1000, combo.height())
    assert shown.text == combo.currentText()


def test_the_tip_and_the_list_show_the_whole_name(
    combo: QComboBox, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tips: list[str] = []
    monkeypatch.setattr(elided.QToolTip, "showText", lambda at, text, of: tips.append(text))
    Elided(combo)
    combo.show()
    qtbot.waitExposed(combo)
    assert not combo.grab().isNull()
    event = QHelpEvent(QEvent.Type.ToolTip, QPoint(5, 5), QPoint(5, 5))
    combo.setCurrentIndex(1)
    QApplication.sendEvent(combo, event)
    assert tips == [f"{combo.currentText()}\n\nWhat it is for."]
    qtbot.mousePress(combo, Qt.MouseButton.LeftButton)
    assert combo.view().width() > combo.width()
    combo.hidePopup()
