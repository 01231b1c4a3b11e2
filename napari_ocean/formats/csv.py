"""The annotation as a table: one line per object and frame, for pandas, R and spreadsheets.

Columns: ``frame`` (0-based), ``object_id``, ``label``, ``x``, ``y``, ``width``, ``height`` (edge
coordinates in pixels), ``score`` in [0, 1], ``state`` (found, uncertain, lost), ``source`` (drawn,
corrected, tracked, interpolated), ``occluded`` and ``fine`` (0 or 1; reviewed by a person). Where
an object is marked absent the state is ``absent`` and box and score are empty. Columns may come in
any order, others are ignored, and those from the score on may be missing. Numbers keep their full
precision; the right and bottom edge, being sums, may differ in the last bit. Objects without any
line, colours and locks: the JSON format keeps those too.
"""

from __future__ import annotations

import csv
import io
from typing import Any

from napari_ocean import boxes
from napari_ocean.errors import FormatError, TracksError
from napari_ocean.formats import parsing
from napari_ocean.tracks import ABSENT, Cell, Source, State, TrackBox, Tracks

SUFFIX = ".csv"
NAME = "table"

_BOX = ("x", "y", "width", "height")
_NEEDED = ("frame", "object_id", "label", *_BOX)
_DEFAULTS = {
    "score": "1",
    "state": "found",
    "source": "drawn",
    "occluded": "0",
    "fine": "0",
}
COLUMNS = (*_NEEDED, *_DEFAULTS)
_ABSENT = ("", "", "", "", "", ABSENT.value, Source.DRAWN, 0, 0)


def loads(text: str) -> Tracks:
    """Read the table; a ``FormatError`` names the line."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    tracks = Tracks()
    try:
        missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise FormatError(
                f"the first line does not name the columns {', '.join(missing)}; it should read "
                f"{','.join(COLUMNS)}, with commas between them and points in numbers."
            )
        for record in reader:
            if any(record.values()):  # spreadsheets end with lines of commas
                _add(tracks, record)
    except (csv.Error, FormatError, TracksError) as error:
        raise FormatError(f"line {max(reader.reader.line_num, 1)}: {error}") from error
    return tracks


def dumps(tracks: Tracks) -> str:
    """Write the table."""
    file = io.StringIO(newline="")
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow(COLUMNS)
    lines: dict[int, dict[int, tuple[object, ...]]] = {k: {} for k in tracks.object_ids}
    for row in parsing.checked_rows(tracks):
        of = row.box
        xywh = [repr(float(value)) for value in boxes.to_xywh(of.box_xyxy)]
        marks = int(of.occluded), int(of.fine)
        line = (*xywh, repr(float(of.score)), of.state, of.source, *marks)
        lines[row.object_id][row.frame] = line
    for object_id, by_frame in lines.items():
        label = tracks.label(object_id)
        absent = [frame for span in tracks.absent_spans(object_id) for frame in span]
        by_frame |= dict.fromkeys(absent, _ABSENT)
        writer = quoted if "\r" in label else plain  # csv itself quotes only its own line end
        writer.writerows((k, object_id, label, *by_frame[k]) for k in sorted(by_frame))
    return file.getvalue()


def _add(tracks: Tracks, record: dict[Any, str]) -> None:
    if None in record or None in record.values():  # more values, or fewer
        raise FormatError("has more or fewer values than the first line has columns.")
    record = _DEFAULTS | record
    object_id = parsing.integer(record["object_id"], "object_id")
    parsing.name_object(tracks, object_id, record["label"])
    frame = parsing.integer(record["frame"], "frame")
    parsing.put(tracks, object_id, frame, _cell(record))


def _cell(record: dict[str, str]) -> Cell:
    if record["state"] == ABSENT.value:
        if any(record[name] for name in _BOX):
            raise FormatError("an absent object has no box; empty x, y, width and height.")
        return ABSENT
    return TrackBox(
        parsing.box([record[name] for name in _BOX], _BOX, wh=True),
        parsing.score(record["score"]),
        parsing.choice(record["state"], State, "state"),
        parsing.choice(record["source"], Source, "source"),
        parsing.switch(record["occluded"], "occluded"),
        parsing.switch(record["fine"], "fine"),
    )
