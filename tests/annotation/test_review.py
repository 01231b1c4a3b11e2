from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

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
