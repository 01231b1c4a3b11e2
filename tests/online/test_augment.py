"""Views of the first frame: the target is where its shift says."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ocean.online.augment import RELEASED_VIEWS, VIEWS, View, look, moved, shifts

WIDE = np.zeros((101, 101, 3), np.uint8)
WIDE[50, 50] = 255


@pytest.mark.parametrize(
    "view", [View(), View(flip=True), View(rotation_deg=30), View(blur_yx=(2, 1))]
)
def test_the_middle_moves_by_the_shift(view: View) -> None:
    crop = look(WIDE, view, 61, np.array([7, -12]))
    assert crop.shape == (61, 61, 3)
    assert np.unravel_index(crop[..., 0].argmax(), (61, 61)) == (30 - 12, 30 + 7)


def test_blur_and_rotation_do_what_their_names_say() -> None:
    row = WIDE.copy()
    row[50, 40:61] = 255
    turned = look(row, View(rotation_deg=90), 61, np.zeros(2))[..., 0]
    assert (turned[20:41, 30] > 200).all()
    blurred = look(WIDE, View(blur_yx=(0.2, 2)), 61, np.zeros(2))[..., 0].astype(int)
    assert blurred[30, 33] > 0
    assert blurred[33, 30] == 0


@pytest.mark.parametrize("views", [VIEWS, RELEASED_VIEWS])
def test_shifts_are_whole_seeded_and_bounded(views) -> None:
    moves = shifts(views, 224, jitter=1 / 3, seed=5)
    np.testing.assert_array_equal(moves, np.trunc(moves))
    np.testing.assert_array_equal(moves, shifts(views, 224, jitter=1 / 3, seed=5))
    assert (moves[0] == 0).all()
    assert np.abs(moves).max() <= 67
    assert (np.abs(moves[5:]) <= 37).all()


def test_the_released_views_are_23_and_shift_by_67_px() -> None:
    moves = shifts(RELEASED_VIEWS, 224, jitter=1 / 3, seed=0)
    assert len(RELEASED_VIEWS) == 23
    np.testing.assert_array_equal(np.abs(moves[1:5]), 67)


@pytest.mark.parametrize("view", [View(flip=True), View(rotation_deg=30), View(rotation_deg=-90)])
def test_a_target_beside_the_middle_is_followed_through_flip_and_rotation(view: View) -> None:
    wide = np.zeros((101, 101, 3), np.uint8)
    wide[42:45, 56:59] = 255  # centred at (57, 43)
    crop = look(wide, view, 101, np.zeros(2))[..., 0].astype(float)
    rows, columns = np.mgrid[:101, :101]
    at = (crop * columns).sum() / crop.sum(), (crop * rows).sum() / crop.sum()
    box = moved(view, np.array([54.0, 41.0, 60.0, 45.0]), 101)
    np.testing.assert_allclose((box[:2] + box[2:]) / 2, at, atol=0.3)
    np.testing.assert_allclose(box[2:] - box[:2], [6, 4])
