"""How napari draws a boxes layer, mended in two places; all other layers are left alone.

Labels have a dark rim. They are white, which cannot be read on the bright ground of many a
microscope, and napari's text knows no outline. vispy draws letters from their distance fields, so
that a rim is a line of their shader and costs nothing.

Compiled shaders are kept, which makes the layer twice as quick. napari draws a Shapes layer with
two meshes of vispy (shapes and highlights). Up to vispy 0.17 each new frame gives a mesh a new but
equal colour function, for which vispy compiles and links the mesh's shader program anew. That is
most of what a Shapes layer costs while the slider moves, also of an empty one
(``tests/benchmarks/layer.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from napari.layers import Shapes
from numpy.typing import NDArray

_PLAIN = """if (alpha <= 0) discard;

        gl_FragColor = vec4(v_color.rgb, v_color.a * alpha);"""
"""How vispy 0.17 draws a letter."""

_RIMMED = """float rim = smoothstep(0.0, 0.3, distance) * (1.0 - alpha);
        float seen = alpha + rim;
        if (seen <= 0.0) discard;

        gl_FragColor = vec4(v_color.rgb * alpha / seen, v_color.a * seen);"""
"""The same over a black rim; `distance` is 0.5 at the edge of the letter, and less outside."""

_mended: WeakSet[Any] = WeakSet()


def mend(layer: Shapes) -> None:
    """Give the labels of a layer a rim, and have what draws it keep its shaders.

    Nothing happens while the layer is in no viewer, or if napari draws in another way.
    """
    for node in _nodes(layer):
        if node not in _mended:
            _mended.add(node)
            _rim(getattr(node, "text", None))
            for name in ("shape_faces", "shape_highlights"):
                _keep(getattr(node, name, None))


def _rim(text: Any) -> None:
    """Have a text of vispy drawn with a rim."""
    code = str(getattr(text, "_shaders", {}).get("fragment", ""))
    if _PLAIN in code:
        text.shared_program.frag = code.replace(_PLAIN, _RIMMED)


def _keep(mesh: Any) -> None:
    """Have a mesh of vispy keep its colour function; what is drawn stays the same."""
    build = getattr(mesh, "_build_color_transform", None)
    if build is not None:
        mesh.unfreeze()
        mesh._build_color_transform = _keeping(build)
        mesh.freeze()


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
