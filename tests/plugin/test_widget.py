"""The dock widget in a real viewer, with the shipped tracker: draw, track, stop, correct."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtTest import QTest

from napari_ocean import boxes, formats, tracking
from napari_ocean.demo import DemoClip
from napari_ocean.plugin import demo, files, layers
from napari_ocean.plugin.widget import OceanWidget
from napari_ocean.plugin.worker import Batch
from napari_ocean.tracks import ObjectPrediction
from tests.plugin.conftest import N_FRAMES, Desk, drag, mouse

ALL = list(range(N_FRAMES))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every frame take 0.1 s, so that a run can be met in its middle."""
    from time import sleep

    from napari_ocean.tracking import Session

    step = Session.step

    def slowly(self, frame):
        sleep(0.1)
        return step(self, frame)

    monkeypatch.setattr(Session, "step", slowly)


def hold_a_run(desk: Desk) -> None:
    """Draw on the first frame, track, and hold the run once it has found something."""
    desk.draw(0)
    desk.press("forward")
    wait_for_first_boxes(desk)
    desk.press("pause")
    desk.qtbot.wait(800)  # the frame in work is handed over


def wait_for_first_boxes(desk: Desk) -> None:
    desk.qtbot.waitUntil(lambda: desk.boxes.nshapes > 2, timeout=30_000)


# -- one box in, a box on every frame out --


def test_forward_finds_the_object_on_every_frame(desk: Desk) -> None:
    desk.draw(0)
    desk.track("forward")
    assert desk.errors == []
    assert desk.frames(1) == ALL
    assert desk.frames(1, "drawn") == [0]
    found = np.array([desk.shown()[1, frame] for frame in ALL])
    assert boxes.iou(found, desk.clip.truth_xyxy).mean() > 0.5
    assert "Done" in desk.widget.controls.status.text()


def test_a_run_tells_how_far_it_is_how_quick_and_how_long_it_will_take(desk: Desk) -> None:
    said: list[str] = []
    told: list[int] = []

    def listen(text: str) -> None:
        said.append(text)
        told.append(desk.widget.controls.progress.value())

    desk.widget._runner.told.connect(listen)
    desk.draw(0)
    desk.track("forward")
    form = r"Frame \d+ · [\d.]+ frames/s · \d+:\d\d left"
    assert any(re.fullmatch(form, text) for text in said)
    assert max(told) == N_FRAMES


def test_the_status_line_says_what_to_do_next(desk: Desk) -> None:
    status = desk.widget.controls.status
    assert "Draw a box" in status.text()
    desk.draw(0)
    assert "Press T" in status.text()
    desk.track("forward")
    desk.widget.take_over_edits()
    assert "Press T" not in status.text()
    desk.viewer.layers.clear()
    assert "Drop a video" in status.text()


def test_backward_and_both_within_a_range(desk: Desk) -> None:
    desk.draw(8)
    desk.track("backward")
    assert desk.frames(1) == ALL[:9]
    desk.widget.controls.last.value = 12
    desk.track("both")
    assert desk.frames(1) == ALL[:13]
    desk.widget.controls.last.value = 7
    desk.widget.controls.first.value = 3
    desk.press("both")
    assert "No box was drawn on frames 3 to 7" in desk.errors[0]
    desk.widget.controls.first.value = 8
    desk.press("both")
    assert "range is empty" in desk.errors[1]
    assert not desk.widget.running


def test_several_objects_each_from_its_own_frame(desk: Desk) -> None:
    desk.draw(0)
    desk.draw(5, np.array([200.0, 100, 240, 140]))
    desk.track("forward")
    assert desk.frames(1) == ALL
    assert desk.frames(2) == ALL[5:]


@pytest.mark.parametrize("kind", ["ellipse", "polygon"])
def test_own_shapes_layer_is_read_and_not_changed(desk: Desk, kind: str) -> None:
    corners = layers.rectangle(0, desk.clip.truth_xyxy[0], desk.image)
    if kind == "polygon":
        corners = (corners + np.roll(corners, -1, axis=0)) / 2  # a rhombus of the same extent
    own = desk.viewer.add_shapes([corners], shape_type=kind, name="mine")
    before = own.data[0].copy()
    assert desk.widget.controls.shapes.value is own
    desk.track("forward")
    assert desk.errors == desk.warnings == []
    assert np.array_equal(own.data[0], before)
    assert own.nshapes == 1
    assert desk.frames(1) == ALL
    assert_allclose(desk.shown()[1, 0], desk.clip.truth_xyxy[0], atol=1e-2)


