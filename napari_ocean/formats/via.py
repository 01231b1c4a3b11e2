"""VIA tracks: a table of regions as the VGG Image Annotator 2 exports it, one line per box.

Columns: ``filename``, ``file_size`` (-1: not told), ``file_attributes`` (``frame``, 0-based),
``region_count`` and ``region_id`` (of the regions of a frame, from 0), ``region_shape_attributes``
(a ``rect`` with ``x``, ``y``, ``width``, ``height``, in edge coordinates) and ``region_attributes``
(``track``, the object's id; ``label``; ``confidence``). The annotator is described by Dutta and
Zisserman, MM 2019 (https://www.robots.ox.ac.uk/~vgg/software/via/); ``movement`` loads such tables
as "VIA-tracks". Absent marks, sources and occlusion are lost, and boxes on which the tracker is
lost are left out.
"""

from __future__ import annotations

import csv
import io
from collections import Counter

from napari_ocean import boxes
from napari_ocean.formats import json, parsing
from napari_ocean.formats.clip import Clip, image_name
from napari_ocean.tracks import Tracks

SUFFIX = ".via.csv"
NAME = "VIA tracks, for movement"

COLUMNS = (
    *("filename", "file_size", "file_attributes"),
    *("region_count", "region_id", "region_shape_attributes", "region_attributes"),
)


def dumps(tracks: Tracks, clip: Clip) -> str:
    """Write the table, frame by frame."""
    rows = sorted(parsing.certain_rows(tracks), key=lambda row: (row.frame, row.object_id))
    counts, before = Counter(row.frame for row in rows), Counter[int]()
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        x, y, width, height = boxes.to_xywh(row.box.box_xyxy).tolist()
        shape = {"name": "rect", "x": x, "y": y, "width": width, "height": height}
        about = {"track": row.object_id, "label": row.label, "confidence": float(row.box.score)}
        writer.writerow(
            (
                image_name(row.frame, clip),
                -1,
                json.dump({"frame": int(row.frame)}),
                counts[row.frame],
                before[row.frame],
                json.dump(shape),
                json.dump(about),
            )
        )
        before[row.frame] += 1
    return file.getvalue()
