"""Calibration error and ROC area, worked by hand and as properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ocean.evaluation.confidence import confidence


def test_by_hand() -> None:
    """Right where the overlap is 0.5 or more; the frame without a true box does not count."""
    scores = [0.95, 0.95, 0.35, 0.05, 0.5]
    ious = [0.8, 0.2, 0.5, 0.0, math.nan]
    found = confidence(scores, ious)
    # bins: 0.95 with half right, 0.35 with all, 0.05 with none
    assert found.calibration_error == pytest.approx((2 * 0.45 + 0.65 + 0.05) / 4)
    # pairs of right and wrong: 0.95 against 0.95 ties, the rest in order but 0.35 against 0.95
    assert found.roc_area == pytest.approx((0.5 + 1 + 0 + 1) / 4)
    assert found.frames == (1, 0, 0, 1, 0, 0, 0, 0, 0, 2)
    assert found.share_right[9] == 0.5
    assert math.isnan(found.mean_score[5])


def test_only_right_boxes_have_no_roc() -> None:
    assert math.isnan(confidence([0.5, 0.9], [0.9, 0.8]).roc_area)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2))
def test_area_is_that_of_all_pairs_and_turns_over_with_the_scores(frames) -> None:
    scores, ious = np.array(frames).T
    right, wrong = scores[ious >= 0.5], scores[ious < 0.5]
    found = confidence(scores, ious)
    assert 0 <= found.calibration_error <= 1
    if len(right) and len(wrong):
        pairs = np.sign(right[:, None] - wrong) / 2 + 0.5
        assert found.roc_area == pytest.approx(pairs.mean())
