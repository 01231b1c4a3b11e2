"""One clip's annotation and the layer that shows it, kept in step.

The model (:class:`napari_ocean.tracks.Tracks`) is the truth; the layer is its view. What a person
does in the layer flows back by comparing the layer with what stood there when it was last read or
written: the indices in napari's events are not trusted. No windows here: this runs without Qt.

What the panels build on (every change is one step of the history, autosaved, and shown at once):

signals
    ``edited()`` a person changed the layer, call ``pull`` when it suits; ``changed(set of ids)``
    the annotation changed in any way (edit, batch, undo, resume); ``news()`` there are sentences
    to take with ``take_news``.
state
    ``tracks, layer, image, n_frames, frame`` (shown), ``next_object, next_label, in_run``;
    ``object_ids`` (with boxes), ``selected(frame=None)``, ``labels()`` used so far,
    ``color(id)`` as ``#rrggbb``; ``view.color_by`` ("object" or "score"), settable.
undo
    ``undo() -> Step or None``, ``redo()``, ``undo_labels``, ``redo_labels`` (newest first).
objects
    ``set_object(id, label=, color=, hidden=, locked=)``, ``delete_objects(ids)``, ``join(keep,
    others)``, ``split(id, frame) -> new id``, ``end_here(ids, frame)``, ``start_here(ids,
    frame)``, ``select(ids)`` on the frame shown, ``take_in(tracks, label) -> ids``.
marks (over ``range(start, stop)``; each raises ``TracksError`` on locked objects)
    ``mark_absent(ids, start, stop, absent=True)``, ``mark_occluded(...)``, ``clear(ids, start,
    stop)`` machine-made boxes, ``remove(ids, frame)`` what stands there, ``keep(ids, frame)``
    turns the machine's boxes into keyframes; ``mark_fine({id: range}, fine=True)``,
    ``interpolate({id: range}, curve)``.
review
    ``review``, a :class:`~napari_ocean.plugin.reviewing.Review`.
autosave
    ``find_saved(user_folder) -> Place``, ``resume() -> place dict``, ``decline()``,
    ``place``, ``note()``, ``saving`` False switches it off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from napari.components import Dims
from napari.layers import Image, Shapes
from psygnal import Signal

from napari_ocean.annotation.history import History
from napari_ocean.annotation.sidecar import Place
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import FormatError
from napari_ocean.plugin import layers
from napari_ocean.plugin.editing import Editing
from napari_ocean.plugin.pending import Key, Pending
from napari_ocean.plugin.prompts import Prompts
from napari_ocean.plugin.pull import fill, pull
from napari_ocean.plugin.reviewing import Review
from napari_ocean.plugin.saving import Saving, path_of
from napari_ocean.plugin.view import NEW_OBJECT, BoxesView
from napari_ocean.tracks import BoxChange, Change, ObjectPrediction, Tracks
from napari_ocean.video import unread_series


class Left(NamedTuple):
    """What a session leaves behind for the next one on the same layer.

    Attributes
    ----------
    tracks : Tracks
        The annotation, which the layer may hold in part only.
    seen : dict of (int, int) to ndarray
        What the layer showed of it.
    pending : Pending
        Drawn boxes that wait for a run.
    """

    tracks: Tracks
    seen: dict[Key, FloatArray]
    pending: Pending


class Session(Editing):
    """Boxes of one image layer.

    Parameters
    ----------
    image : napari.layers.Image
        The clip.
    layer : napari.layers.Shapes, optional
        Boxes layer to go on with; a new one by default.
    left : Left, optional
        What the last session left behind; by default the annotation is read from the layer.

    Attributes
    ----------
    tracks : Tracks
        The annotation; another one after :meth:`resume`.
    history : History
    review : Review
    view : BoxesView
    layer : napari.layers.Shapes
        The view's, editable.
    pending : Pending
        Drawn boxes that wait for a run.
    next_object : int
        Object that the next drawn box belongs to; ``NEW_OBJECT`` makes a new one.
    proposed : bool
        Whether a selection chose it, and not the person.
    next_label : str
        Label of the next new object.
    in_run : bool
        Whether a run is writing to this session.
    turning : bool
        Whether the layer is just going to another frame.
    n_frames : int
    """

    edited = Signal()
    """A person changed the layer: call :meth:`pull` when it suits."""

    changed = Signal(set)
    """The annotation changed in any way; ids of the objects concerned."""

    redrawn = Signal(BoxChange)
    """What a person says of a frame has changed: its drawn box, its hidden or its absent mark."""

    news = Signal()
    """There are sentences for the user (:meth:`take_news`)."""

    def __init__(self, image: Image, layer: Shapes | None = None, left: Left | None = None) -> None:
        self.image = image
        self.layer = layers.boxes_layer(image) if layer is None else layer
        self.n_frames = layers.n_frames(image)
        self.next_object = NEW_OBJECT
        self.next_label = str(layers.DRAWN["label"])
        self.in_run = self.turning = self.proposed = False
        self._dirty: set[Key] = set()
        self._stale = False
        self._news: list[str] = []
        self._told: set[str] = set()
        self.prompts = Prompts()
        self._dims: Dims | None = None
        self._saving = Saving(image)
        self.view = BoxesView(self.layer, image, Tracks())
        self._begin(Tracks() if left is None else left.tracks)
        if left is None:
            fill(self.view, image)
        else:
            self.view.seen = left.seen
        self._start_history(Pending.of(self.tracks) if left is None else left.pending)
        self.pull()
        self.choose_next(NEW_OBJECT)
        self.view.edited.connect(self.edited.emit)
        path = path_of(image) if image.source.reader_plugin == "napari" else None
        if path is not None and (left_out := unread_series(path)):
            self.tell(left_out)

    def _begin(self, tracks: Tracks) -> None:
        """Work on these tracks from now on."""
        self.tracks = self.view.tracks = tracks
        self.pending = Pending()
        self.review = Review(tracks, self.n_frames)

    def _start_history(self, pending: Pending) -> None:
        self.history = History(self.tracks, committed=self._on_committed)
        self.pending = pending

    def close(self) -> Left:
        """Let go of the layer and the viewer, which stay as they are; write the autosave."""
        self.unfollow()
        self.note()
        self._safely(self._saving.close)
        self.view.close()
        return Left(self.tracks.copy(), dict(self.view.seen), self.pending)

    # -- reading -----------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether the person is in the middle of drawing or dragging a shape."""
        return self.view.busy

    @property
    def frame(self) -> int:
        """Frame that the person looks at."""
        return self.view.frame

    @property
    def object_ids(self) -> list[int]:
        """Ids of the objects that have a box."""
        return [object_id for object_id in self.tracks.object_ids if self.tracks.frames(object_id)]

    def selected(self, frame: int | None = None) -> set[int]:
        """Objects of the shapes selected in the layer, optionally of those on one frame only."""
        return self.view.selected(frame)

    def select(self, object_ids: Iterable[int]) -> None:
        """Select the shapes of some objects on the frame shown."""
        self.view.select(object_ids)

    def name(self, object_id: int) -> str:
        """Label and id of an object, as the screen shows them."""
        known = object_id in self.tracks.object_ids
        return f"{self.tracks.label(object_id) if known else self.next_label} {object_id}"

    def color(self, object_id: int) -> str:
        """Colour of an object as ``#rrggbb``."""
        return layers.color_of(self.tracks, object_id)

    def labels(self) -> list[str]:
        """All labels used so far, each once, the newest object's first."""
        used = [self.tracks.label(k) for k in reversed(self.tracks.object_ids)]
        return list(dict.fromkeys([self.next_label, *used]))

    def tell(self, problem: str, *, again: bool = False) -> None:
        """Keep a sentence for the user, unless it was told before."""
        if again or problem not in self._told:
            self._told.add(problem)
            self._news.append(problem)
            self.news.emit()

    def take_news(self) -> list[str]:
        """Take the sentences for the user that nobody has taken yet."""
        news, self._news = self._news, []
        return news

    # -- between the layer and the model -----------------------------------------------------------

    def pull(self) -> None:
        """Take over what a person changed in the layer (:mod:`~.pull`), and show the rest."""
        if not self.busy:
            taken = pull(self, self.view)
            self._dirty = (self._dirty - taken.shown) | taken.stale
            self._show()

    def flush(self) -> None:
        """Write what changed in the model to the layer, at once; not while a person draws."""
        if self.busy:
            return
        if self.view.touched:
            self.pull()
        elif self._stale:
            self._show()

    def show_frame(self, frame: int) -> None:
        """Go along with a person to another frame."""
        if frame == self.view.frame:
            return
        if self.view.touched:
            self.pull()
        selected = self.selected()
        self.view.frame = frame
        self._stale = True
        if not self.busy:
            self.turning = True  # what is selected less now, no person has deselected
            try:
                self._show()
                if selected:  # where they have a box here: Delete takes what is seen
                    self.select(selected)
            finally:
                self.turning = False

    def follow(self, dims: Dims) -> None:
        """Go along with a viewer from now on."""
        self.unfollow()
        self._dims = dims
        dims.events.current_step.connect(self._on_step)  # napari's own layers go first in any case
        self._on_step()

    def unfollow(self) -> None:
        """Stay on this frame."""
        if self._dims is not None:
            self._dims.events.current_step.disconnect(self._on_step)
        self._dims = None

    def _on_step(self) -> None:
        if self._dims is not None:
            self.show_frame(layers.current_frame(self.image, self._dims))

    def _show(self) -> None:
        dirty, self._dirty, self._stale = self._dirty, set(), False
        self.view.update(dirty)

    def _on_committed(self, changes: Sequence[Change]) -> None:
        """Have everybody know of an edit, a batch, an undo or a redo."""
        ids = {change.object_id for change in changes}
        self._stale = True
        for change in sorted(changes, key=lambda of: of.after is not None):  # what goes at first
            if isinstance(change, BoxChange):
                key = (change.object_id, change.frame)
                self._dirty.add(key)
                if self.pending.take_note(change, self.tracks):
                    self.redrawn.emit(change)
            else:
                self._dirty |= {key for key in self.view.rows if key and key[0] == change.object_id}
                if change.after is None and change.object_id == self.next_object:
                    self.choose_next(NEW_OBJECT)
        if aside := self._safely(self._saving.append, changes, self.tracks, self.where()):
            self.tell(f"Earlier work on this video is kept as {aside.name}; open it to go on.")
        self.changed.emit(ids)

    # -- drawing and tracking ----------------------------------------------------------------------

    def choose_next(self, object_id: int, label: str | None = None) -> None:
        """Say which object the next drawn box belongs to, and the label of a new one."""
        self.proposed, self.next_object = self.proposed and object_id == self.next_object, object_id
        self.next_label = label or self.next_label
        self.view.prepare_next(self.next_object, self.next_label)

    def object_for(self, wanted: int) -> int:
        """Object of a box that was not seen before: the one it names, the chosen one or a new one.

        Ids are never given out twice: a run may still be busy with an object that is gone.
        """
        chosen = wanted if wanted >= 1 else self.next_object
        if chosen != NEW_OBJECT and wanted < 1:
            self.choose_next(NEW_OBJECT)
        if chosen == NEW_OBJECT:
            return self.tracks.add_object(self.next_label)
        if chosen not in self.tracks.object_ids:
            return self.tracks.add_object(self.next_label, chosen)
        return chosen

    def absorb(self, layer: Shapes, frame: int) -> None:
        """Take the shapes of the user's own layer as drawn boxes (:mod:`~.prompts` says how)."""
        self.prompts.absorb(self, layer, frame)

    def draw(self, object_id: int, frame: int, box_xyxy: FloatArray) -> None:
        """Make a box a drawn one."""
        with self.history.step(f"Draw {self.name(object_id)}"):
            self.tracks.draw(object_id, frame, box_xyxy)

    def record(
        self,
        predictions: Iterable[ObjectPrediction],
        *,
        reverse: bool = False,
        label: str = "Track",
        run: str | None = None,
        agreement: Mapping[Key, float] | None = None,
    ) -> None:
        """Merge machine-made boxes into the model; :meth:`flush` shows them.

        Boxes of an object whose boxes were all deleted meanwhile are dropped.

        Parameters
        ----------
        predictions : iterable of ObjectPrediction
        reverse : bool
            Whether they were made on the way towards the first frame.
        label : str
            What the person did, as the undo button says it.
        run : str, optional
            All batches of one run are one step of the history.
        agreement : mapping of (int, int) to float, optional
            How far the two runs overlap (IoU) from which a box was fused, by object and frame.
        """
        if self.view.touched:
            self.pull()
        alive = set(self.object_ids)
        run, met = run or uuid4().hex, False
        with self.history.step(label, run):
            for prediction in predictions:
                if prediction.object_id not in alive or self.tracks.merge(prediction):
                    continue
                key = (prediction.object_id, prediction.frame)
                mine = self.tracks.get(*key)
                if mine is not None and np.array_equal(mine.box_xyxy, prediction.box_xyxy):
                    self.pending.passed(key, self.tracks.frames(key[0]), reverse=reverse, run=run)
                    met = True
        if agreement:
            self.review.agree({key: iou for key, iou in agreement.items() if key[0] in alive})
        if met:
            self.note()

    @contextmanager
    def _edit(self, label: str) -> Iterator[None]:
        if self.view.touched:
            self.pull()
        with self.history.step(label):
            yield
        self.flush()

    # -- autosave ----------------------------------------------------------------------------------

    @property
    def saving(self) -> bool:
        """Whether changes are autosaved, once :meth:`find_saved` has found a place."""
        return self._saving.on

    @saving.setter
    def saving(self, on: bool) -> None:
        self._saving.on = on

    @property
    def unsaved(self) -> str:
        """Why changes are not autosaved, in a sentence; empty if they are."""
        return self._saving.problem if self.saving else "it is switched off in Preferences."

    @property
    def place(self) -> Place | None:
        """Where changes are autosaved, None before :meth:`find_saved`."""
        return self._saving.place

    def where(self) -> dict[str, Any]:
        """Where the person is and what waits for a run, as it is saved."""
        waiting = self.pending.record()
        return {"frame": self.frame, "label": self.next_label, "waiting": waiting}

    def find_saved(self, user_folder: Path) -> Place:
        """Find the clip's autosave (:func:`~.sidecar.locate`); changes are saved from then on.

        What was saved is set aside at the first change without :meth:`resume` or :meth:`decline`.
        """
        return self._saving.find(user_folder)

    def resume(self) -> dict[str, Any]:
        """Go on with the saved annotation instead of this one; return where the person was.

        What waited for a run when it was saved waits again.
        """
        saved = self._saving.take()
        if saved is None:
            return {}
        before = set(self.tracks.object_ids)
        self._begin(saved.tracks)
        self._start_history(Pending.of(self.tracks, saved.place.get("waiting")))
        self.next_label = str(saved.place.get("label", self.next_label))
        self.choose_next(NEW_OBJECT)
        self._dirty, self._stale = {key for key in self.view.rows if key}, True
        if not self.busy:
            self._show()
        self.changed.emit(before | set(self.tracks.object_ids))
        return saved.place

    def decline(self) -> Path | None:
        """Set what was saved aside and return its new name; None if there was nothing."""
        return self._saving.decline()

    def note(self) -> None:
        """Keep where the person is and what waits, so that a crash costs neither."""
        self._safely(self._saving.note, self.where())

    def _safely(self, work: Callable[..., Path | None], *args: Any) -> Path | None:
        """Tell what goes wrong with the autosave: it must never cost the person's change."""
        try:
            return work(*args)
        except FormatError as error:
            self.tell(str(error))
            return None
