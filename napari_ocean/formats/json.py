"""The native format: everything that a ``Tracks`` holds, to the last bit.

::

    {"format": "napari-ocean", "version": 2,
     "clip": {"name": "walk", "width": 640, "height": 480, "length": 250}, "objects": [
      {"id": 1, "label": "dog", "color": "#ff8800", "locked": true, "absent": [[1, 9]], "boxes": [
        {"frame": 0, "box_xyxy": [10.0, 10.0, 50.0, 40.0], "score": 1.0, "state": "found",
         "source": "drawn", "occluded": true}
      ]}
    ]}

Boxes are corners ``x0, y0, x1, y1`` in edge coordinates (pixel (0, 0) covers [0, 1) x [0, 1)),
frames count from 0 and ids from 1. ``absent`` lists ranges of frames, the second number excluded.
``clip``, ``color``, ``hidden``, ``locked``, ``absent`` of an object and ``occluded``, ``fine`` of
a box are left out where there is nothing to tell; version 1 knew neither them nor the sources
``corrected`` and ``interpolated``. A box stands on one line, which keeps diffs readable. Fields
that this version does not know are ignored; a higher version number is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from napari_ocean.errors import FormatError, TracksError
from napari_ocean.formats import parsing
from napari_ocean.formats.clip import Clip
from napari_ocean.tracks import ABSENT, ObjectInfo, Source, State, TrackBox, Tracks

SUFFIX = ".json"
NAME = "native, lossless"

VERSION = 2
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_CORNERS = ("x0", "y0", "x1", "y1")
_CLIP = {"name": str, "width": int, "height": int, "length": int}


def loads(text: str) -> Tracks:
    """Read the native format; a ``FormatError`` names the line or the object and box."""
    return tracks_of(document(text))


def dumps(tracks: Tracks, extra: Mapping[str, Any] | None = None) -> str:
    """Write the native format, with further fields at its head if wanted."""
    lines: dict[int, list[str]] = {object_id: [] for object_id in tracks.object_ids}
    for row in parsing.checked_rows(tracks):
        lines[row.object_id].append("    " + dump(box_record(row.frame, row.box)))
    objects = []
    for object_id, of in lines.items():
        record = {"id": object_id, **info_record(tracks.info(object_id))}
        if spans := tracks.absent_spans(object_id):
            record["absent"] = [[span.start, span.stop] for span in spans]
        objects.append(f'  {dump(record)[:-1]}, "boxes": [\n' + ",\n".join(of) + "\n  ]}")
    head = dump({"format": "napari-ocean", "version": VERSION, **(extra or {})})
    return f'{head[:-1]}, "objects": [\n' + ",\n".join(objects) + "\n]}\n"


def clip_record(clip: Clip) -> dict[str, Any]:
    """The clip as a field of the head, as :func:`clip_of` reads it."""
    return {name: getattr(clip, name) for name in _CLIP}


def clip_of(head: Mapping[str, Any]) -> Clip | None:
    """The clip that a document says it is of; None where it does not, or not clearly."""
    said = head.get("clip")
    if not isinstance(said, dict) or any(type(said.get(n)) is not t for n, t in _CLIP.items()):
        return None  # True is no number here
    return Clip(**{name: said[name] for name in _CLIP})


def parse(text: str) -> object:
    """Parse JSON of any content."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"line {error.lineno}: not JSON ({error.msg}).") from error
    except (ValueError, RecursionError) as error:  # an endless number or nesting
        raise FormatError(f"not an annotation ({error}).") from error


def document(text: str) -> dict[str, Any]:
    """Parse a file of this format as far as its head."""
    content = parse(text)
    if not isinstance(content, dict) or content.get("format") != "napari-ocean":
        raise FormatError('is JSON, but not an annotation: "format" should be "napari-ocean".')
    version = parsing.integer(content.get("version"), "version")
    if not 1 <= version <= VERSION:
        raise FormatError(
            f"has version {version}, this napari-ocean reads 1 to {VERSION}; update it."
        )
    return content


