"""Which objects a press on Track means."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest

from napari_ocean.errors import TracksError
from napari_ocean.plugin.pending import Pending
from napari_ocean.plugin.plan import Direction, Leg, Reach, Who, between, plan, shut_off
from napari_ocean.tracks import ABSENT, Source, TrackBox, Tracks

BOX = (10.0, 10.0, 30.0, 30.0)


def annotated(drawn: dict[int, list[int]], tracked: dict[int, range] | None = None) -> Tracks:
    tracks = Tracks()
    for object_id, frames in drawn.items():
        tracks.add_object(object_id=object_id)
        for frame in (tracked or {}).get(object_id, ()):
            box = TrackBox(np.array(BOX), source=Source.TRACKED)
            tracks.put(object_id, frame, box)
        for frame in frames:
            tracks.draw(object_id, frame, BOX)
    return tracks


def waiting(*keys: tuple[int, int]) -> Pending:
    pending = Pending()
    pending.add(*keys)
    return pending


def legs(
    tracks: Tracks,
    direction: Direction,
    frame: int,
    pending: Pending | None = None,
    selected: Collection[int] = (),
) -> list[tuple[int, ...]]:
    """(start, stop, reverse, *objects) of every leg on a clip of 100 frames."""
    found = plan(
        tracks, direction, frame=frame, start=0, stop=100, pending=pending, selected=selected
    )
    return [(leg.start, leg.stop, leg.reverse, *leg.object_ids) for leg in found]


def test_box_on_this_frame_runs_to_the_end() -> None:
    tracks = annotated({1: [20]})
    assert legs(tracks, Direction.FORWARD, 20) == [(20, 100, False, 1)]
    assert legs(tracks, Direction.BACKWARD, 20) == [(0, 21, True, 1)]
    assert legs(tracks, Direction.BOTH, 20) == [(20, 100, False, 1), (0, 21, True, 1)]


def test_a_box_on_another_frame_runs_from_there() -> None:
    assert legs(annotated({1: [20]}), Direction.FORWARD, 77, waiting((1, 20))) == [
        (20, 100, False, 1)
    ]


@pytest.mark.parametrize("frame", [0, 40, 41, 99])
def test_correction_runs_only_its_object_and_only_onwards(frame: int) -> None:
    tracks = annotated({1: [0, 40], 2: [0]}, {1: range(100), 2: range(100)})
    assert legs(tracks, Direction.FORWARD, frame, waiting((1, 40))) == [(40, 100, False, 1)]
    assert legs(tracks, Direction.BACKWARD, frame, waiting((1, 40))) == [(0, 41, True, 1)]


def test_every_waiting_box_comes_along_from_where_it_is() -> None:
    tracks = annotated({1: [0], 2: [30]})
    both = waiting((1, 0), (2, 30))
    assert legs(tracks, Direction.FORWARD, 0, both) == [(0, 100, False, 1), (30, 100, False, 2)]
    assert legs(tracks, Direction.BACKWARD, 0, both) == [(0, 31, True, 2)]


def test_of_two_waiting_boxes_the_first_on_the_way_counts() -> None:
    tracks, two = annotated({1: [20, 60]}), waiting((1, 20), (1, 60))
    assert legs(tracks, Direction.FORWARD, 0, two) == [(20, 100, False, 1)]
    assert legs(tracks, Direction.BACKWARD, 0, two) == [(0, 61, True, 1)]
    assert legs(tracks, Direction.BOTH, 0, two) == [(20, 100, False, 1), (0, 21, True, 1)]


def test_without_a_waiting_box_the_selected_object_goes_on_from_here() -> None:
    tracks = annotated({1: [0], 2: [0]}, {1: range(60), 2: range(60)})
    assert legs(tracks, Direction.FORWARD, 50, selected={2}) == [(50, 100, False, 2)]
    assert legs(tracks, Direction.FORWARD, 50) == [(50, 100, False, 1, 2)]


def test_a_selected_object_that_is_not_here_has_no_other_tracked_instead() -> None:
    tracks = annotated({1: [0], 2: [30]}, {1: range(60), 2: range(31, 100)})
    assert legs(tracks, Direction.FORWARD, 80, selected={1}) == [(0, 100, False, 1)]
    assert legs(tracks, Direction.FORWARD, 80) == [(80, 100, False, 2)]


def test_a_tracked_box_waits_no_longer() -> None:
    tracks = annotated({1: [0, 40], 2: [30]}, {1: range(100), 2: range(30, 100)})
    pending = waiting((1, 40), (2, 30))
    pending.passed((1, 40), tracks.frames(1), reverse=False)
    pending.passed((2, 30), tracks.frames(2), reverse=False)
    assert pending.frames(reverse=False) == {}
    assert pending.frames(reverse=True) == {2: [30]}  # nothing was tracked before it yet
    assert legs(tracks, Direction.BACKWARD, 70, pending) == [(0, 31, True, 2)]
    pending.passed((2, 30), [0, 30, 31], reverse=True)
    assert legs(tracks, Direction.BACKWARD, 70, pending) == [(0, 71, True, 1, 2)]


def test_a_seed_on_the_first_frame_does_not_keep_others_from_going_on() -> None:
    tracks, pending = annotated({1: [0]}, {1: range(50)}), waiting((1, 0))
    pending.passed((1, 0), tracks.frames(1), reverse=False)
    assert legs(tracks, Direction.BOTH, 30, pending) == [(30, 100, False, 1), (0, 31, True, 1)]


def test_goes_on_from_tracked_boxes_after_a_stop() -> None:
    tracks = annotated({1: [0]}, {1: range(50)})
    assert legs(tracks, Direction.FORWARD, 49) == [(49, 100, False, 1)]


def test_starts_all_again_where_the_frame_is_empty() -> None:
    tracks = annotated({1: [10], 2: [10]}, {1: range(10, 50), 2: range(10, 50)})
    assert legs(tracks, Direction.FORWARD, 70) == [(10, 100, False, 1, 2)]


def test_steps_count_the_boxes_to_come() -> None:
    tracks = annotated({1: [90], 2: [90]})
    (leg,) = plan(tracks, Direction.FORWARD, frame=90, start=0, stop=100)
    assert leg == Leg(object_ids=(1, 2), start=90, stop=100, reverse=False, steps=20)


def test_range_limits_the_run() -> None:
    tracks = annotated({1: [20]})
    (leg,) = plan(tracks, Direction.FORWARD, frame=20, start=10, stop=30)
    assert (leg.start, leg.stop) == (20, 30)


@pytest.mark.parametrize(
    ("drawn", "direction", "message"),
    [
        ({}, Direction.BOTH, "No box was drawn on frames 0 to 99"),
        ({1: []}, Direction.FORWARD, "No box"),
        ({1: [99]}, Direction.FORWARD, "lies after the box"),
        ({1: [0]}, Direction.BACKWARD, "lies before the box"),
    ],
)
def test_nothing_to_do_is_said(
    drawn: dict[int, list[int]], direction: Direction, message: str
) -> None:
    with pytest.raises(TracksError, match=message):
        legs(annotated(drawn), direction, 0)


def test_a_box_with_nothing_beyond_it_has_no_other_object_tracked_instead() -> None:
    tracks = annotated({1: [0], 2: [99]}, {1: range(1, 100)})
    with pytest.raises(TracksError, match="lies after the box"):
        legs(tracks, Direction.FORWARD, 99, waiting((2, 99)))
    assert legs(tracks, Direction.BOTH, 99, waiting((2, 99))) == [(0, 100, True, 2)]
    assert legs(tracks, Direction.FORWARD, 40, waiting((2, 99))) == [(40, 100, False, 1)]


def test_a_box_outside_the_range_does_not_count() -> None:
    with pytest.raises(TracksError, match="frames 50 to 59"):
        plan(annotated({1: [20]}), Direction.FORWARD, frame=20, start=50, stop=60)


def chosen(tracks: Tracks, frame: int, who: Who, selected: Collection[int] = ()) -> list[Leg]:
    return plan(
        tracks, Direction.FORWARD, frame=frame, start=0, stop=100, selected=selected, who=who
    )


def test_named_objects_are_tracked_from_here_or_from_their_keyframes() -> None:
    tracks = annotated({1: [0], 2: [30], 3: [0]}, {1: range(60)})
    assert {leg.object_ids: leg.start for leg in chosen(tracks, 50, Who.ALL)} == {
        (1,): 50,
        (2,): 30,
        (3,): 0,
    }
    (leg,) = chosen(tracks, 50, Who.SELECTED, {2})
    assert (leg.object_ids, leg.start) == ((2,), 30)
    with pytest.raises(TracksError, match="No object is selected"):
        chosen(tracks, 50, Who.SELECTED)


def test_objects_without_boxes_in_the_range_are_those_the_machine_has_not_seen() -> None:
    tracks = annotated({1: [0], 2: [0], 3: [10]}, {1: range(60)})
    assert [leg.object_ids for leg in chosen(tracks, 0, Who.EMPTY)] == [(2,), (3,)]
    tracks = annotated({1: [0]}, {1: range(60)})
    with pytest.raises(TracksError, match="already"):
        chosen(tracks, 0, Who.EMPTY)


def test_locked_objects_are_left_out() -> None:
    tracks = annotated({1: [0], 2: [0]})
    tracks.set_object(1, locked=True)
    assert [leg.object_ids for leg in chosen(tracks, 0, Who.ALL)] == [(2,)]
    tracks.set_object(2, locked=True)
    with pytest.raises(TracksError, match="All objects to track are locked"):
        chosen(tracks, 0, Who.ALL)


def to_keyframe(tracks: Tracks, direction: Direction, frame: int) -> list[tuple[object, ...]]:
    legs = plan(tracks, direction, frame=frame, start=0, stop=100, reach=Reach.KEYFRAME)
    return [(leg.start, leg.stop, leg.reverse, leg.fused) for leg in legs]


def test_as_far_as_the_next_keyframe() -> None:
    tracks = annotated({1: [10, 40, 80]}, {1: range(100)})
    assert to_keyframe(tracks, Direction.FORWARD, 40) == [(40, 81, False, True)]
    assert to_keyframe(tracks, Direction.BACKWARD, 40) == [(10, 41, False, True)]
    assert to_keyframe(tracks, Direction.BOTH, 40) == [(10, 41, False, True), (40, 81, False, True)]
    assert to_keyframe(tracks, Direction.FORWARD, 50) == [(50, 81, False, False)]
    assert to_keyframe(tracks, Direction.BACKWARD, 50) == [(40, 51, True, False)]
    assert to_keyframe(tracks, Direction.FORWARD, 80) == [(80, 100, False, False)]


def test_to_the_next_keyframe_the_selected_object_goes_on_before_what_waits() -> None:
    tracks = annotated({1: [5], 2: [12]})
    for stop, tracked in ((100, 2), (10, 1)):  # the frame in view may lie outside the range
        legs = plan(
            tracks,
            Direction.FORWARD,
            frame=12,
            start=0,
            stop=stop,
            pending=waiting((1, 5)),
            selected={2},
            reach=Reach.KEYFRAME,
        )
        assert [leg.object_ids for leg in legs] == [(tracked,)]


def test_runs_are_not_fused_over_an_absence() -> None:
    tracks = annotated({1: [10, 40]})
    tracks.put(1, 20, ABSENT)
    assert to_keyframe(tracks, Direction.FORWARD, 10) == [(10, 41, False, False)]
    with pytest.raises(TracksError, match="keyframes on both sides"):
        between(tracks, [1], 15)


@pytest.mark.parametrize(
    ("frame", "gap"), [(10, (10, 41)), (25, (10, 41)), (40, (40, 81)), (80, (40, 81))]
)
def test_between_two_keyframes(frame: int, gap: tuple[int, int]) -> None:
    tracks = annotated({1: [10, 40, 80], 2: [60]})
    (leg,) = between(tracks, [1, 2], frame)
    assert (leg.start, leg.stop, leg.fused, leg.object_ids) == (*gap, True, (1,))
    assert leg.steps == 2 * (gap[1] - gap[0])


@pytest.mark.parametrize(
    ("leg", "want"),
    [
        ((50, 100, False), [(1, range(51, 100))]),
        ((0, 51, True), [(1, range(48, 50))]),
        ((20, 100, False), []),
    ],
)
def test_marks_that_end_a_run_at_once(leg: tuple[int, int, bool], want: list[object]) -> None:
    tracks = annotated({1: [50], 2: [50]})
    for frame in [48, 49, *range(51, 100)]:
        tracks.put(1, frame, ABSENT)
    start, stop, reverse = leg
    of = Leg(object_ids=(1, 2), start=start, stop=stop, reverse=reverse, steps=9)
    assert shut_off(tracks, of) == want
    tracks.draw(1, 40, BOX)
    tracks.draw(1, 60, BOX)
    assert shut_off(tracks, of) == []  # it goes on at the next keyframe
