from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ocean.annotation import edits
from napari_ocean.errors import TracksError
from napari_ocean.tracks import ABSENT, Source, TrackBox, Tracks
from tests.annotation.scripts import (
    MACHINE,
    N_FRAMES,
    PERSON,
    Act,
    acts,
    everything,
    perform,
    predicted,
    start,
)

BOX = (0, 0, 10, 10)


def tracked(*frames: int) -> Tracks:
    """One object: drawn on frame 0, tracked on `frames`."""
    tracks = Tracks()
    tracks.draw(tracks.add_object("dog"), 0, BOX)
    for frame in frames:
        tracks.merge(predicted(1, frame))
    return tracks


# -- another annotation --


def test_what_fits_a_clip_and_what_does_not() -> None:
    others = tracked(1, 2, 3)
    others.put(1, 4, ABSENT)
    others.put(1, 9, ABSENT)
    cat = others.add_object("cat", color="#abcdef", hidden=True)
    others.put(cat, 5, TrackBox(np.array([0.0, 0, 10, 10])))
    others.put(cat, 1, TrackBox(np.array([-9.0, 0, 0, 10])))
    others.add_object("none")
    part, left_out = edits.fitting(others, 3, (8, 8))
    assert left_out == (2, 1)
    assert (part.object_ids, part.frames(1), part.absent_spans(1)) == ([1, 3], [0, 1, 2], [])
    assert part.get(1, 2) is others.get(1, 2)


def test_another_annotation_comes_in_as_new_objects() -> None:
    tracks, others = tracked(1), tracked(1, 2)
    others.set_object(1, color="#abcdef", locked=True)
    others.put(1, 5, ABSENT)
    mine = tracks.get(1, 1)
    assert edits.take_in(tracks, others) == [2]
    assert tracks.info(2) == others.info(1)
    assert (tracks.frames(2), tracks.absent_spans(2)) == ([0, 1, 2], [range(5, 6)])
    assert (tracks.get(1, 1), tracks.frames(1)) == (mine, [0, 1])


def test_ids_are_kept_unless_they_were_given_out_before() -> None:
    others = Tracks()
    for object_id in (2, 3, 7):
        others.add_object(f"dog {object_id}", object_id)
        others.put(object_id, object_id, TrackBox(np.array(BOX)))
    empty, tracks = Tracks(), tracked(1)
    assert edits.take_in(empty, others) == [2, 3, 7]
    tracks.delete_object(tracks.add_object())
    assert edits.take_in(tracks, others) == [8, 3, 7]
    assert {k: tracks.label(k) for k in tracks.object_ids[1:]} == {
        3: "dog 3",
        7: "dog 7",
        8: "dog 2",
    }
    assert tracks.frames(8) == [2]


# -- what the machine may do --


@given(st.lists(acts(PERSON + MACHINE), max_size=12), acts(MACHINE))
def test_the_machine_replaces_its_own_boxes_of_that_object_and_range_only(
    before: list[Act], act: Act
) -> None:
    tracks = start()
    for one in before:
        perform(tracks, one)
    old = tracks.copy()
    perform(tracks, act)
    assert tracks.object_ids == old.object_ids
    for object_id in old.object_ids:
        assert tracks.info(object_id) == old.info(object_id)
        for frame in range(N_FRAMES + 1):
            was, now = old.cell(object_id, frame), tracks.cell(object_id, frame)
            allowed = (
                object_id == act.object_id
                and act.start <= frame < act.stop
                and not old.info(object_id).locked
                and was is not ABSENT
                and (was is None or not was.is_keyframe)
            )
            if not allowed:
                assert now is was
            elif was is not None:
                assert now is was or (now.occluded == was.occluded and not now.is_keyframe)


@given(st.lists(acts(), max_size=25))
def test_the_index_by_frame_tells_what_the_objects_tell(todo: list[Act]) -> None:
    tracks = start()
    for act in todo:
        perform(tracks, act)
    for frame in range(2 * N_FRAMES):
        every = {o: tracks.get(o, frame) for o in tracks.object_ids}
        assert tracks.on_frame(frame) == {o: box for o, box in every.items() if box is not None}
    assert len(tracks) == len(list(tracks.rows()))


def test_a_locked_object_is_changed_by_nobody() -> None:
    tracks = tracked(1, 2)
    tracks.set_object(1, locked=True)
    before = everything(tracks)
    assert tracks.merge(predicted(1, 2)) is False
    for act in (
        lambda: tracks.draw(1, 1, BOX),
        lambda: tracks.remove(1, 1),
        lambda: tracks.delete_object(1),
        lambda: edits.mark_absent(tracks, 1, 0, 3),
        lambda: edits.mark_occluded(tracks, 1, 0, 3),
        lambda: edits.clear(tracks, 1, 0, 3),
        lambda: edits.split(tracks, 1, 1),
        lambda: edits.join(tracks, tracks.object_ids[0], 1),
    ):
        with pytest.raises(TracksError, match=r"Object 1 \(dog\) is locked; unlock it first"):
            act()
    assert everything(tracks) == before


# -- spans of frames --


def test_absent_spans_are_not_tracked_into_until_unmarked() -> None:
    tracks = tracked(*range(1, 10))
    edits.mark_absent(tracks, 1, 4, 6)
    edits.mark_absent(tracks, 1, 8, 9)
    assert tracks.absent_spans(1) == [range(4, 6), range(8, 9)]
    assert tracks.frames(1) == [0, 1, 2, 3, 6, 7, 9]
    assert tracks.merge(predicted(1, 5)) is False
    edits.mark_absent(tracks, 1, 0, 6, absent=False)
    assert tracks.merge(predicted(1, 5)) is True
    assert tracks.absent_spans(1) == [range(8, 9)]
    tracks.draw(1, 8, BOX)
    assert tracks.absent_spans(1) == []
    assert tracks.get(1, 8).source is Source.DRAWN
    with pytest.raises(TracksError, match="count from 0; -1"):
        edits.mark_absent(tracks, 1, -1, 2)


