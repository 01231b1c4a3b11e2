"""UAV123 (Mueller et al., ECCV 2016), and the sets UAV20L and UAV123_10fps that come with it.

::

    <root>/anno/UAV123/bird1_2.txt                    x,y,width,height or NaN,NaN,NaN,NaN
    <root>/data_seq/UAV123/bird1/000001.jpg ...       several sequences on one folder

Coordinates count from 1: the benchmark is run by OTB's MATLAB code (its ``ReadMe.txt``). NaN
stands where the target is wholly hidden or outside the frame. The root's UAV123 is taken if there
is one, else its UAV123_10fps, else its UAV20L; give ``<root>/anno/UAV20L`` to choose another.
Results: :class:`~napari_ocean.evaluation.datasets.resultfiles.OneFileLayout`.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets.resultfiles import OneFileLayout
from napari_ocean.evaluation.datasets.sequence import Sequence
from napari_ocean.evaluation.datasets.textfiles import read_truth

_RESULTS = OneFileLayout(origin=1)
write_result, read_result = _RESULTS.write, _RESULTS.read

_SETS = ("UAV123", "UAV123_10fps", "UAV20L")

_FIRST_IMAGE = {
    "bird1_2": 775, "bird1_3": 1573, "car1_2": 751, "car1_3": 1627, "car6_2": 487, "car6_3": 1807,
    "car6_4": 2953, "car6_5": 3925, "car8_2": 1357, "car16_2": 415, "group1_2": 1333,
    "group1_3": 2515, "group1_4": 3925, "group2_2": 907, "group2_3": 1771, "group3_2": 1567,
    "group3_3": 2827, "group3_4": 4369, "person2_2": 1189, "person4_2": 1501, "person5_2": 877,
    "person7_2": 1249, "person8_2": 1075, "person12_2": 601, "person14_2": 847,
    "person14_3": 1813, "person17_2": 1501, "person19_2": 1243, "person19_3": 2791,
    "truck4_2": 577, "uav1_2": 1555, "uav1_3": 2473,
}  # fmt: skip
"""Number of the image at which a sequence begins, if not 1 (the benchmark's ``configSeqs.m``)."""


def find(root: Path) -> list[Sequence]:
    """One sequence for each file of boxes of the set."""
    annotations = _annotations(root)
    images = annotations.parent.parent / "data_seq"
    images /= "UAV123_10fps" if annotations.name == "UAV123_10fps" else "UAV123"
    step = 3 if annotations.name == "UAV123_10fps" else 1  # every third of 30 frames a second
    return [
        Sequence(
            path.stem,
            read_truth(path, origin=1),
            images / re.sub(r"_\d+$", "", path.stem),
            (_FIRST_IMAGE.get(path.stem, 1) - 1) // step,
        )
        for path in sorted(annotations.glob("*.txt"))
    ]


def _annotations(root: Path) -> Path:
    if root.resolve().parent.name == "anno":
        return root.resolve()
    for name in _SETS:
        if (root / "anno" / name).is_dir():
            return root / "anno" / name
    raise DataError(f"{root} holds no folder anno/UAV123 with the true boxes.")
