"""The crop for any centre and side, and the map between frame and patch."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from napari_ocean.tracking.crop import LAID_OUT, context_side, crop_patch, round_half_up

FRAME = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
FILL = (10.9, 20.2, 30.5)

coordinate = st.floats(-200, 300, allow_nan=False)


@given(coordinate, coordinate, st.integers(1, 90))
def test_unscaled_patch_is_the_frame_or_the_fill(x: float, y: float, side_px: int) -> None:
    patch, transform = crop_patch(FRAME, (x, y), side_px, side_px, FILL)
    assert patch.shape == (side_px, side_px, 3)
    rows, columns = np.mgrid[0:side_px, 0:side_px]
    rows, columns = rows + transform.y0_px, columns + transform.x0_px
    inside = (rows >= 0) & (rows < 40) & (columns >= 0) & (columns < 60)
    assert_array_equal(patch[inside], FRAME[rows[inside], columns[inside]])
    assert_array_equal(patch[~inside], np.broadcast_to([10, 20, 30], (np.sum(~inside), 3)))


@given(coordinate, coordinate, st.integers(1, 400))
def test_patch_has_the_asked_size_wherever_the_centre_is(x: float, y: float, side_px: int) -> None:
    patch, _ = crop_patch(FRAME, (x, y), side_px, 31, FILL)
    assert patch.shape == (31, 31, 3)
    assert patch.dtype == np.uint8
    assert patch.flags.c_contiguous


@given(coordinate, coordinate, st.integers(1, 400), st.integers(1, 300))
def test_transform_inverts(x: float, y: float, side_px: int, out_px: int) -> None:
    _, transform = crop_patch(FRAME, (x, y), side_px, out_px, FILL)
    box = np.array([x, y, x + 3, y + 5])
    assert_allclose(transform.to_frame(transform.to_patch(box)), box, atol=1e-6)
    corner = [transform.x0_px + side_px, transform.y0_px + side_px]
    assert_allclose(transform.to_patch(corner), [out_px, out_px], rtol=1e-9)


def test_transform_finds_a_bright_square_in_the_patch() -> None:
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[80:100, 140:170] = 255
    patch, transform = crop_patch(frame, (150.3, 95.7), 120, 240, (0, 0, 0))
    rows, columns = np.nonzero(patch[..., 0] > 127)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert_allclose(transform.to_patch([140, 80, 170, 100]), seen, atol=1)


def test_grey_images_keep_their_channel() -> None:
    patch, _ = crop_patch(FRAME[..., :1], (5, 5), 21, 42, (7,))
    assert patch.shape == (42, 42, 1)


@pytest.mark.parametrize(("value", "want"), [(0.5, 1), (1.5, 2), (2.4999, 2), (180.5, 181)])
def test_search_side_rounds_half_up(value: float, want: int) -> None:
    assert round_half_up(value) == want


def test_context_of_a_square_doubles_it() -> None:
    assert context_side((40, 40)) == 80
    assert_allclose(context_side((60, 40)), np.sqrt(110 * 90))


@pytest.mark.parametrize("center", [(960.0, 540.0), (20.0, 1000.0), (-3000.0, 500.0)])
def test_a_large_crop_takes_little_memory_and_shows_the_same(center: tuple[float, float]) -> None:
    y, x = np.mgrid[:1080, :1920]
    frame = np.stack([x // 8, y // 5, (x + y) // 12], axis=-1).astype(np.uint8)  # tell the place
    out_px = 100
    below = LAID_OUT * out_px * 2 - 1  # the last side laid out in the frame's pixels
    whole, _ = crop_patch(frame, center, below, out_px, (10, 20, 30))
    tracemalloc.start()
    shrunk, transform = crop_patch(frame, center, below + 1, out_px, (10, 20, 30))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.7 * 3 * below**2
    assert transform.scale == out_px / (below + 1)
    apart = np.abs(shrunk.astype(int) - whole.astype(int)).max(axis=-1)
    left, top, right, bottom = np.clip(transform.to_patch((0, 0, 1920, 1080)), 0, out_px)
    edge = np.zeros((out_px, out_px), bool)
    for at in (left, right):
        edge[:, max(int(at) - 1, 0) : int(at) + 2] = True
    for at in (top, bottom):
        edge[max(int(at) - 1, 0) : int(at) + 2] = True
    assert apart[~edge].max() <= 1  # a level is an eighth of a pixel of the patch, or more
