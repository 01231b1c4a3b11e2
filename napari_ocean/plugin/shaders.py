"""A workaround that makes napari draw shapes twice as quickly: compiled shaders are kept.

napari draws a Shapes layer with two meshes of vispy (shapes and highlights). Up to vispy 0.17 each
new frame gives a mesh a new but equal colour function, for which vispy compiles and links the
mesh's shader program anew. That is most of what a Shapes layer costs while the slider moves, also
of an empty one (``tests/benchmarks/layer.py``). Here each mesh keeps its function instead.
"""

from __future__ import annotations

from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

_kept: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def keep_shaders() -> None:
    """Have all meshes keep their colour function; what is drawn stays the same."""
    # Not needed without a viewer.
    from vispy.visuals.mesh import MeshVisual  # type: ignore[import-untyped]  # vispy has none

    build = getattr(MeshVisual, "_build_color_transform", None)
    if build is None or hasattr(build, "__wrapped__"):
        return  # a vispy that does this in another way, or done already

    @wraps(build)
    def kept(mesh: Any, colors: Any) -> Any:
        if colors.ndim == 2 and colors.shape[1] == 1:  # values, whose function depends on limits
            return build(mesh, colors)
        if mesh not in _kept:
            _kept[mesh] = build(mesh, colors)
        return _kept[mesh]

    MeshVisual._build_color_transform = kept
