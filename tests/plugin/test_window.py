"""An annotation too large for a layer, which then holds the frame on the screen only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from napari_builtins.io import napari_get_reader
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from napari_ocean.plugin import layers, sessions
from napari_ocean.plugin.pending import Pending
from napari_ocean.plugin.session import Left, Session
from napari_ocean.plugin.view import CROWD, WHOLE
from napari_ocean.tracks import Source, TrackBox, Tracks
from tests.plugin.conftest import Desk
from tests.plugin.hands import assert_in_step, box, change, draw, found, row_of

N_FRAMES = 300
KEYS_3 = [(1, 3), (2, 3)]


@pytest.fixture
def image() -> Image:
    return Image(np.zeros((N_FRAMES, 60, 80), np.uint8), name="clip")


def large() -> Tracks:
    tracks = Tracks()
    for x in (5, 45):
        object_id = tracks.add_object()
        for frame in range(N_FRAMES):
            source = Source.TRACKED if frame else Source.DRAWN
            tracks.put(object_id, frame, TrackBox(box(x + frame % 7), source=source))
    assert len(tracks) > WHOLE
    return tracks


@pytest.fixture
def session(image: Image) -> Session:
    return Session(image, left=Left(large(), {}, Pending()))


def test_the_layer_holds_the_frame_shown(session: Session) -> None:
    for frame in (0, 3, 299, 3):
        session.show_frame(frame)
        assert session.view.rows == [(1, frame), (2, frame)]
        shown = session.view.read()
        assert shown.frames.tolist() == [frame] * 2
        assert_allclose(shown.boxes_xyxy, [box(5 + frame % 7), box(45 + frame % 7)], atol=1e-3)
    assert len(session.tracks) == 2 * N_FRAMES
    assert session.undo_labels == []


def test_edits_are_kept_when_the_person_moves_along_at_once(session: Session) -> None:
    session.show_frame(3)
    change(session, row_of(session, 1, 3), (0, 5, 5))
    session.show_frame(4)
    session.layer.remove([row_of(session, 2, 4)])
    session.show_frame(5)
    assert session.tracks.keyframes(1) == [0, 3]
    assert 4 not in session.tracks.frames(2)
    assert session.undo_labels == ["Delete 1 box of object 2", "Move object 1"]
    session.undo()
    session.undo()
    session.show_frame(3)
    assert_allclose(session.view.read().boxes_xyxy[0], box(8), atol=1e-3)


def test_a_box_drawn_on_another_frame_is_taken_and_leaves_the_layer(session: Session) -> None:
    draw(session, 7, box(20, 40))
    assert session.tracks.keyframes(3) == [7]
    assert session.view.rows == [(1, 0), (2, 0)]
    session.show_frame(7)
    assert (3, 7) in session.view.rows


def test_a_run_shows_its_boxes_on_the_frame_shown_only(session: Session) -> None:
    session.show_frame(3)
    session.record([found(1, frame, box(30)) for frame in range(1, 50)])
    session.flush()
    assert sorted(session.view.rows) == KEYS_3
    rows = session.view.read().boxes_xyxy
    assert_allclose(rows[session.view.rows.index((1, 3))], box(30), atol=1e-3)


def test_the_selection_goes_with_the_object(session: Session) -> None:
    session.show_frame(3)
    session.select([2])
    session.show_frame(8)
    assert session.selected(8) == {2}


def test_the_layer_shrinks_and_grows_with_the_annotation(image: Image) -> None:
    session = Session(image)
    draw(session, 0, box(10), box(40))
    for object_id in (1, 2):
        session.record([found(object_id, k, box(20)) for k in range(1, N_FRAMES)], label="Track")
        session.flush()
    assert session.view.rows == [(1, 0), (2, 0)]
    session.undo()
    assert session.layer.nshapes == len(session.tracks) == N_FRAMES + 1
    assert_in_step(session)
    session.redo()
    assert session.layer.nshapes == 2


def test_a_crowd_has_no_labels(image: Image) -> None:
    tracks = large()
    for _ in range(CROWD):
        tracks.put(tracks.add_object(), 9, TrackBox(box(20)))
    session = Session(image, left=Left(tracks, {}, Pending()))
    shown = []
    for frame in (8, 9, 10):
        session.show_frame(frame)
        shown.append((session.layer.nshapes, session.layer.text.visible))
    assert shown == [(2, True), (CROWD + 2, False), (2, True)]


def test_nothing_is_torn_from_a_hand_when_the_frame_changes(session: Session) -> None:
    session.layer._is_creating = True
    session.show_frame(9)
    assert session.view.rows == [(1, 0), (2, 0)]
    session.layer._is_creating = False
    session.flush()
    assert session.view.rows == [(1, 9), (2, 9)]


def test_the_layer_goes_with_a_viewer() -> None:
    viewer = ViewerModel()
    image = viewer.add_layer(Image(np.zeros((N_FRAMES, 60, 80), np.uint8), scale=(0.5, 1, 1)))
    session = Session(image, left=Left(large(), {}, Pending()))
    viewer.add_layer(session.layer)
    session.follow(viewer.dims)
    viewer.dims.set_current_step(0, 12)
    assert session.frame == 12
    assert list(session.layer._view_indices) == [0, 1]
    session.unfollow()
    viewer.dims.set_current_step(0, 13)
    assert session.view.rows == [(1, 12), (2, 12)]


def test_napari_is_told_to_draw_what_the_layer_holds_on_each_frame() -> None:
    viewer = ViewerModel()
    session = Session(
        viewer.add_layer(Image(np.zeros((N_FRAMES, 60, 80)))), left=Left(large(), {}, Pending())
    )
    session.follow(viewer.dims)
    viewer.add_layer(session.layer)
    drawn: list[list[int]] = []
    session.layer.events.set_data.connect(lambda: drawn.append(list(session.layer._view_indices)))
    for frame in (12, 13, 40):
        viewer.dims.set_current_step(0, frame)
        assert drawn[-1] == [0, 1]


def test_the_whole_annotation_outlives_a_session(image: Image) -> None:
    first = sessions.join(image)
    first.resume()
    draw(first, 0, box(10), box(40))
    for object_id in (1, 2):
        first.record([found(object_id, k, box(20)) for k in range(1, N_FRAMES)])
        first.flush()
    first.mark_absent([1], 100, 110)
    layer = first.layer
    sessions.leave(first)
    layer.remove([0])  # with no session about
    again = sessions.join(image, layer)
    assert len(again.tracks) == 2 * N_FRAMES - 10 - 1
    assert again.tracks.absent_spans(1) == [range(100, 110)]
    assert again.undo_labels == ["Delete 1 box of object 1"]
    sessions.leave(again)


def read_csv(path: Path) -> dict[int, list[list[float]]]:
    """Box on the screen (x0, y0, x1, y1) of each shape that napari's own file has, by frame."""
    reader = napari_get_reader(str(path))
    assert reader is not None
    ((shapes, *_),) = reader(str(path))
    boxes: dict[int, list[list[float]]] = {}
    for shape in shapes:
        low, high = shape.min(axis=0) + 0.5, shape.max(axis=0) + 0.5
        boxes.setdefault(int(shape[0, 0]), []).append([low[2], low[1], high[2], high[1]])
    return boxes


