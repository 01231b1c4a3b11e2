"""OTB-100 (Wu et al., TPAMI 2015).

::

    <root>/Basketball/groundtruth_rect.txt, img/0001.jpg ...
    <root>/Jogging/groundtruth_rect.1.txt, groundtruth_rect.2.txt, img/    two targets

Coordinates count from 1, as the benchmark's MATLAB code does. Numbers are separated by commas,
tabs or blanks. Names are those of its toolkit and of pysot's: ``Jogging-1``, ``Skating2-2``,
``Human4-2`` (whose first file is empty). pysot's copies of a folder (``Jogging-1/``, which holds
both files) count once.

Frames that do not count (http://cvlab.hanyang.ac.kr/tracker_benchmark/datasets.html): the boxes
of David are those of frames 300 to 770; Football1, Freeman3, Freeman4 and Diving end before their
last frame. The first five frames of Tiger1 are left out (its toolkit's ``initOmit``), as in the
published numbers of pysot and TracKit: 349 of 354 frames remain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets.resultfiles import OneFileLayout
from napari_ocean.evaluation.datasets.sequence import Sequence
from napari_ocean.evaluation.datasets.textfiles import read_lines, read_truth
from napari_ocean.video import IMAGE_SUFFIXES

_RESULTS = OneFileLayout(origin=1)
write_result, read_result = _RESULTS.write, _RESULTS.read

_DAVID_FRAMES, _DAVID_FIRST = 770, 299
_TIGER1_FRAMES, _TIGER1_FIRST = 354, 5


def find(root: Path) -> list[Sequence]:
    """All folders of `root` that hold a ``groundtruth_rect.txt``, one for each target."""
    found = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        for name, path in _targets(folder):
            found[name] = _sequence(name, path, folder / "img")
    return [found[name] for name in sorted(found)]


def _targets(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of each target of a folder."""
    copy_of = re.fullmatch(r".+-(\d)", folder.name)
    for path in sorted(folder.glob("groundtruth_rect*.txt")):
        number = re.fullmatch(r"groundtruth_rect(?:\.(\d))?\.txt", path.name)
        if number is None or not read_lines(path):
            continue
        if number[1] is None:
            yield folder.name, path
        elif copy_of is None:
            yield f"{folder.name}-{number[1]}", path
        elif copy_of[1] == number[1]:
            yield folder.name, path


def _sequence(name: str, path: Path, images: Path) -> Sequence:
    if not images.is_dir():
        raise DataError(f"{path.parent} has no folder img with its frames.")
    truth = read_truth(path, origin=1)
    frames = sum(file.suffix.lower() in IMAGE_SUFFIXES for file in images.iterdir())
    if name == "David" and frames == _DAVID_FRAMES:
        return Sequence(name, truth, images, _DAVID_FIRST)
    if name == "Tiger1" and frames == len(truth) == _TIGER1_FRAMES:
        return Sequence(name, truth[_TIGER1_FIRST:], images, _TIGER1_FIRST)
    return Sequence(name, truth, images)
