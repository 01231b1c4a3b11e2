"""CVAT for video 1.1: a track for each object, a box to a line.

The specification is https://docs.cvat.ai/docs/other/xml_format (interpolation mode). Corners are in
pixels from the top left corner, 0 at the edge; frames count from 0 and tracks too (track 0 is our
object 1). Every box is written and is a ``keyframe``, because CVAT interpolates the others anew. A
span of boxes that ends before the clip does is ended by a box that is ``outside``, whether the
object is absent from there or nothing is known. A box on which the tracker is lost is no box here.

On reading, frames between two boxes that are listed are interpolated linearly, unless the first of
them is outside: then the object is absent up to the second one, or to the end of the clip. Nothing
is made up after the last box that is listed (CVAT lists all, and would hold it still). A track
with the source ``auto`` (on writing: one with a machine-made box) is read as tracked, another as
drawn; boxes that are no keyframes as interpolated.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import FormatError, TracksError
from napari_ocean.formats import parsing
from napari_ocean.formats.clip import Clip
from napari_ocean.formats.xml import add, checked, parse, to_text
from napari_ocean.tracks import ABSENT, Row, Source, TrackBox, Tracks

SUFFIX = ".cvat.xml"
NAME = "CVAT for video 1.1"

_CORNERS = ("xtl", "ytl", "xbr", "ybr")


class _Listed(NamedTuple):
    """A box element."""

    frame: int
    box: TrackBox
    outside: bool


def loads(text: str) -> Tracks:
    """Read the tracks; a ``FormatError`` names the track and box."""
    root = parse(text)
    if root.tag != "annotations" or root.find("image") is not None:
        raise FormatError('is not "CVAT for video 1.1"; export that kind from CVAT.')
    length = _length(root)
    tracks = Tracks()
    for number, element in enumerate(root.iter("track"), start=1):
        try:
            _add_track(tracks, element, length)
        except (FormatError, TracksError) as error:
            raise FormatError(f"track number {number}: {error}") from error
    return tracks


def dumps(tracks: Tracks, clip: Clip) -> str:
    """Write a track for each object that has a box."""
    rows: dict[int, list[Row]] = {}
    for row in parsing.certain_rows(tracks):
        rows.setdefault(row.object_id, []).append(row)
    root = ElementTree.Element("annotations")
    add(root, "version", "1.1")
    _add_task(add(root, "meta"), clip, sorted({of[0].label for of in rows.values()}))
    for object_id, of in rows.items():
        drawn = all(row.box.is_keyframe for row in of)
        element = add(
            root,
            "track",
            id=str(object_id - 1),
            label=checked(of[0].label),
            source="manual" if drawn else "auto",
        )
        for row, after in zip(of, [*(row.frame for row in of[1:]), clip.length], strict=True):
            _add_box(element, row.frame, row.box, outside=False)
            if row.frame + 1 < after:
                _add_box(element, row.frame + 1, row.box, outside=True)
    return to_text(root)


def _add_task(meta: ElementTree.Element, clip: Clip, labels: list[str]) -> None:
    task = add(meta, "task")
    add(task, "name", clip.name)
    add(task, "size", str(clip.length))
    add(task, "mode", "interpolation")
    add(task, "start_frame", "0")
    add(task, "stop_frame", str(clip.length - 1))
    listed = add(task, "labels")
    for label in labels:
        of = add(listed, "label")
        add(of, "name", label)
        add(of, "attributes")
    size = add(task, "original_size")
    add(size, "width", str(clip.width))
    add(size, "height", str(clip.height))
    add(task, "source", clip.name)


def _add_box(track: ElementTree.Element, frame: int, box: TrackBox, *, outside: bool) -> None:
    corners = dict(zip(_CORNERS, map(repr, box.box_xyxy.tolist()), strict=True))
    marks = {"keyframe": "1", "outside": str(int(outside)), "occluded": str(int(box.occluded))}
    add(track, "box", frame=str(frame), **marks, **corners, z_order="0")


def _length(root: ElementTree.Element) -> int:
    """Frames of the clip as far as the file tells, else 0.

    Frames are the video's, so that of a task on a part of it the last frame counts, not the size.
    """
    stop = root.findtext("meta//stop_frame")
    size = root.findtext("meta//size", "0") if stop is None else stop
    length = parsing.integer(size.strip(), "size") + (stop is not None)
    if length > parsing.MAX_FRAME:
        raise FormatError(f"size {length} is no number of frames.")
    return length


def _add_track(tracks: Tracks, element: ElementTree.Element, length: int) -> None:
    made = Source.TRACKED if element.get("source") == "auto" else Source.DRAWN
    object_id = parsing.integer(_get(element, "id"), "id") + 1
    tracks.add_object(_get(element, "label"), object_id)
    listed = sorted((_listed(of, made) for of in element), key=lambda of: of.frame)
    for first, second in pairwise(listed):
        _put(tracks, object_id, first)
        for frame in range(first.frame + 1, second.frame):
            cell = _between(first, second, frame)
            parsing.put(tracks, object_id, frame, ABSENT if first.outside else cell)
    for last in listed[-1:]:
        _put(tracks, object_id, last)
        for frame in range(last.frame + 1, length if last.outside else 0):
            parsing.put(tracks, object_id, frame, ABSENT)


def _put(tracks: Tracks, object_id: int, of: _Listed) -> None:
    parsing.put(tracks, object_id, of.frame, ABSENT if of.outside else of.box)


def _between(first: _Listed, second: _Listed, frame: int) -> TrackBox:
    share = (frame - first.frame) / (second.frame - first.frame)
    box_xyxy: FloatArray = (1 - share) * first.box.box_xyxy + share * second.box.box_xyxy
    return TrackBox(box_xyxy, source=Source.INTERPOLATED, occluded=first.box.occluded)


def _listed(element: ElementTree.Element, made: Source) -> _Listed:
    if element.tag != "box":
        raise FormatError(f"holds a {element.tag}; only boxes are read.")
    if parsing.number(element.get("rotation", "0"), "rotation") != 0:
        raise FormatError("holds a rotated box; only upright boxes are read.")
    frame = parsing.integer(_get(element, "frame"), "frame")
    if not 0 <= frame <= parsing.MAX_FRAME:
        raise FormatError(f"{frame} is no frame.")
    keyframe = parsing.switch(element.get("keyframe", "1"), "keyframe")
    box = TrackBox(
        parsing.box([_get(element, name) for name in _CORNERS], _CORNERS, wh=False),
        source=made if keyframe else Source.INTERPOLATED,
        occluded=parsing.switch(element.get("occluded", "0"), "occluded"),
    )
    return _Listed(frame, box, parsing.switch(element.get("outside", "0"), "outside"))


def _get(element: ElementTree.Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise FormatError(f'a {element.tag} has no "{name}".')
    return value
