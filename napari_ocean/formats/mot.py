"""MOTChallenge ground truth: ``frame,id,left,top,width,height,flag,class,visibility``.

Frames, ids and boxes count from 1 (Milan et al., MOT16, arXiv 1603.00831, the section on the data
format; https://motchallenge.net/instructions), so the left edge of the frame is 1, and one is
added to our frame, left and top. Width and height are as they are.

The flag is 1, or 0 ("to be ignored") where the tracker says that it is lost and nobody has marked
the box as fine; evaluators cut it to a whole number, so it holds no score. Visibility is 0 where a
box is marked occluded, else 1, as CVAT writes it. The class is MOT16's number if all labels are
classes of MOT16, else labels are counted from 1. An absent object has no line, and absent marks,
scores, sources and names of labels are lost.

Read are lines of 7 values, of 9, or of 10 (results and MOT15, where world coordinates take the
place of class and visibility). A flag between 0 and 1, as in results, is the score; less
than half visible counts as occluded; class 3 becomes the label ``class 3``. Ids that count from 0
become one higher.
"""

from __future__ import annotations

import re

from napari_ocean import boxes
from napari_ocean.errors import FormatError, TracksError
from napari_ocean.formats import parsing
from napari_ocean.tracks import Source, State, TrackBox, Tracks

SUFFIX = ".mot.txt"
NAME = "MOTChallenge gt.txt"

CLASSES = (
    "pedestrian",
    "person on vehicle",
    "car",
    "bicycle",
    "motorbike",
    "non motorized vehicle",
    "static person",
    "distractor",
    "occluder",
    "occluder on the ground",
    "occluder full",
    "reflection",
)
"""MOT16's classes, from number 1 on."""

_BOX = ("left", "top", "width", "height")
_VISIBLE = 0.5


def recognises(text: str) -> bool:
    """Whether a text file is one of these and not OTB's, which has 4 values in a line."""
    return text.lstrip().partition("\n")[0].count(",") + 1 in (7, 9, 10)


def loads(text: str) -> Tracks:
    """Read the lines; a ``FormatError`` names the one that is wrong."""
    tracks = Tracks()
    lines = [[value.strip() for value in line.split(",")] for line in text.splitlines()]
    shift = parsing.id_shift(values[1] for values in lines if len(values) > 1)
    for number, values in enumerate(lines, start=1):
        if values != [""]:
            try:
                _add(tracks, values, shift)
            except (FormatError, TracksError) as error:
                raise FormatError(f"line {number}: {error}") from error
    return tracks


def dumps(tracks: Tracks) -> str:
    """Write a line for each box, ordered by object and frame."""
    rows = parsing.checked_rows(tracks)
    numbers = _numbers([row.label for row in rows])
    lines = []
    for row in rows:
        left, top, width, height = boxes.to_xywh(row.box.box_xyxy).tolist()
        flag = int(not parsing.is_guess(row.box))
        visibility = int(not row.box.occluded)
        box = f"{left + 1!r},{top + 1!r},{width!r},{height!r}"
        head = f"{row.frame + 1},{row.object_id}"
        lines.append(f"{head},{box},{flag},{numbers[row.label]},{visibility}\n")
    return "".join(lines)


def _add(tracks: Tracks, values: list[str], shift: int) -> None:
    if len(values) not in (7, 9, 10):
        raise FormatError(f"should hold 7, 9 or 10 values, not {len(values)}.")
    frame, object_id = (
        parsing.integer(value, name) for value, name in zip(values, ("frame", "id"), strict=False)
    )
    object_id += shift
    if frame < 1:
        raise FormatError(f"frames count from 1 in this format, not from {frame}.")
    named = len(values) == 9
    label = f"class {parsing.integer(values[7], 'class')}" if named else "object"
    parsing.name_object(tracks, object_id, label)
    occluded = named and parsing.number(values[8], "visibility") < _VISIBLE
    parsing.put(tracks, object_id, frame - 1, _box(values[2:6], values[6], occluded))


def _box(values: list[str], flag: str, occluded: bool) -> TrackBox:
    box_xyxy = parsing.box(values, _BOX, wh=True) - 1
    score = parsing.number(flag, "flag")
    if score == 0:
        return TrackBox(box_xyxy, 0.0, State.LOST, Source.TRACKED, occluded)
    return TrackBox(box_xyxy, score if 0 < score < 1 else 1.0, occluded=occluded)


def _numbers(labels: list[str]) -> dict[str, int]:
    """Class number of each label."""
    known = {label: _known(label) for label in labels}
    found = {label: number for label, number in known.items() if number is not None}
    return found if len(found) == len(known) else parsing.numbered(labels, start=1)


def _known(label: str) -> int | None:
    """Number of one of MOT16's classes, or of what was read as ``class 3``."""
    if label.lower() in CLASSES:
        return CLASSES.index(label.lower()) + 1
    read = re.fullmatch(r"class (\d{1,9})", label, re.ASCII)
    return int(read[1]) if read else None
