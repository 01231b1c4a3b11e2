"""What a key, a run and the next window act on is what the person sees."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from napari.layers.shapes._shapes_key_bindings import delete_selected_shapes
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDialog

from napari_ocean.annotation import sidecar
from napari_ocean.plugin import layers, runner
from napari_ocean.plugin.widget import OceanWidget
from napari_ocean.tracks import Source
from tests.plugin.conftest import Desk, drag, mouse
from tests.plugin.hands import assert_in_step, box, track


def _tracked(desk: Desk) -> Desk:
    """Object 1, drawn on frame 0 and found on all others."""
    desk.draw(0, box(20, 60))
    track(desk.widget.session, 1, range(1, 20), x=20)
    desk.qtbot.wait(60)
    return desk


def test_marks_go_to_the_box_that_was_drawn_last(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    desk.go_to(5)
    desk.widget.choose([1])
    desk.press("draw")
    drag(desk, (150.0, 200.0), (160.0, 210.0), (180.0, 240.0))
    desk.widget.perform("start_here")  # at once, before anything was taken over
    assert session.tracks.frames(1) == list(range(20))
    assert [list(span) for span in session.tracks.absent_spans(2)] == [list(range(5))]
    desk.qtbot.wait(100)
    assert desk.widget.chosen == [2]


def test_delete_takes_nothing_that_is_not_in_view(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    desk.go_to(0)
    desk.widget.choose([1])
    desk.go_to(7)
    desk.qtbot.wait(80)
    delete_selected_shapes(session.layer)
    desk.qtbot.wait(80)
    assert set(range(20)) - set(session.tracks.frames(1)) == {7}


def test_boxes_found_meanwhile_do_not_wipe_what_is_typed(desk: Desk) -> None:
    desk.draw(0, box(20, 60))
    session = desk.widget.session
    desk.widget.choose([1])
    field = desk.widget.controls.label.native
    field.selectAll()
    QTest.keyClicks(field, "lady")
    track(session, 1, [1], x=20)
    desk.qtbot.wait(80)
    QTest.keyClicks(field, "bird")
    QTest.keyClick(field, Qt.Key.Key_Return)
    desk.qtbot.wait(80)
    assert session.tracks.label(1) == "ladybird"


def test_a_label_goes_to_the_object_that_it_was_typed_for(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    desk.widget.choose([])
    field = desk.widget.controls.label.native
    field.selectAll()
    QTest.keyClicks(field, "cat")
    desk.widget.visit(5, 1)  # a click on the strip, which takes no focus
    field.editingFinished.emit()
    assert session.tracks.label(1) == "object"
    assert session.next_label == "cat"


def test_labels_typed_one_after_the_other_go_to_one_object_each(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    desk.draw(0, box(120, 100))
    field = desk.widget.controls.label.native
    for object_id, label in ((1, "cat"), (2, "dog")):
        desk.widget.visit(0, object_id)
        field.selectAll()
        QTest.keyClicks(field, label)
    field.editingFinished.emit()
    assert [session.tracks.label(object_id) for object_id in (1, 2)] == ["cat", "dog"]


def test_a_proposal_of_one_clip_is_none_of_another(desk: Desk) -> None:
    on, first = desk.widget.controls, _tracked(desk).image
    desk.widget.session.clear([1], 5, 6)
    second = desk.viewer.add_image(desk.clip.frames[:, ::-1].copy(), name="other")
    on.image.value = second
    desk.draw(0, box(20, 60))
    on.next_object.value = 1  # the person says so
    on.image.value = first
    desk.go_to(5)
    desk.widget.choose([1])
    desk.press("draw")
    assert (desk.widget.session.next_object, desk.widget.session.proposed) == (1, True)
    on.image.value = second
    desk.widget.choose([])
    desk.press("draw")
    assert desk.widget.session.next_object == 1
    on.image.value = first
    desk.go_to(0)
    desk.qtbot.wait(80)
    assert desk.widget.session.next_object == 0


def test_a_proposal_is_for_what_is_selected_and_replaces_no_box(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    first = session.tracks.get(1, 0).box_xyxy
    session.clear([1], 5, 6)
    desk.draw(0, box(120, 100))
    desk.go_to(5)
    for object_id in (1, 2):  # the person thinks better of it
        desk.widget.choose([object_id])
        desk.press("draw")
    assert session.next_object == 2
    desk.go_to(0)
    desk.qtbot.wait(60)
    assert session.next_object == 0  # it has a box here
    desk.draw(0, box(200, 150))
    assert (session.tracks.get(1, 0).box_xyxy == first).all()
    assert session.tracks.keyframes(3) == [0]


def test_objects_stay_selected_where_only_some_have_a_box(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    desk.draw(0, box(120, 100))
    desk.widget.choose([1, 2])
    desk.go_to(5)
    desk.qtbot.wait(80)
    desk.widget.perform("absent_on")
    assert all(5 in session.tracks.absent_spans(object_id)[0] for object_id in (1, 2))
    session.select([1])
    session.layer.selected_data = set()
    desk.go_to(3)
    session.select([1])  # and this the person does
    assert desk.widget.chosen == [1]


def test_a_click_with_the_drawing_tool_draws_nothing(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    desk.press("draw")
    for at in ((100.0, 100.0), (-50.0, 400.0)):
        mouse(session.layer, "mouse_press", (0, *at))
        mouse(session.layer, "mouse_release", (0, *at))
        desk.qtbot.wait(30)
    assert (session.tracks.object_ids, session.layer.nshapes) == ([1], 20)
    assert desk.warnings == []
    desk.draw(0, box(120, 100))
    assert session.tracks.object_ids == [1, 2]


def test_what_the_list_has_selected_is_tracked_on_alone(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    desk.draw(0, box(120, 100))
    track(session, 2, range(1, 20), x=120)
    desk.go_to(10)
    desk.widget.choose([1])
    session.layer.selected_data = set()  # a click beside all boxes; the list stays as it is
    for object_id in (1, 2):
        session.pending.remove((object_id, 0))
    before = session.tracks.get(2, 15)
    desk.track("forward")
    assert session.tracks.get(2, 15) is before
    assert session.tracks.get(1, 15).score != 0.5


def test_a_key_right_after_track_counts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """napari's progress bar handles all waiting events, keys too, while it is made."""
    desk.draw(0)
    made_in: list[bool] = []
    handling = []
    monkeypatch.setattr(runner, "progress", lambda **of: made_in.append(bool(handling)) or Bar())
    handling.append("the key T")
    desk.widget.perform("forward")
    handling.clear()
    desk.wait()
    desk.qtbot.wait(20)
    assert made_in in ([False], [])


