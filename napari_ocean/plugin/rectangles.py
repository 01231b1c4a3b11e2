"""Rectangles of a Shapes layer, put elsewhere without being made anew.

napari takes half a millisecond to make a rectangle, and as long for each of the checks and events
around it; a film with two hundred boxes on each frame needs them all anew on each frame. Here those
of the frame before are put where the new ones belong, in one go. The arrays written are napari's
own (``Shapes._data_view``), which a test compares with those of a layer made anew; a napari that
keeps others has the rectangles made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from napari_ocean.boxes import FloatArray


def put(layer: Shapes, rows: Sequence[int], corners: FloatArray) -> bool:
    """Put some rectangles elsewhere; the layer has to be refreshed after that.

    Parameters
    ----------
    layer : napari.layers.Shapes
    rows : sequence of int
        Each once.
    corners : ndarray of float, shape (N, 4, ndim)
        Along the axes, in the order of :func:`napari_ocean.plugin.layers.rectangle`.

    Returns
    -------
    bool
        False, with nothing changed, if one of the shapes is none that could be moved in this way.
    """
    try:
        return _put(layer, np.asarray(rows), np.asarray(corners, dtype=np.float32))
    except AttributeError:  # another napari
        return False


def _put(layer: Any, rows: NDArray[np.intp], corners: NDArray[np.float32]) -> bool:
    view = layer._data_view
    shapes = [view.shapes[row] for row in rows]
    low, high = corners.min(axis=1), corners.max(axis=1)
    if view.ndisplay != 2 or any(shape.name != "rectangle" for shape in shapes):
        return False
    unit = _unit(shapes[0], corners.shape[2])
    flat, sliced = list(unit.dims_displayed), list(unit.dims_not_displayed)
    origin, size = low[:, None, flat], (high - low)[:, None, flat]
    if not size.all() or {_counts(shape) for shape in shapes} != {_counts(unit)}:
        return False  # corners that fall together have another mesh
    faces, edges, boxes = (
        (origin + of * size).astype(np.float32)
        for of in (unit._face_vertices, unit._edge_vertices, unit._box)
    )
    bounds = np.stack([low, high], axis=1)
    keys = bounds[:, :, sliced].astype(int)
    for k, shape in enumerate(shapes):
        shape._data, shape._bounding_box, shape.slice_key = corners[k], bounds[k], keys[k]
        shape._face_vertices, shape._edge_vertices, shape._box = faces[k], edges[k], boxes[k]
        shape._edge_offsets, shape._edge_triangles = unit._edge_offsets, unit._edge_triangles
        shape._clean_cache()
    widths = np.array([shape.edge_width for shape in shapes])[:, None, None]
    _write_mesh(view, rows, unit, faces, edges, edges + widths * unit._edge_offsets)
    with view.batched_updates():
        view._update_displayed()
    view._clear_cache()
    layer._selected_box = layer.interaction_box(layer._selected_data_in_view)
    return True


def _unit(like: Any, ndim: int) -> Any:
    """Rectangle from 0 to 1 along height and width, with the mesh that napari makes for it."""
    corners = np.zeros((4, ndim))
    corners[:, -2:] = [(0, 0), (0, 1), (1, 1), (1, 0)]
    return type(like)(corners, dims_order=like.dims_order, ndisplay=2)


def _counts(shape: Any) -> tuple[int, int]:
    return shape.vertices_count, shape.triangles_count


def _write_mesh(
    view: Any,
    rows: NDArray[np.intp],
    unit: Any,
    faces: NDArray[np.float32],
    edges: NDArray[np.float32],
    outlines: NDArray[np.float32],
) -> None:
    """Write the meshes of some rectangles into the one of the layer."""
    mesh, n_face = view._mesh, faces.shape[1]
    offsets = np.concatenate([np.zeros_like(unit._face_vertices), unit._edge_offsets])
    triangles = np.concatenate([unit._face_triangles, unit._edge_triangles + n_face])
    first = mesh.vertices_index[rows]
    where = first[:, None] + np.arange(len(offsets))
    mesh.vertices_centers[where] = np.concatenate([faces, edges], axis=1)
    mesh.vertices_offsets[where] = offsets
    mesh.vertices[where] = np.concatenate([faces, outlines], axis=1)
    places = mesh.triangles_index[rows][:, None] + np.arange(len(triangles))
    mesh.triangles[places] = triangles + first[:, None, None]
    view._vertices[view._vertices_index[rows][:, None] + np.arange(n_face)] = faces
