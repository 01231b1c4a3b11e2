from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from napari_ocean import boxes
from napari_ocean.annotation import edits
from napari_ocean.annotation.interpolate import Curve, appearances, between, fill
from napari_ocean.errors import TracksError
from napari_ocean.tracks import Source, Tracks
from tests.annotation.scripts import everything, predicted


def drawn(*keyframes: int) -> Tracks:
    """An object that moves 10 px a frame between its keyframes."""
    tracks = Tracks()
    tracks.add_object()
    for frame in keyframes:
        tracks.draw(1, frame, (10 * frame, 0, 10 * frame + 20, 20))
    return tracks


@pytest.mark.parametrize("curve", Curve)
def test_even_motion_is_followed_exactly(curve: Curve) -> None:
    tracks = drawn(0, 4, 10)
    assert fill(tracks, 1, 0, 99, curve) == 8
    assert tracks.frames(1) == list(range(11))
    assert tracks.keyframes(1) == [0, 4, 10]
    for frame in range(11):
        truth = (10 * frame, 0, 10 * frame + 20, 20)
        assert_allclose(tracks.get(1, frame).box_xyxy, truth, atol=1e-9)
    assert tracks.get(1, 5).source is Source.INTERPOLATED


def test_linear_moves_the_corners_straight() -> None:
    two = np.array([[0, 0, 10, 10], [10, 20, 50, 30.0]])
    assert between(np.array([0, 4]), two, np.array([1])).tolist() == [[2.5, 5, 20, 15]]


def test_smooth_by_hand() -> None:
    # Centres x 0, 1, 3 on frames 0, 2, 4: slopes 1/2 and 1, their harmonic mean 2/3. On frame 3,
    # half way, Hermite's curve is (1 + 3) / 2 + 2 * (2/3 - 1) / 8 = 23/12; sizes 4, 4, 16 grow
    # from a slope 0 on, in logarithms: log 4 + log 4 * (1/2 - 1/8).
    three = boxes.from_center([[0, 0], [1, 0], [3, 0]], [[4, 9], [4, 9], [16, 9]])
    (box,) = between(np.array([0, 2, 4]), three, np.array([3]), Curve.SMOOTH)
    assert_allclose(boxes.center(box), [23 / 12, 0], atol=1e-12)
    assert_allclose(boxes.size(box), [4 * 4 ** (3 / 8), 9])


places = st.lists(
    st.tuples(st.integers(1, 9), *[st.floats(-100, 100)] * 2, *[st.floats(2, 200)] * 2),
    min_size=2,
    max_size=6,
)


@given(places, st.sampled_from(Curve))
def test_no_box_lies_beyond_its_two_keyframes(
    of: list[tuple[int, float, float, float, float]], curve: Curve
) -> None:
    table = np.array(of)
    keyframes = np.cumsum(table[:, 0]).astype(int)
    known = boxes.from_center(table[:, 1:3], table[:, 3:])
    frames = np.arange(keyframes[0], keyframes[-1] + 1)
    made = between(keyframes, known, frames, curve)
    assert_allclose(made[keyframes - keyframes[0]], known, atol=1e-9)
    after = np.searchsorted(keyframes, frames).clip(1)
    for measure in (boxes.center, boxes.size):
        ends = np.stack([measure(known)[after - 1], measure(known)[after]])
        assert (measure(made) >= ends.min(axis=0) - 1e-9).all()
        assert (measure(made) <= ends.max(axis=0) + 1e-9).all()


def test_smooth_beats_straight_on_a_swinging_target() -> None:
    time = np.arange(0, 121)
    truth = boxes.from_center(
        np.stack([100 + 60 * np.sin(time / 20), 80 + 30 * np.cos(time / 15)], axis=1),
        np.stack([np.full(121, 30.0)] * 2, axis=1),
    )
    marks = np.arange(0, 121, 12)
    linear, smooth = (
        boxes.iou(between(marks, truth[marks], time, curve), truth).mean() for curve in Curve
    )
    assert smooth > linear > 0.8


def test_nothing_crosses_an_absent_span() -> None:
    tracks = drawn(0, 4, 10, 13)
    edits.mark_absent(tracks, 1, 6, 8)
    assert appearances(tracks, 1) == [[0, 4], [10, 13]]
    fill(tracks, 1, 0, 99)
    assert tracks.frames(1) == [0, 1, 2, 3, 4, 10, 11, 12, 13]


def test_only_the_machines_boxes_in_the_range_are_replaced() -> None:
    tracks = drawn(0, 10)
    for frame in range(1, 12):
        tracks.merge(predicted(1, frame))
    edits.mark_occluded(tracks, 1, 0, 1)
    assert fill(tracks, 1, 3, 6) == 3
    made = [k for k in tracks.frames(1) if tracks.get(1, k).source is Source.INTERPOLATED]
    assert made == [3, 4, 5]
    assert all(tracks.get(1, k).occluded for k in made)  # as its keyframe is, as CVAT does


def test_what_cannot_be_filled() -> None:
    tracks = drawn(5)
    assert fill(tracks, 1, 0, 9) == 0
    tracks.draw(1, 7, (0, 0, 9, 9))
    tracks.set_object(1, locked=True)
    before = everything(tracks)
    with pytest.raises(TracksError, match="locked"):
        fill(tracks, 1, 0, 9)
    assert everything(tracks) == before
