"""The native format: everything that a ``Tracks`` holds, to the last bit.

::

    {"format": "napari-ocean", "version": 1, "objects": [
      {"id": 1, "label": "dog", "boxes": [
        {"frame": 0, "box_xyxy": [10.0, 10.0, 50.0, 40.0], "score": 1.0, "state": "found",
         "source": "drawn"}
      ]}
    ]}

Boxes are corners ``x0, y0, x1, y1`` in edge coordinates (pixel (0, 0) covers [0, 1) x [0, 1)),
frames count from 0 and ids from 1. A box stands on one line, which keeps diffs readable. Fields
that this version does not know are ignored; a higher version number is refused.
"""

from __future__ import annotations

import json
from typing import Any

from napari_ocean.errors import FormatError, TracksError
from napari_ocean.formats import parsing
from napari_ocean.tracks import Row, Source, State, TrackBox, Tracks

SUFFIX = ".json"
NAME = "native, lossless"

VERSION = 1
_CORNERS = ("x0", "y0", "x1", "y1")


def loads(text: str) -> Tracks:
    """Read the native format; a ``FormatError`` names the line or the object and box."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"line {error.lineno}: not JSON ({error.msg}).") from error
    except (ValueError, RecursionError) as error:  # an endless number or nesting
        raise FormatError(f"not an annotation ({error}).") from error
    if not isinstance(document, dict) or document.get("format") != "napari-ocean":
        raise FormatError('is JSON, but not an annotation: "format" should be "napari-ocean".')
    version = parsing.integer(document.get("version"), "version")
    if version != VERSION:
        raise FormatError(f"has version {version}, this napari-ocean reads {VERSION}; update it.")
    tracks = Tracks()
    for number, record in enumerate(_list(document, "objects"), start=1):
        try:
            _add_object(tracks, record)
        except (FormatError, TracksError) as error:
            raise FormatError(f"object number {number}: {error}") from error
    return tracks


def dumps(tracks: Tracks) -> str:
    """Write the native format."""
    lines: dict[int, list[str]] = {object_id: [] for object_id in tracks.object_ids}
    for row in parsing.checked_rows(tracks):
        lines[row.object_id].append("    " + _dump(_box_record(row)))
    objects = [
        f'  {{"id": {object_id}, "label": {_dump(tracks.label(object_id))}, "boxes": [\n'
        + ",\n".join(of)
        + "\n  ]}"
        for object_id, of in lines.items()
    ]
    head = f'{{"format": "napari-ocean", "version": {VERSION}, "objects": [\n'
    return head + ",\n".join(objects) + "\n]}\n"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _box_record(row: Row) -> dict[str, Any]:
    return {
        "frame": int(row.frame),
        "box_xyxy": [float(value) for value in row.box.box_xyxy],
        "score": float(row.box.score),
        "state": row.box.state,
        "source": row.box.source,
    }


def _add_object(tracks: Tracks, record: object) -> None:
    label = _get(record, "label")
    if not isinstance(label, str):
        raise FormatError(f'"label" should be a text, not {label!r}.')
    object_id = tracks.add_object(label, parsing.integer(_get(record, "id"), "id"))
    for number, item in enumerate(_list(record, "boxes"), start=1):
        try:
            frame = parsing.integer(_get(item, "frame"), "frame")
            parsing.put(tracks, object_id, frame, _box(item))
        except (FormatError, TracksError) as error:
            raise FormatError(f"box number {number}: {error}") from error


def _box(record: object) -> TrackBox:
    corners = _list(record, "box_xyxy")
    if len(corners) != 4:
        raise FormatError(f'"box_xyxy" should hold 4 numbers, not {len(corners)}.')
    return TrackBox(
        parsing.box(corners, _CORNERS, wh=False),
        parsing.score(_get(record, "score")),
        parsing.choice(_get(record, "state"), State, "state"),
        parsing.choice(_get(record, "source"), Source, "source"),
    )


def _get(record: object, key: str) -> Any:
    if not isinstance(record, dict) or key not in record:
        raise FormatError(f'"{key}" is missing.')
    return record[key]


def _list(record: object, key: str) -> list[Any]:
    value = _get(record, key)
    if not isinstance(value, list):
        raise FormatError(f'"{key}" should be a list.')
    return value
