"""What a person did in the layer, taken over into the model by comparing both.

The layer is compared with what stood there when it was last read or written; the indices in
napari's events are not trusted. A moved or resized box becomes a keyframe; a new shape becomes a
drawn box of its object, or of a new object; a deleted shape is deleted. Shapes that cannot be
targets stay in the layer, count for nothing and are told of, and so are boxes of locked objects,
which the next write puts back in their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image

from napari_ocean.boxes import FloatArray
from napari_ocean.plugin import layers
from napari_ocean.plugin.pending import Key
from napari_ocean.plugin.view import NEW_OBJECT, BoxesView, present
from napari_ocean.plugin.words import counted
from napari_ocean.tracks import Source, State, TrackBox

if TYPE_CHECKING:
    from napari_ocean.plugin.session import Session

KEYFRAME_SOURCES = (Source.DRAWN, Source.CORRECTED)


class Taken(NamedTuple):
    """Boxes that the layer shows as the model has them now, and boxes that it shows otherwise."""

    shown: set[Key]
    stale: set[Key]


def pull(session: Session, view: BoxesView) -> Taken:
    """Bring the model in step with the layer."""
    found = view.read()
    kinds = view.layer.shape_type  # of all shapes, whenever it is asked
    wanted = view.claims(found)
    keys = _unchanged(view.seen, wanted, found.boxes_xyxy)
    edited, unwanted = [], []
    for row, key in enumerate(keys):
        if key is None and layers.clicked(found.corners[row], view.layer):
            unwanted.append(row)
            continue
        problem = None if key is not None else layers.problem(found, row, session.image)
        if problem is not None:
            session.tell(problem)
        elif key is None:
            edited.append(row)
    moved = _take_moved(view, edited, wanted, keys)
    gone = view.seen.keys() - set(keys)
    new = [row for row in edited if row not in moved]
    drawn: list[int] = []
    replaced: list[int | None] = []
    with session.history.step(_label(session, [wanted[row] for row in moved], new, gone)):
        for key in gone:
            if not _locked(session, key[0]):
                session.tracks.remove(*key)
        replaced = [_adopt(session, row, wanted[row], keys) for row in new]
        for row in edited:
            key = present(keys[row])
            if not _locked(session, key[0]):
                session.tracks.draw(*key, found.boxes_xyxy[row])
                drawn.append(row)
        view.take_over(keys, found.boxes_xyxy)
        rewritten = [*drawn, *_take_typed(session, view, set(edited))]
    view.write_features(rewritten)
    shown = {
        present(keys[row]) for row in drawn if not layers.tilted(found.corners[row], kinds[row])
    }
    stale = {present(keys[row]) for row in edited} - shown
    view.remove([*unwanted, *(row for row in replaced if row is not None)])
    return Taken(shown, stale)


def fill(view: BoxesView, image: Image) -> None:
    """Fill an empty model from a layer that holds boxes already."""
    found, tracks = view.read(), view.tracks
    scores = layers.numbers(view.layer.features["score"], 1.0)
    labels, sources, states = map(view.column, ("label", "source", "state"))
    for row, (object_id, frame) in enumerate(view.claims(found)):
        box = found.boxes_xyxy[row]
        known = (object_id, frame) in view.seen
        if object_id < 1 or known or layers.problem(found, row, image):
            continue
        if object_id not in tracks.object_ids:
            tracks.add_object(labels[row], object_id)
        source, state = Source.DRAWN, State.FOUND
        with suppress(ValueError):  # a person may have typed anything into the table
            source = Source(sources[row])
            state = State(states[row])
        tracks.put(object_id, frame, TrackBox(box, scores[row], state, source))
        view.seen[object_id, frame] = box


def _label(session: Session, moved: Sequence[Key], new: Sequence[int], gone: set[Key]) -> str:
    """What the person did, as the undo button says it."""
    if moved and not new and not gone:
        objects = {object_id for object_id, _ in moved}
        return f"Move {session.name(objects.pop())}" if len(objects) == 1 else "Move boxes"
    if new and not moved and not gone:
        chosen = session.next_object
        return f"Draw {session.next_label if chosen == NEW_OBJECT else session.name(chosen)}"
    if gone and not moved and not new:
        objects = {object_id for object_id, _ in gone}
        of = session.name(objects.pop()) if len(objects) == 1 else f"{len(objects)} objects"
        return f"Delete {counted(len(gone), 'box', 'es')} of {of}"
    return "Edit boxes"


def _locked(session: Session, object_id: int) -> bool:
    """Whether an object must not be changed; the person is told, as often as they try."""
    if not session.tracks.info(object_id).locked:
        return False
    session.tell(f"{session.name(object_id)} is locked; unlock it to change its boxes.", again=True)
    return True


def _take_moved(
    view: BoxesView, edited: Sequence[int], wanted: list[Key], keys: list[Any]
) -> set[int]:
    """Give rows that changed their box, but not object and frame, their key back."""
    taken = set(keys)
    moved = set()
    for row in edited:
        if wanted[row] in view.seen and wanted[row] not in taken:
            keys[row] = wanted[row]
            taken.add(wanted[row])
            moved.add(row)
    return moved


def _adopt(session: Session, row: int, wanted: Key, keys: list[Any]) -> int | None:
    """Find the object of a new shape; return the row of a box that it replaces, if any."""
    object_id, frame = wanted
    chosen = object_id == session.next_object != NEW_OBJECT
    known = session.tracks.object_ids
    if wanted in keys and not chosen:
        object_id = NEW_OBJECT
    if chosen:
        session.choose_next(NEW_OBJECT)
    if object_id in known and _locked(session, object_id):
        object_id = NEW_OBJECT
    object_id = session.object_for(object_id)
    if session.tracks.info(object_id).hidden:
        session.tell(f"{session.name(object_id)} is hidden; show it to see this box.", again=True)
    old = keys.index((object_id, frame)) if (object_id, frame) in keys else None
    if old is not None:
        keys[old] = None
    keys[row] = (object_id, frame)
    return old


def _take_typed(session: Session, view: BoxesView, edited: set[int]) -> list[int]:
    """Take over labels and sources typed into the feature table; return rows to rewrite."""
    tracks = session.tracks
    before = {object_id: tracks.label(object_id) for object_id in tracks.object_ids}
    labels, sources = view.column("label"), view.column("source")
    rows = []
    for row, key in enumerate(view.rows):
        if key is None or row in edited:
            continue
        if _take_source(session, key, sources[row]):
            rows.append(row)
        label, typed = before[key[0]], labels[row].strip()
        if typed != label == tracks.label(key[0]):  # of several, the first counts
            tracks.rename(key[0], typed or label)
            rows += view.rows_of(key[0])
    return rows


def _take_source(session: Session, key: Key, typed: str) -> bool:
    """Take over who made a box: a person confirms a machine-made one by calling it drawn."""
    box = session.tracks.get(*key)
    if box is None or typed == box.source or _locked(session, key[0]):
        return False
    if typed in KEYFRAME_SOURCES and not box.is_keyframe:
        session.tracks.draw(*key, box.box_xyxy)
    elif typed in list(Source):
        session.tracks.put(*key, replace(box, source=Source(typed)))
    return True


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
