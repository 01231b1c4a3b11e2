"""The annotation itself: which object has which box on which frame, and who made it.

One :class:`Tracks` holds any number of objects. A person *draws* boxes, the machine *tracks* them;
the merge rule is one sentence: **a machine-made box never replaces a drawn one.**
Pixels, files and windows are none of its business (numpy only).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import BoxError, TracksError


class Source(StrEnum):
    """Who made a box."""

    DRAWN = "drawn"
    TRACKED = "tracked"


class State(StrEnum):
    """What the tracker thinks of its own box."""

    FOUND = "found"
    UNCERTAIN = "uncertain"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The tracker's answer for one frame.

    Attributes
    ----------
    box_xyxy : ndarray of float64, shape (4,)
        Corners in frame pixels (edge coordinates).
    score : float
        Confidence in ``[0, 1]``.
    state : State
        ``found``, ``uncertain`` or ``lost``.
    """

    box_xyxy: FloatArray
    score: float
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPrediction(Prediction):
    """A :class:`Prediction` that knows its object and its 0-based frame."""

    object_id: int
    frame: int


@dataclass(frozen=True, slots=True)
class TrackBox:
    """One object's box on one frame, as annotated (see :class:`Prediction` for the fields)."""

    box_xyxy: FloatArray
    score: float = 1.0
    state: State = State.FOUND
    source: Source = Source.DRAWN


class Row(NamedTuple):
    """One line of the annotation table."""

    object_id: int
    label: str
    frame: int
    box: TrackBox


@dataclass(slots=True)
class _Object:
    label: str
    boxes: dict[int, TrackBox] = field(default_factory=dict)


class Tracks:
    """Boxes of several objects over the frames of one video.

    Object ids are stable positive integers; frames are absolute 0-based indices.

    Examples
    --------
    >>> tracks = Tracks()
    >>> dog = tracks.add_object("dog")
    >>> tracks.draw(dog, frame=0, box_xyxy=(10, 10, 50, 40))
    >>> tracks.drawn_frames(dog)
    [0]
    """

    def __init__(self) -> None:
        self._objects: dict[int, _Object] = {}

    def add_object(self, label: str = "object", object_id: int | None = None) -> int:
        """Add an object without boxes and return its id (the next free one unless given)."""
        if object_id is None:
            object_id = max(self._objects, default=0) + 1
        if object_id < 1:
            raise TracksError(f"An object id is a positive integer, not {object_id}.")
        if object_id in self._objects:
            raise TracksError(f"Object {object_id} exists already; choose another id.")
        self._objects[object_id] = _Object(label)
        return object_id

    def draw(self, object_id: int, frame: int, box_xyxy: object) -> None:
        """Set a person's box; it replaces whatever stood on that frame.

        Raises
        ------
        BoxError
            If the box is not a valid one (see :func:`napari_ocean.boxes.check`).
        TracksError
            If the object does not exist or the frame is negative.
        """
        self.put(object_id, frame, TrackBox(boxes.check(box_xyxy)))

    def put(self, object_id: int, frame: int, box: TrackBox) -> None:
        """Set a box with all its fields, whoever made it (for readers and the plugin).

        Raises
        ------
        BoxError
            If the box is not four finite numbers.
        TracksError
            If the object does not exist or the frame is negative.
        """
        if box.box_xyxy.shape != (4,) or not np.isfinite(box.box_xyxy).all():
            raise BoxError(f"{box.box_xyxy} is not a box of four finite numbers; it was not kept.")
        if frame < 0:
            raise TracksError(f"Frames count from 0; {frame} is before the first.")
        self._object(object_id).boxes[frame] = box

    def merge(self, prediction: ObjectPrediction) -> bool:
        """Take over a machine-made box; False where a drawn one stands, which is kept."""
        old = self.get(prediction.object_id, prediction.frame)
        if old is not None and old.source is Source.DRAWN:
            return False
        box = TrackBox(prediction.box_xyxy, prediction.score, prediction.state, Source.TRACKED)
        self.put(prediction.object_id, prediction.frame, box)
        return True

    def remove(self, object_id: int, frame: int) -> None:
        """Delete one frame's box; the object itself stays, even without boxes."""
        self._object(object_id).boxes.pop(frame, None)

    def rename(self, object_id: int, label: str) -> None:
        """Change an object's label."""
        self._object(object_id).label = label

    def get(self, object_id: int, frame: int) -> TrackBox | None:
        """Box of an object on a frame, or None."""
        return self._object(object_id).boxes.get(frame)

    def label(self, object_id: int) -> str:
        """Label of an object."""
        return self._object(object_id).label

    @property
    def object_ids(self) -> list[int]:
        """Ids of all objects, ascending."""
        return sorted(self._objects)

    def frames(self, object_id: int) -> list[int]:
        """Frames on which an object has a box, ascending."""
        return sorted(self._object(object_id).boxes)

    def drawn_frames(self, object_id: int) -> list[int]:
        """Frames on which a person drew the object's box, ascending."""
        of = self._object(object_id).boxes
        return [frame for frame in sorted(of) if of[frame].source is Source.DRAWN]

    def rows(self) -> Iterator[Row]:
        """All boxes, ordered by object and frame."""
        for object_id in self.object_ids:
            for frame in self.frames(object_id):
                of = self._objects[object_id]
                yield Row(object_id, of.label, frame, of.boxes[frame])

    def copy(self) -> Tracks:
        """Independent copy (boxes themselves are immutable and shared)."""
        twin = Tracks()
        twin._objects = {k: replace(v, boxes=dict(v.boxes)) for k, v in self._objects.items()}
        return twin

    def __len__(self) -> int:
        """Count the boxes."""
        return sum(len(of.boxes) for of in self._objects.values())

    def __repr__(self) -> str:
        return f"<Tracks: {len(self._objects)} objects, {len(self)} boxes>"

    def _object(self, object_id: int) -> _Object:
        try:
            return self._objects[object_id]
        except KeyError:
            known = ", ".join(map(str, self.object_ids)) or "none"
            raise TracksError(f"There is no object {object_id}; known: {known}.") from None
