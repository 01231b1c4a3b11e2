"""Two runs become one, by hand and by its laws."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from napari_ocean import boxes
from napari_ocean.tracking.fuse import fuse

ONES = np.ones(5)


def at(x: float) -> np.ndarray:
    """A 10 px box on each of five frames, its left edge at x."""
    return np.tile([x, 0.0, x + 10, 10], (5, 1))


def test_a_run_is_bent_to_the_keyframe_that_it_reached() -> None:
    # both runs drift by 2 px of 10: the forward one ends 2 px left of the far keyframe
    fused, score = fuse(at(0), at(2), ONES, ONES)
    assert_allclose(fused[:, 0], [0, 0.5, 1, 1.5, 2])
    assert_allclose(score, 1)
    grown = at(0) * [1, 1, 1.21, 1.21]  # and its size by a factor of 1.21, half of it 1.1
    fused, _ = fuse(at(0), grown, ONES, ONES)
    assert_allclose(boxes.size(fused[2]), [11, 11])


def test_the_mean_of_runs_that_agree_goes_by_score_and_by_nearness() -> None:
    there, back = at(0), at(0)
    there[1:4] += [1, 0, 1, 0]  # both arrive, and differ by 1 px between
    fused, score = fuse(there, back, ONES, ONES)
    assert_allclose(fused[:, 0], [0, 0.75, 0.5, 0.25, 0])
    fused, score = fuse(there, back, 0.9 * ONES, 0.3 * ONES)
    assert_allclose(fused[2, 0], 0.75)  # weights 3 : 1 in the middle
    assert_allclose(score[2], 0.75)


def test_runs_that_disagree_are_not_averaged_and_the_score_says_so() -> None:
    fused, score = fuse(at(0), at(100), ONES, ONES)
    assert_allclose(fused[:, 0], [0, 0, 0, 100, 100])
    assert_allclose(score, 0)
    fused, _ = fuse(at(0), at(100), 0.2 * ONES, 0.9 * ONES)
    assert_allclose(fused[:, 0], [0, 100, 100, 100, 100])


def test_a_run_that_missed_its_goal_gives_way_to_one_that_reached_it() -> None:
    there, back = at(0), at(0)
    there[1:] = at(300)[1:]  # lost at once, with a high score
    fused, _ = fuse(there, back, ONES, 0.3 * ONES)
    assert_allclose(fused, at(0))


def test_a_score_of_zero_on_both_sides_still_gives_a_box() -> None:
    fused, score = fuse(at(0), at(2), 0 * ONES, 0 * ONES)
    assert np.isfinite(fused).all()
    assert_allclose(score, 0)


def runs(n: int) -> st.SearchStrategy:
    rows = st.tuples(*[st.floats(0, 100)] * 2, *[st.floats(2, 50)] * 2)
    return st.lists(rows, min_size=n, max_size=n).map(boxes.from_xywh)


@given(st.integers(2, 6).flatmap(lambda n: st.tuples(runs(n), runs(n), st.floats(0.1, 1))))
def test_keyframes_stay_and_time_has_no_direction(drawn) -> None:
    forward, backward, level = drawn
    scores = np.linspace(1, level, len(forward))
    fused, score = fuse(forward, backward, scores, 0.9 * scores[::-1])
    assert_allclose(fused[[0, -1]], [forward[0], backward[-1]], atol=1e-9)
    assert (boxes.size(fused) > 0).all()
    assert ((score >= 0) & (score <= 1 + 1e-12)).all()
    turned, turned_score = fuse(backward[::-1], forward[::-1], 0.9 * scores, scores[::-1])
    assert_allclose(turned[::-1], fused, atol=1e-9)
    assert_allclose(turned_score[::-1], score, atol=1e-9)
