"""The annotation itself: which object has which box on which frame, and who made it.

One :class:`Tracks` holds any number of objects. On each frame an object has a box, or a person has
marked it *absent* (out of view), or nothing is known yet. Boxes that a person drew or corrected
are the *keyframes*; all others are machine-made. What the machine may do is one pure function,
:func:`merged`: **a machine-made box never replaces a keyframe or an absent mark**, and objects that
are locked stay as they are.

*Occluded* is told of a box, as CVAT and the MOT benchmarks do: the object is hidden, wholly or in
part, but still in the picture, and its box says where it would be seen. An absent object has no
box at all (CVAT's ``outside``). Marks are a person's only: the machine never touches them.

Every change is told to :meth:`Tracks.watch` as a difference, which is what undo and autosave are
made of. Pixels, files and windows are none of its business (numpy only).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import BoxError, TracksError


class Source(StrEnum):
    """Who made a box; the first two are a person's."""

    DRAWN = "drawn"
    CORRECTED = "corrected"
    TRACKED = "tracked"
    INTERPOLATED = "interpolated"


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
    """One object's box on one frame, as annotated (see :class:`Prediction` for the fields).

    Attributes
    ----------
    box_xyxy : ndarray of float64, shape (4,)
        A read-only copy of what is given; a ``BoxError`` if that is not four finite numbers.
    source : Source
        Who made it.
    occluded : bool
        A person says that something hides the object here, wholly or in part.
    fine : bool
        A person has looked at this machine-made box and found it good; it is machine-made still.
    """

    box_xyxy: FloatArray
    score: float = 1.0
    state: State = State.FOUND
    source: Source = Source.DRAWN
    occluded: bool = False
    fine: bool = False

    def __post_init__(self) -> None:
        own = np.array(self.box_xyxy, dtype=np.float64)
        if own.shape != (4,) or not all(map(math.isfinite, own.tolist())):
            raise BoxError(f"{own} is not a box of four finite numbers; it was not kept.")
        own.setflags(write=False)
        object.__setattr__(self, "box_xyxy", own)

    @property
    def is_keyframe(self) -> bool:
        """Whether a person drew or corrected it."""
        return self.source is Source.DRAWN or self.source is Source.CORRECTED


class Absent(Enum):
    """Type of :data:`ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""Stands on a frame where a person says that the object is out of view."""

Cell = TrackBox | Literal[Absent.ABSENT] | None
"""What an object has on a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What is known of an object apart from its boxes.

    Attributes
    ----------
    label : str
        Its class or name.
    color : str or None
        ``#rrggbb``; None leaves the colour to the viewer.
    hidden : bool
        Whether its boxes are left out of the view.
    locked : bool
        Whether its boxes are protected from the machine and from edits.
    """

    label: str = "object"
    color: str | None = None
    hidden: bool = False
    locked: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.label, str):
            raise TracksError(f"A label is a text, not {self.label!r}.")
        if self.color is not None and not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise TracksError(f"A colour is written #rrggbb, not {self.color!r}.")


class BoxChange(NamedTuple):
    """A frame of an object before and after a change."""

    object_id: int
    frame: int
    before: Cell
    after: Cell


class ObjectChange(NamedTuple):
    """An object before and after a change; None where it does not exist."""

    object_id: int
    before: ObjectInfo | None
    after: ObjectInfo | None


Change = BoxChange | ObjectChange


class Row(NamedTuple):
    """One line of the annotation table."""

    object_id: int
    label: str
    frame: int
    box: TrackBox


def merged(old: Cell, new: TrackBox) -> Cell:
    """What stands on a frame once the machine has brought a box: the merge rule.

    A keyframe or an absent mark stays; anything else gives way, and hands on its occluded mark.
    """
    if old is ABSENT:
        return old
    if old is None:
        return new
    if old.is_keyframe:
        return old
    return replace(new, occluded=True) if old.occluded and not new.occluded else new


@dataclass(slots=True)
class _Object:
    info: ObjectInfo
    boxes: dict[int, TrackBox] = field(default_factory=dict)
    absent: set[int] = field(default_factory=set)


