"""What all formats check in the same way when values come in from a file or go out to one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import TypeVar

import numpy as np

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import FormatError
from napari_ocean.tracks import Cell, Row, State, TrackBox, Tracks

MAX_FRAME = 5_000_000
"""A range of absent frames that is longer than this (two days of film) is a slip of the pen."""

_Enum = TypeVar("_Enum", bound=StrEnum)


def number(value: object, name: str) -> float:
    """Finite float from a number or its text."""
    if type(value) is float and math.isfinite(value):  # nearly always, in the native format
        return value
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            result = float(value)
            if math.isfinite(result):
                return result
    except (ValueError, OverflowError):
        pass  # the message below says it all
    raise FormatError(f"{name} should be a finite number, not {_shown(value)}.")


def integer(value: object, name: str) -> int:
    """Whole number from a number or its text; ``"3.0"``, as some spreadsheets write, is one."""
    result = number(value, name)
    if not result.is_integer():
        raise FormatError(f"{name} should be a whole number, not {_shown(value)}.")
    if isinstance(value, str | int):
        with suppress(ValueError):  # a text like "3.0"
            return int(value)  # exactly: beyond 2^53 floats skip numbers, and ids would meet
    return int(result)


def id_shift(ids: Iterable[object]) -> int:
    """What is added to all object ids of a file: 1 if they count from 0, since ours do from 1."""
    for value in ids:
        with suppress(FormatError):  # said with its line, where the id is read
            if integer(value, "id") == 0:
                return 1
    return 0


def choice(value: object, kind: type[_Enum], name: str) -> _Enum:
    """Member of an enumeration from its text."""
    try:
        return kind(str(value))
    except ValueError:
        known = ", ".join(kind)
        raise FormatError(f"{name} should be one of {known}, not {_shown(value)}.") from None


def box(values: Sequence[object], names: Sequence[str], *, wh: bool) -> FloatArray:
    """Box ``xyxy`` from four values: ``x, y, width, height`` if ``wh``, else two corners."""
    four = [number(value, name) for value, name in zip(values, names, strict=True)]
    x0, y0, x1, y1 = four
    if wh:
        x1, y1 = x0 + x1, y0 + y1
    if not _is_box(x0, y0, x1, y1):
        shown = ", ".join(f"{value:g}" for value in four)
        raise FormatError(f"({shown}) is not a box: its width or height is negative or too large.")
    return np.array([x0, y0, x1, y1])


def score(value: object) -> float:
    """Confidence in ``[0, 1]``."""
    result = number(value, "score")
    if not 0 <= result <= 1:
        raise FormatError(f"score should lie between 0 and 1, not {_shown(value)}.")
    return result


def switch(value: object, name: str) -> bool:
    """Yes or no from 1 or 0, or from true or false as some programs write."""
    text = str(value).strip().lower()
    if text not in ("0", "1", "false", "true"):
        raise FormatError(f"{name} should be 0 or 1, not {_shown(value)}.")
    return text in ("1", "true")


def name_object(tracks: Tracks, object_id: int, label: str) -> None:
    """Have an object of this label, which has to be the same wherever a file names it."""
    if not tracks.has_object(object_id):
        tracks.add_object(label, object_id)
    elif label != (known := tracks.label(object_id)):
        raise FormatError(f"object {object_id} is called {label!r} here and {known!r} above.")


def put(tracks: Tracks, object_id: int, frame: int, cell: Cell) -> None:
    """Add a box or an absent mark that must be the first of its object on its frame."""
    if tracks.cell(object_id, frame) is not None:
        what = "second box" if isinstance(cell, TrackBox) else "second box or mark"
        raise FormatError(f"object {object_id} has a {what} on frame {frame}.")
    tracks.put(object_id, frame, cell)


def checked_rows(tracks: Tracks) -> list[Row]:
    """All rows to be written, of which each can be read back."""
    rows = list(tracks.rows())
    for row in rows:
        if not _is_box(*row.box.box_xyxy.tolist()) or not 0 <= row.box.score <= 1:
            raise FormatError(
                f"object {row.object_id} has a box or score on frame {row.frame} that is not "
                f"finite or not in range; delete that box."
            )
    return rows


def certain_rows(tracks: Tracks) -> list[Row]:
    """Rows for formats that have no word for doubt: without the guesses of a lost tracker."""
    return [row for row in checked_rows(tracks) if not is_guess(row.box)]


def is_guess(box: TrackBox) -> bool:
    """Whether a box is what a lost tracker made of it, and no person has said that it is fine."""
    return box.state is State.LOST and not box.fine


def one_line(label: str) -> str:
    """Label as the line of a list can hold it, which is never empty."""
    return " ".join(label.split()) or "object"


def numbered(labels: Iterable[str], start: int) -> dict[str, int]:
    """Number of each label, counted in the order in which they first come."""
    return {label: number for number, label in enumerate(dict.fromkeys(labels), start=start)}


def _is_box(x0: float, y0: float, x1: float, y1: float) -> bool:
    return 0 <= x1 - x0 < math.inf and 0 <= y1 - y0 < math.inf  # False for NaN


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
