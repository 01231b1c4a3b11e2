"""The boxes layer of an annotation: rows are written from the model, and read back as claims.

A small annotation stands in the layer as a whole. A larger one would make napari slow, so of that
the layer holds the frame on the screen only, and is written anew as the person moves along.

What a person does to the layer is told by :attr:`BoxesView.edited`, what is written here is not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Any

import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import NDArray
from psygnal import Signal

from napari_ocean.boxes import FloatArray
from napari_ocean.plugin import layers, rectangles
from napari_ocean.plugin.pending import Key
from napari_ocean.plugin.whole import Rest, give_out_whole
from napari_ocean.tracks import Row, TrackBox, Tracks

NEW_OBJECT = 0
"""Object id of a shape that was just drawn and belongs to nobody yet."""

LAST_ID = 2**31 - 1
"""Highest object id that is read from a feature table: whatever files and tables can hold."""

WHOLE = 400
"""Boxes up to which the layer holds the whole annotation; so many cost napari no more than one."""

CROWD = 50
"""Boxes on a frame up to which each has its label: more cannot be read, and take long to draw."""


class ColorBy(StrEnum):
    """What the colour of a box tells."""

    OBJECT = "object"
    SCORE = "score"


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
    seen : dict of (int, int) to ndarray of float64, shape (4,)
        Boxes of the model as they stood in the layer when it was last read or written.
    frame : int
        Frame that the person looks at.
    touched : bool
        Whether a person has changed the layer since it was read.
    """

    edited = Signal()
    """A person changed the layer."""

    def __init__(self, layer: Shapes, image: Image, tracks: Tracks) -> None:
        self.layer = layer
        self.image = image
        self.tracks = tracks
        self.rows: list[Key | None] = []
        self.seen: dict[Key, FloatArray] = {}
        self.frame = 0
        self.touched = False
        self._whole = True
        self._crowded = False
        self._spared = ExitStack()  # a thumbnail of lines is black, but takes long to draw
        self._spared.enter_context(layer.block_thumbnail_update())
        self._color_by = ColorBy.OBJECT
        self._next: tuple[int, str] = (NEW_OBJECT, str(layers.DRAWN["label"]))
        self._writing = False
        self._lie_on()
        give_out_whole(layer, self._rest)
        for event, callback in self._events():
            event.connect(callback)

    def close(self) -> None:
        """Let go of the layer, which stays as it is; saving it still saves all boxes."""
        self._spared.close()
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

    def select(self, object_ids: Iterable[int]) -> None:
        """Select the shapes of some objects on the frame that the person looks at."""
        wanted = {(object_id, self.frame) for object_id in object_ids}
        self.layer.selected_data = {k for k, key in enumerate(self.rows) if key in wanted}

    # -- reading -----------------------------------------------------------------------------------

    def read(self) -> layers.LayerBoxes:
        """Boxes that the layer shows."""
        self._mend_features()
        return layers.read_boxes(self.layer, self.image, own=True)

    def claims(self, found: layers.LayerBoxes) -> list[Key]:
        """Object and frame that each row of the layer claims."""
        ids = ids_in(self.layer.features["object_id"])
        return list(zip(ids, found.frames.tolist(), strict=True))

    def column(self, name: str) -> list[str]:
        """Column of the feature table as text, whatever a person may have typed; empty for NaN."""
        return [str(value) if value == value else "" for value in self.layer.features[name]]

    def rows_of(self, object_id: int) -> list[int]:
        """Rows that show an object."""
        return [row for row, key in enumerate(self.rows) if key and key[0] == object_id]

    def take_over(self, keys: list[Key | None], boxes_xyxy: FloatArray) -> None:
        """Take note of what the rows are, after the model was brought in step with them."""
        self.rows = keys
        self.seen = {k: box for k, box in zip(keys, boxes_xyxy, strict=True) if k}
        self.touched = False

    def _mend_features(self) -> None:
        """Give the feature table one row for each shape and all our columns; others are a person's.

        napari leaves rows behind when all shapes are removed at once. A person may have put a
        column into the table, of which napari has no default, or another table in its place.
        """
        before, n_shapes = self.layer.features, self.layer.nshapes
        lost = [name for name in layers.DRAWN if name not in before]
        same = set(before.columns) == set(self.layer.feature_defaults.columns)
        if len(before) <= n_shapes and same and not lost:
            return
        table = before.iloc[:n_shapes].copy()
        known = {row: key for row, key in enumerate(self.rows[:n_shapes]) if key}
        fresh = self._features(known.values())
        for name in lost:
            values = np.full(n_shapes, layers.DRAWN[name], dtype=fresh[name].dtype)
            values[list(known)] = fresh[name]
            table[name] = values
        with self._own_write():
            self.layer.features = table

    # -- writing -----------------------------------------------------------------------------------

    def update(self, changed: Collection[Key] = ()) -> None:
        """Bring the layer in step with the model and the frame; write `changed` boxes anew."""
        self._whole = len(self.tracks) <= WHOLE
        wanted, shown = self._wanted(), {key for key in self.rows if key}
        old = {
            row: key
            for row, key in enumerate(self.rows)
            if key and (key in changed or key not in wanted)
        }
        new = sorted(key for key in wanted if key in changed or key not in shown)
        if not old and not new:
            return
        selected = [self.rows[row] for row in self.layer.selected_data if row < len(self.rows)]
        with self.layer._block_refresh():  # one refresh is enough for all of this
            self._label_unless_crowded(len(wanted))
            moved = self._move(_reuse(old, new))
            self.remove([row for row in old if row not in moved])
            self._add(sorted(set(new) - set(moved.values())))
            self._select_again([key for key in selected if key])
        self.layer.refresh()

    def _wanted(self) -> set[Key]:
        """Boxes that belong into the layer now."""
        alive = [k for k in self.tracks.object_ids if not self.tracks.info(k).hidden]
        if self._whole:
            return {(k, frame) for k in alive for frame in self.tracks.frames(k)}
        here = self.tracks.on_frame(self.frame)
        return {(k, self.frame) for k in alive if k in here}

    def _label_unless_crowded(self, n_boxes: int) -> None:
        """Hide the labels of a crowd; where there is none, a person may have hidden them too."""
        crowded = not self._whole and n_boxes > CROWD
        if crowded != self._crowded:
            self._crowded = crowded
            self.layer.text.visible = not crowded

    def _select_again(self, keys: Sequence[Key]) -> None:
        """Keep selected what was; where only one frame is shown, the same objects on that."""
        if keys:
            ids = set() if self._whole else {object_id for object_id, _ in keys}
            self.layer.selected_data = {
                row for row, key in enumerate(self.rows) if key and (key in keys or key[0] in ids)
            }

    def remove(self, rows: Sequence[int]) -> None:
        """Delete some rows."""
        if rows:
            gone = set(rows)
            for row in rows:
                self.seen.pop(self.rows[row] or (0, 0), None)
            self.rows = [key for row, key in enumerate(self.rows) if row not in gone]
            with self._own_write():  # it tells at once which of the rows left are selected
                self.layer.remove(list(rows))

    def _move(self, keys: Mapping[int, Key]) -> Mapping[int, Key]:
        """Have some rows show other boxes; return those that could."""
        rows = list(keys)
        shown = {key: self._box(*key).box_xyxy for key in keys.values()}
        if not keys or not rectangles.put(self.layer, rows, self._corners(shown)):
            return {}
        for row, key in keys.items():
            self.seen.pop(self.rows[row] or (0, 0), None)
            self.rows[row] = key
        self.seen |= shown
        self.write_features(rows)
        return keys

    def _add(self, keys: list[Key]) -> None:
        if not keys:
            return
        shown = {key: self._box(*key).box_xyxy for key in keys}
        with self._own_write(), self.layer.events.data.blocker():  # napari measures all layers anew
            self.layer.add_rectangles(list(self._corners(shown)), edge_color=self._rgba(keys))
        first = len(self.rows)
        self.rows += keys
        self.seen |= shown
        self.write_features(range(first, len(self.rows)))
        self.prepare_next(*self._next)  # napari has just made the last row the default

    def _corners(self, shown: Mapping[Key, FloatArray]) -> FloatArray:
        """Corners of some boxes as napari wants them, shape (N, 4, ndim)."""
        frames = np.array([frame for _, frame in shown], dtype=np.intp)
        boxes_xyxy = np.array(list(shown.values()), dtype=np.float64).reshape(-1, 4)
        return layers.rectangles(frames, boxes_xyxy, self.image)

    def _rest(self) -> Rest:
        """Boxes that the layer does not show: of other frames, or hidden."""
        self._mend_features()
        every = ((row.object_id, row.frame) for row in self.tracks.rows())
        keys = [key for key in every if key not in self.seen]
        shown = {key: self._box(*key).box_xyxy for key in keys}
        return Rest(self._corners(shown), self._features(keys), self._rgba(keys))

    def _features(self, keys: Iterable[Key]) -> dict[str, NDArray[Any]]:
        return layers.features(
            Row(key[0], self.tracks.label(key[0]), key[1], self._box(*key)) for key in keys
        )

    def write_features(self, rows: Iterable[int]) -> None:
        """Copy what the model says of some rows to the feature table, and colour them."""
        rows = sorted(set(rows))
        if not rows:
            return
        self._mend_features()
        keys = [present(self.rows[row]) for row in rows]
        fresh = self._features(keys)
        table, same = self.layer.features, True
        for name, column in fresh.items():  # in place: a new table is checked as a whole
            before = table[name].to_numpy()
            values = before.astype(column.dtype)
            values[rows] = column
            table[name] = values
            same &= name not in layers.LABEL_COLUMNS or np.array_equal(before, values)
        colors = self.layer.edge_color.copy()
        colors[rows] = self._rgba(keys)
        with self._own_write():
            if not same:
                self.layer.refresh_text()
            self.layer.events.features()
            if not np.allclose(colors, self.layer.edge_color):
                self.layer.edge_color = colors

    def prepare_next(self, object_id: int, label: str) -> None:
        """Make napari give the next shape the right object, label and colour."""
        self._next = (object_id, label)
        ids = self.tracks.object_ids
        new = object_id if object_id in ids else max(ids, default=0) + 1
        self._mend_features()
        with self._own_write(), self.layer.block_update_properties():  # not that of the selected
            theirs = self.layer.feature_defaults.iloc[0].to_dict()
            ours = dict(layers.DRAWN, object_id=object_id, label=label)
            self.layer.feature_defaults = theirs | ours
            self.layer.current_edge_color = layers.color_of(self.tracks, new)

    @property
    def color_by(self) -> ColorBy:
        """What the colour of a box tells."""
        return self._color_by

    @color_by.setter
    def color_by(self, color_by: ColorBy) -> None:
        if color_by != self._color_by:
            self._color_by = ColorBy(color_by)
            self.write_features(row for row, key in enumerate(self.rows) if key)

    def _rgba(self, keys: Sequence[Key]) -> FloatArray:
        """Colours of some boxes, shape (N, 4)."""
        if self._color_by is ColorBy.SCORE:
            return np.array([layers.score_rgba(self._box(*key).score) for key in keys])
        colors = {k: layers.rgba(layers.color_of(self.tracks, k)) for k in {k for k, _ in keys}}
        return np.array([colors[k] for k, _ in keys])

    def _box(self, object_id: int, frame: int) -> TrackBox:
        box = self.tracks.get(object_id, frame)
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
            self.touched = True
            self.edited.emit()


def ids_in(column: Iterable[Any]) -> list[int]:
    """Ids that a feature column names; that of a new object where there is none that can be."""
    numbers = layers.numbers(column, NEW_OBJECT)
    return [int(number) if 0 < number <= LAST_ID else NEW_OBJECT for number in numbers]


def present(key: Key | None) -> Key:
    """Key of a row that is known to have one."""
    if key is None:
        raise KeyError("this row has no object")
    return key


def _reuse(old: Mapping[int, Key], new: Iterable[Key]) -> dict[int, Key]:
    """Give new boxes the rows of old ones, as far as they go: its own, its object's, or any."""
    free, left = {key: row for row, key in old.items()}, dict.fromkeys(new)
    reused: dict[int, Key] = {}
    for like in (slice(2), slice(1)):
        rows = {key[like]: key for key in free}
        for key in list(left):
            twin = rows.pop(key[like], None)
            if twin is not None:
                reused[free.pop(twin)] = key
                del left[key]
    return reused | dict(zip(free.values(), left, strict=False))
