"""The boxes layer and the annotation in step, without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Shapes
from napari.layers._source import layer_source
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from napari_ocean.plugin import layers
from napari_ocean.plugin.session import Session
from napari_ocean.tracks import Source
from napari_ocean.video import unread_series
from tests.plugin.conftest import mouse
from tests.plugin.hands import (
    N_FRAMES,
    assert_in_step,
    box,
    change,
    draw,
    found,
    row_of,
    track,
)


@pytest.fixture
def image() -> Image:
    return Image(np.zeros((N_FRAMES, 60, 80), np.uint8), name="clip")


@pytest.fixture
def session(image: Image) -> Session:
    return Session(image)


def absorb(session: Session, mine: Shapes, frame: int) -> list[str]:
    session.absorb(mine, frame)
    return session.take_news()


def test_each_drawn_box_is_an_object(session: Session) -> None:
    draw(session, 0, box(10), box(40))
    draw(session, 5, box(20))
    assert [(r.object_id, r.frame, r.box.source) for r in session.tracks.rows()] == [
        (1, 0, Source.DRAWN),
        (2, 0, Source.DRAWN),
        (3, 5, Source.DRAWN),
    ]
    assert_in_step(session)


def test_boxes_of_one_id_are_one_object(session: Session) -> None:
    session.choose_next(7)
    shapes = [layers.rectangle(frame, box(10), session.image) for frame in (0, 4)]
    session.layer.add_rectangles(shapes)
    session.pull()
    assert session.tracks.drawn_frames(7) == [0, 4]
    assert_in_step(session)


def test_tracked_boxes_are_shown_at_once_and_drawn_ones_kept(session: Session) -> None:
    draw(session, 3, box(50))
    track(session, 1, range(N_FRAMES))
    assert len(session.tracks) == N_FRAMES
    assert session.tracks.drawn_frames(1) == [3]
    assert_allclose(session.tracks.get(1, 3).box_xyxy, box(50), atol=1e-3)
    assert_in_step(session)


def test_a_moved_box_becomes_drawn(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(N_FRAMES))
    change(session, row_of(session, 1, 12), (0, 3, 4))
    session.pull()
    assert session.tracks.drawn_frames(1) == [0, 12]
    assert_allclose(session.tracks.get(1, 12).box_xyxy, box(10 + 12 + 4, 13), atol=1e-3)
    assert_in_step(session)


def test_tracking_again_replaces_later_boxes_of_that_object_only(session: Session) -> None:
    draw(session, 0, box(10), box(40))
    track(session, 1, range(N_FRAMES))
    track(session, 2, range(N_FRAMES), x=40)
    change(session, row_of(session, 1, 12), (0, 3, 4))
    session.pull()
    before = {(r.object_id, r.frame): r.box for r in session.tracks.rows()}
    track(session, 1, range(13, N_FRAMES), x=-5)
    for row in session.tracks.rows():
        replaced = row.object_id == 1 and row.frame > 12
        same = np.array_equal(row.box.box_xyxy, before[row.object_id, row.frame].box_xyxy)
        assert same != replaced
    assert_in_step(session)


def test_a_deleted_shape_is_deleted_and_its_object_stays(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(10))
    session.layer.remove([row_of(session, 1, 4), row_of(session, 1, 9)])
    session.pull()
    assert session.tracks.frames(1) == [0, 1, 2, 3, 5, 6, 7, 8]
    session.layer.data = []
    session.pull()
    assert session.tracks.object_ids == [1]
    assert len(session.tracks) == 0


def test_a_second_animal_never_merges_into_the_first(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(10))
    draw(session, 4, box(45))
    assert session.tracks.drawn_frames(2) == [4]
    assert session.tracks.frames(1) == list(range(10))
    draw(session, 20, box(45))  # where object 1 has no box either
    assert session.tracks.drawn_frames(3) == [20]


def test_a_missing_box_goes_to_the_chosen_object_once(session: Session) -> None:
    draw(session, 0, box(10))
    session.choose_next(1)
    draw(session, 20, box(40))
    assert session.tracks.drawn_frames(1) == [0, 20]
    draw(session, 21, box(40))
    assert session.tracks.drawn_frames(2) == [21]
    assert_in_step(session)


def test_a_box_redrawn_for_the_chosen_object_replaces_the_tracked_one(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(10))
    session.choose_next(1)
    draw(session, 5, box(50))
    assert session.tracks.drawn_frames(1) == [0, 5]
    assert_allclose(session.tracks.get(1, 5).box_xyxy, box(50), atol=1e-3)
    assert_in_step(session)


def test_an_id_is_never_given_out_twice(session: Session) -> None:
    draw(session, 0, box(10))
    session.layer.remove([0])
    session.pull()
    draw(session, 0, box(30))
    assert session.object_ids == [2]
    assert_allclose(session.layer.edge_color[0], layers.rgba(layers.color(2)))


def test_boxes_of_an_object_that_was_deleted_meanwhile_are_dropped(session: Session) -> None:
    draw(session, 0, box(10), box(40))
    track(session, 1, range(5))
    session.layer.remove([row_of(session, 1, frame) for frame in range(5)])
    track(session, 1, range(5, 9))
    track(session, 2, range(5, 9))
    assert session.tracks.frames(1) == []
    assert session.tracks.frames(2) == [0, 5, 6, 7, 8]
    assert_in_step(session)


def test_a_pasted_copy_is_a_new_object(session: Session) -> None:
    draw(session, 0, box(10))
    session.layer.selected_data = {0}
    session.layer._copy_data()
    session.layer._paste_data()  # Ctrl+C, Ctrl+V: napari tells of it by a features event only
    session.pull()
    assert session.tracks.object_ids == [1, 2]
    assert_in_step(session)


def test_unusable_shapes_stay_and_are_told_of_once(session: Session) -> None:
    draw(session, 0, box(10))
    problems = draw(session, 1, np.array([5, 5, 5.5, 5.5]), box(500))
    assert len(problems) == 2
    assert "needs at least 2 px" in problems[0]
    assert "outside the frame" in problems[1]
    session.pull()
    assert session.take_news() == []
    assert session.layer.nshapes == 3
    assert len(session.tracks) == 1
    change(session, 2, (0, 0, -470))  # into the frame
    session.pull()
    assert session.take_news() == []
    assert len(session.tracks) == 2


@pytest.mark.parametrize("frame", [-1, N_FRAMES])
def test_a_shape_before_or_after_the_clip_is_told_of(session: Session, frame: int) -> None:
    (problem,) = draw(session, frame, box(10))
    assert f"lies on frame {frame}, but the clip has 0 to {N_FRAMES - 1}" in problem
    assert len(session.tracks) == 0


def test_a_shape_over_several_frames_is_told_of(session: Session) -> None:
    corners = layers.rectangle(0, box(10), session.image)
    corners[2:, 0] = 4
    session.layer.add_polygons([corners])
    session.pull()
    assert "spans several frames" in session.take_news()[0]


def test_ellipse_and_polygon_count_and_keep_their_form(session: Session) -> None:
    corners = layers.rectangle(2, box(10), session.image)
    session.layer.add_ellipses([corners])
    session.layer.add_polygons([corners[[0, 1, 3]] + [0, 20, 0]])
    session.pull()
    assert list(session.layer.shape_type) == ["ellipse", "polygon"]
    assert_allclose(session.tracks.get(1, 2).box_xyxy, box(10), atol=1e-3)
    assert_allclose(session.tracks.get(2, 2).box_xyxy, box(10, 30), atol=1e-3)


def test_labels_flow_both_ways(session: Session) -> None:
    session.choose_next(0, "dog")
    draw(session, 0, box(10))
    track(session, 1, range(5))
    session.set_object(1, label="cat")
    assert set(session.layer.features["label"]) == {"cat"}
    table = session.layer.features.copy()
    table.loc[3, "label"] = "cow"
    session.layer.features = table
    session.pull()
    assert session.tracks.label(1) == "cow"
    assert_in_step(session)


@pytest.mark.parametrize("typed", ["", "  ", np.nan])
def test_an_emptied_label_is_that_before(session: Session, typed: object) -> None:
    session.choose_next(0, "dog")
    draw(session, 0, box(10))
    table = session.layer.features.copy()
    table["label"] = [typed]
    session.layer.features = table
    session.pull()
    assert session.tracks.label(1) == "dog"
    assert_in_step(session)


def test_colours_tell_objects_apart(session: Session) -> None:
    draw(session, 0, box(10), box(40))
    track(session, 1, range(3))
    colors = {
        int(object_id): tuple(color)
        for object_id, color in zip(
            session.layer.features["object_id"], session.layer.edge_color, strict=True
        )
    }
    assert_allclose([colors[k] for k in (1, 2)], [layers.rgba(layers.color(k)) for k in (1, 2)])
    session.layer.refresh_colors()
    assert_allclose(session.layer.edge_color[0], colors[1])


def press(layer: Shapes, kind: str, y: float, x: float) -> None:
    """One mouse event on frame 0 of a layer that no viewer shows."""
    mouse(layer, kind, (0, y, x))


def test_nothing_is_written_while_a_person_draws(session: Session) -> None:
    draw(session, 0, box(10))
    session.layer.mode = "add_rectangle"
    press(session.layer, "mouse_press", 30, 30)
    press(session.layer, "mouse_move", 40, 50)
    track(session, 1, range(10))
    assert session.layer.nshapes == 2
    press(session.layer, "mouse_release", 40, 50)
    session.flush()
    assert_in_step(session)
    assert len(session.tracks) == 11


def test_nothing_is_written_while_a_corner_is_dragged(session: Session) -> None:
    draw(session, 0, box(10))
    session.layer.mode = "direct"
    session.layer.selected_data = {0}
    press(session.layer, "mouse_press", 9.5, 9.5)
    press(session.layer, "mouse_move", 12, 8)
    track(session, 1, range(10))
    assert session.layer.nshapes == 1
    press(session.layer, "mouse_release", 12, 8)
    session.flush()
    assert_in_step(session)
    assert session.tracks.get(1, 0).box_xyxy[0] == pytest.approx(8.5)


def test_a_corner_that_an_ellipse_keeps_blocks_nothing(session: Session) -> None:
    session.layer.add_ellipses([layers.rectangle(0, box(10), session.image)])
    session.pull()
    session.layer.mode = "vertex_remove"
    session.layer.selected_data = {0}
    press(session.layer, "mouse_press", 9.5, 9.5)
    press(session.layer, "mouse_release", 9.5, 9.5)
    track(session, 1, range(10))
    assert session.layer.nshapes == 10
    assert_in_step(session)


def test_sentences_wait_until_somebody_takes_them(session: Session) -> None:
    draw(session, 0, box(10))
    session.layer.add_rectangles([layers.rectangle(1, box(500), session.image)])
    track(session, 1, range(2, 4))  # a run writes, and sees the shape first
    (problem,) = session.take_news()
    assert "outside the frame" in problem
    assert session.take_news() == []


MOVED = {
    "scale": (1, 0.5, 0.25),
    "translate": (0, 30, -7),
    "rotate": 20,
    "shear": [0, 0, 0.3],
    "affine": np.array([[1, 0, 0, 0], [0, 0.9, 0.2, 4], [0, -0.2, 0.9, 5], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize("name", MOVED)
def test_boxes_go_with_an_image_that_is_moved(session: Session, name: str) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(N_FRAMES))
    before = {(r.object_id, r.frame): r.box for r in session.tracks.rows()}
    setattr(session.image, name, MOVED[name])
    session.pull()
    assert session.tracks.drawn_frames(1) == [0]
    assert {(r.object_id, r.frame): r.box for r in session.tracks.rows()} == before
    assert_allclose(
        session.layer.data_to_world((3, 5, 8)), session.image.data_to_world((3, 5, 8)), atol=1e-6
    )


@pytest.mark.parametrize("name", MOVED)
def test_boxes_of_an_image_that_lies_askew(name: str) -> None:
    session = Session(Image(np.zeros((10, 60, 80), np.uint8), **{name: MOVED[name]}))
    draw(session, 0, box(10))
    track(session, 1, range(10))
    assert session.tracks.drawn_frames(1) == [0]
    assert_allclose(session.tracks.get(1, 0).box_xyxy, box(10), atol=1e-3)
    assert_allclose(
        session.layer.data_to_world((3, 5, 8)), session.image.data_to_world((3, 5, 8)), atol=1e-6
    )


def test_a_source_typed_into_the_table_is_taken_over(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(10))
    table = session.layer.features.copy()
    table.loc[row_of(session, 1, 5), "source"] = "drawn"
    table.loc[row_of(session, 1, 6), "source"] = "whatever"
    table.loc[row_of(session, 1, 0), "source"] = "tracked"
    session.layer.features = table
    session.pull()
    assert session.tracks.drawn_frames(1) == [5]
    assert session.tracks.get(1, 5).score == 1
    assert_in_step(session)


def test_a_column_of_the_persons_own_is_kept(session: Session) -> None:
    draw(session, 0, box(10), box(40))
    session.layer.features["behaviour"] = ["runs", "sleeps"]
    session.choose_next(2)
    draw(session, 1, box(42))
    track(session, 1, range(1, 3))
    assert_in_step(session)
    assert session.layer.features["behaviour"].tolist()[:2] == ["runs", "sleeps"]
    shapes, settings, _ = session.layer.as_layer_data_tuple()
    copy = Shapes(shapes, **settings)
    assert copy.features["behaviour"].tolist()[:2] == ["runs", "sleeps"]


@pytest.mark.parametrize("theirs", [{"behaviour": ["runs", "sleeps"]}, {}])
def test_a_table_put_in_the_place_of_ours_costs_no_object(
    session: Session, theirs: dict[str, list[str]]
) -> None:
    draw(session, 0, box(10), box(40))
    session.set_object(2, label="cat")
    session.layer.features = theirs
    session.pull()
    assert session.object_ids == [1, 2]
    assert session.undo_labels[0] == "Rename object 2"
    draw(session, 1, box(42))
    assert_in_step(session)


@pytest.mark.parametrize("theirs", [1e20, float(2**63), -5, 0.5, np.nan, np.inf])
def test_a_number_that_is_no_id_is_that_of_a_new_object(session: Session, theirs: float) -> None:
    mine = Shapes([layers.rectangle(0, box(10), session.image)], features={"object_id": [theirs]})
    assert absorb(session, mine, 0) == []
    session.flush()
    assert session.object_ids == [1]


def test_doubt_is_seen_in_the_label(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(2))
    assert list(session.layer.text.values) == ["object 1", "object 1?"]


def pending(session: Session) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Waiting boxes on the way forwards and backwards."""
    return session.pending.frames(reverse=False), session.pending.frames(reverse=True)


