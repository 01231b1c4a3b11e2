"""Benchmark text files (OTB, GOT-10k, LaSOT): line ``i`` is ``x,y,width,height`` on frame ``i``.

One file holds one object and nothing but its boxes, up to its last one, top-left corner from 0, as
trackers in Python read such files. The sets themselves count from 1 (MATLAB): of their own files
take 1 off x and y, which ``evaluate --dataset`` does. A frame
without a box, absent or not, is ``NaN,NaN,NaN,NaN``; four zeros, as some sets write, read as the
same. Numbers may be separated by commas, spaces or tabs. What is read counts as drawn by a person.
"""

from __future__ import annotations

import re

from napari_ocean import boxes
from napari_ocean.errors import FormatError
from napari_ocean.formats import parsing
from napari_ocean.tracks import TrackBox, Tracks

SUFFIX = ".txt"
NAME = "OTB: one object, x,y,w,h per frame"

_NAMES = ("x", "y", "width", "height")
_NO_BOX = "NaN,NaN,NaN,NaN"


def loads(text: str) -> Tracks:
    """Read the boxes; a ``FormatError`` names the line."""
    lines = text.rstrip().splitlines()
    tracks = Tracks()
    object_id = tracks.add_object() if lines else 0
    for frame, line in enumerate(lines):
        try:
            values = _values(line)
            if values is not None:
                box_xyxy = parsing.box(values, _NAMES, wh=True)
                tracks.put(object_id, frame, TrackBox(box_xyxy))
        except FormatError as error:
            raise FormatError(f"line {frame + 1}: {error}") from error
    return tracks


def dumps(tracks: Tracks) -> str:
    """Write the boxes of the one object, up to its last frame.

    Raises
    ------
    FormatError
        If more than one object has boxes.
    """
    rows = parsing.checked_rows(tracks)
    if len({row.object_id for row in rows}) > 1:
        raise FormatError("this format holds one object; write .csv or .json, or a file for each.")
    by_frame = {row.frame: boxes.to_xywh(row.box.box_xyxy) for row in rows}
    lines = (
        ",".join(repr(float(value)) for value in by_frame[frame]) if frame in by_frame else _NO_BOX
        for frame in range(max(by_frame, default=-1) + 1)
    )
    return "".join(f"{line}\n" for line in lines)


def _values(line: str) -> list[str] | None:
    """Four texts, or None on a frame without a box."""
    values = re.split(r"\s*[,;\s]\s*", line.strip())
    if len(values) != 4:
        hint = " Is this a file of rotated boxes?" if len(values) == 8 else ""
        raise FormatError(f"should hold 4 numbers, not {len(values)}.{hint}")
    if all(value.lower() == "nan" for value in values):
        return None
    if all(value.strip("0.") == "" for value in values):
        return None
    return values