class Tracks:
    """Boxes of several objects over the frames of one video.

    Object ids are stable positive integers, never given out twice: new ones lie above ``last_id``,
    the highest that was ever given out (0 at first). Frames are absolute 0-based indices.

    Examples
    --------
    >>> tracks = Tracks()
    >>> dog = tracks.add_object("dog")
    >>> tracks.draw(dog, frame=0, box_xyxy=(10, 10, 50, 40))
    >>> tracks.keyframes(dog)
    [0]
    """

    def __init__(self) -> None:
        self._objects: dict[int, _Object] = {}
        self._on_frame: dict[int, set[int]] = {}
        self.last_id = 0
        self._watchers: list[Callable[[Change], None]] = []

    # -- objects -----------------------------------------------------------------------------------

    def add_object(
        self, label: str = "object", object_id: int | None = None, **settings: Any
    ) -> int:
        """Add an object without boxes and return its id (the next free one unless given).

        `settings` are further fields of :class:`ObjectInfo`. An id that is taken or not positive,
        or a colour that is none, raises a ``TracksError``.
        """
        object_id = self.last_id + 1 if object_id is None else _whole(object_id, "An object id")
        if object_id < 1:
            raise TracksError(f"An object id is a positive integer, not {object_id}.")
        if object_id in self._objects:
            raise TracksError(f"Object {object_id} exists already; choose another id.")
        self._apply(ObjectChange(object_id, None, ObjectInfo(label=label, **settings)))
        return object_id

    def set_object(self, object_id: int, **settings: Any) -> None:
        """Rename, recolour, hide, show, lock or unlock an object: fields of ObjectInfo."""
        before = self._object(object_id).info
        after = replace(before, **settings)
        if after != before:
            self._apply(ObjectChange(object_id, before, after))

    def delete_object(self, object_id: int) -> None:
        """Delete an object with all its boxes and marks; a locked one has to be unlocked first."""
        self.check_unlocked(object_id)
        of = self._object(object_id)
        for frame in [*of.boxes, *of.absent]:
            self.put(object_id, frame, None)
        self._apply(ObjectChange(object_id, of.info, None))

    def rename(self, object_id: int, label: str) -> None:
        """Change an object's label."""
        self.set_object(object_id, label=label)

    def info(self, object_id: int) -> ObjectInfo:
        """Label, colour and switches of an object."""
        return self._object(object_id).info

    def label(self, object_id: int) -> str:
        """Label of an object."""
        return self._object(object_id).info.label

    def check_unlocked(self, object_id: int) -> None:
        """Raise a ``TracksError`` if an object is locked or does not exist."""
        if self.info(object_id).locked:
            label = self.label(object_id)
            raise TracksError(f"Object {object_id} ({label}) is locked; unlock it first.")

    def has_object(self, object_id: int) -> bool:
        """Whether there is such an object."""
        return object_id in self._objects

    @property
    def object_ids(self) -> list[int]:
        """Ids of all objects, ascending."""
        return sorted(self._objects)

    # -- what a person does ------------------------------------------------------------------------

    def draw(self, object_id: int, frame: int, box_xyxy: object) -> None:
        """Set a person's box; it replaces whatever stood on that frame.

        Where the machine had made a box it counts as corrected, else as drawn. An occluded mark
        stays. Raises a ``BoxError`` if the box is not a valid one (:func:`~.boxes.check`), a
        ``TracksError`` if there is no such object or frame or the object is locked.
        """
        self.check_unlocked(object_id)
        old = self.get(object_id, frame)
        source = Source.DRAWN if old is None or old.source is Source.DRAWN else Source.CORRECTED
        occluded = old is not None and old.occluded
        self.put(
            object_id, frame, TrackBox(boxes.check(box_xyxy), source=source, occluded=occluded)
        )

    def remove(self, object_id: int, frame: int) -> None:
        """Delete what stands on one frame; the object itself stays, even without boxes."""
        self.check_unlocked(object_id)
        self.put(object_id, frame, None)

    # -- what the machine does ---------------------------------------------------------------------

    def merge(self, prediction: ObjectPrediction) -> bool:
        """Take over a tracked box by the rule of :func:`merged`; False where it was refused."""
        box = TrackBox(prediction.box_xyxy, prediction.score, prediction.state, Source.TRACKED)
        return self.merge_box(prediction.object_id, prediction.frame, box)

    def merge_box(self, object_id: int, frame: int, box: TrackBox) -> bool:
        """Take over a machine-made box of any kind; False if the rule or a lock refuses it."""
        new = merged(old := self.cell(object_id, frame), box)
        if new is old or self.info(object_id).locked:
            return False
        self.put(object_id, frame, new)
        return True

    # -- reading -----------------------------------------------------------------------------------

    def get(self, object_id: int, frame: int) -> TrackBox | None:
        """Box of an object on a frame, or None."""
        return self._object(object_id).boxes.get(frame)

    def cell(self, object_id: int, frame: int) -> Cell:
        """Box of an object on a frame, ``ABSENT``, or None where nothing is known."""
        of = self._object(object_id)
        return ABSENT if frame in of.absent else of.boxes.get(frame)

    def on_frame(self, frame: int) -> dict[int, TrackBox]:
        """All boxes on a frame, by object; the time it takes depends on their number only."""
        ids = self._on_frame.get(frame, ())
        return {object_id: self._objects[object_id].boxes[frame] for object_id in sorted(ids)}

    def frames(self, object_id: int) -> list[int]:
        """Frames on which an object has a box, ascending."""
        return sorted(self._object(object_id).boxes)

    def keyframes(self, object_id: int) -> list[int]:
        """Frames on which a person drew or corrected the object's box, ascending."""
        return sorted(k for k, box in self._object(object_id).boxes.items() if box.is_keyframe)

    drawn_frames = keyframes  # the name that version 0.1 knew it by

    def absent_spans(self, object_id: int) -> list[range]:
        """Longest ranges of frames on which an object is marked absent, ascending."""
        return spans(self._object(object_id).absent)

    def rows(self) -> Iterator[Row]:
        """All boxes, ordered by object and frame."""
        for object_id in self.object_ids:
            for frame in self.frames(object_id):
                of = self._objects[object_id]
                yield Row(object_id, of.info.label, frame, of.boxes[frame])

    # -- changes -----------------------------------------------------------------------------------

    def put(self, object_id: int, frame: int, cell: Cell) -> None:
        """Set a frame's box with all its fields, or mark or empty it, whoever made what is there.

        Locked objects, too. Raises a ``TracksError`` if there is no such object or frame.
        """
        object_id, frame = _whole(object_id, "An object id"), _whole(frame, "A frame")
        before = self.cell(object_id, frame)
        if before is not cell:
            self._apply(BoxChange(object_id, frame, before, cell))

    def watch(self, watcher: Callable[[Change], None]) -> None:
        """Have every change told, right after it was made."""
        self._watchers.append(watcher)

    def apply(self, changes: Iterable[Change]) -> None:
        """Bring frames and objects to the ``after`` of some changes, in an order that works."""

        def rank(change: Change) -> int:
            if isinstance(change, BoxChange):
                return 1
            return 0 if change.after is not None else 2

        for change in sorted(changes, key=rank):
            self._apply(change)

    def copy(self) -> Tracks:
        """Independent copy that nobody watches (boxes themselves are immutable and shared)."""
        twin = Tracks()
        for k, of in self._objects.items():
            twin._objects[k] = _Object(of.info, dict(of.boxes), set(of.absent))
        twin._on_frame = {frame: set(ids) for frame, ids in self._on_frame.items()}
        twin.last_id = self.last_id
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

    def _apply(self, change: Change) -> None:
        """Make one change: the only place that writes."""
        if isinstance(change, BoxChange):
            self._apply_box(change)
        elif change.after is None:
            del self._objects[change.object_id]
        else:
            self._objects.setdefault(change.object_id, _Object(change.after)).info = change.after
            self.last_id = max(self.last_id, change.object_id)
        for watcher in self._watchers:
            watcher(change)

    def _apply_box(self, change: BoxChange) -> None:
        object_id, frame, _, after = change
        of = self._object(object_id)
        if frame < 0:
            raise TracksError(f"Frames count from 0; {frame} is before the first.")
        of.absent.discard(frame)
        if of.boxes.pop(frame, None) is not None:
            self._on_frame[frame].discard(object_id)
        if after is ABSENT:
            of.absent.add(frame)
        elif after is not None:
            of.boxes[frame] = after
            self._on_frame.setdefault(frame, set()).add(object_id)


def spans(frames: Iterable[int]) -> list[range]:
    """Longest ranges that some frames make up, ascending."""
    found: list[range] = []
    for frame in sorted(frames):
        start = found.pop().start if found and found[-1].stop == frame else frame
        found.append(range(start, frame + 1))
    return found


def _whole(number: Any, what: str) -> int:
    try:
        return operator.index(number)
    except TypeError:
        raise TracksError(f"{what} is a whole number, not {number}.") from None
