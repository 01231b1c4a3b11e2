"""Undo and redo, locks, marks and objects, in the model and in the layer, without a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Shapes
from numpy.testing import assert_allclose

from napari_ocean.annotation.interpolate import Curve
from napari_ocean.errors import TracksError
from napari_ocean.plugin import layers
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.view import ColorBy
from napari_ocean.tracks import ABSENT, Source, Tracks
from tests.plugin.hands import assert_in_step, box, change, draw, found, row_of, track


@pytest.fixture
def session() -> Session:
    return Session(Image(np.zeros((30, 60, 80), np.uint8), name="clip"))


def table(session: Session) -> dict[tuple[int, int], Any]:
    return {(row.object_id, row.frame): row.box for row in session.tracks.rows()}


def test_every_edit_is_a_step_with_its_name(session: Session) -> None:
    draw(session, 0, box(10))
    change(session, 0, (0, 1, 2))
    session.pull()
    session.record([found(1, 1, box(12))], label="Track object 1", run="a")
    session.record([found(1, 2, box(13))], label="Track object 1", run="a")
    session.flush()
    session.layer.remove([row_of(session, 1, 2)])
    session.pull()
    session.set_object(1, label="cat")
    assert session.undo_labels == [
        "Rename object 1",
        "Delete 1 box of object 1",
        "Track object 1",
        "Move object 1",
        "Draw object",
    ]
    seen = []
    for label in session.undo_labels:
        assert session.undo().label == label
        assert_in_step(session)
        seen.append((len(session.tracks), session.layer.nshapes))
    assert seen == [(2, 2), (3, 3), (1, 1), (1, 1), (0, 0)]
    assert session.undo() is None
    while session.redo():
        assert_in_step(session)
    assert (session.tracks.label(1), sorted(table(session))) == ("cat", [(1, 0), (1, 1)])


def test_an_undone_drawing_waits_for_no_run(session: Session) -> None:
    draw(session, 4, box(10))
    session.undo()
    assert session.pending.frames(reverse=False) == {}
    session.redo()
    assert session.pending.frames(reverse=False) == {1: [4]}


def waiting(session: Session) -> list[dict[int, list[int]]]:
    return [dict(session.pending.frames(reverse=reverse)) for reverse in (False, True)]


@pytest.mark.parametrize("how", ["taken in", "tracked"])
def test_an_object_that_comes_back_whole_waits_as_it_did(session: Session, how: str) -> None:
    if how == "taken in":
        session.take_in(drawn_on(*range(10)), "Open boxes")
    else:
        draw(session, 0, box(10))
        session.choose_next(1)
        draw(session, 9, box(19))
        session.record([found(1, frame, box(10 + frame)) for frame in range(10)])
    before = waiting(session)
    if how == "tracked":
        session.delete_objects([1])
    session.undo()
    if how == "taken in":
        session.redo()
    assert (waiting(session), len(session.tracks)) == (before, 10)


@pytest.mark.parametrize("what", ["move", "split", "join"])
def test_undo_has_boxes_wait_as_they_did(session: Session, what: str) -> None:
    session.take_in(drawn_on(*range(10)), "Open boxes")
    session.take_in(drawn_on(*range(10, 20)), "Open boxes")
    assert waiting(session) == [{}, {}]
    if what == "move":
        session.draw(1, 5, box(60))
    elif what == "split":
        session.split(1, 5)
    else:
        session.join(1, [2])
    session.undo()
    assert waiting(session) == [{}, {}]


def drawn_on(*frames: int) -> Tracks:
    tracks = Tracks()
    object_id = tracks.add_object()
    for frame in frames:
        tracks.draw(object_id, frame, box(10 + frame))
    return tracks


def test_a_run_keeps_an_object_from_being_split(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(1, 10))
    session.in_run = True
    with pytest.raises(TracksError, match="Stop the run first"):
        session.split(1, 5)
    assert session.tracks.object_ids == [1]


def test_shapes_whose_taking_was_undone_are_taken_again(session: Session) -> None:
    mine = Shapes([layers.rectangle(0, box(30), session.image)], ndim=3)
    draw(session, 3, box(50))
    session.absorb(mine, 0)
    assert session.tracks.keyframes(2) == [0]
    session.undo()
    session.redo()
    row = row_of(session, 2, 0)
    change(session, row, (0, 3, 4))  # corrected: it stays as it is
    session.pull()
    session.absorb(mine, 0)
    assert len(session.tracks) == 2
    session.undo()
    session.undo()
    session.absorb(mine, 0)
    assert [row.frame for row in session.tracks.rows()] == [3, 0]
    session.delete_objects([session.object_ids[-1]])
    session.absorb(mine, 0)  # deleted by the person: it stays deleted
    assert [row.frame for row in session.tracks.rows()] == [3]


def test_undo_takes_along_what_was_not_read_yet(session: Session) -> None:
    draw(session, 0, box(10))
    change(session, 0, (0, 1, 2))
    assert session.undo().label == "Move object 1"
    assert_allclose(session.tracks.get(1, 0).box_xyxy, box(10), atol=1e-3)
    assert_in_step(session)


edits = st.lists(
    st.tuples(
        st.sampled_from(["draw", "move", "delete", "track", "absent", "split", "undo", "redo"]),
        st.integers(0, 9),
        st.integers(0, 40),
    ),
    max_size=14,
)


def do(session: Session, what: str, frame: int, number: int) -> None:
    """One edit, if it makes sense now."""
    first, count = session.object_ids[:1], session.layer.nshapes
    if what == "draw":
        draw(session, frame, box(number))
    elif what == "move" and count:
        change(session, number % count, (0, 1, 2))
    elif what == "delete" and count:
        session.layer.remove([number % count])
    elif what in ("undo", "redo"):
        getattr(session, what)()
    elif first and what == "track":
        track(session, first[0], range(frame, 10), x=number)
    elif first and what == "absent":
        session.mark_absent(first, frame, frame + 3)
    elif first and what == "split":
        frames = session.tracks.frames(first[0])
        if frames[0] < frame <= frames[-1]:
            session.split(first[0], frame)


@settings(max_examples=30, deadline=None)
@given(edits)
def test_all_can_be_undone_and_redone_with_the_layer_in_step(todo: Any) -> None:
    session = Session(Image(np.zeros((10, 60, 80), np.uint8)))
    for what, frame, number in todo:
        do(session, what, frame, number)
        session.pull()
        assert_in_step(session)
    done = table(session)
    steps = len(session.undo_labels)
    while session.undo():
        assert_in_step(session)
    assert table(session) == {}
    for _ in range(steps):
        session.redo()
    assert table(session) == done
    assert_in_step(session)


def test_boxes_of_a_locked_object_go_back_where_they_were(session: Session) -> None:
    draw(session, 0, box(10), box(40))
    session.set_object(1, locked=True)
    change(session, row_of(session, 1, 0), (0, 5, 5))
    session.pull()
    assert_in_step(session)
    session.layer.remove([row_of(session, 1, 0)])
    session.pull()
    assert_in_step(session)
    assert session.take_news() == ["object 1 is locked; unlock it to change its boxes."] * 2
    assert_allclose(session.tracks.get(1, 0).box_xyxy, box(10), atol=1e-3)
    track(session, 1, range(5))
    assert session.tracks.frames(1) == [0]
    with pytest.raises(TracksError, match="locked"):
        session.mark_absent([2, 1], 0, 5)
    assert session.tracks.frames(2) == [0]  # nothing of it was done


def test_a_box_drawn_for_a_locked_object_is_a_new_one(session: Session) -> None:
    draw(session, 0, box(10))
    session.set_object(1, locked=True)
    session.choose_next(1)
    draw(session, 5, box(40))
    assert sorted(table(session)) == [(1, 0), (2, 5)]
    assert_in_step(session)


def test_hidden_objects_are_not_in_the_layer(session: Session) -> None:
    draw(session, 0, box(10), box(40))
    session.set_object(1, hidden=True)
    assert list(session.layer.features["object_id"]) == [2]
    track(session, 1, range(5))
    session.pull()
    assert list(session.layer.features["object_id"]) == [2]
    assert session.tracks.frames(1) == [0, 1, 2, 3, 4]
    session.set_object(1, hidden=False)
    assert_in_step(session)


def test_a_box_drawn_for_a_hidden_object_is_told_of(session: Session) -> None:
    draw(session, 0, box(10))
    session.set_object(1, hidden=True)
    session.choose_next(1)
    assert draw(session, 1, box(12)) == ["object 1 is hidden; show it to see this box."]
    assert (session.tracks.frames(1), session.layer.nshapes) == ([0, 1], 0)


def test_absent_frames_have_no_box_until_one_is_drawn(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(10))
    session.mark_absent([1], 4, 7)
    assert session.undo_labels[0] == "Out of view: object 1"
    track(session, 1, range(10))
    assert session.tracks.frames(1) == [0, 1, 2, 3, 7, 8, 9]
    assert session.tracks.cell(1, 5) is ABSENT
    session.choose_next(1)
    draw(session, 5, box(30))
    assert session.tracks.keyframes(1) == [0, 5]
    assert_in_step(session)


def test_marks_are_seen(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(3))
    session.mark_occluded([1], 1, 3)
    texts = dict(zip(range(3), session.layer.text.values[np.argsort(order(session))], strict=True))
    assert texts == {0: "object 1", 1: "object 1? (hidden)", 2: "object 1? (hidden)"}
    session.keep([1], 2)
    assert session.tracks.keyframes(1) == [0, 2]
    assert session.tracks.get(1, 2).source is Source.CORRECTED
    assert_in_step(session)


def order(session: Session) -> list[int]:
    return [int(frame) for frame in layers.read_boxes(session.layer, session.image).frames]


def test_flags_go_away_when_marked_as_fine(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(10))  # all uncertain
    (flag,) = session.review.queue()
    assert (flag.start, flag.stop) == (1, 10)
    assert session.review.summary(1).n_flags == 1
    session.mark_fine({1: range(flag.start, flag.stop)})
    assert session.review.queue() == []
    session.undo()
    assert len(session.review.queue()) == 1
    assert session.review.summary(1)._replace(color="") == (
        1, "object", "", False, False, 0, 9, 10, 1, 1, 0.5,
    )  # fmt: skip


def test_interpolation_is_a_step_and_replaces_no_keyframe(session: Session) -> None:
    draw(session, 0, box(10))
    session.choose_next(1)
    draw(session, 10, box(30))
    assert session.interpolate({1: range(30)}, Curve.LINEAR) == 9
    assert_allclose(session.tracks.get(1, 5).box_xyxy, box(20), atol=1e-3)
    assert_in_step(session)
    session.undo()
    assert session.tracks.frames(1) == [0, 10]
    assert_in_step(session)


def test_colours_by_object_and_by_score(session: Session) -> None:
    draw(session, 0, box(10))
    track(session, 1, range(2))
    session.set_object(1, color="#102030")
    assert_allclose(session.layer.edge_color, [layers.rgba("#102030")] * 2)
    session.view.color_by = ColorBy.SCORE
    by_frame = dict(zip(order(session), session.layer.edge_color, strict=True))
    assert_allclose(by_frame[0], layers.score_rgba(1.0))
    assert_allclose(by_frame[1], layers.score_rgba(0.5))
    track(session, 1, range(2, 3))
    assert_allclose(session.layer.edge_color[-1], layers.score_rgba(0.5))
    session.view.color_by = ColorBy.OBJECT
    assert_allclose(session.layer.edge_color, [layers.rgba("#102030")] * 3)


def test_objects_are_merged_split_ended_and_deleted(session: Session) -> None:
    draw(session, 0, box(10), box(40))
    track(session, 1, range(10))
    new = session.split(1, 5)
    assert (session.tracks.frames(1), session.tracks.frames(new)) == (
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
    )
    session.join(1, [new])
    assert session.tracks.frames(1) == list(range(10))
    session.start_here([1], 2)
    session.end_here([1], 6)
    assert session.tracks.frames(1) == [2, 3, 4, 5, 6]
    assert_in_step(session)
    session.delete_objects([1])
    assert session.tracks.object_ids == [2]
    assert_in_step(session)
    while session.undo():
        assert_in_step(session)


def test_changes_are_told_once_a_step(session: Session) -> None:
    told: list[set[int]] = []
    session.changed.connect(told.append)
    draw(session, 0, box(10), box(40))
    assert told == [{1, 2}]
    track(session, 2, range(5))
    session.undo()
    assert told == [{1, 2}, {2}, {2}]
