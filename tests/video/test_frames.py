"""Conversion to RGB uint8, and the array that napari shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, basic_indices
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from napari_ocean.video import (
    FrameArray,
    VideoError,
    open_video,
    to_rgb_uint8,
)


def test_one_range_for_all_frames() -> None:
    stack = np.zeros((3, 8, 9), np.uint16)
    stack[0], stack[1], stack[2] = 1000, 2000, 3000
    with open_video(stack) as video:
        assert [int(video.frame(at)[0, 0, 0]) for at in range(3)] == [0, 128, 255]
    with open_video(stack, value_range=(0, 4000)) as video:
        assert [int(video.frame(at)[0, 0, 0]) for at in range(3)] == [64, 128, 191]


def test_range_is_sampled_from_few_frames_spread_evenly() -> None:
    stack = np.zeros((101, 8, 9), np.float32)
    stack[75], stack[13] = 10, 20
    with open_video(stack) as video:
        assert [int(video.frame(at)[0, 0, 0]) for at in (0, 75, 13)] == [0, 255, 255]


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_opacity_is_no_brightness(kind: type) -> None:
    """Of a camera of 12 bits in an RGBA array: full opacity would leave the picture black."""
    stack = np.full((2, 8, 9, 4), 65535, kind)
    stack[..., :3] = np.linspace(0, 4095, 9).reshape(9, 1)
    with open_video(stack) as video:
        np.testing.assert_array_equal(video.frame(0), to_rgb_uint8(stack[0]))
        assert video.frame(0).max() == 255


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [
        (np.array([True, False]), [255, 0, 0]),
        (np.array([7], np.uint8), [7, 7, 7]),
        (np.array([7, 8], np.uint8), [7, 8, 0]),
        (np.array([7, 8, 9, 1], np.uint8), [7, 8, 9]),
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([0.0, np.nan, 1.0], np.float32), [0, 0, 255]),
        (np.array([-np.inf, 0.5, np.inf], np.float16), [0, 128, 255]),
        (np.array([-100, 0, 100], np.int16), [0, 128, 255]),
        (np.array([0, 65535, 65535], np.uint16), [0, 255, 255]),
        (np.array([np.nan, np.nan, np.nan]), [0, 0, 0]),
        (np.array([5, 5, 5], np.int64), [0, 0, 0]),
    ],
)
def test_conversion_by_hand(pixel: NDArray[Any], expected: list[int]) -> None:
    rgb = to_rgb_uint8(np.broadcast_to(pixel, (4, 5, len(pixel))))
    assert rgb.shape == (4, 5, 3)
    assert rgb.flags.c_contiguous
    assert rgb[3, 4].tolist() == expected


@given(
    arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
)
def test_conversion_keeps_the_order_of_values(
    image: NDArray[np.float32], low: float, span: float
) -> None:
    rgb = to_rgb_uint8(image, (low, low + span))[..., 0].ravel()
    assert np.all(np.diff(rgb[np.argsort(image.ravel())].astype(int)) >= 0)
    assert np.all(rgb[image.ravel() <= low] == 0)
    assert np.all(rgb[image.ravel() >= low + span] == 255)


def test_conversion_never_gives_a_view() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    to_rgb_uint8(image)[:] = 9
    assert image.max() == 0


@pytest.mark.parametrize("shape", [(5,), (4, 5, 6), (2, 4, 5, 3), (0, 5), (4, 5, 0)])
def test_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(VideoError, match="An image has shape"):
        to_rgb_uint8(np.zeros(shape))


@pytest.mark.parametrize("value_range", [(1, 1), (2, 1), (0, np.nan), (0, 1, 2), "ab", 5])
def test_no_value_range(value_range: Any) -> None:
    with pytest.raises(VideoError, match="value range"):
        open_video(np.zeros((4, 8, 9)), value_range=value_range)


# --- the view for napari ---------------------------------------------------------------------


VIEWED = np.random.default_rng(0).integers(0, 255, (6, 7, 8, 3), np.uint8)


@given(basic_indices(VIEWED.shape, allow_newaxis=False))
def test_view_indexes_like_numpy(key: Any) -> None:
    view = FrameArray(open_video(VIEWED))
    assert_array_equal(view[key], VIEWED[key])


@pytest.mark.parametrize(
    "key", [[0, 5, 2], np.array([1, 1]), ([-1, 0], slice(2)), np.arange(6) > 3]
)
def test_view_takes_lists_of_frames(key: Any) -> None:
    assert_array_equal(FrameArray(open_video(VIEWED))[key], VIEWED[key])


@pytest.mark.parametrize("key", [6, -7, (0, 99), None, (0, 0, 0, 0, 0), (..., ...), np.eye(6) > 0])
def test_view_refuses_wrong_indices(key: Any) -> None:
    with pytest.raises(IndexError):
        FrameArray(open_video(VIEWED))[key]


def test_view_as_array() -> None:
    view = FrameArray(open_video(VIEWED))
    assert (view.shape, view.ndim, view.dtype, len(view)) == ((6, 7, 8, 3), 4, np.uint8, 6)
    assert view.size == view.nbytes == VIEWED.size
    assert_array_equal(np.asarray(view), VIEWED)
    assert np.asarray(view, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="no memory to view"):
        view.__array__(copy=False)


def test_view_reads_only_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    video = open_video(VIEWED)
    read: list[int] = []
    frame = video.frame
    monkeypatch.setattr(video, "frame", lambda index: read.append(index) or frame(index))
    view = FrameArray(video)
    for key in (4, slice(3, 5), (-1, 2, 2), slice(2, 2)):
        view[key]
    assert read == [4, 3, 4, 5]


def test_napari_shows_a_film(film: Path) -> None:
    components = pytest.importorskip("napari.components")
    viewer = components.ViewerModel()
    with open_video(film) as video:
        layer = viewer.add_image(FrameArray(video), rgb=True)
        assert layer.ndim == 3
        for index in (17, 59, 0):
            viewer.dims.set_point(0, index)
            assert_array_equal(np.asarray(layer._slice.image.raw), video.frame(index))
