"""Which session belongs to which image: one for each, shared by all widgets that show it.

Two annotations of one layer would each take what the other writes for a person's work. The
register below is therefore the program's, not a widget's. It holds sessions weakly; one ends with
the last widget that works with it. Across sessions a boxes layer and its image know each other by
a token in their metadata, which outlives renaming either of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4
from weakref import WeakKeyDictionary

from napari.layers import Image, Layer, Shapes

from napari_ocean.plugin import layers
from napari_ocean.plugin.session import Left, Session

TOKEN = "napari-ocean"
"""Key of the token in the layers' metadata."""

_users: WeakKeyDictionary[Session, int] = WeakKeyDictionary()
"""The register: how many widgets work with each living session."""

_left: WeakKeyDictionary[Shapes, Left] = WeakKeyDictionary()
"""What the last session on a layer left behind; the layer does not show all of it."""


def join(image: Image, layer: Shapes | None = None) -> Session:
    """Return the session of an image for one more widget, beginning it if there is none.

    Parameters
    ----------
    image : napari.layers.Image
    layer : napari.layers.Shapes, optional
        Boxes layer to begin with; a new one by default.
    """
    session = next((one for one in _users if one.image is image), None)
    if session is None:
        session = Session(image, layer, None if layer is None else _left.pop(layer, None))
        image.metadata[TOKEN] = session.layer.metadata[TOKEN] = uuid4().hex
    _users[session] = _users.get(session, 0) + 1
    return session


def leave(session: Session) -> None:
    """Let one widget go; with the last one the session ends, and its layer stays as it is."""
    _users[session] -= 1
    if not _users[session]:
        del _users[session]
        session.flush()
        _left[session.layer] = session.close()


def boxes_layer_of(image: Image, among: Iterable[Layer]) -> Shapes | None:
    """Find the layer that holds the boxes of an image, by its token or else by its name."""
    among = list(among)
    for session in _users:
        if session.image is image and session.layer in among:
            return session.layer
    mine = [
        layer
        for layer in among
        if isinstance(layer, Shapes)
        and layers.is_boxes_layer(layer, image)
        and not belongs_elsewhere(layer, image, among)
        and (_linked(layer, image) or layer.name == layers.boxes_layer_name(image))
    ]
    return max(mine, key=lambda layer: _linked(layer, image), default=None)


def belongs_elsewhere(layer: Shapes, image: Image, among: Iterable[Layer]) -> bool:
    """Whether a layer holds the boxes of another image that is there."""
    owner = next((one.image for one in _users if one.layer is layer), None)
    if owner is not None:
        return owner is not image
    others = [one for one in among if isinstance(one, Image) and one is not image]
    return not _linked(layer, image) and any(_linked(layer, one) for one in others)


def _linked(layer: Shapes, image: Image) -> bool:
    token = layer.metadata.get(TOKEN)
    return token is not None and token == image.metadata.get(TOKEN)
