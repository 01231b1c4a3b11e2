"""One clip's annotation and the layer that shows it, kept in step.

The model (:class:`napari_ocean.tracks.Tracks`) is the truth; the layer is its view. What a person
does in the layer flows back by comparing the layer with what stood there when it was last read or
written: the indices in napari's events are not trusted. No windows here: this runs without Qt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Shapes
from psygnal import Signal

from napari_ocean.boxes import FloatArray
from napari_ocean.plugin import layers, prompts
from napari_ocean.plugin.plan import Key, Pending
from napari_ocean.plugin.view import NEW_OBJECT, BoxesView, present
from napari_ocean.tracks import ObjectPrediction, Source, State, TrackBox, Tracks


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
    pending : Pending
        Drawn boxes that wait for a run.
    next_object : int
        Object that the next drawn box belongs to; ``NEW_OBJECT`` makes a new one.
    next_label : str
        Label of the next new object.
    in_run : bool
        Whether a run is writing to this session.
    """

    edited = Signal()
    """A person changed the layer: call :meth:`pull` when it suits."""

    def __init__(self, image: Image, layer: Shapes | None = None) -> None:
        self.image = image
        self.tracks = Tracks()
        self.layer = layers.boxes_layer(image) if layer is None else layer
        self.pending = Pending()
        self.next_object = NEW_OBJECT
        self.next_label = str(layers.DRAWN["label"])
        self.in_run = False
        self._seen: dict[Key, FloatArray] = {}
        self._dirty: set[Key] = set()
        self._news: list[str] = []
        self._told: set[str] = set()
        self._prompts: WeakKeyDictionary[Shapes, list[prompts.Prompt]] = WeakKeyDictionary()
        self._view = BoxesView(self.layer, image, self.tracks)
        self._load()
        self.choose_next(NEW_OBJECT)
        self._view.edited.connect(self.edited.emit)

    def close(self) -> None:
        """Let go of the layer, which stays as it is."""
        self._view.close()

    @property
    def busy(self) -> bool:
        """Whether the person is in the middle of drawing or dragging a shape."""
        return self._view.busy

    @property
    def object_ids(self) -> list[int]:
        """Ids of the objects that have a box."""
        return [object_id for object_id in self.tracks.object_ids if self.tracks.frames(object_id)]

    def selected(self, frame: int | None = None) -> set[int]:
        """Objects of the shapes selected in the layer, optionally of those on one frame only."""
        return self._view.selected(frame)

    def choose_next(self, object_id: int, label: str | None = None) -> None:
        """Say which object the next drawn box belongs to, and the label of a new one."""
        self.next_object = object_id
        self.next_label = label or self.next_label
        self._view.prepare_next(self.next_object, self.next_label)

    def rename(self, object_id: int, label: str) -> None:
        """Change an object's label, in the model and in the layer."""
        if label != self.tracks.label(object_id):
            self.tracks.rename(object_id, label)
            self._view.write_features(self._view.rows_of(object_id))

    def tell(self, problem: str) -> None:
        """Keep a sentence for the user, unless it was told before."""
        if problem not in self._told:
            self._told.add(problem)
            self._news.append(problem)

    def take_news(self) -> list[str]:
        """Take the sentences for the user that nobody has taken yet."""
        news, self._news = self._news, []
        return news

    # -- from the layer to the model ---------------------------------------------------------------

    def pull(self) -> None:
        """Take over what a person changed in the layer since it was last read or written.

        A moved or resized box becomes a drawn one; a new shape becomes a drawn box of its object,
        or of a new object; a deleted shape is deleted. Shapes that cannot be targets stay in the
        layer, count for nothing and are told of (:meth:`take_news`).
        """
        if self.busy:
            return
        found = self._view.read()
        wanted = self._view.claims(found)
        keys = _unchanged(self._seen, wanted, found.boxes_xyxy)
        edited = []
        for row, key in enumerate(keys):
            problem = None if key is not None else layers.problem(found, row, self.image)
            if problem is not None:
                self.tell(problem)
            elif key is None:
                edited.append(row)
        moved = self._take_moved(edited, wanted, keys)
        for gone in self._seen.keys() - set(keys):
            self.tracks.remove(*gone)
            self.pending.remove(gone)
            self._dirty.discard(gone)
        replaced = [self._adopt(row, wanted[row], keys) for row in edited if row not in moved]
        for row in edited:
            self.draw(*present(keys[row]), found.boxes_xyxy[row])
        self._view.rows = keys
        self._seen = {k: box for k, box in zip(keys, found.boxes_xyxy, strict=True) if k}
        self._view.write_features([*edited, *self._take_typed(set(edited))])
        self._view.remove([row for row in replaced if row is not None])
        self._dirty -= {present(keys[row]) for row in edited}  # the layer shows them already

    def absorb(self, layer: Shapes, frame: int) -> None:
        """Take the shapes of the user's own layer as drawn boxes (:mod:`~.prompts` says how).

        Nothing is known of a layer any longer once all boxes were deleted: that starts it anew.
        """
        known = self._prompts.get(layer, []) if len(self.tracks) else []
        self._prompts[layer] = prompts.absorb(self, layer, frame, known)

    def draw(self, object_id: int, frame: int, box_xyxy: FloatArray) -> None:
        """Make a box a drawn one in the model; :meth:`flush` shows it."""
        self.tracks.draw(object_id, frame, box_xyxy)
        self.pending.add((object_id, frame))
        self._dirty.add((object_id, frame))

    def object_for(self, wanted: int) -> int:
        """Object of a box that was not seen before: the one it names, the chosen one or a new one.

        Ids are never given out twice: a run may still be busy with an object that is gone.
        """
        if wanted >= 1:
            if wanted not in self.tracks.object_ids:
                self.tracks.add_object(self.next_label, wanted)
            return wanted
        chosen = self.next_object
        if chosen == NEW_OBJECT:
            return self.tracks.add_object(self.next_label)
        self.choose_next(NEW_OBJECT)
        return chosen

    def _load(self) -> None:
        """Fill the model from a layer that holds boxes already."""
        found = self._view.read()
        scores = layers.numbers(self.layer.features["score"], 1.0)
        labels, sources, states = map(self._view.column, ("label", "source", "state"))
        for row, (object_id, frame) in enumerate(self._view.claims(found)):
            box = found.boxes_xyxy[row]
            known = (object_id, frame) in self._seen
            if object_id < 1 or known or layers.problem(found, row, self.image):
                continue
            if object_id not in self.tracks.object_ids:
                self.tracks.add_object(labels[row], object_id)
            source, state = Source.DRAWN, State.FOUND
            with suppress(ValueError):  # a person may have typed anything into the table
                source = Source(sources[row])
                state = State(states[row])
            self.tracks.put(object_id, frame, TrackBox(box, scores[row], state, source))
            self._seen[object_id, frame] = box
        for object_id in self.tracks.object_ids:
            drawn = self.tracks.drawn_frames(object_id)
            if drawn == self.tracks.frames(object_id):  # it was not tracked yet
                self.pending.add(*((object_id, frame) for frame in drawn))
        self.pull()

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
        chosen = object_id == self.next_object != NEW_OBJECT
        if wanted in keys and not chosen:
            object_id = NEW_OBJECT
        if chosen:
            self.choose_next(NEW_OBJECT)
        object_id = self.object_for(object_id)
        old = keys.index((object_id, frame)) if (object_id, frame) in keys else None
        if old is not None:
            keys[old] = None
        keys[row] = (object_id, frame)
        return old

    def _take_typed(self, edited: set[int]) -> list[int]:
        """Take over labels and sources typed into the feature table; return rows to rewrite."""
        before = {object_id: self.tracks.label(object_id) for object_id in self.tracks.object_ids}
        labels, sources = self._view.column("label"), self._view.column("source")
        rows = []
        for row, key in enumerate(self._view.rows):
            if key is None or row in edited:
                continue
            if self._take_source(key, sources[row]):
                rows.append(row)
            label = before[key[0]]
            if labels[row] != label == self.tracks.label(key[0]):  # of several, the first counts
                self.tracks.rename(key[0], labels[row])
                rows += self._view.rows_of(key[0])
        return rows

    def _take_source(self, key: Key, typed: str) -> bool:
        """Take over who made a box: a person confirms a tracked one by calling it drawn."""
        box = self.tracks.get(*key)
        if box is None or typed == box.source:
            return False
        if typed == Source.DRAWN:
            self.tracks.draw(*key, box.box_xyxy)
            self.pending.add(key)
        elif typed == Source.TRACKED:
            self.tracks.put(*key, replace(box, source=Source.TRACKED))
            self.pending.remove(key)
        return True

    # -- from the model to the layer ---------------------------------------------------------------

    def record(self, predictions: Iterable[ObjectPrediction], *, reverse: bool = False) -> None:
        """Merge machine-made boxes into the model; :meth:`flush` shows them.

        Boxes of an object whose boxes were all deleted meanwhile are dropped.

        Parameters
        ----------
        predictions : iterable of ObjectPrediction
        reverse : bool
            Whether they were made on the way towards the first frame.
        """
        self.pull()
        alive = set(self.object_ids)
        for prediction in predictions:
            key = (prediction.object_id, prediction.frame)
            if prediction.object_id not in alive:
                continue
            if self.tracks.merge(prediction):
                self._dirty.add(key)
                continue
            drawn = self.tracks.get(*key)
            if drawn is not None and np.array_equal(drawn.box_xyxy, prediction.box_xyxy):
                self.pending.passed(key, self.tracks.frames(prediction.object_id), reverse=reverse)

    def flush(self) -> None:
        """Write what changed in the model to the layer, at once; not while a person draws."""
        if self.busy or not self._dirty:
            return
        self.pull()
        dirty, self._dirty = self._dirty, set()
        self._view.replace(dirty)
        shown = {key: self.tracks.get(*key) for key in dirty}
        self._seen |= {key: box.box_xyxy for key, box in shown.items() if box is not None}


def _unchanged(
    seen: dict[Key, FloatArray], wanted: list[Key], boxes_xyxy: FloatArray
) -> list[Key | None]:
    """Key of each row that stands where it stood, None for all others; no key twice."""
    nowhere = np.full(4, np.nan)
    before = np.array([seen.get(key, nowhere) for key in wanted]).reshape(-1, 4)
    same = np.isclose(before, boxes_xyxy, rtol=1e-6, atol=layers.SAME_PX).all(axis=1)
    keys: list[Key | None] = [None] * len(wanted)
    taken: set[Key] = set()
    for row, key in enumerate(wanted):
        if same[row] and key not in taken:
            keys[row] = key
            taken.add(key)
    return keys