def test_channels_scale_and_translation(open_desk: Callable[..., Desk], clip: DemoClip) -> None:
    channels = np.moveaxis(clip.frames, -1, 1)
    desk = open_desk(channels, scale=(1, 1, 0.5, 0.5), translate=(0, 0, 30, -20))
    desk.draw(0)
    desk.viewer.dims.set_current_step(1, 2)
    desk.track("forward")
    assert desk.errors == []
    assert desk.frames(1) == ALL
    assert desk.viewer.dims.current_step[1] == 2
    last = np.array([desk.shown()[1, frame] for frame in ALL])
    assert boxes.iou(last, clip.truth_xyxy).mean() > 0.5
    world = np.array(desk.boxes.data_to_world(desk.boxes.data[0][0]))[-2:]
    assert_allclose(world, (clip.truth_xyxy[0][[1, 0]] - 0.5) * 0.5 + (30, -20), atol=1e-3)


def test_grey_sixteen_bits_with_a_flat_shapes_layer(
    open_desk: Callable[..., Desk], clip: DemoClip
) -> None:
    desk = open_desk(clip.frames.mean(axis=-1).astype(np.uint16) * 200)
    desk.go_to(4)
    flat = layers.rectangle(4, clip.truth_xyxy[4], desk.image)[:, 1:]
    desk.viewer.add_shapes([flat], ndim=2)
    desk.track("forward")
    assert desk.errors == []
    assert desk.frames(1) == ALL[4:]


# -- stop, correct, track again --


@pytest.mark.usefixtures("slow")
def test_stop_keeps_what_was_found(desk: Desk) -> None:
    desk.draw(0)
    desk.press("forward")
    assert desk.widget.controls.tracking.currentIndex() == 1
    wait_for_first_boxes(desk)
    desk.press("stop")
    assert desk.widget.controls.status.text() == "Stopping after the frame in work…"
    desk.wait()
    frames = desk.frames(1)
    assert 2 < len(frames) < N_FRAMES
    assert frames == ALL[: len(frames)]
    assert "Stopped" in desk.widget.controls.status.text()
    desk.go_to(frames[-1])
    desk.track("forward")
    assert desk.frames(1) == ALL
    assert desk.frames(1, "drawn") == [0]


@pytest.mark.usefixtures("slow")
def test_hold_and_go_on(desk: Desk) -> None:
    hold_a_run(desk)
    count = desk.boxes.nshapes
    desk.qtbot.wait(500)
    assert desk.boxes.nshapes == count < N_FRAMES
    assert desk.widget.running
    assert "Held" in desk.widget.controls.status.text()
    assert "Go on" in desk.widget.controls.pause.text()
    assert "Stop the run first" in desk.widget.controls.undo.toolTip()
    desk.press("pause")
    desk.wait()
    assert desk.frames(1) == ALL


@pytest.mark.usefixtures("slow")
def test_a_held_run_goes_on_from_what_was_corrected(desk: Desk) -> None:
    hold_a_run(desk)
    last = desk.frames(1)[-1]
    assert last < 14
    correct(desk, 1, last, 90, 110)
    desk.widget.controls.next_object.value = 1
    ahead = np.array([20.0, 20, 60, 60])
    desk.boxes.add_rectangles([layers.rectangle(17, ahead, desk.image)])
    desk.qtbot.wait(20)
    desk.press("pause")
    desk.wait()
    shown, truth = desk.shown(), desk.clip.truth_xyxy
    assert desk.frames(1) == ALL
    assert desk.frames(1, "corrected") == [last]
    assert boxes.iou(shown[1, last + 1], shown[1, last]) > 0.4
    assert boxes.iou(shown[1, last + 1], truth[last + 1]) == 0
    assert_allclose(shown[1, 17], ahead, atol=1e-3)
    assert boxes.iou(shown[1, 18], ahead) > 0.4
    assert desk.widget.session.pending.frames(reverse=False) == {}


def test_between_two_boxes_the_runs_from_both_sides_are_fused(desk: Desk) -> None:
    desk.draw(2)
    desk.widget.controls.next_object.value = 1
    desk.draw(12)
    desk.go_to(7)
    desk.qtbot.wait(60)
    desk.track("between")
    assert desk.errors == []
    assert desk.frames(1) == ALL[2:13]
    assert desk.frames(1, "drawn") == [2, 12]
    found = np.array([desk.shown()[1, frame] for frame in range(2, 13)])
    assert boxes.iou(found, desk.clip.truth_xyxy[2:13]).mean() > 0.5


