"""Layers to pixels and boxes, without a window."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from dask.cache import Cache
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from numpy.testing import assert_allclose, assert_array_equal

from napari_ocean.errors import VideoError
from napari_ocean.plugin import layers
from napari_ocean.video import FrameArray, FrameSource, open_video

CLIP = np.arange(5 * 40 * 60, dtype=np.uint8).reshape(5, 40, 60)
RGB = np.stack([CLIP, CLIP + 1, CLIP + 2], axis=-1)


def source(layer: Image, plane: int = 0) -> layers.ImageSource:
    return layers.ImageSource(layer, [plane] * layer.ndim)


@pytest.mark.parametrize(
    "layer",
    [
        Image(CLIP),
        Image(RGB, rgb=True),
        Image(CLIP[:, None]),
        Image(np.moveaxis(RGB, -1, 1)),
        Image([CLIP, CLIP[:, ::2, ::2]], multiscale=True),
        Image(CLIP[None], axis_labels=("c", "t", "y", "x")),
    ],
    ids=["tyx", "rgb", "one channel", "channels", "multiscale", "time is labelled second"],
)
def test_every_layout_is_a_frame_source(layer: Image) -> None:
    frames = source(layer)
    assert isinstance(frames, FrameSource)
    assert (len(frames), frames.height, frames.width) == (5, 40, 60)
    assert frames.frame(3).dtype == np.uint8
    assert_array_equal(frames.frame(3)[..., 0], CLIP[3])


def test_three_channels_are_colours() -> None:
    frames = source(Image(np.moveaxis(RGB, -1, 1)))
    assert_array_equal(frames.frame(2), RGB[2])


def test_of_planes_the_one_shown_counts() -> None:
    stack = np.stack([CLIP + k for k in range(7)], axis=1)
    assert_array_equal(source(Image(stack), plane=6).frame(1)[..., 1], CLIP[1] + 6)


def test_planes_labelled_z_are_no_colours() -> None:
    stack = np.stack([CLIP, CLIP + 9, CLIP + 20], axis=1)
    layer = Image(stack, axis_labels=("t", "z", "y", "x"))
    assert_array_equal(source(layer, plane=1).frame(0)[..., 2], CLIP[0] + 9)


def test_sixteen_bits_are_seen_as_on_the_screen() -> None:
    layer = Image(CLIP.astype(np.uint16) * 16, contrast_limits=(1000, 2000))
    frame = source(layer).frame(0)[..., 0]
    want = np.clip((CLIP[0].astype(float) * 16 - 1000) / 1000, 0, 1) * 255
    assert_allclose(frame, want, atol=0.51)


def test_a_film_opened_by_the_reader_is_read_lazily() -> None:
    asked: list[int] = []

    class Film:
        name, height, width, fps = "film", 40, 60, None

        def __len__(self) -> int:
            return 1000

        def frame(self, index: int) -> Any:
            asked.append(index)
            return RGB[index % 5]

        def close(self) -> None: ...
        def __enter__(self) -> Film:
            return self

        def __exit__(self, *_: object) -> None: ...

    layer = Image(FrameArray(open_video(Film())), rgb=True)
    asked.clear()
    assert_array_equal(source(layer).frame(999), RGB[4])
    assert asked == [999]


def test_frames_of_dask_are_read_past_the_cache_that_napari_fills() -> None:
    images = [da.from_delayed(dask.delayed(np.full)((6, 8), k), (6, 8), float) for k in range(3)]
    layer = Image(da.stack(images), contrast_limits=(0, 2))
    cache = Cache(1e6)
    cache.register()
    try:
        frame = source(layer).frame(2)
    finally:
        cache.unregister()
    assert (frame == 255).all()
    assert not cache.cache.data


def test_a_frame_that_cannot_be_read_is_named() -> None:
    class Torn:
        shape, ndim, dtype = (9, 20, 30), 3, np.dtype(np.uint8)

        def __getitem__(self, index: Any) -> Any:
            if index[0] == 7:
                raise OSError("the disk is gone")
            return np.zeros(self.shape, self.dtype)[index]

    source = layers.ImageSource(Image(Torn(), name="clip", contrast_limits=(0, 255)), (0, 0, 0))
    assert source.frame(6).shape == (20, 30, 3)
    with pytest.raises(VideoError, match=r"Frame 7 of clip cannot be read: the disk is gone\."):
        source.frame(7)


def test_a_single_image_is_refused() -> None:
    with pytest.raises(VideoError, match="single image"):
        source(Image(CLIP[0], name="photo"))


boxes = st.tuples(
    st.floats(-20, 60), st.floats(-20, 60), st.floats(2.5, 40), st.floats(2.5, 40)
).map(lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]]))


@settings(max_examples=40)
@given(box=boxes, frame=st.integers(0, 4), scale=st.floats(0.1, 9), shift=st.floats(-50, 50))
def test_boxes_come_back_as_they_went(box: Any, frame: int, scale: float, shift: float) -> None:
    image = Image(CLIP, scale=(2, scale, scale), translate=(3, shift, -shift))
    shapes = layers.boxes_layer(image)
    shapes.add_rectangles([layers.rectangle(frame, box, image)])
    found = layers.read_boxes(shapes, image)
    assert found.frames.tolist() == [frame]
    assert found.flat.all()
    assert_allclose(found.boxes_xyxy[0], box, atol=1e-3)


def test_edges_are_half_a_pixel_from_napari() -> None:
    image = Image(CLIP)
    corners = layers.rectangle(2, np.array([0.0, 0.0, 60.0, 40.0]), image)
    assert corners.min(axis=0).tolist() == [2, -0.5, -0.5]  # pixel 0 begins at -0.5 in napari
    assert corners.max(axis=0).tolist() == [2, 39.5, 59.5]


@pytest.mark.parametrize(
    ("shape_type", "vertices", "box"),
    [
        ("ellipse", [[1, 10, 10], [1, 10, 30], [1, 20, 30], [1, 20, 10]], [10, 10, 30, 20]),
        ("polygon", [[1, 10, 10], [1, 30, 20], [1, 12, 25]], [10, 10, 25, 30]),
        ("rectangle", [[1, 20, 10], [1, 10, 20], [1, 20, 30], [1, 30, 20]], [10, 10, 30, 30]),
    ],
)
def test_any_shape_counts_by_its_extent(shape_type: str, vertices: Any, box: Any) -> None:
    image = Image(CLIP)
    shapes = Shapes([np.array(vertices, float)], shape_type=shape_type)
    found = layers.read_boxes(shapes, image)
    assert found.frames.tolist() == [1]
    assert_allclose(found.boxes_xyxy[0] - layers.HALF, box, atol=1e-3)


def test_scale_and_translation_of_both_layers_count() -> None:
    image = Image(CLIP, scale=(1, 0.5, 0.5), translate=(0, 10, 20))
    corners = np.array([[2, 12.0, 22.0], [2, 12, 27], [2, 17, 27], [2, 17, 22]])  # in world units
    own = Shapes([corners / [1, 2, 2]], scale=(1, 2, 2), shape_type="rectangle")
    found = layers.read_boxes(own, image)
    assert_allclose(found.boxes_xyxy[0] - layers.HALF, [4, 4, 14, 14], atol=1e-4)


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_shapes_of_fewer_axes_on_channels(ndim: int) -> None:
    image = Image(np.moveaxis(RGB, -1, 1))
    corners = np.zeros((4, ndim))
    corners[:, 0] = 3
    corners[:, -2:] = [[5, 6], [5, 16], [25, 16], [25, 6]]
    found = layers.read_boxes(Shapes([corners], shape_type="rectangle"), image)
    assert found.frames.tolist() == [3 if ndim > 2 else layers.NO_FRAME]
    assert_allclose(found.boxes_xyxy[0] - layers.HALF, [6, 5, 16, 25])


def test_boxes_show_on_every_channel_and_only_on_their_frame() -> None:
    viewer = ViewerModel()
    image = viewer.add_layer(Image(np.moveaxis(RGB, -1, 1)))
    shapes = viewer.add_layer(layers.boxes_layer(image))
    shapes.add_rectangles([layers.rectangle(2, np.array([5.0, 5, 25, 25]), image)])
    assert viewer.dims.nsteps == (5, 3, 40, 60)
    for frame in range(5):
        for channel in range(3):
            viewer.dims.current_step = (frame, channel, 0, 0)
            assert len(shapes._view_indices) == (frame == 2)


def test_the_view_moves_along_time_only() -> None:
    viewer = ViewerModel()
    image = viewer.add_layer(Image(np.moveaxis(RGB, -1, 1), scale=(0.04, 1, 2, 2)))
    viewer.dims.current_step = (1, 2, 0, 0)
    assert layers.current_frame(image, viewer.dims) == 1
    layers.show_frame(image, viewer.dims, 4)
    assert viewer.dims.current_step[:2] == (4, 2)
    assert layers.current_frame(image, viewer.dims) == 4


def test_numbers_survive_what_people_type() -> None:
    assert layers.numbers([1, "2", None, "x", float("nan"), float("inf")], 7) == [1, 2, 7, 7, 7, 7]
