"""GOT-10k (Huang et al., TPAMI 2019): the folder of one subset, ``val`` or ``test``.

::

    <root>/list.txt                                    names of the sequences
    <root>/GOT-10k_Val_000001/00000001.jpg ...
    <root>/GOT-10k_Val_000001/groundtruth.txt          x,y,width,height; test: of frame 0 only
    <root>/GOT-10k_Val_000001/cover.label              0 (hidden) to 8 (wholly visible)
    <root>/GOT-10k_Val_000001/absence.label            1 where the target is absent

The target counts as absent where ``cover.label`` is 0, as in the benchmark's toolkit, or, without
that file, where ``absence.label`` is 1. Coordinates count from 1, by the author's word
(https://github.com/got-10k/toolkit/issues/6), although some boxes begin at 0.

Results, ready for the benchmark's server::

    <folder>/<tracker>/<sequence>/<sequence>_001.txt    x,y,width,height of each frame
    <folder>/<tracker>/<sequence>/<sequence>_time.txt   seconds of each frame
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets.resultfiles import (
    read_run,
    write_boxes,
    write_seconds,
)
from napari_ocean.evaluation.datasets.run import Run
from napari_ocean.evaluation.datasets.sequence import Sequence
from napari_ocean.evaluation.datasets.textfiles import hide, read_flags, read_lines, read_truth
from napari_ocean.video import IMAGE_SUFFIXES

_ORIGIN = 1


def find(root: Path) -> list[Sequence]:
    """The sequences that ``list.txt`` names, in its order."""
    if not (root / "list.txt").is_file() and (root / "val" / "list.txt").is_file():
        raise DataError(f"Give one subset of GOT-10k: {root / 'val'} or {root / 'test'}.")
    return [_sequence(root / name) for name in read_lines(root / "list.txt")]


def write_result(folder: Path, tracker_name: str, sequence: Sequence, run: Run) -> None:
    """Write the times, then the boxes, whose presence says that the sequence is done."""
    path, times = _paths(folder, tracker_name, sequence)
    write_seconds(times, run.seconds)
    write_boxes(path, run.boxes_xyxy, origin=_ORIGIN)


def read_result(folder: Path, tracker_name: str, sequence: Sequence) -> Run | None:
    """Read what was written; the scores are unknown. None if the sequence is not done."""
    path, times = _paths(folder, tracker_name, sequence)
    return read_run(path, times, sequence, origin=_ORIGIN)


def _paths(folder: Path, tracker_name: str, sequence: Sequence) -> tuple[Path, Path]:
    name = sequence.name
    return (
        folder / tracker_name / name / f"{name}_001.txt",
        folder / tracker_name / name / f"{name}_time.txt",
    )


def _sequence(folder: Path) -> Sequence:
    truth = read_truth(folder / "groundtruth.txt", origin=_ORIGIN)
    if len(truth) == 1:
        return Sequence(folder.name, _with_unknown(truth, folder), folder)
    cover, absence = folder / "cover.label", folder / "absence.label"
    if cover.is_file():
        truth = hide(truth, ~read_flags(cover), cover)
    elif absence.is_file():
        truth = hide(truth, read_flags(absence), absence)
    return Sequence(folder.name, truth, folder)


def _with_unknown(first_xyxy: FloatArray, folder: Path) -> FloatArray:
    """A row for each frame of a sequence of the test set, whose later boxes are not public."""
    frames = sum(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.iterdir())
    truth = np.full((max(1, frames), 4), np.nan)
    truth[0] = first_xyxy[0]
    return truth