def test_a_run_can_be_undone_and_done_again(desk: Desk) -> None:
    on = desk.widget.controls
    on.at_most.value = 3
    desk.draw(5)
    desk.track("both")
    assert desk.frames(1) == ALL[2:9]
    assert "Undo: Track object 1" in on.undo.toolTip()
    on.undo.click()
    assert desk.frames(1) == [5]
    on.redo.click()
    assert desk.frames(1) == ALL[2:9]


@pytest.mark.usefixtures("slow")
def test_batches_do_not_pile_up_in_the_activity_dock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtTest import QTest

    from napari_ocean.plugin import runner

    class SlowBar:
        depth = deepest = n = 0

        def __init__(self, **_: Any) -> None: ...

        def update(self, step: int) -> None:
            SlowBar.n += step
            SlowBar.depth += 1
            SlowBar.deepest = max(SlowBar.deepest, SlowBar.depth)
            QTest.qWait(700)  # as napari does, it lets other events in
            SlowBar.depth -= 1

        def close(self) -> None: ...

    monkeypatch.setattr(runner, "progress", SlowBar)
    desk.draw(0)
    desk.track("forward")
    desk.qtbot.waitUntil(lambda: SlowBar.depth == 0, timeout=10_000)
    assert SlowBar.deepest == 1
    assert "Done" in desk.widget.controls.status.text()


