"""COCO with tracks: ``videos``, ``images``, ``annotations`` and ``categories`` in one JSON file.

The fields are those of COCO (https://cocodataset.org/#format-data: ``bbox`` is x, y, width, height,
in pixels from the top left corner, 0 at the edge) and of its two extensions to videos: TAO
(Dave et al., ECCV 2020; ``video_id``, ``frame_index``, ``track_id``, ``tracks``) and CocoVID of
MMTracking (``frame_id``, ``instance_id``). There is an image for each frame of the clip: its file,
or ``000012.jpg`` for the 0-based frame 12 of a film. Ids of images, annotations and categories
count from 1; ``track_id`` is our object id. Readers such as CVAT's want a ``segmentation``, which
is empty. On reading, track ids that count from 0 (MMTracking's may) become one higher.

Of fields that COCO leaves free an annotation has ``score``, ``state``, ``source`` and, where set,
``occluded`` and ``fine``. A box on which the tracker is lost has ``"ignore": 1``, which trainers
such as MMDetection skip. Lost are absent marks, objects without boxes, colours and locks.
"""

from __future__ import annotations

import re
from typing import Any

from napari_ocean import boxes
from napari_ocean.errors import FormatError, TracksError
from napari_ocean.formats import json, parsing
from napari_ocean.formats.clip import Clip, image_name
from napari_ocean.tracks import Row, Source, State, TrackBox, Tracks

SUFFIX = ".coco.json"
NAME = "COCO with tracks"

_BOX = ("x", "y", "width", "height")
_VIDEO = 1


def recognises(text: str) -> bool:
    """Whether a JSON file is one of these and not a native one.

    A quote within a JSON text has a backslash before it, so this is a field or nothing.
    """
    return re.search(r'"annotations"\s*:\s*\[', text) is not None


def loads(text: str) -> Tracks:
    """Read the boxes; a ``FormatError`` names an annotation that has no track or is malformed."""
    content = json.parse(text)
    has_videos = isinstance(content, dict) and "videos" in content
    if has_videos and len(json.get_list(content, "videos")) > 1:
        raise FormatError("holds several videos; keep one video in a file.")
    labels = {_id(record): _name(record) for record in json.get_list(content, "categories")}
    frames = {_id(record): _frame(record) for record in json.get_list(content, "images")}
    tracks = Tracks()
    annotations = json.get_list(content, "annotations")
    ids = (of.get("track_id", of.get("instance_id")) for of in annotations if isinstance(of, dict))
    shift = parsing.id_shift(ids)
    for number, record in enumerate(annotations, start=1):
        try:
            _add(tracks, record, labels, frames, shift)
        except (FormatError, TracksError) as error:
            raise FormatError(f"annotation number {number}: {error}") from error
    return tracks


def dumps(tracks: Tracks, clip: Clip) -> str:
    """Write all boxes, an annotation to a line."""
    rows = parsing.checked_rows(tracks)
    categories = parsing.numbered((row.label for row in rows), start=1)
    of_tracks = {row.object_id: categories[row.label] for row in rows}
    size = {"width": clip.width, "height": clip.height}
    content: dict[str, list[dict[str, Any]]] = {
        "licenses": [],
        "videos": [{"id": _VIDEO, "name": clip.name, **size}],
        "categories": [{"id": number, "name": label} for label, number in categories.items()],
        "tracks": [
            {"id": object_id, "category_id": category, "video_id": _VIDEO}
            for object_id, category in of_tracks.items()
        ],
        "images": [_image(frame, clip) | size for frame in range(clip.length)],
        "annotations": [
            {"id": number, "category_id": categories[row.label], **_annotation(row)}
            for number, row in enumerate(rows, start=1)
        ],
    }
    parts = [
        f'"{name}": [\n' + ",\n".join(f"  {json.dump(record)}" for record in records) + "\n]"
        for name, records in content.items()
    ]
    return '{"info": {"description": "boxes of napari-ocean"}, ' + ", ".join(parts) + "}\n"


def _image(frame: int, clip: Clip) -> dict[str, Any]:
    return {
        "id": frame + 1,
        "video_id": _VIDEO,
        "file_name": image_name(frame, clip),
        "frame_index": frame,
        "frame_id": frame,
    }


def _annotation(row: Row) -> dict[str, Any]:
    x, y, width, height = boxes.to_xywh(row.box.box_xyxy).tolist()
    record = {
        "image_id": row.frame + 1,
        "video_id": _VIDEO,
        "track_id": row.object_id,
        "instance_id": row.object_id,
        "bbox": [x, y, width, height],
        "area": width * height,
        "segmentation": [],
        "iscrowd": 0,
    }
    if parsing.is_guess(row.box):
        record["ignore"] = 1
    ours = json.box_record(row.frame, row.box)
    return record | {name: ours[name] for name in ours if name not in ("frame", "box_xyxy")}


def _add(
    tracks: Tracks, record: object, labels: dict[int, str], frames: dict[int, int], shift: int
) -> None:
    image_id = parsing.integer(json.get(record, "image_id"), "image_id")
    category_id = parsing.integer(json.get(record, "category_id"), "category_id")
    if image_id not in frames or category_id not in labels:
        raise FormatError(f"there is no image {image_id} or no category {category_id}.")
    object_id = parsing.integer(_either(record, "track_id", "instance_id"), "track_id") + shift
    parsing.name_object(tracks, object_id, labels[category_id])
    parsing.put(tracks, object_id, frames[image_id], _box(record))


def _box(record: Any) -> TrackBox:
    values = json.get_list(record, "bbox")
    if len(values) != 4:
        raise FormatError(f'"bbox" should hold 4 numbers, not {len(values)}.')
    return TrackBox(
        parsing.box(values, _BOX, wh=True),
        parsing.score(record.get("score", 1)),
        parsing.choice(record.get("state", State.FOUND), State, "state"),
        parsing.choice(record.get("source", Source.DRAWN), Source, "source"),
        json.get_switch(record, "occluded"),
        json.get_switch(record, "fine"),
    )


def _id(record: object) -> int:
    return parsing.integer(json.get(record, "id"), "id")


def _name(record: object) -> str:
    name = json.get(record, "name")
    if not isinstance(name, str):
        raise FormatError(f'"name" should be a text, not {name!r}.')
    return name


def _frame(record: object) -> int:
    return parsing.integer(_either(record, "frame_index", "frame_id"), "frame_index")


def _either(record: object, first: str, second: str) -> Any:
    """Field by TAO's name, or else by CocoVID's."""
    has_first = isinstance(record, dict) and first in record
    has_second = isinstance(record, dict) and second in record
    return json.get(record, second if has_second and not has_first else first)