def test_a_stretch_comes_back_into_view_from_a_frame_on() -> None:
    tracks = tracked(1)
    edits.mark_absent(tracks, 1, 3, 9)
    assert edits.back_in_view(tracks, 1, 5) == 9
    assert tracks.absent_spans(1) == [range(3, 5)]
    assert edits.back_in_view(tracks, 1, 6) == 6
    assert tracks.absent_spans(1) == [range(3, 5)]


def test_the_next_box_of_a_person_or_the_end() -> None:
    tracks = tracked(1, 2)
    tracks.draw(1, 5, BOX)
    assert [edits.next_keyframe(tracks, 1, frame, 9) for frame in (0, 4, 5)] == [5, 5, 9]


def test_an_occluded_mark_outlives_tracking_and_correction() -> None:
    tracks = tracked(1, 2)
    edits.mark_occluded(tracks, 1, 0, 2)
    assert [tracks.get(1, k).occluded for k in range(3)] == [True, True, False]
    tracks.merge(predicted(1, 1, x=7))
    assert tracks.get(1, 1).occluded
    tracks.draw(1, 1, BOX)
    assert tracks.get(1, 1).occluded
    edits.mark_occluded(tracks, 1, 0, 9, occluded=False)
    assert not any(tracks.get(1, k).occluded for k in range(3))


def test_a_box_that_was_fine_is_so_until_it_is_replaced() -> None:
    tracks = tracked(1, 2)
    edits.mark_fine(tracks, 1, 0, 9)
    assert [tracks.get(1, k).fine for k in range(3)] == [False, True, True]
    assert not tracks.get(1, 1).is_keyframe
    tracks.merge(predicted(1, 1, x=7))
    assert [tracks.get(1, k).fine for k in range(3)] == [False, False, True]


def test_clearing_takes_the_machines_boxes_only() -> None:
    tracks = tracked(1, 2, 3, 4)
    tracks.draw(1, 2, BOX)
    edits.clear(tracks, 1, 0, 4)
    assert tracks.frames(1) == [0, 2, 4]


# -- whole objects --


def test_ending_and_starting_here() -> None:
    tracks = tracked(*range(1, 6))
    edits.end_here(tracks, 1, 3, n_frames=8)
    assert tracks.frames(1) == [0, 1, 2, 3]
    edits.start_here(tracks, 1, 2)
    assert tracks.frames(1) == [2, 3]
    assert tracks.absent_spans(1) == [range(2), range(4, 8)]


def test_splitting_gives_the_rest_to_a_new_object() -> None:
    tracks = tracked(1, 2, 3)
    edits.mark_absent(tracks, 1, 4, 6)
    box = tracks.get(1, 2)
    assert edits.split(tracks, 1, 2) == 2
    assert (tracks.frames(1), tracks.frames(2)) == ([0, 1], [2, 3])
    assert tracks.get(2, 2) is box
    assert tracks.label(2) == "dog"
    assert (tracks.absent_spans(1), tracks.absent_spans(2)) == ([], [range(4, 6)])
    for frame in (0, 2):
        with pytest.raises(TracksError, match=f"no box on one side of frame {frame}"):
            edits.split(tracks, 1, frame)


def test_joining_keeps_the_better_of_two() -> None:
    tracks = tracked(1, 2)  # drawn 0, tracked 1 2
    other = tracks.add_object("cat")
    edits.mark_absent(tracks, 1, 3, 6)
    edits.mark_absent(tracks, other, 2, 4)
    tracks.draw(other, 1, BOX)
    tracks.draw(other, 0, (5, 5, 9, 9))
    tracks.merge(predicted(other, 4))
    edits.join(tracks, 1, other)
    assert tracks.object_ids == [1]
    assert tracks.label(1) == "dog"
    assert tracks.get(1, 0).box_xyxy.tolist() == list(BOX)  # both drawn: the first
    assert tracks.keyframes(1) == [0, 1]  # drawn before tracked
    assert tracks.frames(1) == [0, 1, 2, 4]  # a box before an absent mark
    assert tracks.absent_spans(1) == [range(3, 4), range(5, 6)]
    with pytest.raises(TracksError, match="with itself"):
        edits.join(tracks, 1, 1)


def test_an_id_is_never_given_out_twice() -> None:
    tracks = tracked(1)
    tracks.delete_object(1)
    assert len(tracks) == 0
    assert tracks.on_frame(0) == {}
    assert tracks.add_object() == 2


def test_deleting_the_last_box_keeps_the_object() -> None:
    tracks = tracked(1)
    tracks.remove(1, 1)
    tracks.remove(1, 0)
    assert tracks.object_ids == [1]
    tracks.draw(1, 5, BOX)
    assert tracks.frames(1) == [5]


def test_settings_of_an_object() -> None:
    tracks = tracked()
    tracks.set_object(1, color="#12abEF", hidden=True)
    assert (tracks.info(1).color, tracks.info(1).hidden, tracks.label(1)) == (
        "#12abEF",
        True,
        "dog",
    )
    with pytest.raises(TracksError, match="#rrggbb, not 'red'"):
        tracks.set_object(1, color="red")