def test_a_run_may_end_while_napari_makes_its_bar(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_ocean.plugin import runner

    class Bar:
        made, closed, n = 0, 0, 0

        def __init__(self, **_: Any) -> None:
            Bar.made += 1
            desk.wait()  # as napari does, it lets other events in

        def update(self, step: int) -> None:
            Bar.n += step

        def close(self) -> None:
            Bar.closed += 1

    monkeypatch.setattr(runner, "progress", Bar)
    desk.draw(0)
    desk.track("forward")
    desk.qtbot.waitUntil(lambda: Bar.made == Bar.closed == 1, timeout=10_000)
    assert desk.frames(1) == ALL
    assert "Done" in desk.widget.controls.status.text()


ELSEWHERE = np.array([200.0, 100, 240, 140])
"""Where no animal is."""


def correct(desk: Desk, object_id: int, frame: int, y: float, x: float) -> None:
    """Move a box."""
    row = list(desk.shown()).index((object_id, frame))
    vertices = desk.boxes.data
    vertices[row] = vertices[row] + np.array([0, y, x])
    desk.boxes.data = vertices
    desk.qtbot.wait(20)


@pytest.mark.parametrize("looked_at", [10, 11])
def test_correction_replaces_only_later_boxes_of_that_object(desk: Desk, looked_at: int) -> None:
    desk.draw(0)
    desk.draw(0, ELSEWHERE)
    desk.track("forward")
    rows = [row for row, key in enumerate(desk.shown()) if key[0] == 2 and 14 <= key[1] <= 16]
    desk.boxes.remove(rows)  # it was not there
    before = desk.shown()
    correct(desk, 1, 10, 4, 6)
    assert (desk.frames(1, "drawn"), desk.frames(1, "corrected")) == ([0], [10])
    desk.go_to(looked_at)
    desk.track("forward")
    after = desk.shown()
    assert after.keys() == before.keys()
    changed = {key for key in before if not np.allclose(before[key], after[key], atol=1e-3)}
    assert {object_id for object_id, _ in changed} == {1}
    assert min(frame for _, frame in changed) == 10
    assert len(changed) > 5
    assert_allclose(after[1, 10], before[1, 10] + (6, 4, 6, 4), atol=1e-3)


def test_a_seed_corrected_on_a_shared_frame_leaves_the_other_object_alone(desk: Desk) -> None:
    desk.widget.controls.last.value = 6
    desk.draw(0)
    desk.draw(0, ELSEWHERE)
    desk.track("forward")
    desk.boxes.remove([row for row, key in enumerate(desk.shown()) if key in [(2, 4), (2, 5)]])
    desk.go_to(0)
    correct(desk, 1, 0, 1, 1)
    desk.track("forward")
    assert desk.frames(2) == [0, 1, 2, 3, 6]


def test_the_object_selected_on_this_frame_goes_on(desk: Desk) -> None:
    desk.widget.controls.last.value = 6
    desk.draw(0)
    desk.draw(0, ELSEWHERE)
    desk.track("forward")
    desk.widget.controls.last.value = 9
    desk.go_to(6)
    desk.boxes.selected_data = {list(desk.shown()).index((2, 6))}
    desk.track("forward")
    assert (desk.frames(1), desk.frames(2)) == (ALL[:7], ALL[:10])


@pytest.mark.usefixtures("slow")
def test_a_deleted_object_does_not_live_on_in_the_next_one(desk: Desk) -> None:
    desk.draw(0)
    desk.press("forward")
    wait_for_first_boxes(desk)
    desk.boxes.selected_data = set(range(desk.boxes.nshapes))
    desk.boxes.remove_selected()
    desk.boxes.add_rectangles([layers.rectangle(2, ELSEWHERE, desk.image)])
    desk.wait()
    assert list(desk.shown()) == [(2, 2)]


@pytest.mark.usefixtures("slow")
def test_a_box_drawn_ahead_of_the_run_is_kept(desk: Desk) -> None:
    desk.draw(0)
    desk.press("forward")
    wait_for_first_boxes(desk)
    desk.widget.controls.next_object.value = 1
    ahead = np.array([100.0, 100, 140, 140])
    desk.boxes.add_rectangles([layers.rectangle(17, ahead, desk.image)])
    desk.wait()
    assert desk.frames(1) == ALL
    assert desk.frames(1, "drawn") == [0, 17]
    assert_allclose(desk.shown()[1, 17], ahead, atol=1e-3)


@pytest.mark.usefixtures("slow")
def test_the_view_follows_until_the_person_looks_elsewhere(desk: Desk) -> None:
    desk.draw(0)
    desk.press("forward")
    desk.qtbot.waitUntil(
        lambda: layers.current_frame(desk.image, desk.viewer.dims) > 2, timeout=30_000
    )
    desk.go_to(1)
    desk.wait()
    assert layers.current_frame(desk.image, desk.viewer.dims) == 1


@pytest.mark.usefixtures("slow")
def test_a_run_is_followed_no_longer_when_the_person_says_so(desk: Desk) -> None:
    hold_a_run(desk)
    desk.widget.controls.follow.value = False
    at = desk.widget.frame
    desk.press("pause")
    desk.wait()
    assert (desk.widget.frame, desk.frames(1)) == (at, ALL)


def test_boxes_have_the_chosen_colours_from_the_first_on(desk: Desk) -> None:
    desk.widget.controls.color_by.value = "score"
    desk.draw(0)
    assert desk.widget.session.view.color_by == "score"


def test_a_layer_that_is_drawn_in_is_seen(desk: Desk) -> None:
    desk.draw(0)
    desk.boxes.visible = False
    desk.press("draw")
    assert desk.boxes.visible


# -- what goes wrong is said --


def test_a_frame_far_from_the_range(desk: Desk) -> None:
    desk.draw(0)
    on = desk.widget.controls
    on.first.value, on.last.value, on.at_most.value = 2, 5, 3
    desk.go_to(15)
    desk.press("forward")
    assert "Frame 15 lies outside the range" in desk.errors[0]


def test_a_flat_shape_that_is_too_small(desk: Desk) -> None:
    mine = desk.viewer.add_shapes([np.array([[10, 10], [10, 11], [11, 11], [11, 10]])], ndim=2)
    desk.widget.controls.shapes.value = mine
    desk.press("forward")
    assert "is not used" in desk.warnings[0]
    assert "frame" not in desk.warnings[0]


def test_nothing_drawn(desk: Desk) -> None:
    desk.press("forward")
    assert "draw one around the object" in desk.errors[0]
    assert not desk.widget.running


def test_box_outside_the_frame(desk: Desk) -> None:
    desk.draw(0, np.array([900.0, 100, 940, 140]))
    assert "outside the frame" in desk.warnings[0]
    desk.press("forward")
    assert desk.errors
    assert desk.boxes.nshapes == 1


def test_no_image(desk: Desk) -> None:
    desk.viewer.layers.clear()
    assert not desk.widget.controls.forward.isEnabled()
    desk.widget.perform("forward")
    assert "open a video" in desk.errors[0]


def test_model_without_weights(desk: Desk, tmp_path: Path) -> None:
    desk.draw(0)
    desk.widget.controls.model.value = "file"
    desk.press("forward")
    assert "weights file" in desk.errors[0]
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"nothing")
    desk.widget.controls.model_file.value = wrong
    desk.track("forward")
    assert len(desk.errors) == 2
    assert desk.frames(1) == [0]
    assert desk.widget.controls.tracking.currentIndex() == 0


