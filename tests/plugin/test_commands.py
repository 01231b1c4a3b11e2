"""What keys and panels do to an annotation, in a real viewer: marks, review, undo, resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from numpy.testing import assert_allclose
from qtpy.QtCore import Qt

from napari_ocean.annotation.review import Mark
from napari_ocean.plugin import objects
from napari_ocean.plugin.commands import around
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.widget import OceanWidget
from napari_ocean.tracks import ABSENT, ObjectPrediction, Source, State
from tests.plugin.conftest import N_FRAMES, Desk
from tests.plugin.hands import box, change, found, row_of, track

ELSEWHERE = np.array([200.0, 100, 240, 140])


def press(desk: Desk, key: str) -> None:
    desk.viewer.window._qt_viewer._key_map_handler.press_key(key)
    desk.qtbot.wait(60)


def execute(name: str) -> None:
    get_app_model().commands.execute_command(f"napari-ocean.{name}").result()


def find(desk: Desk, scores: list[float], first: int = 1) -> None:
    """Have the machine find object 1 where it stands, with these scores."""
    session = desk.widget.session
    box = session.tracks.get(1, 0).box_xyxy
    session.record(
        [
            ObjectPrediction(
                object_id=1, frame=first + k, box_xyxy=box, score=score, state=State.FOUND
            )
            for k, score in enumerate(scores)
        ]
    )
    session.flush()
    desk.qtbot.wait(60)


def said(session: Session) -> set[tuple[Any, ...]]:
    """What stands on each frame of each object, in short."""
    tracks = session.tracks
    absent = ((k, span) for k in tracks.object_ids for span in tracks.absent_spans(k))
    return {(row.object_id, row.frame, row.box.source, row.box.fine) for row in tracks.rows()} | {
        (object_id, frame, ABSENT) for object_id, span in absent for frame in span
    }


@pytest.mark.parametrize(
    ("keyframes", "frame", "want"),
    [
        ([2, 8], 5, (2, 8)),
        ([2, 8], 2, (2, 8)),
        ([2, 8], 8, (2, 8)),
        ([2, 8, 9], 8, (8, 9)),
        ([2, 8], 1, None),
        ([2, 8], 9, None),
        ([2], 2, None),
        ([], 0, None),
    ],
)
def test_the_stretch_around_a_frame(
    keyframes: list[int], frame: int, want: tuple[int, int] | None
) -> None:
    assert around(keyframes, frame) == want


def test_marks_by_key_and_back_by_undo(desk: Desk) -> None:
    desk.draw(0)
    find(desk, [0.9] * 5)
    tracks, on = desk.widget.session.tracks, desk.widget.controls
    desk.go_to(3)
    press(desk, "O")
    assert tracks.cell(1, 3) is ABSENT
    assert on.absent.text() == "In view"
    assert "Out of view: object 1" in on.undo.toolTip()
    press(desk, "Ctrl+Z")
    assert tracks.get(1, 3).score == 0.9
    press(desk, "Shift+O")
    assert tracks.get(1, 3).occluded
    press(desk, "K")
    assert tracks.get(1, 3).source is Source.CORRECTED
    assert not on.keyframe.isEnabled()
    assert "yours already" in on.keyframe.toolTip()
    press(desk, "]")
    assert (tracks.frames(1), tracks.absent_spans(1)) == ([0, 1, 2, 3], [range(4, N_FRAMES)])
    press(desk, "Ctrl+Z")
    assert tracks.frames(1) == [0, 1, 2, 3, 4, 5]
    assert "Redo: End here: object 1" in on.redo.toolTip()
    assert desk.errors == []


def test_a_stretch_out_of_view_is_marked_and_unmarked(desk: Desk) -> None:
    desk.draw(0)
    find(desk, [0.9] * 9)
    desk.widget.controls.next_object.value = 1
    desk.draw(8)
    tracks, said = desk.widget.session.tracks, desk.widget.controls.status.text
    desk.go_to(3)
    press(desk, "Alt+O")
    assert (tracks.absent_spans(1), tracks.frames(1)) == ([range(3, 8)], [0, 1, 2, 8, 9])
    assert said() == "Out of view from frame 3 up to the next box of yours."
    desk.go_to(5)
    press(desk, "O")
    assert tracks.absent_spans(1) == [range(3, 5)]
    assert said() == "In view again: frame 5 to 7."
    press(desk, "Ctrl+Z")
    press(desk, "Ctrl+Z")
    assert (tracks.absent_spans(1), len(tracks)) == ([], 10)
    desk.go_to(9)
    press(desk, "Alt+O")
    assert tracks.absent_spans(1) == [range(9, N_FRAMES)]


def test_undo_and_redo_name_the_frames_and_go_where_one_was_edited(desk: Desk) -> None:
    window, said = desk.viewer.window._qt_window, desk.widget.controls.status.text
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier

    def after(modifier: Qt.KeyboardModifier) -> tuple[int, str]:
        desk.qtbot.keyClick(window, Qt.Key.Key_Z, modifier)
        desk.qtbot.wait(60)
        return desk.widget.frame, said()

    desk.draw(0)
    find(desk, [0.9] * 5)
    desk.widget.session.set_object(1, label="dog")
    desk.go_to(3)
    press(desk, "O")
    desk.go_to(1)
    assert after(control) == (3, "Undone: Out of view: dog 1 on frame 3.")
    assert after(control) == (3, "Undone: Rename object 1.")
    desk.go_to(15)
    assert after(control) == (15, "Undone: Track on frames 1 to 5.")
    assert after(control) == (0, "Undone: Draw object on frame 0.")
    assert after(control) == (0, "There is nothing to undo.")
    desk.go_to(9)
    assert after(control | shift) == (0, "Done again: Draw object on frame 0.")


def test_a_run_into_a_marked_stretch_says_so_and_o_lets_it_go_on(desk: Desk) -> None:
    desk.draw(0)
    desk.go_to(4)
    press(desk, "]")
    desk.go_to(0)
    desk.track("forward")
    assert "out of view" not in desk.widget.controls.status.text()
    desk.widget.controls.next_object.value = 1
    desk.draw(10)
    desk.track("forward")
    assert desk.widget.controls.status.text().endswith(
        "object 1 is marked out of view from frame 11 to 19; press O on frame 11 to unmark it."
    )
    desk.go_to(11)
    press(desk, "O")
    desk.go_to(10)
    desk.track("forward")
    assert "out of view" not in desk.widget.controls.status.text()
    assert desk.widget.session.tracks.frames(1)[-10:] == list(range(10, N_FRAMES))


def test_tracked_boxes_are_cleared_up_to_the_next_box_of_yours(desk: Desk) -> None:
    desk.draw(0)
    find(desk, [0.9] * 9)
    desk.go_to(6)
    press(desk, "K")
    tracks, said = desk.widget.session.tracks, desk.widget.controls.status.text
    desk.go_to(2)
    press(desk, "Alt+K")
    assert tracks.frames(1) == [0, 1, 2, 6, 7, 8, 9]
    assert said() == "Deleted 3 tracked boxes after frame 2."
    press(desk, "Alt+K")
    assert said() == "There is no tracked box between frame 2 and the next box of yours."
    desk.go_to(6)
    press(desk, "Alt+K")
    assert tracks.frames(1) == [0, 1, 2, 6]
    assert "Clear the tracked boxes of object 1" in desk.widget.controls.undo.toolTip()
    press(desk, "Ctrl+Z")
    assert tracks.frames(1) == [0, 1, 2, 6, 7, 8, 9]
    desk.widget.session.set_object(1, locked=True)
    press(desk, "Alt+K")
    assert "locked" in desk.errors[-1]
    assert len(tracks) == 7


def test_review_by_key_from_flag_to_flag(desk: Desk) -> None:
    desk.draw(0)
    find(desk, [0.9, 0.9, 0.2, 0.2, 0.9, 0.9, 0.1, 0.9])
    panel, frame = desk.widget.controls.review, lambda: desk.widget.frame
    assert "<b>2</b> left" in panel.left.text()
    press(desk, "N")
    assert frame() in (3, 4)
    assert desk.widget.chosen == [1]
    press(desk, "M")
    assert frame() == 7
    assert "<b>1</b> left" in panel.left.text()
    assert desk.widget.session.tracks.get(1, 4).fine
    press(desk, "M")
    assert "Nothing to review" in panel.left.text()
    press(desk, "Ctrl+Z")
    assert "<b>1</b> left" in panel.left.text()


def test_every_flag_of_a_frame_is_met(desk: Desk) -> None:
    desk.draw(0)
    find(desk, [0.9, 0.2, 0.9, 0.2])
    desk.draw(0, desk.clip.truth_xyxy[0] + 80)
    session = desk.widget.session
    weak = session.tracks.get(1, 2)
    session.tracks.put(2, 2, replace(weak, box_xyxy=weak.box_xyxy + 80))
    desk.go_to(0)
    met = []
    for key in ("N", "N", "N", "N", "Shift+N", "Shift+N", "Shift+N"):
        press(desk, key)
        met.append((desk.widget.frame, *desk.widget.chosen))
    there = [(2, 1), (2, 2), (4, 1)]
    assert met == [*there, (2, 1), (4, 1), (2, 2), (2, 1)]


def test_two_objects_in_one_place_are_reviewed_until_one_is_moved_away(desk: Desk) -> None:
    desk.draw(0, ELSEWHERE)
    desk.draw(0, ELSEWHERE - [64, 0, 64, 0])
    session, on = desk.widget.session, desk.widget.controls
    for k in range(1, 11):  # object 2 walks up to the other and stays there
        shift = np.array([1, 0, 1, 0]) * max(64 - 8 * k, 0)
        session.record([found(1, k, ELSEWHERE), found(2, k, ELSEWHERE - shift)])
    session.flush()
    desk.qtbot.wait(60)

    def lines() -> list[str]:
        return [on.review.list.item(k).text() for k in range(on.review.list.count())]

    def risky() -> list[int]:
        (lane,) = on.strip._lanes
        return np.flatnonzero(lane.marks == Mark.RISKY).tolist()

    same = "same place as another object"
    assert lines() == [f"8-10  object 1: {same}", f"8-10  object 2: {same}"]
    desk.go_to(0)
    press(desk, "N")
    assert (desk.widget.frame, desk.widget.chosen) == (8, [1])
    assert risky() == [8, 9, 10]
    change(session, row_of(session, 2, 10), (0, -9, 0))
    desk.qtbot.wait(60)
    assert lines() == [f"8-9  object 1: {same}", f"8-9  object 2: {same}"]
    assert risky() == [8, 9], "the strip of object 1, which itself has not changed"
    session.delete_objects([2])
    desk.qtbot.wait(60)
    assert lines() == []
    assert "Nothing to review" in on.review.left.text()
    press(desk, "Ctrl+Z")
    assert len(lines()) == 2


def test_interpolation_between_two_boxes(desk: Desk) -> None:
    desk.draw(0, ELSEWHERE)
    desk.widget.controls.next_object.value = 1
    desk.draw(10, ELSEWHERE - 20)
    desk.go_to(15)
    press(desk, "Shift+J")
    assert "between two boxes" in desk.errors[0]
    assert not desk.widget.controls.interpolate.isEnabled()
    desk.go_to(4)
    desk.qtbot.wait(60)
    desk.press("interpolate")
    tracks = desk.widget.session.tracks
    assert tracks.frames(1) == list(range(11))
    assert_allclose(tracks.get(1, 5).box_xyxy, ELSEWHERE - 10, atol=0.01)
    press(desk, ".")
    assert desk.widget.frame == 10
    press(desk, ",")
    assert desk.widget.frame == 0


def test_the_objects_list_edits_the_annotation(desk: Desk) -> None:
    desk.draw(0)
    desk.draw(3, ELSEWHERE)
    on, session = desk.widget.controls, desk.widget.session
    on.objects.edited.emit(2, {"label": "owl", "color": "#123456"})
    assert (session.tracks.label(2), session.color(2)) == ("owl", "#123456")
    desk.go_to(0)
    press(desk, "O")
    assert "Select an object first" in desk.errors[0]
    on.objects.asked.emit("join", [1, 2])
    assert (session.tracks.object_ids, session.tracks.frames(1)) == ([1], [0, 3])
    desk.go_to(2)
    on.objects.asked.emit("split", [1])
    assert session.tracks.frames(3) == [3]
    on.objects.asked.emit("delete", [1])
    assert session.tracks.object_ids == [3]
    session.set_object(3, locked=True)
    on.objects.asked.emit("delete", [3])
    assert "locked" in desk.errors[-1]


def test_the_strip_leads_to_a_frame(desk: Desk) -> None:
    desk.draw(0)
    desk.widget.controls.strip.clicked.emit(12, 1)
    assert desk.widget.frame == 12
    assert desk.widget.chosen == [1]


def test_leaps_and_the_middle_between_keyframes(desk: Desk) -> None:
    seen = []
    for key in ("Alt+Right", "Alt+Right", "Alt+Left", "Alt+Left"):  # before there is any box
        press(desk, key)
        seen.append(desk.widget.frame)
    assert seen == [10, N_FRAMES - 1, 9, 0]
    desk.draw(2)
    desk.draw(4, ELSEWHERE)
    desk.widget.controls.next_object.value = 1
    desk.draw(12)
    desk.widget.choose([1])
    desk.go_to(3)
    press(desk, "Alt+J")
    assert desk.widget.frame == 7
    desk.widget.choose([])
    desk.go_to(3)
    press(desk, "Alt+J")  # of all objects
    assert desk.widget.frame == 3
    desk.go_to(15)
    assert desk.errors == []
    press(desk, "Alt+J")
    assert "between two boxes" in desk.errors[0]


def test_a_double_click_on_its_frames_leads_to_an_object(desk: Desk) -> None:
    desk.draw(0)
    find(desk, [0.9] * 8)
    desk.go_to(3)
    press(desk, "[")
    listed = desk.widget.controls.objects.list
    seen = []
    for column in (objects.FRAMES, objects.FRAMES, objects.KEYS, objects.FRAMES):
        listed.itemDoubleClicked.emit(listed.topLevelItem(0), column)
        seen.append(desk.widget.frame)
        desk.qtbot.wait(60)
    assert seen == [8, 3, 3, 8]
    assert desk.widget.chosen == [1]


def test_whole_objects_are_split_merged_and_deleted_from_the_palette(desk: Desk) -> None:
    desk.draw(0)
    find(desk, [0.9] * 5)
    tracks = desk.widget.session.tracks
    desk.go_to(3)
    execute("split")
    assert (tracks.frames(1), tracks.frames(2)) == ([0, 1, 2], [3, 4, 5])
    desk.widget.choose([1, 2])
    desk.qtbot.wait(60)
    assert desk.widget.controls.objects.ids == [1, 2]
    execute("join")
    assert (tracks.object_ids, tracks.frames(1)) == ([1], [0, 1, 2, 3, 4, 5])
    execute("delete")
    assert tracks.object_ids == []
    execute("delete")
    assert "There is no box yet" in desk.errors[-1]


@pytest.mark.parametrize(
    "name", ["delete", "join", "start_here", "end_here", "interpolate", "fine", "clear_on"]
)
def test_a_command_for_several_objects_is_one_step(desk: Desk, name: str) -> None:
    for corner in (10, 60, 110):
        desk.draw(0, box(corner))
    session = desk.widget.session
    for object_id in (1, 2, 3):
        track(session, object_id, range(1, 9))
        session.draw(object_id, 9, box(10 + 50 * object_id))
    steps, before = len(session.undo_labels), said(session)
    desk.go_to(4)
    desk.widget.choose([1, 2, 3])
    desk.widget.perform(name)
    after = said(session)
    assert len(session.undo_labels) == steps + 1
    assert {2, 3} <= {object_id for object_id, *_ in before ^ after}
    desk.widget.perform("undo")
    assert said(session) == before
    desk.widget.perform("redo")
    assert said(session) == after


def test_one_object_is_split_at_a_time(desk: Desk) -> None:
    for corner in (10, 60):
        desk.draw(0, box(corner))
    desk.widget.choose([1, 2])
    desk.widget.perform("split")
    assert desk.errors == ["Select one object only."]


def test_earlier_work_is_offered_and_resumed(
    desk: Desk, open_desk: Callable[..., Desk], make_napari_viewer: Any
) -> None:
    desk.draw(0)
    find(desk, [0.9] * 5)
    desk.go_to(2)
    press(desk, "O")
    desk.widget.shut_down()
    again = open_desk()
    on = again.widget.controls
    assert not on.saved.isHidden()
    assert "5 boxes of 1 object" in on.saved_text.text()
    on.resume.click()
    assert on.saved.isHidden()
    assert again.widget.session.tracks.frames(1) == [0, 1, 3, 4, 5]
    assert again.widget.session.tracks.cell(1, 2) is ABSENT
    assert sorted(again.shown()) == [(1, k) for k in (0, 1, 3, 4, 5)]


def test_earlier_work_of_one_box_is_counted_as_such(
    desk: Desk, open_desk: Callable[..., Desk]
) -> None:
    desk.draw(0)
    desk.viewer.close()
    again = open_desk()
    assert again.widget.controls.saved_text.text().endswith("video: 1 box of 1 object.")


def test_earlier_work_of_two_clips_stays_offered(
    desk: Desk, open_desk: Callable[..., Desk]
) -> None:
    other = desk.clip.frames[:, ::-1].copy()
    for pixels in (desk.clip.frames, other):
        of = open_desk(pixels)
        of.draw(0)
        of.widget.shut_down()
    again = open_desk()
    first, second = again.image, again.viewer.add_image(other, name="other")
    on = again.widget.controls
    for image in (second, first, second):
        on.image.value = image
        assert not on.saved.isHidden()
    again.draw(3)  # begins anew there
    assert on.saved.isHidden()
    on.image.value = first
    assert not on.saved.isHidden()
    on.resume.click()
    assert again.widget.session.tracks.frames(1) == [0]


def test_earlier_work_that_another_layer_goes_on_with_is_not_offered(
    desk: Desk, open_desk: Callable[..., Desk]
) -> None:
    desk.draw(0)
    desk.widget.shut_down()
    again = open_desk()
    on, first = again.widget.controls, again.image
    second = again.viewer.add_image(desk.clip.frames, name="the same")
    for image in (second, first):
        on.image.value = image
        assert not on.saved.isHidden()
    on.resume.click()
    on.image.value = second
    assert on.saved.isHidden()
    again.viewer.layers.clear()
    assert on.saved.isHidden()


def test_the_offer_goes_with_the_clip(desk: Desk, open_desk: Callable[..., Desk]) -> None:
    desk.draw(0)
    desk.widget.shut_down()
    again = open_desk()
    assert not again.widget.controls.saved.isHidden()
    again.viewer.layers.clear()
    assert again.widget.controls.saved.isHidden()


def test_a_correction_waits_for_the_next_window_too(desk: Desk) -> None:
    desk.draw(0)
    find(desk, [0.9] * 5)
    session = desk.widget.session
    session.draw(1, 3, session.tracks.get(1, 3).box_xyxy + 2)
    before = dict(session.pending.frames(reverse=False))
    assert before[1][-1] == 3
    desk.viewer.window.remove_dock_widget(desk.widget)
    again = OceanWidget(desk.viewer)
    assert again.session.pending.frames(reverse=False) == before
    again.shut_down()


def test_closing_and_opening_the_widget_needs_no_question(desk: Desk) -> None:
    desk.draw(0)
    find(desk, [0.9] * 5)
    desk.go_to(2)
    press(desk, "O")
    desk.viewer.window.remove_dock_widget(desk.widget)
    again = OceanWidget(desk.viewer)
    assert again.controls.saved.isHidden()
    assert again.session.tracks.cell(1, 2) is ABSENT
    again.shut_down()


def test_letters_pressed_on_a_list_are_commands(desk: Desk) -> None:
    desk.viewer.show()
    asked: list[str] = []
    desk.widget._shortcuts.run = asked.append
    desk.qtbot.keyClick(desk.widget.controls.next_object.native, "n")
    desk.qtbot.keyClick(desk.widget.controls.objects.list, "k")
    assert asked == ["next_flag", "keyframe"]
    desk.qtbot.keyClick(desk.widget.controls.label.native, "k")
    assert asked == ["next_flag", "keyframe"]


def test_every_disabled_button_says_why(desk: Desk) -> None:
    desk.viewer.layers.clear()
    on = desk.widget.controls
    for name in ("draw", "forward", "backward", "both", "to_keyframe"):
        assert "Open a video" in getattr(on, name).toolTip()
    for name in ("keyframe", "absent", "occluded", "between", "interpolate"):
        assert "There is no box yet" in getattr(on, name).toolTip()
    for name in ("undo", "redo"):
        assert f"There is nothing to {name}" in getattr(on, name).toolTip()
