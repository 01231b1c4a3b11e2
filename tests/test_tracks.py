from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ocean.errors import BoxError, TracksError
from napari_ocean.tracks import (
    ABSENT,
    BoxChange,
    Change,
    ObjectPrediction,
    Source,
    State,
    TrackBox,
    Tracks,
    merged,
    spans,
)

BOX = (0, 0, 10, 10)
OTHER = np.array([1.0, 1, 12, 12])


def predicted(object_id: int, frame: int, score: float = 0.5) -> ObjectPrediction:
    return ObjectPrediction(
        object_id=object_id, frame=frame, box_xyxy=OTHER, score=score, state=State.UNCERTAIN
    )


def test_a_drawn_box_is_what_was_drawn() -> None:
    tracks = Tracks()
    dog = tracks.add_object("dog")
    tracks.draw(dog, 3, BOX)
    box = tracks.get(dog, 3)
    assert box is not None
    assert box.box_xyxy.tolist() == [0, 0, 10, 10]
    assert (box.score, box.state, box.source) == (1.0, State.FOUND, Source.DRAWN)
    assert tracks.get(dog, 4) is None


def test_a_box_is_nobody_elses_array() -> None:
    """A script that moves one array along would move all boxes drawn from it."""
    tracks = Tracks()
    dog = tracks.add_object("dog")
    box = np.array([0.0, 0, 10, 10])
    tracks.draw(dog, 0, box)
    tracks.put(dog, 1, TrackBox(box))
    tracks.merge(ObjectPrediction(object_id=dog, frame=2, box_xyxy=box, score=1, state=State.FOUND))
    box += 5
    assert [row.box.box_xyxy.tolist() for row in tracks.rows()] == [[0, 0, 10, 10]] * 3
    kept = tracks.get(dog, 0)
    assert kept is not None
    with pytest.raises(ValueError, match="read-only"):
        kept.box_xyxy += 5


def test_a_label_is_a_text() -> None:
    """The class number of a data set would be written, and the file not read again."""
    tracks = Tracks()
    dog = tracks.add_object("dog")
    for act in (lambda: tracks.add_object(7), lambda: tracks.rename(dog, None)):
        with pytest.raises(TracksError, match=r"A label is a text, not (7|None)\."):
            act()
    assert (tracks.object_ids, tracks.label(dog)) == ([dog], "dog")


def test_frames_and_ids_are_whole_numbers() -> None:
    tracks = Tracks()
    dog = tracks.add_object(object_id=np.int64(3))
    tracks.draw(np.int64(3), np.int64(5), BOX)
    assert [type(number) for number in (dog, *tracks.object_ids, *tracks.frames(3))] == [int] * 3
    for frame in (5.5, 5.0, "5"):
        with pytest.raises(TracksError, match=f"A frame is a whole number, not {frame}"):
            tracks.draw(dog, frame, BOX)
    with pytest.raises(TracksError, match=r"An object id is a whole number, not 2\.0"):
        tracks.add_object(object_id=2.0)
    assert tracks.frames(dog) == [5]


def test_ids_are_stable_and_do_not_collide() -> None:
    tracks = Tracks()
    assert [tracks.add_object(), tracks.add_object(object_id=7), tracks.add_object()] == [1, 7, 8]
    with pytest.raises(TracksError, match="7 exists already"):
        tracks.add_object(object_id=7)
    with pytest.raises(TracksError, match="positive integer, not 0"):
        tracks.add_object(object_id=0)
    with pytest.raises(TracksError, match="no object 5; known: 1, 7, 8"):
        tracks.frames(5)
    with pytest.raises(TracksError, match="known: none"):
        Tracks().label(1)


def test_merge_takes_over_but_never_replaces_a_drawn_box() -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, BOX)
    assert tracks.merge(predicted(1, 0)) is False
    assert tracks.merge(predicted(1, 1, 0.4)) is True
    assert tracks.merge(predicted(1, 1, 0.6)) is True  # a newer machine-made one
    assert tracks.get(1, 0).box_xyxy.tolist() == [0, 0, 10, 10]
    box = tracks.get(1, 1)
    assert (box.score, box.state, box.source) == (0.6, State.UNCERTAIN, Source.TRACKED)
    assert tracks.drawn_frames(1) == [0]


def test_drawing_replaces_whatever_stood_there() -> None:
    tracks = Tracks()
    tracks.add_object()
    tracks.merge(predicted(1, 1))
    tracks.draw(1, 1, BOX)
    tracks.draw(1, 1, (5, 5, 9, 9))
    assert tracks.get(1, 1).source is Source.CORRECTED
    assert tracks.get(1, 1).box_xyxy.tolist() == [5, 5, 9, 9]
    assert len(tracks) == 1


