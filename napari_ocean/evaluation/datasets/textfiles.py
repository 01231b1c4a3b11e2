"""Text files of numbers: true boxes, flags and results, whatever separates the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.formats import replace_text


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without blanks at their ends; empty lines at the end do not count.

    Raises
    ------
    DataError
        If the file is missing or no text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file in UTF-8 (byte {error.start}).") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    return [line.strip() for line in text.rstrip().splitlines()]


def read_table(path: Path, columns: int, *, skip: int = 0) -> FloatArray:
    """Numbers separated by commas, blanks or tabs, as many on each line; ``NaN`` is one.

    The first `skip` lines may hold anything.

    Returns
    -------
    ndarray of float64, shape (lines, columns)

    Raises
    ------
    DataError
        If the file is missing, or a line (which is named) does not hold so many numbers.
    """
    numbered = list(enumerate(read_lines(path), start=1))[skip:]
    rows = [read_numbers(line, path, at) for at, line in numbered]
    for (at, _), row in zip(numbered, rows, strict=True):
        if len(row) != columns:
            raise DataError(f"Line {at} of {path} holds {len(row)} numbers instead of {columns}.")
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def read_numbers(line: str, path: Path, at: int) -> list[float]:
    """Numbers of one line; `path` and the number of the line `at` are for the message."""
    try:
        return [float(text) for text in re.split(r"\s*[,;\s]\s*", line.rstrip(",; \t"))]
    except ValueError as error:
        raise DataError(f"Line {at} of {path} holds something else than numbers.") from error


def read_flags(path: Path) -> NDArray[np.bool_]:
    """Zeros and ones, one for each frame, on one line or on many."""
    lines = enumerate(read_lines(path), start=1)
    values = [value for at, line in lines for value in read_numbers(line, path, at)]
    return np.array(values, dtype=np.float64).astype(np.bool_)


def read_truth(path: Path, *, origin: int) -> FloatArray:
    """True boxes of an ``x, y, width, height`` file; NaN where one is not finite or has no area.

    Parameters
    ----------
    path : Path
        One line a frame.
    origin : int
        What the benchmark calls the left column and the top row: 0, or 1 (MATLAB).

    Returns
    -------
    ndarray of float64, shape (T, 4)
        Corners in edge coordinates.
    """
    xywh = read_table(path, 4)
    xywh[~(np.isfinite(xywh).all(axis=1) & (xywh[:, 2:] > 0).all(axis=1))] = np.nan
    return boxes.from_xywh(xywh) - origin


def hide(truth_xyxy: FloatArray, absent: NDArray[np.bool_], path: Path) -> FloatArray:
    """True boxes with NaN where the target is absent by the flags that `path` holds."""
    if len(absent) != len(truth_xyxy):
        raise DataError(
            f"{path} has flags for {len(absent)} frames, but there are {len(truth_xyxy)} true "
            "boxes."
        )
    return np.where(absent[:, None], np.nan, truth_xyxy)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file in one step, with the folders above it.

    Raises
    ------
    DataError
        If it cannot be written; what was there before is whole.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
