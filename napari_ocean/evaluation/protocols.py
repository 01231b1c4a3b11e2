"""How a tracker is run over a sequence: once through, or with a simulated annotator."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.tracks import Prediction
from napari_ocean.video import FrameSource

ACCEPTED_IOU = 0.5
"""The simulated annotator draws a box again where the overlap falls under this."""


class Session(Protocol):
    """One target being followed."""

    def step(self, frame_rgb: NDArray[np.uint8], /) -> Prediction:
        """Find the target on the next frame."""
        ...


Start = Callable[[NDArray[np.uint8], FloatArray], Session]
"""Begins to follow a target: ``tracker.start``."""


class OnePass(NamedTuple):
    """A run from the first box to the end; the first frame does not count."""

    ious: FloatArray
    scores: FloatArray
    fps: float


class Annotated(NamedTuple):
    """A run with corrections."""

    ious: FloatArray
    corrections: int


def one_pass(start: Start, video: FrameSource, truth_xyxy: FloatArray) -> OnePass:
    """Follow the first true box to the end without help (OTB's one-pass evaluation).

    Frames without a true box (NaN) are tracked and do not count.
    """
    seen = _seen(video, truth_xyxy)
    session = start(video.frame(0), truth_xyxy[0])
    predictions = []
    seconds = 0.0
    for frame in range(1, len(truth_xyxy)):
        image = video.frame(frame)
        began = time.perf_counter()
        predictions.append(session.step(image))
        seconds += time.perf_counter() - began
    found = np.array([p.box_xyxy for p in predictions])
    return OnePass(
        ious=boxes.iou(found, truth_xyxy[1:])[seen[1:]],
        scores=np.array([p.score for p in predictions])[seen[1:]],
        fps=len(predictions) / seconds,
    )


def annotate(start: Start, video: FrameSource, truth_xyxy: FloatArray) -> Annotated:
    """Follow with an annotator who re-draws each box under ``ACCEPTED_IOU``, and go on from it.

    Corrected frames count as overlap 1; frames without a true box (NaN) do not count.
    """
    seen = _seen(video, truth_xyxy)
    session = start(video.frame(0), truth_xyxy[0])
    ious = []
    corrections = 0
    for frame in range(1, len(truth_xyxy)):
        image = video.frame(frame)
        found = session.step(image).box_xyxy
        if not seen[frame]:
            continue
        overlap = float(boxes.iou(found, truth_xyxy[frame]))
        if overlap < ACCEPTED_IOU:
            corrections += 1
            overlap = 1.0
            session = start(image, truth_xyxy[frame])
        ious.append(overlap)
    return Annotated(np.array(ious), corrections)


def _seen(video: FrameSource, truth_xyxy: FloatArray) -> NDArray[np.bool_]:
    """Frames with a true box; the first must be one, and another one is needed to measure."""
    seen: NDArray[np.bool_] = np.asarray(np.isfinite(truth_xyxy).all(axis=1))
    if len(truth_xyxy) > len(video):
        raise DataError(f"{video.name} has {len(video)} frames and {len(truth_xyxy)} true boxes.")
    if seen.sum() < 2 or not seen[0]:
        raise DataError(
            f"{video.name} cannot be measured: it needs a true box on its first frame and on "
            "at least one other."
        )
    return seen
