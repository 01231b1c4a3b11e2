"""Shapes that a person drew in a layer of their own, taken as boxes; that layer is never changed.

A shape without a time axis counts on the frame shown. A shape that was taken before keeps its
object, also after it was moved, and is left alone where it was not; one with a positive
``object_id`` feature belongs to that object; any other is a new object, or the chosen next one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Shapes

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.plugin import layers
from napari_ocean.plugin.view import NEW_OBJECT, ids_in
from napari_ocean.tracks import Source

if TYPE_CHECKING:
    from napari_ocean.plugin.session import Session

MACHINE = (Source.TRACKED.value, Source.INTERPOLATED.value)

SAME_IOU = 0.99
"""A prompt that overlaps a drawn box this much is that box."""


class Prompt(NamedTuple):
    """A shape of the user's own layer and the object that it became."""

    object_id: int
    frame: int
    box_xyxy: FloatArray


class Prompts:
    """What is known of the shapes of layers; undo and redo of taking them go for it too."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Shapes, list[Prompt]] = WeakKeyDictionary()
        self._steps: WeakKeyDictionary[Shapes, dict[Hashable, list[list[Prompt]]]]
        self._steps = WeakKeyDictionary()

    def absorb(self, session: Session, layer: Shapes, frame: int) -> None:
        """Take the shapes of a layer as drawn boxes (:func:`absorb`), as one step.

        Nothing is known of it any longer once all boxes were deleted: that starts it anew.
        """
        before = self._known.get(layer, []) if len(session.tracks) else []
        key = uuid4().hex
        with session.history.step(f"Take the shapes of {layer.name}", key):
            after = absorb(session, layer, frame, before)
        self._known[layer] = after
        if session.history.undo_key == key:
            self._steps.setdefault(layer, {})[key] = [before, after]

    def travel(self, step: Hashable, *, back: bool) -> None:
        """Know what was known before a step, which was undone, or after it again."""
        for layer, steps in self._steps.items():
            if step in steps:
                self._known[layer] = steps[step][not back]


def absorb(session: Session, layer: Shapes, frame: int, known: list[Prompt]) -> list[Prompt]:
    """Draw the new and the changed shapes of a layer in the session.

    Parameters
    ----------
    session : Session
    layer : napari.layers.Shapes
        The user's own layer.
    frame : int
        The frame on the screen.
    known : list of Prompt
        What this function returned for the layer before.

    Returns
    -------
    list of Prompt
        One for each shape that can be used; the others are told of by the session.
    """
    found = layers.read_boxes(layer, session.image)
    n_rows = len(found.frames)
    ids = ids_in(layer.features.get("object_id", [NEW_OBJECT] * n_rows))
    made = list(layer.features.get("source", [Source.DRAWN.value] * n_rows))
    moved = list(known)
    places = list(zip(found.boxes_xyxy, found.frames.tolist(), strict=True))
    stayed = [_take_same(box, time, moved) for box, time in places]
    now: list[Prompt] = []
    for row in range(n_rows):
        problem = layers.problem(found, row, session.image, of=f"A shape of {layer.name!r}")
        if problem is not None:
            session.tell(problem)
        elif made[row] not in MACHINE:
            placed = stayed[row] or _place(session, *places[row], frame, ids[row], moved)
            if placed is not None:
                now.append(placed)
    return now


def _place(
    session: Session, box: FloatArray, time: int, frame: int, wanted: int, known: list[Prompt]
) -> Prompt | None:
    """Draw one shape that is new or was moved; without a `time`, on `frame`.

    One that was moved after its object was deleted is a new object. That of a locked object is
    left for later.
    """
    old = _take_known(box, time, known)
    if time == layers.NO_FRAME:
        time = frame
    if old is not None and old.object_id in session.tracks.object_ids:
        object_id: int | None = old.object_id
    else:
        object_id = _object_at(session, box, time)
    if old is not None or object_id is None:
        object_id = session.object_for(wanted) if object_id is None else object_id
        if session.tracks.info(object_id).locked:
            session.tell(f"{session.name(object_id)} is locked; its shape was left as it is.")
            return old
        session.draw(object_id, time, box)
    return Prompt(object_id, time, box)


def _take_same(box: FloatArray, time: int, known: list[Prompt]) -> Prompt | None:
    """Take the prompt of a shape that stands where it stood from the list of those known.

    It is left alone, also where its box was corrected or deleted since.
    """
    for i, old in enumerate(known):
        same = time in (layers.NO_FRAME, old.frame)
        if same and np.allclose(old.box_xyxy, box, atol=layers.SAME_PX):
            return known.pop(i)
    return None


def _take_known(box: FloatArray, time: int, known: list[Prompt]) -> Prompt | None:
    """Take the prompt that this shape was before from the list of those known."""
    overlaps = [
        float(boxes.iou(box, old.box_xyxy)) if time in (layers.NO_FRAME, old.frame) else 0.0
        for old in known
    ]
    if not overlaps or max(overlaps) <= 0:
        return None
    return known.pop(int(np.argmax(overlaps)))


def _object_at(session: Session, box: FloatArray, frame: int) -> int | None:
    """Object that already has this drawn box."""
    for object_id in session.tracks.object_ids:
        drawn = session.tracks.get(object_id, frame)
        if drawn is None or not drawn.is_keyframe:
            continue
        if boxes.iou(drawn.box_xyxy, box) > SAME_IOU:
            return object_id
    return None
