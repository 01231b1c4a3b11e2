"""Rectangles put elsewhere are in every array what napari would have made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from napari_ocean.plugin import layers, rectangles

IMAGE = Image(np.zeros((30, 60, 80), np.uint8), name="clip")
BOXES = np.array([(5, 6, 25, 20), (10, 30, 40, 44), (1, 2, 70, 50)], float)

SHAPE = (
    "_data", "_bounding_box", "_face_vertices", "_face_triangles", "_edge_vertices",
    "_edge_offsets", "_edge_triangles", "_box", "slice_key", "data_displayed",
)  # fmt: skip
MESH = (
    "vertices", "vertices_centers", "vertices_offsets", "vertices_index", "triangles",
    "triangles_index", "triangles_colors", "triangles_z_order", "displayed_triangles",
    "displayed_triangles_colors", "displayed_triangles_to_shape_index",
)  # fmt: skip
LIST = ("_vertices", "_vertices_index", "displayed_vertices", "displayed_vertices_to_shape_num")


def layer_of(frame: int, boxes: NDArray[np.float64]) -> Shapes:
    layer = layers.boxes_layer(IMAGE)
    layer.add_rectangles([layers.rectangle(frame, box, IMAGE) for box in boxes])
    return layer


def corners(frame: int, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([layers.rectangle(frame, box, IMAGE) for box in boxes])


def assert_same(moved: Shapes, anew: Shapes) -> None:
    for layer in (moved, anew):
        layer.refresh()
    shapes = zip(moved._data_view.shapes, anew._data_view.shapes, strict=True)
    pairs: list[tuple[Any, Any, tuple[str, ...]]] = [
        (moved._data_view, anew._data_view, LIST),
        (moved._data_view._mesh, anew._data_view._mesh, MESH),
        *((a, b, SHAPE) for a, b in shapes),
    ]
    for a, b, names in pairs:
        for name in names:
            assert_allclose(getattr(a, name), getattr(b, name), atol=1e-5, err_msg=name)
    assert_array_equal(moved._data_view._displayed, anew._data_view._displayed)


@pytest.mark.parametrize("frame", [0, 7])
def test_all_rectangles_of_another_frame(frame: int) -> None:
    layer = layer_of(0, BOXES)
    assert rectangles.put(layer, range(3), corners(frame, BOXES[::-1] + 3.25))
    assert_same(layer, layer_of(frame, BOXES[::-1] + 3.25))


def test_some_rectangles_while_others_stay() -> None:
    layer = layer_of(0, BOXES)
    assert rectangles.put(layer, [2, 0], corners(0, BOXES[[1, 2]] + 1))
    assert_same(layer, layer_of(0, np.array([BOXES[2] + 1, BOXES[1], BOXES[1] + 1])))


def test_a_rectangle_that_was_turned_or_drawn_from_another_corner() -> None:
    turned = [layers.rectangle(0, box, IMAGE) for box in BOXES]
    turned[0][:, 1:] = [(20, 10), (10, 20), (20, 30), (30, 20)]
    turned[1] = turned[1][::-1]
    layer = layers.boxes_layer(IMAGE)
    layer.add_rectangles(turned)
    assert rectangles.put(layer, range(3), corners(0, BOXES + 2))
    assert_same(layer, layer_of(0, BOXES + 2))


def test_line_widths_are_kept() -> None:
    layer, anew = layer_of(0, BOXES), layer_of(0, BOXES + 2)
    for each in (layer, anew):
        each.edge_width = [1.0, 4.0, 2.5]
    assert rectangles.put(layer, range(3), corners(0, BOXES + 2))
    assert_same(layer, anew)


def test_with_height_and_width_swapped_on_the_screen() -> None:
    layer, anew = layer_of(0, BOXES), layer_of(0, BOXES + 4)
    for each in (layer, anew):
        viewer = ViewerModel()
        viewer.add_layer(each)
        viewer.dims.order = (0, 2, 1)
    assert rectangles.put(layer, range(3), corners(0, BOXES + 4))
    assert_same(layer, anew)


def test_seen_along_time_it_is_refused() -> None:
    layer, viewer = layer_of(0, BOXES), ViewerModel()
    viewer.add_layer(layer)
    viewer.dims.order = (1, 0, 2)
    assert not rectangles.put(layer, range(3), corners(0, BOXES + 4))


def test_the_handles_of_a_selected_one_go_with_it() -> None:
    layer, anew = layer_of(0, BOXES), layer_of(0, BOXES + 4)
    for each in (layer, anew):
        each.selected_data = {1}
    rectangles.put(layer, range(3), corners(0, BOXES + 4))
    assert_allclose(layer._selected_box, anew._selected_box, atol=1e-5)


def test_the_mouse_finds_it_in_its_new_place() -> None:
    layer = layer_of(0, BOXES[:1])
    rectangles.put(layer, [0], corners(0, BOXES[1:2]))
    assert layer.get_value((0, 37, 25)) == (0, None)
    assert layer.get_value((0, 12, 12)) == (None, None)


@pytest.mark.parametrize("kind", ["ellipse", "polygon"])
def test_other_shapes_are_refused_and_stay(kind: str) -> None:
    layer = layer_of(0, BOXES[:2])
    layer.add([layers.rectangle(0, BOXES[2], IMAGE)], shape_type=kind)
    before = [shape.copy() for shape in layer.data]
    assert not rectangles.put(layer, [0, 2], corners(0, BOXES[:2] + 5))
    for shape, was in zip(layer.data, before, strict=True):
        assert_array_equal(shape, was)


def test_a_box_without_area_is_refused() -> None:
    layer = layer_of(0, BOXES)
    flat = BOXES[:1].copy()
    flat[:, 2] = flat[:, 0]
    assert not rectangles.put(layer, [0], corners(0, flat))


def test_another_napari_has_them_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_of(0, BOXES)
    monkeypatch.delattr("napari.layers.shapes._shapes_models.shape.Shape.vertices_count")
    assert not rectangles.put(layer, [0], corners(0, BOXES[:1]))