def test_drawn_boxes_wait_until_a_run_has_met_them(session: Session) -> None:
    draw(session, 4, box(10), box(40))
    assert pending(session) == ({1: [4], 2: [4]}, {1: [4], 2: [4]})
    met = session.tracks.get(1, 4).box_xyxy
    session.record([found(1, 4, met), found(1, 5, met)])
    assert pending(session) == ({2: [4]}, {1: [4], 2: [4]})
    change(session, row_of(session, 2, 4), (0, 1, 1))
    session.record([found(2, 4, box(40))])  # of a run that began before the box was moved
    assert pending(session)[0] == {2: [4]}
    session.layer.remove([row_of(session, 2, 4)])
    session.pull()
    assert pending(session) == ({}, {1: [4]})


def _done(session: Session) -> None:
    """Object 1, drawn on frame 4 and tracked both ways."""
    draw(session, 4, box(10))
    track(session, 1, (frame for frame in range(10) if frame != 4))
    met = session.tracks.get(1, 4).box_xyxy
    for reverse in (False, True):
        session.record([found(1, 4, met)], reverse=reverse)
    assert pending(session) == ({}, {})


def test_what_an_undo_brings_back_waits_as_it_did(session: Session) -> None:
    _done(session)
    session.delete_objects([1])
    session.undo()
    assert pending(session) == ({}, {})
    draw(session, 7, box(60))
    session.delete_objects([2])
    session.undo()
    assert pending(session) == ({2: [7]}, {2: [7]})
    session.remove([1], 4)
    session.draw(1, 4, box(12))
    assert pending(session)[0] == {1: [4], 2: [7]}, "another box is a new one"


