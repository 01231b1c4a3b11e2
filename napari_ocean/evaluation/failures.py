"""The worst frame of each sequence, cut out with the true and the found box."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.evaluation.datasets import Run
from napari_ocean.evaluation.datasets import Sequence as Clip

MOST = 12
"""Sequences on the sheet at most."""

_SIDE_PX, _TEXT_PX, _COLUMNS = 260, 40, 4
_LEAST_PX = 40.0
"""Side of a cutting at least, px of the frame."""

_TRUE, _FOUND, _INK = (0, 170, 0), (0, 0, 230), (0, 0, 0)
"""BGR."""


class Failure(NamedTuple):
    """A frame whose box is the worst of its sequence."""

    clip: Clip
    frame: int
    true_xyxy: FloatArray
    found_xyxy: FloatArray
    overlap: float
    score: float


def worst(clips: Sequence[Clip], runs: Sequence[Run]) -> list[Failure]:
    """The worst frame of each sequence, the worst first, :data:`MOST` at most.

    Parameters
    ----------
    clips : sequence of Sequence
    runs : sequence of Run
        A tracker's way through each of them; sequences without a true box after the first frame
        are left out.
    """
    found = []
    for clip, run in zip(clips, runs, strict=True):
        overlaps = boxes.iou(run.boxes_xyxy, clip.truth_xyxy)
        overlaps[0] = np.nan  # the box that was given
        if np.isnan(overlaps).all():
            continue
        at = int(np.nanargmin(overlaps))
        found.append(
            Failure(
                clip,
                at,
                clip.truth_xyxy[at],
                run.boxes_xyxy[at],
                float(overlaps[at]),
                float(run.scores[at]),
            )
        )
    return sorted(found, key=lambda failure: failure.overlap)[:MOST]


def failures_sheet(failures: Sequence[Failure]) -> NDArray[np.uint8]:
    """Each failure as a picture: the true box green, the found one red.

    Parameters
    ----------
    failures : sequence of Failure
        At least one.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        BGR.
    """
    cells = [_cell(failure) for failure in failures]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % _COLUMNS)
    rows = [np.hstack(cells[i : i + _COLUMNS]) for i in range(0, len(cells), _COLUMNS)]
    return np.vstack(rows)


def write(failures: Sequence[Failure], path: Path) -> None:
    """Write them as a PNG (:func:`failures_sheet`)."""
    path.write_bytes(cv2.imencode(".png", failures_sheet(failures))[1].tobytes())


def _cell(failure: Failure) -> NDArray[np.uint8]:
    with failure.clip.open() as video:
        frame = cv2.cvtColor(video.frame(failure.frame), cv2.COLOR_RGB2BGR)
    both = np.stack([failure.true_xyxy, failure.found_xyxy])
    low, high = both[:, :2].min(axis=0), both[:, 2:].max(axis=0)
    side = max(1.5 * float((high - low).max()), _LEAST_PX)
    scale = _SIDE_PX / side
    corner = (low + high) / 2 - side / 2
    # counted from the middle of a pixel, as OpenCV does; boxes count from its corner
    shift = 0.5 * scale - 0.5 - scale * corner
    move = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    grey = (128, 128, 128)
    shown = cv2.warpAffine(frame, move, (_SIDE_PX, _SIDE_PX), borderValue=grey)
    for box, color in ((failure.true_xyxy, _TRUE), (failure.found_xyxy, _FOUND)):
        x0, y0, x1, y1 = ((box - np.tile(corner, 2)) * scale).round().astype(int).tolist()
        cv2.rectangle(shown, (x0, y0), (x1, y1), color, 2)
    text = np.full((_TEXT_PX, _SIDE_PX, 3), 255, np.uint8)
    said = f"frame {failure.frame}, IoU {failure.overlap:.2f}"
    if np.isfinite(failure.score):
        said += f", score {failure.score:.2f}"
    for line, y in ((failure.clip.name[-36:], 16), (said, 33)):
        cv2.putText(text, line, (4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    cell = cv2.copyMakeBorder(
        np.vstack([text, shown]), 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    return cell.astype(np.uint8, copy=False)
