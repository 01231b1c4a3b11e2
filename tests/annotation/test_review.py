from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from napari_ocean import boxes
from napari_ocean.annotation import edits, review
from napari_ocean.annotation.review import Flag, Mark, Risks, Sign
from napari_ocean.tracks import Source, State, TrackBox, Tracks
from tests.annotation.scripts import Act, acts, perform, start

FIELDS = {"score": 0.95, "state": State.FOUND, "source": Source.TRACKED, "x": 0.0, "side": 40.0}


def clip(n_frames: int = 30, **changed: dict[int, object]) -> Tracks:
    """One object that stands still, drawn on frame 0, tracked well after; some fields changed."""
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, (0, 0, 40, 40))
    for frame in range(1, n_frames):
        of = {name: changed.get(name, {}).get(frame, usual) for name, usual in FIELDS.items()}
        x, side = of.pop("x"), of.pop("side")
        tracks.put(1, frame, TrackBox(np.array([x, 0, x + side, side]), **of))
    return tracks


def flagged(tracks: Tracks, **more: object) -> list[Flag]:
    return review.flags(1, review.risks(tracks, 1, **more))


def test_good_tracking_is_left_alone() -> None:
    walk = {frame: 8.0 * frame for frame in range(30)}  # a fifth of its side per frame, evenly
    assert flagged(clip()) == flagged(clip(x=walk)) == []
    assert review.risks(clip(), 1).risk.max() == pytest.approx(0.05)


def both(tracks: Tracks) -> list[list[Flag]]:
    """Flags of objects 1 and 2, each with what it shares with the other."""
    together = review.overlaps(tracks, range(30))
    return [review.flags(k, review.risks(tracks, k, together=together.get(k))) for k in (1, 2)]


def meeting(source: Source = Source.TRACKED) -> Tracks:
    """Two objects with good scores; the second one walks up to the first and stays on it."""
    tracks = clip()
    tracks.draw(tracks.add_object(), 0, (200, 0, 240, 40))
    for frame in range(1, 30):
        x = max(200.0 - 8 * frame, 0)  # IoU 0.67 on frame 24, 1 from 25 on
        tracks.put(2, frame, TrackBox(np.array([x, 0, x + 40, 40]), 0.95, source=source))
    return tracks


@pytest.mark.parametrize(
    ("changed", "sign", "start", "stop"),
    [
        ({"score": {7: 0.3, 8: 0.2}}, Sign.SCORE, 7, 9),
        ({"state": {7: State.LOST, 8: State.LOST}}, Sign.STATE, 7, 10),  # and found again on 9
        ({"state": {7: State.UNCERTAIN}}, Sign.STATE, 7, 9),
        ({"x": dict.fromkeys(range(12, 30), 15.0)}, Sign.PLACE, 12, 13),
        ({"side": dict.fromkeys(range(12, 30), 62.0)}, Sign.SIZE, 12, 13),
    ],
)
def test_each_sign_flags_its_frames(
    changed: dict[str, dict[int, object]], sign: Sign, start: int, stop: int
) -> None:
    (flag,) = flagged(clip(**changed))
    assert (flag.sign, flag.start, flag.stop) == (sign, start, stop)


def test_a_score_that_falls_is_a_risk_before_it_is_low() -> None:
    falling = {frame: 0.95 - 0.45 * (frame >= 20) for frame in range(30)}
    of = review.risks(clip(score=falling), 1)
    assert of.risk[19] == pytest.approx(0.05)
    assert_allclose(of.risk[20], 0.5)


def test_runs_that_disagree_are_flagged() -> None:
    (flag,) = flagged(clip(), agreement={5: 0.9, 6: 0.3, 7: 0.1, 8: 0.8})
    assert flag == Flag(1, 7, 6, 8, pytest.approx(0.9), Sign.RUNS)


def test_the_box_before_a_keyframe_far_away_is_the_one_astray() -> None:
    tracks = clip()
    tracks.draw(1, 15, (30, 0, 70, 40))
    for frame in range(16, 30):
        tracks.put(1, frame, TrackBox(np.array([30.0, 0, 70, 40]), 0.95, source=Source.TRACKED))
    (flag,) = flagged(tracks)
    assert (flag.frame, flag.sign) == (14, Sign.PLACE)


@pytest.mark.parametrize("source", [Source.TRACKED, Source.INTERPOLATED])
def test_two_objects_in_one_place_are_both_flagged_where_it_begins(source: Source) -> None:
    (one,), (other,) = both(meeting(source=source))
    assert one == Flag(1, 25, 25, 30, pytest.approx(0.81), Sign.TOGETHER)
    assert other == one._replace(object_id=2)


