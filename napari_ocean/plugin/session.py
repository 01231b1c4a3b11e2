"""One clip's annotation and the layer that shows it, kept in step.

The model (:class:`napari_ocean.tracks.Tracks`) is the truth; the layer is its view. What a person
does in the layer flows back by comparing the layer with what stood there when it was last read or
written: the indices in napari's events are not trusted. No windows here: this runs without Qt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Shapes
from psygnal import Signal

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.plugin import layers
from napari_ocean.tracks import ObjectPrediction, Row, Source, State, TrackBox, Tracks

NEW_OBJECT = 0
"""Object id of a shape that was just drawn and belongs to nobody yet."""

SAME_PX = 1e-3
"""Corners nearer than this are where they were."""

SAME_IOU = 0.99
"""A prompt that overlaps a drawn box this much is that box."""

Key = tuple[int, int]
"""Object id and frame: what identifies a box."""


class _Prompt(NamedTuple):
    """A shape of the user's own layer and the object that it became."""

    object_id: int
    frame: int
    box_xyxy: FloatArray


class Session:
    """Boxes of one image layer.

    Parameters
    ----------
    image : napari.layers.Image
        The clip.
    layer : napari.layers.Shapes, optional
        Boxes layer to go on with; a new one by default.

    Attributes
    ----------
    tracks : Tracks
        The annotation.
    layer : napari.layers.Shapes
        Its view, editable.
    next_object : int
        Object that the next drawn box belongs to; ``NEW_OBJECT`` makes a new one.
    next_label : str
        Label of the next new object.
    """

    edited = Signal()
    """A person changed the layer: call :meth:`pull` when it suits."""

    def __init__(self, image: Image, layer: Shapes | None = None) -> None:
        self.image = image
        self.tracks = Tracks()
        self.layer = layers.boxes_layer(image) if layer is None else layer
        self.next_object = NEW_OBJECT
        self.next_label = str(layers.DRAWN["label"])
        self._seen: dict[Key, FloatArray] = {}
        self._rows: list[Key | None] = []
        self._dirty: set[Key] = set()
        self._warned: set[str] = set()
        self._prompts: WeakKeyDictionary[Shapes, list[_Prompt]] = WeakKeyDictionary()
        self._writing = False
        self._busy = False
        self._load()
        self._prepare_next()
        self.layer.events.data.connect(self._on_data)
        self.layer.events.features.connect(self._on_features)

    def close(self) -> None:
        """Let go of the layer, which stays as it is."""
        self.layer.events.data.disconnect(self._on_data)
        self.layer.events.features.disconnect(self._on_features)

    @property
    def busy(self) -> bool:
        """Whether the person is in the middle of drawing or dragging a shape."""
        return self._busy

    @property
    def selected_object(self) -> int | None:
        """Object of the shapes selected in the layer, None unless it is exactly one."""
        rows = [row for row in self.layer.selected_data if row < len(self._rows)]
        ids = {key[0] for key in (self._rows[row] for row in rows) if key is not None}
        return ids.pop() if len(ids) == 1 else None

    def choose_next(self, object_id: int, label: str | None = None) -> None:
        """Say which object the next drawn box belongs to, and the label of a new one."""
        self.next_object = object_id
        self.next_label = label or self.next_label
        self._prepare_next()

    def rename(self, object_id: int, label: str) -> None:
        """Change an object's label, in the model and in the layer."""
        if label != self.tracks.label(object_id):
            self.tracks.rename(object_id, label)
            self._write_features(self._rows_of(object_id))

    def pull(self) -> list[str]:
        """Take over what a person changed in the layer since it was last read or written.

        A moved or resized box becomes a drawn one; a new shape becomes a drawn box of its object,
        or of a new object; a deleted shape is deleted. Shapes that cannot be targets stay in the
        layer and count for nothing.

        Returns
        -------
        list of str
            One sentence for each shape that cannot be used and was not reported before.
        """
        if self._busy:
            return []
        self._trim_features()
        found = layers.read_boxes(self.layer, self.image)
        wanted = self._wanted(found)
        keys = _unchanged(self._seen, wanted, found.boxes_xyxy)
        problems = []
        edited = []
        for row, key in enumerate(keys):
            problem = None if key is not None else layers.problem(found, row, self.image)
            if problem is not None:
                problems.append(problem)
            elif key is None:
                edited.append(row)
        moved = self._take_moved(edited, wanted, keys)
        for gone in self._seen.keys() - set(keys):
            self.tracks.remove(*gone)
            self._dirty.discard(gone)
        replaced = []
        for row in edited:
            if row not in moved:
                replaced.append(self._adopt(row, wanted[row], keys))
            object_id, frame = _present(keys[row])
            self.tracks.draw(object_id, frame, found.boxes_xyxy[row])
            self._dirty.discard((object_id, frame))
        self._rows = keys
        self._seen = {k: box for k, box in zip(keys, found.boxes_xyxy, strict=True) if k}
        self._write_features([*edited, *self._relabelled(edited)])
        self._remove_rows([row for row in replaced if row is not None])
        return self._news(problems)

    def absorb(self, prompts: Shapes, frame: int) -> list[str]:
        """Take the shapes of the user's own layer as drawn boxes; that layer is not changed.

        A shape without a time axis counts on `frame`. A shape that was absorbed before keeps its
        object, also after it was moved; one with a positive ``object_id`` feature belongs to that
        object; any other is a new object, or the chosen next one.

        Returns
        -------
        list of str
            One sentence for each shape that cannot be used and was not reported before.
        """
        found = layers.read_boxes(prompts, self.image)
        n_rows = len(found.frames)
        ids = layers.numbers(prompts.features.get("object_id", [NEW_OBJECT] * n_rows), NEW_OBJECT)
        made = list(prompts.features.get("source", [Source.DRAWN.value] * n_rows))
        known = list(self._prompts.get(prompts, []))
        now: list[_Prompt] = []
        problems = []
        for row in range(n_rows):
            problem = layers.problem(found, row, self.image, of=f"A shape of {prompts.name!r}")
            if problem is not None:
                problems.append(problem)
            elif made[row] != Source.TRACKED.value:
                box, time = found.boxes_xyxy[row], int(found.frames[row])
                now.append(self._place(box, time, frame, int(ids[row]), known))
        self._prompts[prompts] = now
        return self._news(problems)

    def record(self, predictions: Iterable[ObjectPrediction]) -> None:
        """Merge machine-made boxes into the model; :meth:`flush` shows them."""
        for prediction in predictions:
            if self.tracks.merge(prediction):
                self._dirty.add((prediction.object_id, prediction.frame))

    def flush(self) -> None:
        """Write what changed in the model to the layer, at once; not while a person draws."""
        if self._busy or not self._dirty:
            return
        self.pull()
        stale = [row for row, key in enumerate(self._rows) if key in self._dirty]
        fresh = sorted(key for key in self._dirty if self.tracks.get(*key) is not None)
        self._dirty.clear()
        self._remove_rows(stale)
        self._add_rows(fresh)

    # -- reading ---------------------------------------------------------------------------------

    def _load(self) -> None:
        """Fill the model from a layer that holds boxes already."""
        found = layers.read_boxes(self.layer, self.image)
        table = self.layer.features
        scores = layers.numbers(table["score"], 1.0)
        for row, (object_id, frame) in enumerate(self._wanted(found)):
            box = found.boxes_xyxy[row]
            if (
                object_id < 1
                or (object_id, frame) in self._seen
                or layers.problem(found, row, self.image)
            ):
                continue
            if object_id not in self.tracks.object_ids:
                self.tracks.add_object(str(table["label"][row]), object_id)
            source, state = Source.DRAWN, State.FOUND
            with suppress(ValueError):  # a person may have typed anything into the table
                source = Source(table["source"][row])
                state = State(table["state"][row])
            self.tracks.put(object_id, frame, TrackBox(box, float(scores[row]), state, source))
            self._seen[object_id, frame] = box
        self.pull()

    def _trim_features(self) -> None:
        """Drop the feature rows that napari leaves behind when all shapes are removed at once."""
        if len(self.layer.features) > self.layer.nshapes:
            with self._own_write():
                self.layer.features = self.layer.features.iloc[: self.layer.nshapes]

    def _wanted(self, found: layers.LayerBoxes) -> list[Key]:
        """Object and frame that each row of the layer claims."""
        ids = layers.numbers(self.layer.features["object_id"], NEW_OBJECT)
        return [(int(o), int(f)) for o, f in zip(ids, found.frames, strict=True)]

    def _take_moved(self, edited: Sequence[int], wanted: list[Key], keys: list[Any]) -> set[int]:
        """Give rows that changed their box, but not object and frame, their key back."""
        taken = set(keys)
        moved = set()
        for row in edited:
            if wanted[row] in self._seen and wanted[row] not in taken:
                keys[row] = wanted[row]
                taken.add(wanted[row])
                moved.add(row)
        return moved

    def _adopt(self, row: int, wanted: Key, keys: list[Any]) -> int | None:
        """Find the object of a new shape; return the row of a box that it replaces, if any."""
        object_id, frame = wanted
        chosen = object_id == self.next_object
        if object_id < 1 or (wanted in keys and not chosen):
            object_id = self._new_object()
        elif object_id not in self.tracks.object_ids:
            self.tracks.add_object(self.next_label, object_id)
        if chosen:
            self.next_object = NEW_OBJECT
        old = keys.index((object_id, frame)) if (object_id, frame) in keys else None
        if old is not None:
            keys[old] = None
        keys[row] = (object_id, frame)
        return old

    def _new_object(self) -> int:
        """Id of an object without boxes: one whose boxes were all deleted, or a new one."""
        for object_id in self.tracks.object_ids:
            if not self.tracks.frames(object_id):
                self.tracks.rename(object_id, self.next_label)
                return object_id
        return self.tracks.add_object(self.next_label)

    def _place(
        self, box: FloatArray, time: int, frame: int, wanted: int, known: list[_Prompt]
    ) -> _Prompt:
        """Make a prompt a drawn box of the right object; without a `time`, on `frame`."""
        overlaps = [
            float(boxes.iou(box, old.box_xyxy)) if time in (layers.NO_FRAME, old.frame) else 0.0
            for old in known
        ]
        best = int(np.argmax(overlaps)) if overlaps and max(overlaps) > 0 else None
        old = None if best is None else known.pop(best)
        same = old is not None and np.allclose(old.box_xyxy, box, atol=SAME_PX)
        if time == layers.NO_FRAME:
            time = old.frame if old is not None and same else frame
        if old is not None:
            object_id = old.object_id
        else:
            object_id = self._object_at(box, time) or self._prompted(wanted, time)
        standing = self.tracks.get(object_id, time)
        if not (same and standing is not None and standing.source is Source.DRAWN):
            self.tracks.draw(object_id, time, box)
            self._dirty.add((object_id, time))
        return _Prompt(object_id, time, box)

    def _object_at(self, box: FloatArray, frame: int) -> int | None:
        """Object that already has this drawn box."""
        for object_id in self.tracks.object_ids:
            drawn = self.tracks.get(object_id, frame)
            if drawn is None or drawn.source is not Source.DRAWN:
                continue
            if boxes.iou(drawn.box_xyxy, box) > SAME_IOU:
                return object_id
        return None

    def _prompted(self, wanted: int, frame: int) -> int:
        """Object of a prompt that was not seen before."""
        if wanted >= 1:
            if wanted not in self.tracks.object_ids:
                self.tracks.add_object(self.next_label, wanted)
            return wanted
        object_id, self.next_object = self.next_object, NEW_OBJECT
        return object_id if object_id != NEW_OBJECT else self._new_object()

    def _relabelled(self, edited: Sequence[int]) -> list[int]:
        """Take over labels typed into the feature table; return the rows to rewrite."""
        labels = {object_id: self.tracks.label(object_id) for object_id in self.tracks.object_ids}
        ours, rows = set(edited), []
        for row, (key, typed) in enumerate(
            zip(self._rows, self.layer.features["label"].tolist(), strict=True)
        ):
            if key is None or row in ours or str(typed) == labels[key[0]]:
                continue
            if labels[key[0]] == self.tracks.label(key[0]):  # of several labels, the first counts
                self.tracks.rename(key[0], str(typed))
                rows += self._rows_of(key[0])
        return rows

    def _news(self, problems: list[str]) -> list[str]:
        """Problems that were not told before."""
        news = [problem for problem in dict.fromkeys(problems) if problem not in self._warned]
        self._warned.update(news)
        return news

    # -- writing ---------------------------------------------------------------------------------

    def _rows_of(self, object_id: int) -> list[int]:
        return [row for row, key in enumerate(self._rows) if key and key[0] == object_id]

    def _remove_rows(self, rows: list[int]) -> None:
        if rows:
            gone = set(rows)
            with self._own_write():
                self.layer.remove(rows)
            self._rows = [key for row, key in enumerate(self._rows) if row not in gone]

    def _add_rows(self, keys: list[Key]) -> None:
        if not keys:
            return
        shapes = [
            layers.rectangle(frame, self._box(object_id, frame).box_xyxy, self.image)
            for object_id, frame in keys
        ]
        with self._own_write():
            colors = [layers.color(object_id) for object_id, _ in keys]
            self.layer.add_rectangles(shapes, edge_color=colors)
        first = len(self._rows)
        self._rows += keys
        self._seen |= {key: self._box(*key).box_xyxy for key in keys}
        self._write_features(range(first, len(self._rows)), recolor=False)

    def _write_features(self, rows: Iterable[int], *, recolor: bool = True) -> None:
        """Copy object, label, score, source and state of some rows to the feature table."""
        rows = sorted(set(rows))
        if rows:
            fresh = layers.features(
                Row(key[0], self.tracks.label(key[0]), key[1], self._box(*key))
                for key in (_present(self._rows[row]) for row in rows)
            )
            table = self.layer.features.copy()
            for name in layers.DRAWN:
                table.loc[rows, name] = fresh[name]
            with self._own_write():
                self.layer.features = table
                self._set_colors()
                if recolor:
                    self.layer.refresh_colors()
            self._prepare_next()  # napari has just made the last row the default

    def _prepare_next(self) -> None:
        """Make napari give the next shape the right object and colour."""
        defaults = dict(layers.DRAWN, object_id=self.next_object, label=self.next_label)
        with self._own_write():
            self._set_colors()
            self.layer.feature_defaults = defaults

    def _set_colors(self) -> None:
        ids = self.tracks.object_ids
        empty = [object_id for object_id in ids if not self.tracks.frames(object_id)]
        upcoming = empty[0] if empty else max(ids, default=0) + 1
        by_id = {object_id: layers.color(object_id) for object_id in ids}
        by_id[NEW_OBJECT] = layers.color(upcoming)
        self.layer.edge_color_cycle_map = {k: layers.rgba(color) for k, color in by_id.items()}

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

    def _on_data(self, event: Any) -> None:
        if self._writing:
            return
        action = str(getattr(event.action, "value", event.action))
        self._busy = action in ("adding", "changing")
        if not self._busy:
            self.edited.emit()

    def _on_features(self) -> None:
        if not self._writing:
            self.edited.emit()


def _unchanged(
    seen: dict[Key, FloatArray], wanted: list[Key], boxes_xyxy: FloatArray
) -> list[Key | None]:
    """Key of each row that stands where it stood, None for all others; no key twice."""
    nowhere = np.full(4, np.nan)
    before = np.array([seen.get(key, nowhere) for key in wanted]).reshape(-1, 4)
    same = np.isclose(before, boxes_xyxy, rtol=1e-6, atol=SAME_PX).all(axis=1)
    keys: list[Key | None] = [None] * len(wanted)
    taken: set[Key] = set()
    for row, key in enumerate(wanted):
        if same[row] and key not in taken:
            keys[row] = key
            taken.add(key)
    return keys


def _present(key: Key | None) -> Key:
    """Key of a row that is known to have one."""
    if key is None:
        raise KeyError("this row has no object")
    return key
