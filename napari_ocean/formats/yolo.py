"""YOLO: a zip file with ``labels/000012.txt`` for each frame with a box, and what names the labels.

The labels of an image that is a file are called as it is. ``classes.txt`` lists the classes for
other programs, ``data.yaml`` for Ultralytics, which trains from it where the images lie in a folder
``images`` beside ``labels``. It has no ``path``, as the file's own folder is taken then; a relative
one would count from elsewhere. ``train`` and ``val`` are both asked for, and name the same images:
neighbouring frames of one clip are too much alike to be tested on.
A line is ``class x y width height``: the label's 0-based line in ``classes.txt``, then the centre
and size of the box as shares of the frame's width and height
(https://docs.ultralytics.com/datasets/detect). Trainers refuse shares beyond 0 and 1, so a box ends
where the frame does. The format knows no objects, so it is written only; everything but label and
box is lost, and boxes on which the tracker is lost are left out.
"""

from __future__ import annotations

from napari_ocean.formats import parsing
from napari_ocean.formats.clip import Clip, inside, stems, zipped
from napari_ocean.tracks import Tracks

SUFFIX = ".yolo.zip"
NAME = "YOLO labels"


def dumps(tracks: Tracks, clip: Clip) -> bytes:
    """Write the zip file."""
    rows = parsing.certain_rows(tracks)
    classes = parsing.numbered((parsing.one_line(row.label) for row in rows), start=0)
    names = stems(clip)
    files: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.frame):
        part = inside(row.box.box_xyxy, clip)
        if part is None:
            continue
        x0, y0, x1, y1 = part.tolist()
        width, height = clip.width, clip.height
        shares = (
            (x0 + x1) / 2 / width,
            (y0 + y1) / 2 / height,
            (x1 - x0) / width,
            (y1 - y0) / height,
        )
        number = classes[parsing.one_line(row.label)]
        line = " ".join([str(number), *(f"{share:.8f}" for share in shares)])
        name = f"labels/{names[row.frame]}.txt"
        files[name] = f"{files.get(name, '')}{line}\n"
    files["classes.txt"] = "".join(f"{label}\n" for label in classes)
    named = "".join(f"  {k}: {_quoted(label)}\n" for label, k in classes.items()) or "  {}\n"
    files["data.yaml"] = f"train: images\nval: images\nnames:\n{named}"
    return zipped(files)


def _quoted(label: str) -> str:
    """Label as a text in YAML, whatever characters it holds."""
    safe = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in label)
    return f'"{"".join(safe)}"'