def test_once_one_is_taken_away_neither_is_flagged_there() -> None:
    tracks = meeting()
    tracks.draw(2, 27, (60, 0, 100, 40))
    tracks.put(2, 28, TrackBox(np.array([60.0, 0, 100, 40]), 0.95, source=Source.TRACKED))
    of_one, of_other = both(tracks)
    assert [(flag.start, flag.stop) for flag in of_one] == [(25, 27), (29, 30)]
    assert 27 not in {k for flag in of_other for k in range(flag.start, flag.stop)}


def test_a_box_that_a_person_answers_for_is_not_the_one_blamed() -> None:
    tracks = meeting()
    for frame in range(25, 30):
        tracks.draw(1, frame, (0, 0, 40, 40))
    of_one, (other,) = both(tracks)
    assert of_one == []
    assert (other.start, other.stop, other.sign) == (25, 30, Sign.TOGETHER)
    edits.mark_fine(tracks, 2, 25, 30)
    assert both(tracks) == [[], []]


SHARES = {"same": 0.0, "less": 10.0, "apart": 20.0}
"""How far apart boxes of 40 px are: IoU 1, then 0.6, which is not flagged, then 0.33."""


@pytest.mark.parametrize(
    ("shared", "spans"),
    [
        ({12: "less", 15: "less", 16: "less"}, [(10, 20)]),
        ({9: "less", 12: "less", 20: "less"}, [(10, 20)]),
        ({12: "apart"}, [(10, 12), (13, 20)]),
        ({12: "less", 13: "apart", 14: "less"}, [(10, 12), (15, 20)]),
    ],
    ids=["now more, now less", "not before and after", "parted", "parted on the way"],
)
def test_boxes_that_share_now_more_now_less_of_a_place_are_one_flag(
    shared: dict[int, str], spans: list[tuple[int, int]]
) -> None:
    tracks = clip()
    other = tracks.add_object()
    for frame in range(30):
        usual = "same" if 10 <= frame < 20 else "apart"
        x = SHARES[shared.get(frame, usual)]
        box = TrackBox(np.array([x, 0, x + 40, 40]), 0.95, source=Source.INTERPOLATED)
        tracks.put(other, frame, box)
    found = both(tracks)[0]
    assert [(flag.start, flag.stop) for flag in found] == spans
    assert {flag.sign for flag in found} == {Sign.TOGETHER}


@pytest.mark.parametrize("gap", [review.JOINED_FRAMES - 1, review.JOINED_FRAMES])
def test_a_long_time_side_by_side_is_no_place_shared(gap: int) -> None:
    tracks, overlap = clip(), dict.fromkeys(range(1, 30), 0.6)
    overlap |= {5: 0.9, 5 + 1 + gap: 0.9}
    found = flagged(tracks, together=overlap)
    assert len(found) == (1 if gap < review.JOINED_FRAMES else 2)


def test_a_box_that_a_person_answers_for_parts_two_flags() -> None:
    for settle in (
        lambda of: of.draw(1, 7, (0, 0, 40, 40)),
        lambda of: edits.mark_fine(of, 1, 7, 8),
    ):
        tracks, overlap = clip(), dict.fromkeys(range(5, 10), 0.9) | {6: 0.6, 8: 0.6}
        assert len(flagged(tracks, together=overlap)) == 1
        settle(tracks)
        found = flagged(tracks, together=overlap)
        assert [(flag.start, flag.stop) for flag in found] == [(5, 6), (9, 10)]


def test_boxes_marked_as_hidden_share_a_place_with_nobody() -> None:
    tracks = meeting()
    edits.mark_occluded(tracks, 2, 25, 28)
    (one,), (other,) = both(tracks)
    assert (one.start, one.stop) == (other.start, other.stop) == (28, 30)


@pytest.mark.parametrize(
    ("box", "risk"),
    [((5, 5, 20, 20), 0), ((12, 0, 52, 40), 0.29), ((6, 0, 46, 40), 0.55), ((20, 0, 60, 40), 0)],
    ids=["a head within a body", "just over neighbours", "flagged", "neighbours"],
)
def test_how_much_of_a_place_is_shared(box: tuple[float, ...], risk: float) -> None:
    tracks = clip()
    tracks.draw(tracks.add_object(), 9, box)
    together = review.overlaps(tracks, [9]).get(1)
    got = review.risks(tracks, 1, together=together).risk[9]
    assert got == pytest.approx(max(risk, 0.05), abs=0.01)


