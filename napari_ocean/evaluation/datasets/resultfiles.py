"""Files of results: boxes and times, and the layout that most benchmarks share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets.run import Run
from napari_ocean.evaluation.datasets.sequence import Sequence
from napari_ocean.evaluation.datasets.textfiles import read_table, write_lines


class OneFileLayout:
    """Results with one file of boxes per sequence, as the OTB, LaSOT and UAV123 toolkits read.

    ::

        <folder>/<tracker>/<sequence>.txt              x,y,width,height of each frame
        <folder>/<tracker>/times/<sequence>_time.txt   seconds of each frame

    Parameters
    ----------
    origin : int
        What the benchmark calls the left column and the top row.
    """

    def __init__(self, origin: int) -> None:
        self.origin = origin

    def write(self, folder: Path, tracker_name: str, sequence: Sequence, run: Run) -> None:
        """Write the times, then the boxes, whose presence says that the sequence is done."""
        path, times = self._paths(folder, tracker_name, sequence)
        write_seconds(times, run.seconds)
        write_boxes(path, run.boxes_xyxy, origin=self.origin)

    def read(self, folder: Path, tracker_name: str, sequence: Sequence) -> Run | None:
        """Read what was written; the scores are unknown. None if the sequence is not done."""
        path, times = self._paths(folder, tracker_name, sequence)
        return read_run(path, times, sequence, origin=self.origin)

    @staticmethod
    def _paths(folder: Path, tracker_name: str, sequence: Sequence) -> tuple[Path, Path]:
        tracker = folder / tracker_name
        return tracker / f"{sequence.name}.txt", tracker / "times" / f"{sequence.name}_time.txt"


def read_run(path: Path, times: Path, sequence: Sequence, *, origin: int) -> Run | None:
    """Read a file of boxes and one of times, which may be missing; None without boxes.

    Raises
    ------
    DataError
        If a file holds something else, or boxes for another number of frames.
    """
    if not path.is_file():
        return None
    xywh = read_table(path, 4)
    check_length(len(xywh), path, sequence)
    return Run(
        boxes_xyxy=boxes.from_xywh(xywh) - origin,
        scores=np.full(len(sequence), np.nan),
        seconds=read_seconds(times, sequence),
    )


def write_boxes(path: Path, boxes_xyxy: FloatArray, *, origin: int) -> None:
    """Write a line ``x,y,width,height`` for each box, in ten-thousandths of a pixel."""
    write_lines(path, (box_line(box) for box in boxes.to_xywh(boxes_xyxy + origin)))


def box_line(box_xywh: FloatArray) -> str:
    """Four numbers, separated by commas."""
    return ",".join(f"{value:.4f}" for value in box_xywh)


def write_seconds(path: Path, seconds: FloatArray) -> None:
    """Write a line for each frame."""
    write_lines(path, (f"{value:.8f}" for value in seconds))


def read_seconds(path: Path, sequence: Sequence) -> FloatArray:
    """Seconds of each frame, shape (T,); NaN throughout if there is no such file."""
    if not path.is_file():
        return np.full(len(sequence), np.nan)
    seconds = read_table(path, 1)[:, 0]
    check_length(len(seconds), path, sequence)
    return seconds


def check_length(found: int, path: Path, sequence: Sequence) -> None:
    """Refuse results of another number of frames than the sequence has."""
    if found != len(sequence):
        raise DataError(
            f"{path} has {found} lines, but {sequence.name} has {len(sequence)} frames; delete "
            "the file to run this sequence again."
        )