class Bar:
    """napari's progress bar."""

    n = 0

    def update(self, n: int) -> None:
        self.n += n

    def close(self) -> None:
        pass


def test_the_label_field_names_its_object_and_is_left_by_return_and_escape(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    field = desk.widget.controls.label.native
    name = field.parentWidget().layout().labelForField(field)
    desk.widget.choose([1])
    assert name.text() == "Label of 1"
    field.setFocus()
    QTest.keyClicks(field, "x")
    QTest.keyClick(field, Qt.Key.Key_Escape)
    assert field.text() == "object"
    assert field.window().focusWidget() is not field
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, "cat")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert session.tracks.label(1) == "cat"
    assert field.window().focusWidget() is not field
    desk.widget.choose([])
    assert name.text() == "Label of new"


def test_all_selected_objects_are_changed_or_none(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    desk.draw(0, box(120, 100))
    session.set_object(2, locked=True)
    desk.widget.choose([1, 2])
    desk.widget.perform("delete")
    assert session.tracks.object_ids == [1, 2]
    assert "locked" in desk.errors[-1]


def test_one_of_the_selected_objects_may_be_deleted(desk: Desk) -> None:
    for corner in (10, 60):
        desk.draw(0, box(corner, 100))
    desk.widget.choose([1, 2])
    desk.widget.session.delete_objects([1])
    desk.qtbot.wait(60)
    assert desk.widget.session.selected() == {2}
    assert desk.widget.controls.label.native.text() == "object"


def test_fine_marks_no_other_object_than_the_selected_one(desk: Desk) -> None:
    session = _tracked(desk).widget.session
    desk.draw(3, box(120, 100))
    desk.go_to(7)
    desk.widget.choose([2])
    desk.widget.perform("fine")
    assert not any(session.tracks.get(1, frame).fine for frame in range(20))


def test_boxes_that_left_the_viewer_are_offered_again(desk: Desk, user_folder: Path) -> None:
    _tracked(desk)
    desk.viewer.layers.remove(desk.boxes)
    desk.qtbot.wait(100)
    desk.press("draw")
    assert not desk.widget.controls.saved.isHidden()
    desk.widget.controls.resume.click()
    assert desk.widget.session.tracks.frames(1) == list(range(20))


def test_going_on_with_earlier_work_keeps_what_is_on_the_screen(
    desk: Desk, user_folder: Path
) -> None:
    session = _tracked(desk).widget.session
    desk.viewer.window.remove_dock_widget(desk.widget)
    desk.qtbot.wait(60)
    layer = desk.viewer.layers[session.layer.name]
    layer.data = [layer.data[0] + [0, 5, 5], *layer.data[1:]]
    again = OceanWidget(desk.viewer)
    desk.viewer.window.add_dock_widget(again)
    desk.qtbot.wait(100)
    assert not again.controls.saved.isHidden()
    moved = again.session.tracks.get(1, 0).box_xyxy
    again.session.in_run = True
    again.controls.resume.click()
    assert "stop that run first" in desk.warnings[-1]
    assert not again.controls.saved.isHidden()
    again.session.in_run = False
    again.controls.resume.click()
    assert again.controls.saved.isHidden()
    assert not np.allclose(again.session.tracks.get(1, 0).box_xyxy, moved)
    (aside,) = (path for path in user_folder.iterdir() if ".old-1.ocean.json" in path.name)
    assert aside.name in desk.warnings[-1]
    np.testing.assert_allclose(sidecar.read(aside).get(1, 0).box_xyxy, moved, atol=1e-3)
    again.shut_down()


def test_earlier_work_that_makes_room_is_named(desk: Desk, user_folder: Path) -> None:
    _tracked(desk)
    desk.viewer.layers.remove(desk.boxes)
    desk.qtbot.wait(100)
    desk.draw(3, box(120, 100))
    desk.qtbot.wait(80)
    (aside,) = (path for path in user_folder.iterdir() if ".old-1.ocean.json" in path.name)
    assert any(aside.name in warning for warning in desk.warnings)
    desk.widget.load(aside)
    assert sorted(len(desk.widget.session.tracks.frames(k)) for k in (1, 2)) == [1, 20]


def test_a_box_deleted_while_the_window_was_closed_stays_deleted(desk: Desk) -> None:
    layer = _tracked(desk).boxes
    desk.viewer.window.remove_dock_widget(desk.widget)
    desk.qtbot.wait(60)
    desk.go_to(4)
    (row,) = (row for row, of in enumerate(layer.data) if of[0, 0] == 4)
    layer.selected_data = {row}
    layer.remove_selected()
    again = OceanWidget(desk.viewer)
    desk.viewer.window.add_dock_widget(again)
    desk.qtbot.wait(100)
    assert 4 not in again.session.tracks.frames(1)


def test_work_of_a_crash_that_was_set_aside_comes_back_whole(
    desk: Desk, user_folder: Path, tmp_path: Path
) -> None:
    _tracked(desk)
    shutil.copytree(user_folder, tmp_path / "killed")  # what a kill leaves: head and journal
    (head,) = (tmp_path / "killed").glob("*.json")
    assert head.with_suffix(".journal").exists()
    assert len(sidecar.read(head)) == 20
    aside = sidecar.set_aside(head)
    desk.widget.session.delete_objects([1])
    desk.widget.load(aside)
    assert desk.widget.session.tracks.frames(2) == list(range(20))


def test_the_file_that_work_is_kept_in_is_not_saved_over(desk: Desk, user_folder: Path) -> None:
    _tracked(desk)
    (head,) = user_folder.glob("*.json")
    before = head.read_bytes()
    desk.widget.save(head)
    assert any("choose another name" in error for error in desk.errors)
    assert head.read_bytes() == before


def _held(desk: Desk) -> Desk:
    """A run that is paused after its first frames."""
    desk.go_to(0)
    desk.press("forward")
    desk.press("pause")
    run = desk.widget._runner.run
    desk.qtbot.waitUntil(lambda: run.done > 0, timeout=60_000)
    desk.qtbot.wait(200)
    return desk


def test_a_run_hears_of_a_box_that_is_taken_back(desk: Desk) -> None:
    desk.draw(0)
    session = desk.widget.session
    wrong = np.array([5.0, 5, 35, 29])
    session.draw(1, 15, wrong)
    session.flush()
    _held(desk).go_to(15)
    desk.widget.choose([1])
    desk.widget.perform("delete_box")
    assert session.tracks.get(1, 15) is None
    desk.press("pause")
    desk.wait()
    found = session.tracks.get(1, 15)
    assert found.source is Source.TRACKED
    assert np.abs(found.box_xyxy - desk.clip.truth_xyxy[15]).max() < 15


def test_a_box_taken_back_does_not_come_back_as_found(desk: Desk) -> None:
    desk.draw(0)
    session = desk.widget.session
    session.draw(1, 15, desk.clip.truth_xyxy[15])
    session.flush()
    desk.go_to(8)
    desk.widget.perform("between")
    desk.press("pause")
    desk.qtbot.waitUntil(lambda: desk.widget._runner.run.done > 0, timeout=60_000)
    session.remove([1], 15)
    desk.press("pause")
    desk.wait()
    assert session.tracks.frames(1) == list(range(16))
    assert session.tracks.get(1, 15).score < 1  # by the run from the other side


def test_a_run_ends_where_the_object_is_marked_absent_meanwhile(desk: Desk) -> None:
    desk.draw(0)
    session = _held(desk).widget.session
    last = max(session.tracks.frames(1))
    desk.go_to(last + 1)
    desk.widget.choose([1])
    desk.widget.perform("absent")
    desk.press("pause")
    desk.wait()
    assert session.tracks.frames(1) == list(range(last + 1))


def test_what_a_run_says_at_its_end_stays(desk: Desk) -> None:
    desk.draw(0)
    desk.widget.controls.last.value = 1
    desk.widget._soon.setInterval(60_000)  # a run may end before the edits at its start are read
    desk.track("forward")
    desk.widget._soon.setInterval(0)
    desk.qtbot.wait(50)
    assert desk.widget.controls.status.text().startswith("Done: ")


# -- several clips, layers and widgets --


def test_what_is_selected_in_one_clip_is_not_in_another(desk: Desk) -> None:
    on, first = desk.widget.controls, desk.image
    other = desk.viewer.add_image(desk.clip.frames, name="other")
    for image in (other, first):
        on.image.value = image
        desk.draw(0, box(10))
        desk.draw(0, box(60))
    desk.widget.choose([1])
    desk.viewer.add_points(np.zeros((1, 3)))  # which has the images offered again
    assert desk.widget.chosen == [1]
    on.image.value = other
    desk.qtbot.wait(60)
    assert (desk.widget.chosen, on.objects.ids) == ([], [])
    on.image.value = first
    desk.qtbot.wait(60)
    assert (desk.widget.chosen, on.objects.ids) == ([1], [1])


def test_no_undo_during_the_run_of_another_widget(desk: Desk) -> None:
    second = OceanWidget(desk.viewer)
    desk.viewer.window.add_dock_widget(second, name="Ocean again")
    desk.draw(0)
    desk.press("forward")
    second.perform("undo")
    assert second.controls.status.text() == "Stop the run first."
    desk.wait()
    assert desk.widget.session.tracks.frames(1) == list(range(20))


def test_a_run_that_ends_with_its_layer_leaves_no_bar_moving(desk: Desk) -> None:
    desk.draw(0)
    desk.press("forward")
    progress = desk.widget.controls.progress
    assert (progress.minimum(), progress.maximum()) == (0, 0)
    desk.viewer.layers.remove(desk.boxes)
    assert progress.maximum() > 0


def test_a_shape_in_the_hand_outlives_the_window(desk: Desk) -> None:
    desk.draw(0, box(20, 60))
    layer = desk.boxes
    layer.mode = "add_polygon"
    for at in ((10, 10), (10, 40), (40, 40), (40, 10)):
        mouse(layer, "mouse_press", (0, *at))
        mouse(layer, "mouse_release", (0, *at))
    desk.viewer.window.remove_dock_widget(desk.widget)
    again = OceanWidget(desk.viewer)
    assert (again.session.busy, layer.nshapes) == (True, 2)
    again.perform("stop")
    layer._finish_drawing()
    again.take_over_edits()
    assert_in_step(again.session)
    assert again.session.tracks.object_ids == [1, 2]
    again.shut_down()


# -- keys --


def test_t_tracks_from_the_layer_that_is_drawn_in(desk: Desk) -> None:
    press = desk.viewer.window._qt_viewer._key_map_handler.press_key
    mine = desk.viewer.add_shapes(ndim=3, name="mine")
    other = desk.viewer.add_shapes(ndim=3, name="other")
    desk.widget.controls.shapes.value = mine
    press("W")
    assert (desk.viewer.layers.selection.active, mine.mode) == (mine, "add_rectangle")
    mine.add_rectangles([layers.rectangle(0, desk.clip.truth_xyxy[0], desk.image)])
    press("T")
    desk.wait()
    assert desk.widget.session.tracks.frames(1) == list(range(20))
    desk.widget.controls.shapes.value = other
    desk.viewer.layers.selection.active = mine
    press("T")
    assert mine.mode == "add_path"
    desk.viewer.layers.selection.active = other
    desk.widget.shut_down()
    press("T")
    assert other.mode == "add_path"


def test_nothing_can_be_drawn_in_3d(desk: Desk) -> None:
    desk.viewer.dims.ndisplay = 3
    desk.press("draw")
    assert desk.errors == ["Nothing can be drawn in clip boxes now; switch to the 2D view."]
    desk.viewer.dims.ndisplay = 2
    desk.press("draw")
    assert desk.boxes.mode == "add_rectangle"


def test_a_shape_in_the_hand_is_finished_before_an_undo(desk: Desk) -> None:
    desk.draw(0)
    desk.boxes.mode = "add_polygon"
    mouse(desk.boxes, "mouse_press", (0, 10, 10))
    mouse(desk.boxes, "mouse_release", (0, 10, 10))
    desk.widget.perform("undo")
    assert desk.errors == ["Finish the shape that you are drawing first."]
    assert desk.widget.session.undo_labels == ["Draw object"]


@pytest.mark.parametrize("name", ["keyframe", "delete_box", "occluded"])
def test_where_there_is_no_box_the_keys_for_boxes_say_so(desk: Desk, name: str) -> None:
    desk.draw(0)
    desk.go_to(5)
    desk.widget.perform(name)
    assert desk.errors == ["The object has no box on this frame."]
    assert desk.widget.controls.status.text() == desk.errors[0]
    assert desk.widget.session.undo_labels == ["Draw object"]


def test_the_keys_are_shown_once(desk: Desk) -> None:
    for _ in range(2):
        desk.widget.perform("keys")
    (sheet,) = desk.widget.findChildren(QDialog)
    sheet.close()
    desk.qtbot.wait(20)
    desk.widget.perform("keys")
    (sheet,) = desk.widget.findChildren(QDialog)
    sheet.close()


def test_a_leap_ends_with_the_clip(desk: Desk) -> None:
    desk.viewer.add_points(np.array([[99.0, 5, 5]]))
    desk.go_to(15)
    desk.widget.perform("ahead")
    assert desk.viewer.dims.point[0] == 19


def test_labels_are_shown_as_they_are_typed(desk: Desk) -> None:
    desk.draw(0)
    desk.widget.session.set_object(1, label="<b>fly</b>")
    desk.widget.perform("delete")
    status = desk.widget.controls.status
    assert "<b>fly</b>" in status.text()
    assert status.textFormat() == Qt.TextFormat.PlainText