@given(st.dictionaries(st.tuples(st.integers(1, 5), st.integers(0, 2)), st.integers(-1, 9)))
def test_overlaps_are_the_largest_of_any_two_boxes(place: dict[tuple[int, int], int]) -> None:
    tracks = Tracks()
    for object_id in range(1, 6):
        tracks.add_object(object_id=object_id)
    for (object_id, frame), x in place.items():
        box = np.array([x, 0.0, x + 20, 10])
        tracks.put(object_id, frame, TrackBox(box, occluded=x < 0))
    want: dict[int, dict[int, float]] = {}
    for one, other in itertools.permutations(tracks.rows(), 2):
        if one.frame != other.frame or one.box.occluded or other.box.occluded:
            continue
        iou = float(boxes.iou(one.box.box_xyxy, other.box.box_xyxy))
        if iou > review.NEIGHBOURS:
            of = want.setdefault(one.object_id, {})
            of[one.frame] = max(of.get(one.frame, 0), iou)
    assert review.overlaps(tracks, range(3)) == want


def test_nothing_is_compared_across_an_absent_span() -> None:
    tracks = clip(x=dict.fromkeys(range(15, 30), 400.0))
    edits.mark_absent(tracks, 1, 12, 15)
    assert flagged(tracks) == []


def test_fine_and_corrected_frames_leave_the_queue() -> None:
    tracks = clip(score={7: 0.3, 8: 0.2, 20: 0.1})
    first, second = flagged(tracks)
    edits.mark_fine(tracks, 1, first.start, first.stop)
    assert flagged(tracks) == [second]
    tracks.draw(1, 20, (0, 0, 40, 40))
    assert flagged(tracks) == []


def test_the_queue_is_ordered_by_risk_and_walked_by_time() -> None:
    low, high = Flag(1, 7, 6, 9, 0.6, Sign.FALL), Flag(2, 3, 3, 4, 0.9, Sign.STATE)
    longer = Flag(1, 20, 11, 25, 0.6, Sign.FALL)
    flags = [low, longer, high]
    assert review.queue(flags) == [high, longer, low]
    assert review.next_flag(flags, 3) == low
    assert review.next_flag(flags, 7) == longer
    assert review.next_flag(flags, 20) is None
    assert review.next_flag(flags, 7, reverse=True) == high
    assert review.next_flag(flags, 3, reverse=True) is None


def test_help_is_wanted_where_most_risk_lies_each_time_anew() -> None:
    risk = np.zeros(400)
    risk[100:121] = 1.0  # a long loss, at best corrected in its middle
    risk[300] = 0.9
    of = Risks(np.arange(400), risk, (Sign.SCORE,) * 400)
    first, second = review.helpful(of, [0], 2)
    assert first == 110
    assert second == 300
    assert review.helpful(of, [0, 110], 1) != [110]
    assert review.helpful(Risks(np.arange(9), np.zeros(9), (Sign.SCORE,) * 9), [0], 3) == []
    assert review.helpful(Risks(np.arange(0), np.zeros(0), ()), [], 3) == []


def test_a_keyframe_shields_what_lies_behind_it() -> None:
    risk = np.zeros(60)
    risk[[10, 30, 50]] = 0.6, 0.5, 0.5
    of = Risks(np.arange(60), risk, (Sign.SCORE,) * 60)
    assert review.helpful(of, [0], 1) == [30]  # helps its neighbours too
    assert review.helpful(of, [0, 20, 40], 1) == [10]


def test_the_strip_shows_each_kind_of_frame() -> None:
    tracks = clip(6, score={2: 0.1}, source={3: Source.INTERPOLATED})
    edits.mark_absent(tracks, 1, 6, 8)
    strip = review.strip(tracks, 1, review.risks(tracks, 1), 9)
    assert [Mark(k) for k in strip] == [
        Mark.KEYFRAME, Mark.TRACKED, Mark.RISKY, Mark.INTERPOLATED, Mark.TRACKED, Mark.TRACKED,
        Mark.ABSENT, Mark.ABSENT, Mark.NOTHING,
    ]  # fmt: skip


@given(st.lists(acts(), max_size=20))
def test_any_annotation_can_be_reviewed(todo: list[Act]) -> None:
    tracks = start()
    for act in todo:
        perform(tracks, act)
    for object_id in tracks.object_ids:
        of = review.risks(tracks, object_id)
        assert of.frames.tolist() == tracks.frames(object_id)
        assert len(of.signs) == len(of.risk) == len(of.frames)
        assert ((of.risk >= 0) & (of.risk <= 1)).all()
        settled = [tracks.get(object_id, k).is_keyframe for k in tracks.frames(object_id)]
        assert not of.risk[settled].any()
        covered = {k for flag in review.flags(object_id, of) for k in range(flag.start, flag.stop)}
        assert covered == set(of.frames[of.risk >= review.FLAGGED].tolist())
        assert set(review.helpful(of, tracks.keyframes(object_id), 3)) <= set(of.frames.tolist())