def tracks_of(content: object) -> Tracks:
    """Read the objects of a document; a ``FormatError`` names the object and box."""
    tracks = Tracks()
    for number, record in enumerate(get_list(content, "objects"), start=1):
        try:
            _add_object(tracks, record)
        except (FormatError, TracksError) as error:
            raise FormatError(f"object number {number}: {error}") from error
    return tracks


def dump(value: object) -> str:
    """Write a value on one line, half of a character (of an emoji cut in two) by its number."""
    return _ENCODER.encode(value).encode("utf-8", "backslashreplace").decode()


def box_record(frame: int, box: TrackBox) -> dict[str, Any]:
    """Fields of a box, as :func:`box_of` reads them."""
    record = {
        "frame": int(frame),
        "box_xyxy": [float(value) for value in box.box_xyxy.tolist()],
        "score": float(box.score),
        "state": box.state,
        "source": box.source,
    }
    return record | {name: True for name in ("occluded", "fine") if getattr(box, name)}


def box_of(record: object) -> tuple[int, TrackBox]:
    """Frame and box from their fields."""
    corners = get_list(record, "box_xyxy")
    if len(corners) != 4:
        raise FormatError(f'"box_xyxy" should hold 4 numbers, not {len(corners)}.')
    box = TrackBox(
        parsing.box(corners, _CORNERS, wh=False),
        parsing.score(get(record, "score")),
        parsing.choice(get(record, "state"), State, "state"),
        parsing.choice(get(record, "source"), Source, "source"),
        get_switch(record, "occluded"),
        get_switch(record, "fine"),
    )
    return parsing.integer(get(record, "frame"), "frame"), box


def info_record(info: ObjectInfo) -> dict[str, Any]:
    """Fields of an object apart from its boxes, as :func:`info_of` reads them."""
    record: dict[str, Any] = {"label": info.label}
    if info.color is not None:
        record["color"] = info.color
    return record | {name: True for name in ("hidden", "locked") if getattr(info, name)}


def info_of(record: object) -> ObjectInfo:
    """Object from its fields."""
    label = get(record, "label")
    color = record.get("color") if isinstance(record, dict) else None
    for name, text in (("label", label), ("color", "" if color is None else color)):
        if not isinstance(text, str):
            raise FormatError(f'"{name}" should be a text, not {text!r}.')
    return ObjectInfo(
        label=label,
        color=color,
        hidden=get_switch(record, "hidden"),
        locked=get_switch(record, "locked"),
    )


def spans_of(record: object, name: str) -> list[range]:
    """Ranges of frames that a field lists; none where it is missing."""
    if not isinstance(record, dict) or name not in record:
        return []
    found = []
    for pair in get_list(record, name):
        if not isinstance(pair, list) or len(pair) != 2:
            raise FormatError(f'"{name}" should list pairs of frames, not {pair!r}.')
        start, stop = (parsing.integer(value, name) for value in pair)
        if not 0 <= start < stop <= start + parsing.MAX_FRAME:
            raise FormatError(f'"{name}" lists {start} to {stop}, which is no range of frames.')
        found.append(range(start, stop))
    return found


def _add_object(tracks: Tracks, record: object) -> None:
    info = asdict(info_of(record))
    object_id = tracks.add_object(object_id=parsing.integer(get(record, "id"), "id"), **info)
    for number, item in enumerate(get_list(record, "boxes"), start=1):
        try:
            parsing.put(tracks, object_id, *box_of(item))
        except (FormatError, TracksError) as error:
            raise FormatError(f"box number {number}: {error}") from error
    for span in spans_of(record, "absent"):
        for frame in span:
            parsing.put(tracks, object_id, frame, ABSENT)


def get_switch(record: object, name: str) -> bool:
    """Field that is true or false, false where it is missing."""
    value = record.get(name, False) if isinstance(record, dict) else False
    if not isinstance(value, bool):
        raise FormatError(f'"{name}" should be true or false, not {value!r}.')
    return value


def get(record: object, key: str) -> Any:
    """Field that has to be there."""
    if not isinstance(record, dict) or key not in record:
        raise FormatError(f'"{key}" is missing.')
    return record[key]


def get_list(record: object, key: str) -> list[Any]:
    """Field that has to be there and be a list."""
    value = get(record, key)
    if not isinstance(value, list):
        raise FormatError(f'"{key}" should be a list.')
    return value