def test_a_box_that_is_found_twice_counts_once(desk: Desk) -> None:
    """As after a correction in the middle of a run, on the last frame of it."""
    desk.draw(0)
    desk.widget.controls.at_most.value = 3
    desk.press("forward")
    run = desk.widget._runner.run
    assert run is not None
    desk.wait()
    assert run.summary().startswith("Done: 4 boxes")  # the drawn one is one of them
    last = desk.widget.session.tracks.get(1, 3)
    again = ObjectPrediction(
        object_id=1, frame=3, box_xyxy=last.box_xyxy, score=last.score, state=last.state
    )
    run._on_batch(Batch([again], 5, 5, 1.0))
    assert run.summary().startswith("Done: 4 boxes")


def test_fast_is_another_tracker(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, made = [], tracking.load_tracker

    def load(*args: Any, **options: Any) -> tracking.Tracker:
        asked.append(options["fast"])
        return made(*args, **options)

    monkeypatch.setattr(tracking, "load_tracker", load)
    desk.draw(0)
    desk.widget.controls.at_most.value = 2
    for fast in (False, True, True):
        desk.widget.controls.fast.value = fast
        desk.track("forward")
    assert asked == [None, True]
    assert desk.frames(1) == [0, 1, 2]


# -- closing --


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("what", ["widget", "boxes layer", "image layer"])
def test_closing_in_the_middle_ends_the_work(desk: Desk, what: str) -> None:
    desk.draw(0)
    desk.press("forward")
    wait_for_first_boxes(desk)
    boxes_layer = desk.boxes
    if what == "widget":
        desk.viewer.window.remove_dock_widget(desk.widget)
    else:
        desk.viewer.layers.remove(boxes_layer if what == "boxes layer" else desk.image)
    assert not desk.widget.running
    assert QThreadPool.globalInstance().waitForDone(5000)
    count = boxes_layer.nshapes
    desk.qtbot.wait(50)
    assert 2 < count == boxes_layer.nshapes < N_FRAMES
    assert desk.errors == []


@pytest.mark.usefixtures("slow")
def test_closing_the_viewer_in_the_middle(desk: Desk) -> None:
    desk.draw(0)
    desk.press("forward")
    wait_for_first_boxes(desk)
    desk.viewer.close()
    assert QThreadPool.globalInstance().waitForDone(5000)


def test_a_new_widget_takes_up_the_boxes(desk: Desk) -> None:
    desk.widget.controls.label.value = "ladybird"
    desk.draw(0)
    desk.track("forward")
    desk.viewer.window.remove_dock_widget(desk.widget)
    again = OceanWidget(desk.viewer)
    assert again.session.tracks.drawn_frames(1) == [0]
    assert again.session.tracks.frames(1) == ALL
    assert again.session.tracks.label(1) == "ladybird"
    again.shut_down()


# -- the rest of the form --


def test_the_demo_draws_a_box_and_tracks_it(
    make_napari_viewer: Any, qtbot: Any, clip: DemoClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "demo_clip", lambda: clip)
    widget = demo.start_demo(make_napari_viewer())
    assert widget.running
    qtbot.waitUntil(lambda: not widget.running, timeout=60_000)
    assert widget.session.tracks.frames(1) == ALL
    assert widget.session.tracks.label(1) == "ladybird"


def test_label_and_next_object(desk: Desk) -> None:
    on = desk.widget.controls
    on.label.value = "dog"
    desk.draw(0)
    assert list(desk.boxes.features["label"]) == ["dog"]
    desk.boxes.selected_data = {0}
    assert on.label.value == "dog"
    on.label.value = "cat"
    on.label.native.editingFinished.emit()
    assert list(desk.boxes.features["label"]) == ["cat"]
    combo = on.next_object.native
    assert [combo.itemText(k) for k in range(combo.count())] == ["new object", "cat 1"]
    on.next_object.value = 1
    desk.draw(7)
    assert desk.frames(1) == [0, 7]
    assert on.next_object.value == 0


def test_the_next_box_is_that_of_the_selected_object_where_it_has_none(desk: Desk) -> None:
    on = desk.widget.controls
    desk.draw(0)
    desk.draw(0, ELSEWHERE)
    desk.widget.choose([2])
    desk.press("draw")  # it has one here
    assert on.next_object.value == 0
    desk.draw(5)
    assert (desk.frames(1), desk.frames(2)) == ([0], [0, 5])
    assert on.next_object.value == 0
    desk.widget.choose([1])
    desk.go_to(7)
    desk.press("draw")
    assert on.next_object.value == 1
    assert on.status.text() == "The next box is object 1's; choose 'new object' for another."
    on.next_object.value = 0
    assert on.status.text() == "Objects: 2 · boxes: 3. Press T to track what you drew."
    desk.boxes.add_rectangles([layers.rectangle(7, ELSEWHERE, desk.image)])
    desk.qtbot.wait(20)
    assert desk.frames(3) == [7]
    desk.widget.choose([3])
    desk.go_to(8)
    desk.press("draw")
    assert on.next_object.value == 3
    desk.qtbot.wait(80)  # and it is still said after napari has changed the layer's mode
    assert on.status.text() == "The next box is object 3's; choose 'new object' for another."
    desk.press("undo")  # and the object is gone
    desk.qtbot.wait(60)
    assert on.next_object.value == desk.widget.session.next_object == 0


@pytest.mark.parametrize("before", [False, True])
def test_a_new_object_that_was_asked_for_is_one(desk: Desk, before: bool) -> None:
    combo = desk.widget.controls.next_object.native
    desk.draw(0)
    desk.go_to(5)
    desk.widget.choose([1])
    if not before:
        desk.press("draw")
    combo.showPopup()
    combo.view().setCurrentIndex(combo.model().index(0, 0))
    QTest.keyClick(combo.view(), Qt.Key.Key_Return)
    desk.draw(5)
    assert (desk.frames(1), desk.frames(2)) == ([0], [5])


@pytest.mark.parametrize("why", ["none", "two", "locked"])
def test_the_next_box_is_a_new_object_unless_one_that_can_be_drawn_is_selected(
    desk: Desk, why: str
) -> None:
    desk.draw(0)
    desk.draw(0, ELSEWHERE)
    desk.widget.session.set_object(2, locked=True)
    desk.widget.choose({"none": [], "two": [1, 2], "locked": [2]}[why])
    desk.draw(5)
    assert desk.frames(3) == [5]


def test_an_object_that_lost_all_its_boxes_can_be_drawn_anew(desk: Desk) -> None:
    desk.draw(0)
    desk.widget.session.remove([1], 0)
    desk.widget.choose([1])
    desk.draw(3)
    assert desk.frames(1) == [3]


def test_save(desk: Desk, tmp_path: Path) -> None:
    desk.widget.save(tmp_path / "none.csv")
    assert "no boxes" in desk.errors[0]
    desk.draw(3)
    desk.widget.save(tmp_path / "boxes.csv")
    saved = formats.read(tmp_path / "boxes.csv")
    assert saved.drawn_frames(1) == [3]
    assert_allclose(saved.get(1, 3).box_xyxy, desk.clip.truth_xyxy[3], atol=1e-3)


def test_save_what_trainers_read(desk: Desk, tmp_path: Path) -> None:
    desk.draw(3)
    desk.widget.save(tmp_path / "boxes.yolo.zip")
    assert desk.errors == []
    with zipfile.ZipFile(tmp_path / "boxes.yolo.zip") as archive:
        line = archive.read("labels/000003.txt").decode()
    height, width = desk.clip.frames.shape[1:3]
    x0, y0, x1, y1 = desk.clip.truth_xyxy[3]
    want = [0, (x0 + x1) / 2 / width, (y0 + y1) / 2 / height]
    assert_allclose(
        [float(value) for value in line.split()],
        [*want, (x1 - x0) / width, (y1 - y0) / height],
        atol=1e-5,
    )


def test_the_save_dialog_lists_every_format(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[str] = []

    def ask(*args: Any) -> tuple[str, str]:
        offered.extend(args[-1].split(";;"))
        return "", ""

    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", ask)
    desk.draw(3)
    desk.press("export")
    assert [kind.rpartition("(*")[2].rstrip(")") for kind in offered] == list(formats.kinds())


@pytest.mark.parametrize(
    ("typed", "kind", "saved"),
    [
        ("boxes", "JSON (*.json)", "boxes.json"),
        ("boxes.csv", "JSON (*.json)", "boxes.csv"),
        ("run.2", "Table (*.csv)", "run.2.csv"),
        ("boxes", "COCO with tracks (*.coco.json)", "boxes.coco.json"),
        ("boxes.json", "COCO with tracks (*.coco.json)", "boxes.coco.json"),
        ("boxes.mot.txt", "OTB (*.txt)", "boxes.mot.txt"),
        ("boxes.xml", "Table (*.csv)", "boxes.xml"),
        ("Boxes.XML", "CVAT for video 1.1 (*.cvat.xml)", "Boxes.XML"),
        ("boxes.txt", "MOTChallenge gt.txt (*.mot.txt)", "boxes.mot.txt"),
    ],
)
def test_a_file_name_gets_the_ending_of_the_chosen_kind(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, kind: str, saved: str
) -> None:
    monkeypatch.setattr(
        files.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / typed), kind)
    )
    desk.draw(3)
    desk.press("export")
    assert desk.errors == []
    assert formats.read(tmp_path / saved).drawn_frames(1) == [3]


