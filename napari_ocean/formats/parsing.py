"""What all formats check in the same way when values come in from a file or go out to one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

import numpy as np

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import FormatError
from napari_ocean.tracks import Row, TrackBox, Tracks

_Enum = TypeVar("_Enum", bound=StrEnum)


def number(value: object, name: str) -> float:
    """Finite float from a number or its text."""
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
    return int(result)


def choice(value: object, kind: type[_Enum], name: str) -> _Enum:
    """Member of an enumeration from its text."""
    try:
        return kind(str(value))
    except ValueError:
        known = ", ".join(kind)
        raise FormatError(f"{name} should be one of {known}, not {_shown(value)}.") from None


def box(values: Sequence[object], names: Sequence[str], *, wh: bool) -> FloatArray:
    """Box ``xyxy`` from four values: ``x, y, width, height`` if ``wh``, else two corners."""
    four = np.array([number(value, name) for value, name in zip(values, names, strict=True)])
    with np.errstate(over="ignore"):
        box_xyxy = boxes.from_xywh(four) if wh else four
    if not _is_box(box_xyxy):
        shown = ", ".join(f"{value:g}" for value in four)
        raise FormatError(f"({shown}) is not a box: its width or height is negative or too large.")
    return box_xyxy


def score(value: object) -> float:
    """Confidence in ``[0, 1]``."""
    result = number(value, "score")
    if not 0 <= result <= 1:
        raise FormatError(f"score should lie between 0 and 1, not {_shown(value)}.")
    return result


def put(tracks: Tracks, object_id: int, frame: int, track_box: TrackBox) -> None:
    """Add a box that must be the first of its object on its frame."""
    if tracks.get(object_id, frame) is not None:
        raise FormatError(f"object {object_id} has a second box on frame {frame}.")
    tracks.put(object_id, frame, track_box)


def checked_rows(tracks: Tracks) -> list[Row]:
    """All rows to be written, of which each can be read back."""
    rows = list(tracks.rows())
    for row in rows:
        if not _is_box(row.box.box_xyxy) or not 0 <= row.box.score <= 1:
            raise FormatError(
                f"object {row.object_id} has a box or score on frame {row.frame} that is not "
                f"finite or not in range; delete that box."
            )
    return rows


def _is_box(box_xyxy: FloatArray) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        wh = boxes.size(box_xyxy)
    return bool(np.isfinite(box_xyxy).all() and np.isfinite(wh).all() and (wh >= 0).all())


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
