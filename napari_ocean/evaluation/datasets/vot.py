"""VOT short-term and long-term challenges, 2013 to 2022 (Kristan et al., TPAMI 2016).

::

    <root>/list.txt                        names of the sequences (else: every folder)
    <root>/ants1/groundtruth.txt           one region for each frame
    <root>/ants1/color/00000001.jpg ...    since 2018; before, in ants1/ itself

A region is ``x,y,width,height``, a polygon ``x0,y0,x1,y1,x2,y2,...`` or, since 2020, a mask
``mx,y,width,height,runs...``: the lengths of runs of 0 and 1 in turn, row by row through a
rectangle at (x, y). The true box is the smallest upright one around a polygon's corners or a
mask's pixels. A single number, NaN or an empty mask means that the target is absent or not
labelled. Coordinates count from 0, as the masks of the VOT toolkit do.

Not supported: sequences with several targets (VOTS, ``groundtruth_<object>.txt``) and depth or
infrared channels. A mask becomes its box: the accuracy of VOT 2020 and later, measured on masks,
comes from the official toolkit (:mod:`napari_ocean.evaluation.toolkits.vot`).

Results, as the toolkit keeps those of its experiment without restarts (``baseline`` is the one
with restarts, which only the toolkit itself can run)::

    <folder>/<tracker>/unsupervised/<sequence>/<sequence>_001.txt         1, then boxes
    <folder>/<tracker>/unsupervised/<sequence>/<sequence>_001_time.value  seconds of each frame
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets.resultfiles import (
    box_line,
    check_length,
    read_seconds,
    write_seconds,
)
from napari_ocean.evaluation.datasets.run import Run
from napari_ocean.evaluation.datasets.sequence import Sequence
from napari_ocean.evaluation.datasets.textfiles import (
    read_lines,
    read_numbers,
    read_table,
    write_lines,
)

_INITIALISED = "1"
"""The toolkit's sign for a frame on which the tracker was given its box."""


def find(root: Path) -> list[Sequence]:
    """The sequences that ``list.txt`` names, or all folders with a ``groundtruth.txt``."""
    listed = root / "list.txt"
    if listed.is_file():
        folders = [root / name for name in read_lines(listed)]
    else:
        folders = sorted(path.parent for path in root.glob("*/groundtruth.txt"))
    return [_sequence(folder) for folder in folders]


def write_result(folder: Path, tracker_name: str, sequence: Sequence, run: Run) -> None:
    """Write the times, then the boxes, whose presence says that the sequence is done."""
    path, times = _paths(folder, tracker_name, sequence)
    write_seconds(times, run.seconds)
    found = boxes.to_xywh(run.boxes_xyxy[1:])
    write_lines(path, [_INITIALISED, *(box_line(box) for box in found)])


def read_result(folder: Path, tracker_name: str, sequence: Sequence) -> Run | None:
    """Read what was written; the scores are unknown. None if the sequence is not done."""
    path, times = _paths(folder, tracker_name, sequence)
    if not path.is_file():
        return None
    found = boxes.from_xywh(read_table(path, 4, skip=1))
    check_length(1 + len(found), path, sequence)
    return Run(
        boxes_xyxy=np.concatenate([sequence.truth_xyxy[:1], found]),
        scores=np.full(len(sequence), np.nan),
        seconds=read_seconds(times, sequence),
    )


def _paths(folder: Path, tracker_name: str, sequence: Sequence) -> tuple[Path, Path]:
    name = sequence.name
    inside = folder / tracker_name / "unsupervised" / name
    return inside / f"{name}_001.txt", inside / f"{name}_001_time.value"


def _sequence(folder: Path) -> Sequence:
    path = folder / "groundtruth.txt"
    if not path.is_file() and any(folder.glob("groundtruth_*.txt")):
        raise DataError(f"{folder} has several targets, which is not supported; leave it out.")
    color = folder / "color"
    return Sequence(folder.name, _read_regions(path), color if color.is_dir() else folder)


def _read_regions(path: Path) -> FloatArray:
    """Smallest upright box around each region, shape (T, 4); NaN where there is none."""
    rows = [_region_box(line, path, at) for at, line in enumerate(read_lines(path), start=1)]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _region_box(line: str, path: Path, at: int) -> FloatArray:
    none = np.full(4, np.nan)
    is_mask = line.startswith("m")
    values = np.array(read_numbers(line[is_mask:], path, at))
    if is_mask and len(values) >= 4:
        return mask_box(values)
    if len(values) == 1 or np.isnan(values).any():
        return none
    if len(values) == 4:
        return boxes.from_xywh(values) if (values[2:] > 0).all() else none
    if len(values) >= 6 and len(values) % 2 == 0:
        corners = values.reshape(-1, 2)
        return np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    raise DataError(
        f"Line {at} of {path} is no region: it holds {len(values)} numbers, not 1, 4 or 2 for each "
        "corner of a polygon."
    )


def mask_box(values: FloatArray) -> FloatArray:
    """Smallest box around the pixels of a mask, or NaN if it has none.

    Parameters
    ----------
    values : ndarray of float64
        ``x, y, width, height, runs...``, see the module.

    Returns
    -------
    ndarray of float64, shape (4,)
        Corners in edge coordinates: a mask of the pixel (0, 0) alone gives (0, 0, 1, 1).
    """
    x, y, width, _ = values[:4]
    ends = np.cumsum(values[4:])
    starts = ends - values[4:]
    starts, ends = starts[1::2], ends[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if len(starts) == 0:
        return np.full(4, np.nan)
    first_row, last_row = starts // width, (ends - 1) // width
    one_row = first_row == last_row  # a run over the end of a row touches both sides
    left = np.where(one_row, starts - first_row * width, 0).min()
    right = np.where(one_row, ends - last_row * width, width).max()
    return np.array([x + left, y + first_row.min(), x + right, y + last_row.max() + 1])
