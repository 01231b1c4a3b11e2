"""The annotation as a table: one line per object and frame, for pandas, R and spreadsheets.

Columns: ``frame`` (0-based), ``object_id``, ``label``, ``x``, ``y``, ``width``, ``height`` (edge
coordinates in pixels), ``score`` in [0, 1], ``state`` (found, uncertain, lost) and ``source``
(drawn, tracked). Columns may come in any order, others are ignored, and the last three may be
missing. Numbers keep their full precision; the right and bottom edge, being sums, may differ in
the last bit. Objects without a box have no line: the JSON format keeps those too.
"""

from __future__ import annotations

import csv
import io

from napari_ocean import boxes
from napari_ocean.errors import FormatError, TracksError
from napari_ocean.formats import parsing
from napari_ocean.tracks import Source, State, TrackBox, Tracks

SUFFIX = ".csv"
NAME = "table"

_BOX = ("x", "y", "width", "height")
_NEEDED = ("frame", "object_id", "label", *_BOX)
_DEFAULTS = {"score": "1", "state": "found", "source": "drawn"}
COLUMNS = (*_NEEDED, *_DEFAULTS)


def loads(text: str) -> Tracks:
    """Read the table; a ``FormatError`` names the line."""
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    tracks = Tracks()
    try:
        missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise FormatError(
                f"the first line does not name the columns {', '.join(missing)}; it should read "
                f"{','.join(COLUMNS)}."
            )
        for record in reader:
            _add(tracks, record)
    except (csv.Error, FormatError, TracksError) as error:
        raise FormatError(f"line {max(reader.reader.line_num, 1)}: {error}") from error
    return tracks


def dumps(tracks: Tracks) -> str:
    """Write the table."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in parsing.checked_rows(tracks):
        xywh = [repr(float(value)) for value in boxes.to_xywh(row.box.box_xyxy)]
        of = row.box
        writer.writerow(
            (row.frame, row.object_id, row.label, *xywh, repr(float(of.score)), of.state, of.source)
        )
    return file.getvalue()


def _add(tracks: Tracks, record: dict[str, str]) -> None:
    if "" in record or None in record.values():
        raise FormatError("has more or fewer values than the first line has columns.")
    record = _DEFAULTS | record
    object_id = parsing.integer(record["object_id"], "object_id")
    label = record["label"]
    if object_id not in tracks.object_ids:
        tracks.add_object(label, object_id)
    elif tracks.label(object_id) != label:
        raise FormatError(
            f"object {object_id} is called {label!r} here and {tracks.label(object_id)!r} above."
        )
    box = TrackBox(
        parsing.box([record[name] for name in _BOX], _BOX, wh=True),
        parsing.score(record["score"]),
        parsing.choice(record["state"], State, "state"),
        parsing.choice(record["source"], Source, "source"),
    )
    parsing.put(tracks, object_id, parsing.integer(record["frame"], "frame"), box)