def test_boxes_that_change_hands_wait_as_they_did(session: Session) -> None:
    _done(session)
    new = session.split(1, 3)
    assert pending(session) == ({}, {})
    session.join(1, [new])
    assert pending(session) == ({}, {})


def test_a_drawing_whose_run_was_undone_waits_again(session: Session) -> None:
    draw(session, 4, box(10))
    met = session.tracks.get(1, 4).box_xyxy
    session.record([found(1, 4, met), found(1, 5, met)])
    for _ in range(2):
        session.undo()
    session.redo()
    assert pending(session) == ({1: [4]}, {1: [4]})


def test_an_undone_run_leaves_its_drawing_waiting(session: Session) -> None:
    draw(session, 4, box(10))
    draw(session, 4, box(60))
    met = session.tracks.get(1, 4).box_xyxy
    session.record([found(1, 4, met), found(1, 5, met)], run="one")
    session.record([found(1, 6, met)], run="one")
    both = pending(session)
    assert both == ({2: [4]}, {1: [4], 2: [4]})
    session.undo()
    assert pending(session)[0] == {1: [4], 2: [4]}
    session.redo()
    assert pending(session) == both
    session.undo()
    session.remove([1], 4)
    session.undo()
    session.redo()
    assert pending(session)[0] == {2: [4]}, "a box that is gone waits for nothing"


