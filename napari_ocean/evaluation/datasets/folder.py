"""A plain folder of sequences: for one's own data, and for ``../shared/data/dev``.

::

    <root>/<any>/<path>/groundtruth.txt   x,y,width,height of each frame, or NaN,NaN,NaN,NaN
    <root>/<any>/<path>/img/              the frames; else a single film there, or images

Coordinates count from 0. A sequence is called after its path below the root, ``<any>/<path>``.
Results: :class:`~napari_ocean.evaluation.datasets.resultfiles.OneFileLayout`.
"""

from __future__ import annotations

import os
from pathlib import Path

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets.resultfiles import OneFileLayout
from napari_ocean.evaluation.datasets.sequence import Sequence
from napari_ocean.evaluation.datasets.textfiles import read_truth
from napari_ocean.video import SUFFIXES

_TRUTH = "groundtruth.txt"

_RESULTS = OneFileLayout(origin=0)
write_result, read_result = _RESULTS.write, _RESULTS.read


def find(root: Path) -> list[Sequence]:
    """All folders at or below `root` that hold a ``groundtruth.txt``."""
    found = []
    folders = (
        Path(folder) for folder, _, files in os.walk(root, followlinks=True) if _TRUTH in files
    )
    for folder in sorted(folders):
        path = folder / _TRUTH
        name = folder.relative_to(root).as_posix() if folder != root else root.resolve().name
        found.append(Sequence(name, read_truth(path, origin=0), _video(folder)))
    return found


def _video(folder: Path) -> Path:
    if (folder / "img").is_dir():
        return folder / "img"
    seen = folder.glob("[!.]*")  # macOS puts ._clip.mp4 beside clip.mp4 on some disks
    films = [path for path in seen if path.suffix.lower() in SUFFIXES]
    if len(films) > 1:
        raise DataError(f"{folder} holds {len(films)} films; keep the one that the boxes are for.")
    return films[0] if films else folder
