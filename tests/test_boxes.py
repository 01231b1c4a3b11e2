from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from napari_ocean import boxes
from napari_ocean.errors import BoxError, OceanError

numbers = st.floats(-1e4, 1e4)
sides = st.floats(0, 1e4)


@st.composite
def some_boxes(draw: st.DrawFn) -> np.ndarray:
    x0, y0 = draw(numbers), draw(numbers)
    return np.array([x0, y0, x0 + draw(sides), y0 + draw(sides)])


@given(some_boxes())
def test_conversions_invert_each_other(box: np.ndarray) -> None:
    assert_allclose(boxes.from_xywh(boxes.to_xywh(box)), box, atol=1e-9)
    assert_allclose(boxes.from_center(boxes.center(box), boxes.size(box)), box, atol=1e-9)


def test_conversions_by_hand_and_in_batches() -> None:
    assert_array_equal(boxes.from_xywh((1, 2, 3, 4)), [1, 2, 4, 6])
    assert_array_equal(boxes.to_xywh([[1, 2, 4, 6], [0, 0, 1, 1]]), [[1, 2, 3, 4], [0, 0, 1, 1]])
    assert_array_equal(boxes.center((0, 0, 4, 2)), [2, 1])
    assert boxes.from_center(np.zeros((5, 2)), np.ones((5, 2))).shape == (5, 4)


def test_iou_by_hand() -> None:
    assert boxes.iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert boxes.iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0  # they touch
    assert boxes.iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0  # both empty
    assert np.isnan(boxes.iou((0, 0, np.nan, 1), (0, 0, 1, 1)))
    assert boxes.iou(np.zeros((3, 1, 4)), np.zeros((2, 4))).shape == (3, 2)


@given(some_boxes(), some_boxes())
def test_iou_is_symmetric_and_between_0_and_1(a: np.ndarray, b: np.ndarray) -> None:
    value = boxes.iou(a, b)
    assert 0 <= value <= 1 + 1e-9
    assert value == boxes.iou(b, a)
    if boxes.size(a).min() > 1e-3:
        assert boxes.iou(a, a) == pytest.approx(1)


@given(some_boxes(), st.integers(1, 500), st.integers(1, 500))
def test_clipping_keeps_within_the_frame_and_does_it_once(
    box: np.ndarray, height: int, width: int
) -> None:
    cut = boxes.clip(box, (height, width))
    assert (cut >= 0).all()
    assert (cut <= [width, height, width, height]).all()
    assert_array_equal(boxes.clip(cut, (height, width)), cut)
    assert (boxes.size(cut) <= boxes.size(box) + 1e-9).all()


def test_arguments_are_not_changed() -> None:
    box = np.array([-5.0, -5, 5, 5])
    before = box.copy()
    boxes.clip(box, (3, 3)), boxes.iou(box, box), boxes.check(box), boxes.to_xywh(box)
    assert_array_equal(box, before)


def test_check_gives_back_a_good_box_unclipped() -> None:
    box = boxes.check([-3, 0, 10, 8.5], (20, 20))
    assert box.dtype == np.float64
    assert_array_equal(box, [-3, 0, 10, 8.5])


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 5), "four numbers"),
        ("abc", "four numbers"),
        (None, "four numbers"),
        (np.zeros((2, 4)), "not an array"),
        ((0, 0, np.nan, 5), "not finite"),
        ((0, 0, np.inf, 5), "not finite"),
        ((5, 0, 0, 5), "inverted"),
        ((0, 0, 1.9, 5), "1.9 x 5 px; a target needs at least 2 px"),
        ((0, 0, 0, 0), "at least 2 px"),
        ((30, 0, 40, 9), "outside the frame, which is 20 px wide and 10 px high"),
        ((19, 0, 40, 9), "outside the frame"),
        ((-9, -9, 1, 9), "outside the frame"),
    ],
)
def test_check_says_what_is_wrong(box: object, message: str) -> None:
    with pytest.raises(BoxError, match=message) as caught:
        boxes.check(box, (10, 20))
    assert isinstance(caught.value, OceanError)
    assert isinstance(caught.value, ValueError)