def test_a_run_is_told_which_drawn_boxes_are_marked_as_hidden(session: Session) -> None:
    draw(session, 4, box(10))
    track(session, 1, range(5, 8))
    told, waited = [], pending(session)
    session.redrawn.connect(told.append)
    session.mark_occluded([1], 4, 8)
    session.mark_fine({1: range(4, 8)})
    assert [(change.frame, change.after.occluded) for change in told] == [(4, True)]
    for _ in range(2):
        session.undo()
    assert [(change.frame, change.after.occluded) for change in told[1:]] == [(4, False)]
    assert pending(session) == waited


def test_keyframes_beside_an_interpolation_wait_no_longer_there(session: Session) -> None:
    draw(session, 4, box(10))
    session.draw(1, 12, box(40))
    session.interpolate({1: range(4, 13)})
    assert pending(session) == ({1: [12]}, {1: [4]})


def test_a_layer_left_behind_is_taken_up_again(session: Session) -> None:
    draw(session, 0, box(10), box(40))
    track(session, 1, range(10))
    session.set_object(2, label="cat")
    session.close()
    again = Session(session.image, session.layer)
    want = [(r.object_id, r.label, r.frame, r.box.source) for r in session.tracks.rows()]
    assert [(r.object_id, r.label, r.frame, r.box.source) for r in again.tracks.rows()] == want
    assert_in_step(again)
    assert pending(again) == ({2: [0]}, {2: [0]})  # the one that was not tracked