def everything(tracks: Tracks) -> dict[int, list[list[float]]]:
    frames = {row.frame for row in tracks.rows()}
    return {
        frame: [of.box_xyxy.tolist() for of in tracks.on_frame(frame).values()] for frame in frames
    }


@pytest.mark.parametrize("closed", [False, True])
def test_napari_saves_all_boxes(
    session: Session, tmp_path: Path, npe2pm: Any, closed: bool
) -> None:
    session.show_frame(3)
    session.set_object(2, hidden=True)
    if closed:
        session.close()
    with npe2pm.tmp_plugin(package="napari"):  # napari's own writers
        (path,) = session.layer.save(str(tmp_path / "boxes.csv"))
    saved, wanted = read_csv(Path(path)), everything(session.tracks)
    assert saved.keys() == wanted.keys()
    for frame, boxes in wanted.items():
        assert_allclose(sorted(saved[frame]), sorted(boxes), atol=1e-3)
    assert session.layer.nshapes == 1


def test_a_copy_of_the_layer_has_all_boxes_with_what_is_known_of_them(image: Image) -> None:
    session = Session(image)
    draw(session, 0, box(10), box(40))
    for object_id in (1, 2):
        session.record([found(object_id, k, box(20)) for k in range(1, N_FRAMES)])
    session.set_object(2, label="cat")
    session.set_object(2, color="#102030", hidden=True)
    session.show_frame(9)
    assert session.layer.nshapes == 1
    shapes, settings, _ = session.layer.as_layer_data_tuple()
    copy = Shapes(shapes, **settings)
    again = Session(image, copy)
    assert [(r.object_id, r.frame, r.label, r.box.source) for r in again.tracks.rows()] == [
        (r.object_id, r.frame, r.label, r.box.source) for r in session.tracks.rows()
    ]
    cat = int(np.flatnonzero(copy.features["object_id"] == 2)[0])
    assert_allclose(copy.edge_color[cat], layers.rgba("#102030"), atol=1e-6)


def test_a_box_deleted_after_the_window_was_closed_is_not_saved(session: Session) -> None:
    session.close()
    session.layer.remove([0])
    assert len(session.layer.as_layer_data_tuple()[0]) == len(session.tracks) - 1


def test_shaders_are_kept_for_the_boxes_layer_only(desk: Desk) -> None:
    other = desk.viewer.add_shapes([[0, 0], [5, 5]], shape_type="line")
    desk.draw(0)
    visuals = desk.viewer.window._qt_viewer.layer_to_visual
    mine, theirs = visuals[desk.boxes].node.shape_faces, visuals[other].node.shape_faces

    def functions(mesh: Any) -> set[int]:
        made = set()
        for frame in (1, 2):
            desk.go_to(frame)
            mesh._update_data()
            made.add(id(mesh.shared_program.vert["color_transform"]))
        return made

    assert len(functions(mine)) == 1
    assert "_build_color_transform" not in vars(theirs)


@pytest.mark.parametrize("ground", [0, 120, 255])
def test_labels_can_be_read_on_any_ground(open_desk: Callable[..., Desk], ground: int) -> None:
    desk = open_desk(np.full((3, 240, 320), ground, np.uint8), contrast_limits=(0, 255))
    desk.draw(1, np.array([20.0, 120, 300, 220]))
    desk.viewer.show()

    def picture() -> NDArray[np.uint8]:
        desk.qtbot.wait(50)
        return desk.viewer.screenshot(flash=False)[..., 0]

    with_label = picture()
    desk.boxes.text.visible = False
    label = with_label[with_label != picture()]
    assert len(label) > 100
    assert label.min() < 60
    assert label.max() > 195