def test_refusals() -> None:
    tracks = Tracks()
    tracks.add_object()
    with pytest.raises(BoxError, match="inverted"):
        tracks.draw(1, 0, (9, 9, 0, 0))
    with pytest.raises(TracksError, match="Frames count from 0; -1"):
        tracks.draw(1, -1, BOX)
    with pytest.raises(TracksError, match="no object 2"):
        tracks.merge(predicted(2, 0))
    assert len(tracks) == 0


def test_removing_and_renaming() -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object("cat"), 0, BOX)
    tracks.remove(1, 0)
    tracks.remove(1, 99)
    tracks.rename(1, "dog")
    assert tracks.frames(1) == []
    assert tracks.object_ids == [1]
    assert tracks.label(1) == "dog"


def test_a_copy_is_independent() -> None:
    tracks = Tracks()
    tracks.draw(tracks.add_object("cat"), 0, BOX)
    twin = tracks.copy()
    twin.draw(1, 1, BOX)
    twin.rename(1, "dog")
    twin.add_object()
    assert (len(tracks), tracks.label(1), tracks.object_ids) == (1, "cat", [1])
    assert repr(twin) == "<Tracks: 2 objects, 2 boxes>"


@given(
    st.lists(st.tuples(st.sampled_from([3, 1, 2]), st.integers(0, 20), st.booleans()), max_size=30)
)
def test_rows_are_ordered_and_what_was_drawn_stays(script: list[tuple[int, int, bool]]) -> None:
    tracks = Tracks()
    for object_id in (3, 1, 2):
        tracks.add_object(f"o{object_id}", object_id)
    drawn = set()
    for object_id, frame, by_hand in script:
        if by_hand:
            tracks.draw(object_id, frame, BOX)
            drawn.add((object_id, frame))
        else:
            tracks.merge(predicted(object_id, frame))
    rows = list(tracks.rows())
    keys = [(row.object_id, row.frame) for row in rows]
    assert keys == sorted({(object_id, frame) for object_id, frame, _ in script})
    assert len(tracks) == len(rows)
    assert {key for key, row in zip(keys, rows, strict=True) if row.box.is_keyframe} == drawn
    assert all(row.label == f"o{row.object_id}" for row in rows)


def test_track_boxes_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        TrackBox(OTHER).score = 0.0


@pytest.mark.parametrize("box", [[0, 0, float("nan"), 4], [0, 0, float("inf"), 4], [0, 0, 4]])
def test_a_box_that_is_no_box_is_never_kept(box: list[float]) -> None:
    tracks = Tracks()
    thing = tracks.add_object()
    with pytest.raises(BoxError, match="four finite numbers"):
        tracks.put(thing, 0, TrackBox(np.array(box, dtype=float)))
    assert len(tracks) == 0


cells = st.sampled_from(
    [None, ABSENT]
    + [TrackBox(OTHER, 0.3, State.LOST, of, hidden) for of in Source for hidden in (False, True)]
)


@given(cells, st.sampled_from([Source.TRACKED, Source.INTERPOLATED]))
def test_the_merge_rule(old: TrackBox | None, source: Source) -> None:
    new = TrackBox(np.array([2.0, 2, 9, 9]), 0.8, State.FOUND, source, fine=False)
    now = merged(old, new)
    if old is ABSENT or (old is not None and old.is_keyframe):
        assert now is old
    else:
        assert now.box_xyxy.tolist() == [2, 2, 9, 9]
        assert (now.score, now.source) == (0.8, source)
        assert now.occluded == (old is not None and old.occluded)
        assert now.occluded or merged(now, new) is now  # once more changes nothing


def test_every_change_is_told_once_with_what_stood_there() -> None:
    tracks = Tracks()
    told: list[Change] = []
    tracks.watch(told.append)
    tracks.draw(tracks.add_object(), 2, BOX)
    box = tracks.get(1, 2)
    tracks.put(1, 2, ABSENT)
    tracks.put(1, 2, ABSENT)  # nothing new
    tracks.delete_object(1)
    assert [of.after for of in told[1:]] == [box, ABSENT, None, None]
    assert told[2] == BoxChange(1, 2, box, ABSENT)
    copy = tracks.copy()
    copy.add_object()
    assert len(told) == 5


@given(st.sets(st.integers(0, 30)))
def test_spans_are_maximal_and_cover(frames: set[int]) -> None:
    found = spans(frames)
    assert [k for span in found for k in span] == sorted(frames)
    assert all(a.stop < b.start for a, b in pairwise(found))