def test_an_ending_of_two_formats_is_either_that_of_the_chosen_kind_or_refused(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "YOLO labels (*.yolo.zip)"
    monkeypatch.setattr(
        files.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "boxes.zip"), kind)
    )
    desk.draw(3)
    desk.press("export")
    kind = "Table (*.csv)"
    desk.press("export")
    (error,) = desk.errors
    assert "the suffix '.zip' is not a format; supported are .csv" in error
    assert [path.name for path in tmp_path.iterdir()] == ["boxes.yolo.zip"]


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_a_completed_file_name_replaces_nothing_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any, answer: str
) -> None:
    (tmp_path / "boxes.csv").write_text("old")
    chosen = (str(tmp_path / "boxes"), "Table (*.csv)")
    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", lambda *_: chosen)
    button = getattr(files.QMessageBox.StandardButton, answer)
    monkeypatch.setattr(files.QMessageBox, "question", lambda *_: button)
    parent = files.QWidget()
    qtbot.addWidget(parent)
    want = tmp_path / "boxes.csv" if answer == "Yes" else None
    assert files.ask_path(parent, None) == want


def test_every_control_has_a_name_and_a_tool_tip(desk: Desk) -> None:
    for name in ("draw", "backward", "both", "forward", "stop", "export"):
        button = getattr(desk.widget.controls, name)
        assert button.objectName() == name
        assert button.toolTip()
    for name in ("image", "shapes", "next_object", "label", "first", "last", "model", "device"):
        part = getattr(desk.widget.controls, name)
        assert part.native.objectName() == name
        assert part.tooltip


