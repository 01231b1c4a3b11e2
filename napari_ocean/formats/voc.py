"""Pascal VOC: a zip file with ``Annotations/000012.xml`` for each frame with a box.

The document of an image that is a file is called as it is. ``ImageSets/Main/default.txt`` lists the
documents and ``labelmap.txt`` the labels, one a line, without which CVAT and Datumaro find none.
The fields are those of the VOC2012 development kit
(http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html). Pixels count from 1 and
``xmax``, ``ymax`` are in the box (Detectron2 reads them so), so the box of a whole frame is 1, 1,
width, height: one is added to our left and top edge and nothing to the others. Edges are rounded to
whole pixels, and a box ends where the frame does, which makes it ``truncated``. The format knows no
objects, so it is written only; all but label, box and occluded mark is lost, and boxes on which the
tracker is lost are left out.
"""

from __future__ import annotations

from xml.etree import ElementTree

from napari_ocean.boxes import FloatArray
from napari_ocean.formats import parsing
from napari_ocean.formats.clip import Clip, image_name, inside, stems, zipped
from napari_ocean.formats.xml import add, to_text
from napari_ocean.tracks import Row, Tracks

SUFFIX = ".voc.zip"
NAME = "Pascal VOC"

_RGB = "3"


def dumps(tracks: Tracks, clip: Clip) -> bytes:
    """Write the zip file."""
    documents: dict[int, ElementTree.Element] = {}
    for row in parsing.certain_rows(tracks):
        part = inside(row.box.box_xyxy, clip)
        if part is not None:
            if row.frame not in documents:
                documents[row.frame] = _document(row.frame, clip)
            _add_object(documents[row.frame], row, part, clip)
    names = stems(clip)
    named = {names[frame]: documents[frame] for frame in sorted(documents)}
    files = {f"Annotations/{name}.xml": to_text(document) for name, document in named.items()}
    files["ImageSets/Main/default.txt"] = "".join(f"{name}\n" for name in named)
    labels = (parsing.one_line(row.label) for row in parsing.certain_rows(tracks))
    listed = dict.fromkeys(["background", *labels])  # each once, also an object of that name
    files["labelmap.txt"] = "".join(f"{label}:::\n" for label in listed)
    return zipped(files)


def _document(frame: int, clip: Clip) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    add(root, "folder", "JPEGImages")
    add(root, "filename", image_name(frame, clip))
    add(add(root, "source"), "database", clip.name)
    size = add(root, "size")
    add(size, "width", str(clip.width))
    add(size, "height", str(clip.height))
    add(size, "depth", _RGB)
    add(root, "segmented", "0")
    return root


def _add_object(root: ElementTree.Element, row: Row, part: FloatArray, clip: Clip) -> None:
    of = add(root, "object")
    add(of, "name", parsing.one_line(row.label))
    add(of, "pose", "Unspecified")
    add(of, "truncated", str(int(part.tolist() != row.box.box_xyxy.tolist())))
    add(of, "occluded", str(int(row.box.occluded)))
    add(of, "difficult", "0")
    box = add(of, "bndbox")
    x0, y0, x1, y1 = part.tolist()
    xmin, xmax = _pixels(x0, x1, clip.width)
    ymin, ymax = _pixels(y0, y1, clip.height)
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), (xmin, ymin, xmax, ymax), strict=True):
        add(box, name, str(value))


def _pixels(low: float, high: float, size: int) -> tuple[int, int]:
    """First and last pixel, counted from 1, of what lies between two edges; at least one."""
    first = min(round(low), size - 1) + 1
    return first, max(round(high), first)
