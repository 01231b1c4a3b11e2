"""The lines of an autosave's journal: what changed, in the words of the native format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from json import loads
from pathlib import Path
from typing import Any

from napari_ocean.formats import json
from napari_ocean.tracks import (
    ABSENT,
    BoxChange,
    Cell,
    Change,
    ObjectChange,
    TrackBox,
    Tracks,
    spans,
)


def records(journal: Path, token: object) -> Iterator[dict[str, Any]]:
    """Whole lines of a journal; none if it belongs to another first file."""
    try:
        lines = journal.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return
    for number, line in enumerate(lines):
        try:
            record = loads(line)
        except ValueError:
            return
        if number:
            yield record
        elif token is None or record.get("token") != token:
            return


def record_of(changes: Iterable[Change]) -> dict[str, Any]:
    """Where some changes lead, in the words of the native format."""
    objects: dict[int, dict[str, Any]] = {}
    deleted: list[int] = []
    bare: dict[tuple[int, str], list[int]] = {}
    for change in changes:
        of = objects.setdefault(change.object_id, {"id": change.object_id})
        if isinstance(change, BoxChange):
            if isinstance(change.after, TrackBox):
                of.setdefault("boxes", []).append(json.box_record(change.frame, change.after))
            else:
                name = "absent" if change.after is ABSENT else "empty"
                bare.setdefault((change.object_id, name), []).append(change.frame)
        elif change.after is None:
            deleted.append(change.object_id)
        else:
            of |= json.info_record(change.after)
    for (object_id, name), frames in bare.items():
        objects[object_id][name] = [[span.start, span.stop] for span in spans(frames)]
    return {"objects": list(objects.values()), "deleted": deleted}


def changes_of(tracks: Tracks, patches: Iterable[Mapping[str, Any]]) -> list[Change]:
    """Where some records lead from here, one after the other; the last word on a box counts."""
    objects: dict[int, Mapping[str, Any] | None] = {}
    cells: dict[tuple[int, int], object] = {}
    for patch in patches:
        for of in patch.get("objects", ()):
            object_id = of["id"]
            if "label" in of:
                objects[object_id] = of
            cells |= {(object_id, item["frame"]): item for item in of.get("boxes", ())}
            for name, cell in (("absent", ABSENT), ("empty", None)):
                for span in json.spans_of(of, name):
                    cells |= dict.fromkeys(((object_id, frame) for frame in span), cell)
        objects |= dict.fromkeys(patch.get("deleted", ()))
    passing = {k for k, of in objects.items() if of is None} - set(tracks.object_ids)
    changes: list[Change] = [
        ObjectChange(k, None, None if of is None else json.info_of(of))
        for k, of in objects.items()
        if k not in passing  # made and deleted in between
    ]
    for (object_id, frame), item in cells.items():
        if object_id not in passing:
            changes.append(BoxChange(object_id, frame, None, _cell(item)))
    return changes


def _cell(item: object) -> Cell:
    if item is None or item is ABSENT:
        return item
    return json.box_of(item)[1]
