"""The boxes layer of an annotation: rows are written from the model, and read back as claims.

What a person does to the layer is told by :attr:`BoxesView.edited`, what is written here is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from napari.layers import Image, Shapes
from psygnal import Signal

from napari_ocean.plugin import layers
from napari_ocean.plugin.plan import Key
from napari_ocean.tracks import Row, TrackBox, Tracks

NEW_OBJECT = 0
"""Object id of a shape that was just drawn and belongs to nobody yet."""


class BoxesView:
    """A boxes layer that shows a model and lies on its image.

    Parameters
    ----------
    layer : napari.layers.Shapes
    image : napari.layers.Image
        The clip; when it is moved, scaled or turned, the boxes go with it.
    tracks : Tracks
        What is shown.

    Attributes
    ----------
    rows : list of (int, int) or None
        Box that each row of the layer shows; None where it is not one of the model.
    """

    edited = Signal()
    """A person changed the layer."""

    def __init__(self, layer: Shapes, image: Image, tracks: Tracks) -> None:
        self.layer = layer
        self.image = image
        self.rows: list[Key | None] = []
        self._tracks = tracks
        self._next: tuple[int, str] = (NEW_OBJECT, str(layers.DRAWN["label"]))
        self._writing = False
        self._lie_on()
        for event, callback in self._events():
            event.connect(callback)

    def close(self) -> None:
        """Let go of the layer, which stays as it is."""
        for event, callback in self._events():
            event.disconnect(callback)

    def _events(self) -> list[tuple[Any, Any]]:
        moved = [getattr(self.image.events, name) for name in layers.TRANSFORMS]
        return [
            (self.layer.events.data, self._on_data),
            (self.layer.events.features, self._on_change),
            (self.layer.events.mode, self._on_change),
            *((event, self._lie_on) for event in moved),
        ]

    @property
    def busy(self) -> bool:
        """Whether the person is in the middle of drawing or dragging a shape."""
        return layers.in_hand(self.layer)

    def selected(self, frame: int | None = None) -> set[int]:
        """Objects of the selected shapes, optionally of those on one frame only."""
        rows = [row for row in self.layer.selected_data if row < len(self.rows)]
        keys = [key for key in (self.rows[row] for row in rows) if key is not None]
        return {object_id for object_id, of in keys if frame is None or of == frame}

    # -- reading -----------------------------------------------------------------------------------

    def read(self) -> layers.LayerBoxes:
        """Boxes that the layer shows."""
        self._trim_features()
        return layers.read_boxes(self.layer, self.image, own=True)

    def claims(self, found: layers.LayerBoxes) -> list[Key]:
        """Object and frame that each row of the layer claims."""
        ids = layers.numbers(self.layer.features["object_id"], NEW_OBJECT)
        return [(int(o), int(f)) for o, f in zip(ids, found.frames, strict=True)]

    def column(self, name: str) -> list[str]:
        """Column of the feature table as text, whatever a person may have typed."""
        return [str(value) for value in self.layer.features[name]]

    def rows_of(self, object_id: int) -> list[int]:
        """Rows that show an object."""
        return [row for row, key in enumerate(self.rows) if key and key[0] == object_id]

    def _trim_features(self) -> None:
        """Drop the feature rows that napari leaves behind when all shapes are removed at once."""
        if len(self.layer.features) > self.layer.nshapes:
            with self._own_write():
                self.layer.features = self.layer.features.iloc[: self.layer.nshapes]

    # -- writing -----------------------------------------------------------------------------------

    def replace(self, keys: set[Key]) -> None:
        """Write some boxes anew, as the model has them."""
        self.remove([row for row, key in enumerate(self.rows) if key in keys])
        self._add(sorted(key for key in keys if self._tracks.get(*key) is not None))

    def remove(self, rows: Sequence[int]) -> None:
        """Delete some rows."""
        if rows:
            gone = set(rows)
            with self._own_write():
                self.layer.remove(list(rows))
            self.rows = [key for row, key in enumerate(self.rows) if row not in gone]

    def _add(self, keys: list[Key]) -> None:
        if not keys:
            return
        shapes = [
            layers.rectangle(frame, self._box(object_id, frame).box_xyxy, self.image)
            for object_id, frame in keys
        ]
        with self._own_write():
            colors = [layers.color(object_id) for object_id, _ in keys]
            self.layer.add_rectangles(shapes, edge_color=colors)
        first = len(self.rows)
        self.rows += keys
        self.write_features(range(first, len(self.rows)), recolor=False)

    def write_features(self, rows: Iterable[int], *, recolor: bool = True) -> None:
        """Copy what the model says of some rows to the feature table."""
        rows = sorted(set(rows))
        if rows:
            fresh = layers.features(
                Row(key[0], self._tracks.label(key[0]), key[1], self._box(*key))
                for key in (present(self.rows[row]) for row in rows)
            )
            table = self.layer.features.copy()
            for name in layers.DRAWN:
                table.loc[rows, name] = fresh[name]
            with self._own_write():
                self.layer.features = table
                self._set_colors()
                if recolor:
                    self.layer.refresh_colors()
            self.prepare_next(*self._next)  # napari has just made the last row the default

    def prepare_next(self, object_id: int, label: str) -> None:
        """Make napari give the next shape the right object, label and colour."""
        self._next = (object_id, label)
        with self._own_write():
            self._set_colors()
            self.layer.feature_defaults = dict(layers.DRAWN, object_id=object_id, label=label)

    def _set_colors(self) -> None:
        ids = self._tracks.object_ids
        by_id = {object_id: layers.color(object_id) for object_id in ids}
        by_id[NEW_OBJECT] = layers.color(max(ids, default=0) + 1)
        self.layer.edge_color_cycle_map = {k: layers.rgba(color) for k, color in by_id.items()}

    def _box(self, object_id: int, frame: int) -> TrackBox:
        box = self._tracks.get(object_id, frame)
        if box is None:
            raise KeyError((object_id, frame))
        return box

    @contextmanager
    def _own_write(self) -> Iterator[None]:
        """Mark what happens inside as ours, not a person's."""
        before, self._writing = self._writing, True
        try:
            yield
        finally:
            self._writing = before

    # -- events ------------------------------------------------------------------------------------

    def _lie_on(self) -> None:
        layers.lie_on(self.layer, self.image)

    def _on_data(self, event: Any) -> None:
        action = str(getattr(event.action, "value", event.action))
        if action not in ("adding", "changing", "removing"):
            self._on_change()

    def _on_change(self) -> None:
        if not self._writing:
            self.edited.emit()


def present(key: Key | None) -> Key:
    """Key of a row that is known to have one."""
    if key is None:
        raise KeyError("this row has no object")
    return key