@pytest.mark.usefixtures("slow")
def test_drawing_and_moving_with_the_mouse_while_tracking(desk: Desk) -> None:
    desk.draw(0)
    desk.press("forward")
    wait_for_first_boxes(desk)
    seen: list[int] = []

    def pause() -> None:
        seen.append(desk.boxes.nshapes)
        desk.qtbot.wait(600)  # the run goes on, and must not touch the layer meanwhile
        seen.append(desk.boxes.nshapes)

    desk.go_to(2)
    desk.press("draw")
    drag(desk, (120, 200), (140, 230), (160, 240), pause=pause)
    assert seen[0] == seen[1]
    assert layers.current_frame(desk.image, desk.viewer.dims) == 2
    assert desk.frames(2, "drawn") == [2]
    assert_allclose(desk.shown()[2, 2], [200.5, 120.5, 240.5, 160.5], atol=0.6)
    desk.boxes.mode = "select"
    before = desk.shown()[2, 2]
    drag(desk, (140, 220), (145, 225), (150, 230))
    assert_allclose(desk.shown()[2, 2], before + 10, atol=0.6)
    desk.wait()
    assert desk.frames(1) == ALL
    assert desk.errors == desk.warnings == []


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("where", ["boxes layer", "own layer"])
def test_following_waits_for_a_drag(desk: Desk, where: str) -> None:
    desk.draw(0)
    own = desk.viewer.add_shapes(ndim=3, name="mine")
    desk.press("forward")
    wait_for_first_boxes(desk)
    assert desk.widget._runner.run.follow
    layer = desk.boxes if where == "boxes layer" else own
    layer.mode = "add_rectangle"
    before = desk.viewer.dims.current_step[0]
    drag(desk, (120, 200), (140, 230), (160, 240), pause=lambda: desk.qtbot.wait(900), layer=layer)
    assert desk.viewer.dims.current_step[0] == before
    desk.wait()
    assert desk.frames(1) == ALL
    if layer is own:
        assert own.nshapes == 1
    else:
        assert desk.frames(2, "drawn") == [before]


def test_an_unfinished_polygon_counts_without_its_double_click(desk: Desk) -> None:
    desk.widget.controls.last.value = 3
    desk.press("draw")
    desk.boxes.mode = "add_polygon"
    x0, y0, x1, y1 = desk.clip.truth_xyxy[0] - 0.5
    for y, x in [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]:
        for kind in ("mouse_press", "mouse_release", "mouse_move"):
            mouse(desk.boxes, kind, (0, y, x))
    mouse(desk.boxes, "mouse_move", (0, 5, 300))  # on the way to the button
    desk.track("forward")
    assert desk.errors == []
    assert desk.frames(1) == ALL[:4]
    assert_allclose(desk.shown()[1, 0], desk.clip.truth_xyxy[0], atol=1e-2)


