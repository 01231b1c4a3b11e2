from __future__ import annotations

import time

import numpy as np
import pytest

from napari_ocean import boxes
from napari_ocean.demo import DemoClip, demo_clip


@pytest.fixture(scope="module")
def clip() -> DemoClip:
    return demo_clip()


def test_shapes_and_types(clip: DemoClip) -> None:
    assert clip.frames.shape == (120, 480, 640, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.truth_xyxy.shape == (120, 4)
    assert clip.visible.shape == (120,)


def test_it_moves_grows_and_is_partly_hidden_but_never_out_of_sight(clip: DemoClip) -> None:
    center, size = boxes.center(clip.truth_xyxy), boxes.size(clip.truth_xyxy)
    steps = np.linalg.norm(np.diff(center, axis=0), axis=1)
    assert np.ptp(center[:, 0]) > 300
    assert 1 < steps.min() <= steps.max() < 12
    assert size[-1].min() > 1.5 * size[0].min()
    assert clip.visible.min() < 0.7
    assert clip.visible.min() > 0.3
    assert clip.visible[0] > 0.99
    assert (clip.visible[-20:] > 0.99).all()
    np.testing.assert_array_equal(boxes.clip(clip.truth_xyxy, (480, 640)), clip.truth_xyxy)


def test_the_truth_is_where_the_ladybird_is(clip: DemoClip) -> None:
    """The wing cases are the only saturated red: their middle lies in the box, and they fill it."""
    for frame in (0, 30, 90, 119):
        red, green, blue = clip.frames[frame].astype(int).transpose(2, 0, 1)
        rows, columns = np.nonzero((red > 110) & (red > 3 * green) & (red > 3 * blue))
        x0, y0, x1, y1 = clip.truth_xyxy[frame]
        seen = np.percentile(columns, (1, 99)), np.percentile(rows, (1, 99))
        assert x0 - 1 <= seen[0][0] <= seen[0][1] <= x1 + 1
        assert y0 - 1 <= seen[1][0] <= seen[1][1] <= y1 + 1
        assert np.prod(np.ptp(seen, axis=1)) > 0.5 * np.prod(boxes.size(clip.truth_xyxy[frame]))


def test_one_seed_one_clip() -> None:
    a, b = demo_clip(3, height=120, width=160), demo_clip(3, height=120, width=160)
    other = demo_clip(3, height=120, width=160, seed=1)
    np.testing.assert_array_equal(a.frames, b.frames)
    np.testing.assert_array_equal(a.truth_xyxy, other.truth_xyxy)
    assert (a.frames != other.frames).mean() > 0.5


def test_the_scene_scales_with_the_frame(clip: DemoClip) -> None:
    small = demo_clip(120, height=240, width=320)
    np.testing.assert_allclose(small.truth_xyxy * 2, clip.truth_xyxy, atol=1e-6)
    np.testing.assert_allclose(small.visible, clip.visible, atol=0.15)


def test_it_is_drawn_in_about_a_second() -> None:
    start = time.process_time()
    demo_clip(30)
    assert time.process_time() - start < 2