@pytest.mark.parametrize("reader", ["napari", "another"])
def test_series_that_napari_leaves_out_are_told(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for shape in ((4, 60, 80), (3, 3)):
            writer.write(np.zeros(shape, np.uint8), photometric="minisblack")
    with layer_source(path=str(path), reader_plugin=reader):
        image = Image(np.zeros((4, 60, 80), np.uint8))
    told = Session(image).take_news()
    assert told == ([unread_series(path)] if reader == "napari" else [])


# -- the user's own layer --


def own_layer(image: Image, *drawn: tuple[int, NDArray[np.float64]], **settings: object) -> Shapes:
    corners = [layers.rectangle(frame, one, image) for frame, one in drawn]
    return Shapes(corners, shape_type="rectangle", name="mine", **settings)


def rows(session: Session) -> list[tuple[int, int]]:
    return [(row.object_id, row.frame) for row in session.tracks.rows()]


def test_prompts_become_drawn_boxes_once(session: Session) -> None:
    mine = own_layer(session.image, (0, box(10)), (7, box(20)))
    before = [vertices.copy() for vertices in mine.data]
    for _ in range(2):
        assert absorb(session, mine, 3) == []
        session.flush()
        assert rows(session) == [(1, 0), (2, 7)]
    assert all(np.array_equal(a, b) for a, b in zip(before, mine.data, strict=True))
    assert list(mine.features.columns) == []
    assert_in_step(session)


@pytest.mark.parametrize(
    ("other", "by_yx"), [(50, (2, 3)), (20, (0, 8))], ids=["apart", "onto another one's place"]
)
def test_a_moved_prompt_stays_its_object(session: Session, other: int, by_yx) -> None:
    mine = own_layer(session.image, (0, box(10)), (0, box(other)))
    session.absorb(mine, 0)
    mine.data = [mine.data[0] + [0, *by_yx], mine.data[1]]
    session.absorb(mine, 0)
    session.flush()
    assert rows(session) == [(1, 0), (2, 0)]
    moved = box(10) + np.tile(by_yx[::-1], 2)
    assert_allclose(session.tracks.get(1, 0).box_xyxy, moved, atol=1e-3)
    assert_allclose(session.tracks.get(2, 0).box_xyxy, box(other), atol=1e-3)
    assert_in_step(session)


def test_a_prompt_does_not_undo_a_correction(session: Session) -> None:
    mine = own_layer(session.image, (0, box(10)))
    session.absorb(mine, 0)
    session.flush()
    change(session, 0, (0, 2, 3))
    session.pull()
    session.absorb(mine, 0)
    assert_allclose(session.tracks.get(1, 0).box_xyxy, box(13, 12), atol=1e-3)


def test_a_prompt_does_not_bring_back_a_deleted_box(session: Session) -> None:
    mine = own_layer(session.image, (0, box(10)))
    session.absorb(mine, 0)
    session.flush()
    track(session, 1, range(1, 10))
    session.layer.remove([row_of(session, 1, 0)])
    session.pull()
    session.absorb(mine, 0)
    assert session.tracks.frames(1) == list(range(1, 10))
    mine.data = [mine.data[0] + [0, 2, 3]]
    session.absorb(mine, 0)
    assert session.tracks.drawn_frames(1) == [0]


def test_a_prompt_of_a_deleted_object_that_is_moved_is_a_new_one(session: Session) -> None:
    mine = own_layer(session.image, (0, box(10)), (0, box(60, 40)))
    session.absorb(mine, 0)
    session.delete_objects([2])
    session.absorb(mine, 0)
    assert session.tracks.object_ids == [1]
    mine.data = [mine.data[0], mine.data[1] + [0, 0, 3]]
    session.absorb(mine, 0)
    assert session.tracks.object_ids == [1, 3]
    assert_allclose(session.tracks.get(3, 0).box_xyxy, box(63, 40), atol=1e-3)


def test_a_moved_prompt_of_a_locked_object_waits_until_it_is_free(session: Session) -> None:
    mine = own_layer(session.image, (0, box(10)), (0, box(60, 40)))
    session.absorb(mine, 0)
    session.set_object(2, locked=True)
    mine.data = [mine.data[0] + [0, 0, 2], mine.data[1] + [0, 0, 3]]
    session.absorb(mine, 0)
    assert any("is locked" in news for news in session.take_news())
    assert_allclose(session.tracks.get(1, 0).box_xyxy, box(12), atol=1e-3)
    assert_allclose(session.tracks.get(2, 0).box_xyxy, box(60, 40), atol=1e-3)
    session.set_object(2, locked=False)
    session.absorb(mine, 0)
    assert_allclose(session.tracks.get(2, 0).box_xyxy, box(63, 40), atol=1e-3)


def test_prompts_start_anew_when_all_boxes_were_deleted(session: Session) -> None:
    mine = own_layer(session.image, (0, box(10)))
    session.absorb(mine, 0)
    session.flush()
    session.layer.data = []
    session.pull()
    session.absorb(mine, 0)
    assert rows(session) == [(2, 0)]


def test_prompts_with_an_object_id_are_one_object(session: Session) -> None:
    mine = own_layer(
        session.image, (0, box(10)), (9, box(30)), features={"object_id": np.array([4, 4])}
    )
    session.absorb(mine, 0)
    assert rows(session) == [(4, 0), (4, 9)]


def test_a_prompt_without_time_counts_on_the_frame_shown(session: Session) -> None:
    corners = layers.rectangle(0, box(10), session.image)[:, 1:]
    mine = Shapes([corners], shape_type="rectangle")
    session.absorb(mine, 6)
    assert rows(session) == [(1, 6)]
    session.absorb(mine, 20)  # the person looks elsewhere; the box is still that of frame 6
    assert rows(session) == [(1, 6)]
    mine.data = [corners + np.array([1, 2])]
    session.absorb(mine, 20)
    assert rows(session) == [(1, 6), (1, 20)]


def test_prompts_known_from_before_make_no_doubles(session: Session) -> None:
    mine = own_layer(session.image, (0, box(10)))
    session.absorb(mine, 0)
    session.flush()
    session.close()
    again = Session(session.image, session.layer)
    again.absorb(mine, 0)
    assert rows(again) == [(1, 0)]


def test_a_prompt_can_be_for_the_chosen_object(session: Session) -> None:
    draw(session, 0, box(10))
    session.choose_next(1)
    session.absorb(own_layer(session.image, (12, box(30)), (12, box(55))), 0)
    assert rows(session) == [(1, 0), (1, 12), (2, 12)]


def test_a_prompt_outside_the_frame_is_told_of(session: Session) -> None:
    mine = own_layer(session.image, (0, box(500)), (0, box(10)))
    (problem,) = absorb(session, mine, 0)
    assert "outside the frame" in problem
    assert "'mine'" in problem
    assert rows(session) == [(1, 0)]


# -- any order of edits --

steps = st.lists(
    st.tuples(
        st.sampled_from(["draw", "move", "delete", "track", "flip"]),
        st.integers(0, 9),
        st.integers(0, 50),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(steps)
def test_layer_and_model_stay_in_step(todo: list[tuple[str, int, int]]) -> None:
    session = Session(Image(np.zeros((10, 60, 80), np.uint8)))
    for what, frame, number in todo:
        count = session.layer.nshapes
        if what == "draw":
            draw(session, frame, box(number))
        elif what == "track" and session.tracks.object_ids:
            drawn = {(r.object_id, r.frame): r.box for r in session.tracks.rows()}
            track(session, session.tracks.object_ids[0], range(frame, 10), x=number)
            kept = [key for key, of in drawn.items() if of.source is Source.DRAWN]
            assert all(session.tracks.get(*key) is drawn[key] for key in kept)
        elif what == "move" and count:
            change(session, number % count, (0, 1, 2))
        elif what == "delete" and count:
            session.layer.remove([number % count])
        elif what == "flip" and count > 1:
            session.layer.selected_data = {number % count}
            session.layer.move_to_back()
        session.pull()
        assert_in_step(session)


def test_a_turned_rectangle_becomes_the_box_that_is_kept() -> None:
    session = Session(Image(np.zeros((30, 60, 80), np.uint8), name="clip"))
    draw(session, 0, box(30))
    y, x = 18.0, 40.0
    session.layer.data = [np.array([[0, y - 8, x], [0, y, x + 8], [0, y + 8, x], [0, y, x - 8]])]
    session.pull()
    assert_allclose(session.tracks.get(1, 0).box_xyxy, [32.5, 10.5, 48.5, 26.5], atol=1e-3)
    assert_in_step(session)
    assert not layers.tilted(session.layer.data[0], "rectangle")


def test_a_pull_reads_the_layer_as_often_for_many_shapes_as_for_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    for name in ("data", "shape_type"):
        whole = getattr(Shapes, name)

        def get(layer: Shapes, name: str = name, whole: property = whole) -> object:
            asked.append(name)
            return whole.fget(layer)

        monkeypatch.setattr(Shapes, name, property(get, whole.fset))
    times = []
    for n_boxes in (2, 20):
        session = Session(Image(np.zeros((30, 60, 80), np.uint8), name="clip"))
        shapes = [layers.rectangle(k, box(30), session.image) for k in range(n_boxes)]
        session.layer.add_rectangles(shapes)
        asked.clear()
        session.pull()
        assert len(session.tracks) == n_boxes
        times.append(len(asked))
    assert times[0] == times[1]


def test_a_proposal_stays_one_while_its_label_is_typed() -> None:
    session = Session(Image(np.zeros((30, 60, 80), np.uint8), name="clip"))
    draw(session, 0, box(30))
    session.choose_next(1)
    session.proposed = True
    session.choose_next(session.next_object, "cat")
    assert session.proposed
    session.choose_next(0)
    assert not session.proposed
