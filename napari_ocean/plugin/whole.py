"""What leaves a boxes layer through napari: all boxes, also those that it does not show.

napari asks a layer for its contents whenever it saves or duplicates it, whichever writer does the
rest. The boxes layer of a large annotation holds the frame on the screen only; saving that alone
would lose the others without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from napari_ocean.boxes import FloatArray

Contents = tuple[list[Any], dict[str, Any], str]
"""Shapes, settings and kind of a layer, as napari hands them to a writer."""


class Rest(NamedTuple):
    """Rectangles that a layer does not show.

    Attributes
    ----------
    corners : ndarray of float64, shape (N, 4, ndim)
    features : mapping of str to ndarray, shape (N,)
    edge_color : ndarray of float64, shape (N, 4)
    """

    corners: FloatArray
    features: dict[str, NDArray[Any]]
    edge_color: FloatArray


def give_out_whole(layer: Any, rest: Callable[[], Rest]) -> None:
    """Have a boxes layer give out the rest too, from now on; it shows what it showed."""

    def contents() -> Contents:
        others = rest()
        shown: Contents = Shapes.as_layer_data_tuple(layer)
        return _joined(layer, shown, others)

    layer.as_layer_data_tuple = contents


def _joined(layer: Shapes, shown: Contents, rest: Rest) -> Contents:
    data, settings, kind = shown
    n = len(rest.corners)
    own = dict.fromkeys(layer.features, [None] * n)  # columns that a person has added
    columns = {name: [*layer.features[name], *of] for name, of in (own | rest.features).items()}
    clear = np.zeros((n, 4))
    settings |= {
        "shape_type": [*layer.shape_type, *["rectangle"] * n],
        "z_index": [*layer.z_index, *[0] * n],
        "edge_width": [*layer.edge_width, *[layer.current_edge_width] * n],
        "edge_color": np.concatenate([layer.edge_color, rest.edge_color.reshape(n, 4)]),
        "face_color": np.concatenate([layer.face_color, clear]),
        "features": columns,
        "properties": columns,
    }
    return [*data, *rest.corners], settings, kind
