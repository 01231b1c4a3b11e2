"""Sequences with ground truth on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.video import FrameSource, open_video


@dataclass(frozen=True, slots=True)
class Sequence:
    """A folder of frames with one true box per frame, ``truth_xyxy`` of shape (T, 4)."""

    name: str
    folder: Path
    truth_xyxy: FloatArray

    def open(self) -> FrameSource:
        """Open the frames."""
        return open_video(self.folder / "img")


def find_sequences(root: Path) -> list[Sequence]:
    """All folders below `root` that hold ``groundtruth.txt`` (``x,y,w,h`` lines) and ``img/``.

    Raises
    ------
    DataError
        If there is none, or a ground truth cannot be read.
    """
    sequences = [
        Sequence(str(path.parent.relative_to(root)), path.parent, _read_truth(path))
        for path in sorted(root.rglob("groundtruth.txt"))
    ]
    if not sequences:
        raise DataError(f"There is no sequence (img/ with groundtruth.txt) below {root}.")
    return sequences


def _read_truth(path: Path) -> FloatArray:
    try:
        xywh = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} does not hold x,y,w,h lines: {error}.") from error
    if xywh.shape[1:] != (4,):
        raise DataError(f"{path} does not hold x,y,w,h lines but {xywh.shape[1]} columns.")
    return boxes.from_xywh(xywh)
