"""A workaround that makes napari draw a boxes layer twice as quickly: compiled shaders are kept.

napari draws a Shapes layer with two meshes of vispy (shapes and highlights). Up to vispy 0.17 each
new frame gives a mesh a new but equal colour function, for which vispy compiles and links the
mesh's shader program anew. That is most of what a Shapes layer costs while the slider moves, also
of an empty one (``tests/benchmarks/layer.py``). Here the two meshes of one layer keep theirs; those
of all other layers are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from napari.layers import Shapes
from numpy.typing import NDArray

_keeping_theirs: WeakSet[Any] = WeakSet()


def keep_shaders(layer: Shapes) -> None:
    """Have the meshes that draw a layer keep their colour function; what is drawn stays the same.

    Nothing happens while the layer is in no viewer, or if napari draws in another way.
    """
    for node in _nodes(layer):
        for name in ("shape_faces", "shape_highlights"):
            mesh: Any = getattr(node, name, None)
            build = getattr(mesh, "_build_color_transform", None)
            if build is not None and mesh not in _keeping_theirs:
                mesh.unfreeze()
                mesh._build_color_transform = _keeping(build)
                mesh.freeze()
                _keeping_theirs.add(mesh)


def _nodes(layer: Shapes) -> list[Any]:
    """What draws a layer in the viewers: those who listen to its events and have a node."""
    methods = [of for of in layer.events.set_data.callbacks if isinstance(of, tuple)]
    owners = [owner() for owner, _ in methods]
    return [owner.node for owner in owners if hasattr(owner, "node")]


def _keeping(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have a mesh build the function that hands colours on only once."""
    kept: list[Any] = []

    def kept_or_built(colors: NDArray[Any]) -> Any:
        if colors.ndim == 2 and colors.shape[1] == 1:  # values, whose function depends on limits
            return build(colors)
        if not kept:
            kept.append(build(colors))
        return kept[0]

    return kept_or_built