def test_boxes_that_cannot_be_used_are_told_of_in_a_run_too(desk: Desk) -> None:
    desk.draw(0)
    desk.widget._soon.setInterval(60_000)  # the run is the first to see it
    desk.press("forward")
    desk.boxes.add_rectangles([layers.rectangle(3, ELSEWHERE + 800, desk.image)])
    desk.wait()
    assert len(desk.warnings) == 1
    assert "outside the frame" in desk.warnings[0]


# -- several images, several widgets --


def names_offered(desk: Desk) -> list[str]:
    combo = desk.widget.controls.shapes.native
    return [combo.itemText(k) for k in range(combo.count())]


def test_every_clip_has_boxes_of_its_own(desk: Desk) -> None:
    on, first = desk.widget.controls, desk.image
    on.last.value = 3
    desk.draw(0)
    desk.track("forward")
    other = desk.viewer.add_image(desk.clip.frames[::-1].copy(), name="other")
    on.image.value = other
    assert on.shapes.value is None
    assert names_offered(desk) == ["new boxes layer"]
    desk.draw(0, desk.clip.truth_xyxy[-1])
    assert desk.boxes.name == "other boxes"
    assert on.shapes.value is desk.boxes
    on.last.value = 2
    desk.track("forward")
    assert (desk.frames(1), desk.widget.session.object_ids) == (ALL[:3], [1])
    on.image.value = first
    assert on.shapes.value is desk.boxes
    assert names_offered(desk) == ["clip boxes"]
    assert (desk.frames(1), desk.widget.session.object_ids) == (ALL[:4], [1])


def test_the_layer_of_another_clip_is_not_taken_for_a_prompt(desk: Desk) -> None:
    desk.draw(0)
    desk.viewer.window.remove_dock_widget(desk.widget)  # so that no session is open
    desk.viewer.add_image(desk.clip.frames, name="other")
    desk.widget = OceanWidget(desk.viewer)
    assert desk.image.name == "other"
    assert names_offered(desk) == ["new boxes layer"]
    desk.widget.shut_down()


@pytest.mark.parametrize("renamed", ["image", "boxes"])
def test_boxes_are_found_again_after_renaming(desk: Desk, renamed: str) -> None:
    desk.draw(0)
    boxes_layer = desk.boxes
    desk.viewer.window.remove_dock_widget(desk.widget)
    (desk.image if renamed == "image" else boxes_layer).name = "renamed"
    again = OceanWidget(desk.viewer)
    assert again.session.layer is boxes_layer
    assert again.session.tracks.drawn_frames(1) == [0]
    again.shut_down()


def test_two_widgets_share_the_boxes(desk: Desk) -> None:
    second = OceanWidget(desk.viewer)
    desk.viewer.window.add_dock_widget(second, name="Ocean again")
    desk.draw(0)
    assert second.session is desk.widget.session
    desk.press("forward")
    second.perform("forward")
    assert "tracked already" in desk.errors[0]
    desk.wait()
    desk.qtbot.wait(50)
    assert desk.frames(1, "drawn") == [0]
    desk.viewer.window.remove_dock_widget(desk.widget)
    desk.widget = second
    correct(desk, 1, 12, 1, 1)
    assert second.session.tracks.drawn_frames(1) == [0, 12]


def test_the_menu_finds_the_widget_of_the_demo(
    make_napari_viewer: Any, clip: DemoClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "demo_clip", lambda: clip)
    viewer = make_napari_viewer()
    widget = demo.start_demo(viewer)
    assert viewer.window.add_plugin_dock_widget("napari-ocean", "Ocean")[1] is widget
    assert len(viewer.window.dock_widgets) == 1


@pytest.mark.usefixtures("slow")
def test_the_range_stays_when_layers_come(desk: Desk) -> None:
    on = desk.widget.controls
    on.last.value = 12
    desk.draw(0)
    desk.press("forward")
    desk.viewer.add_points(name="points")
    desk.press("stop")
    desk.wait()
    desk.viewer.add_points(name="more points")
    assert (on.first.value, on.last.value) == (0, 12)
    desk.viewer.add_image(desk.clip.frames[:5], name="short")
    on.image.value = desk.viewer.layers["short"]
    assert (on.first.value, on.last.value) == (0, 4)
