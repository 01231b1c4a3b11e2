"""Boxes between two keyframes without looking at the pixels: straight, or along a smooth curve.

Nothing is ever interpolated across a frame on which the object is absent: the keyframes before and
after it belong to different appearances, which do not know of each other.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.tracks import Source, TrackBox, Tracks


class Curve(StrEnum):
    """How boxes go from one keyframe to the next.

    ``LINEAR`` moves each corner along a straight line, as CVAT does. ``SMOOTH`` is a monotone cubic
    (Fritsch and Carlson, SIAM J. Numer. Anal. 17(2), 1980) on centre and logarithm of the size: it
    goes round a bend without a kink, and never beyond its two keyframes.
    """

    LINEAR = "linear"
    SMOOTH = "smooth"


def fill(tracks: Tracks, object_id: int, start: int, stop: int, curve: Curve = Curve.LINEAR) -> int:
    """Interpolate an object's boxes on ``range(start, stop)``, wherever the merge rule lets it.

    Parameters
    ----------
    tracks : Tracks
        Changed in place: machine-made boxes between keyframes are replaced.
    object_id : int
    start, stop : int
    curve : Curve

    Returns
    -------
    int
        Number of boxes made.

    Raises
    ------
    TracksError
        If the object does not exist or is locked.
    """
    tracks.check_unlocked(object_id)
    made = 0
    for keyframes in appearances(tracks, object_id):
        of = {frame: tracks.get(object_id, frame) for frame in keyframes}
        known = {frame: box for frame, box in of.items() if box is not None}
        inside = range(max(start, keyframes[0]), min(stop, keyframes[-1]))
        frames = np.array([frame for frame in inside if frame not in known], dtype=np.int64)
        boxes_xyxy = between(
            np.array(keyframes), np.array([box.box_xyxy for box in known.values()]), frames, curve
        )
        for frame, box_xyxy in zip(frames.tolist(), boxes_xyxy, strict=True):
            before = known[keyframes[bisect_right(keyframes, frame) - 1]]
            box = TrackBox(box_xyxy, source=Source.INTERPOLATED, occluded=before.occluded)
            made += tracks.merge_box(object_id, frame, box)
    return made


def appearances(tracks: Tracks, object_id: int) -> list[list[int]]:
    """Keyframes of an object, ascending, cut wherever it is absent in between."""
    starts = [span.start for span in tracks.absent_spans(object_id)]
    parts: dict[int, list[int]] = {}
    for frame in tracks.keyframes(object_id):
        parts.setdefault(bisect_right(starts, frame), []).append(frame)
    return list(parts.values())


def between(
    keyframes: NDArray[np.int64],
    boxes_xyxy: FloatArray,
    frames: NDArray[np.int64],
    curve: Curve = Curve.LINEAR,
) -> FloatArray:
    """Boxes on some frames among keyframes.

    Parameters
    ----------
    keyframes : ndarray of int, shape (K,)
        Strictly ascending.
    boxes_xyxy : ndarray of float64, shape (K, 4)
        Boxes there, in pixels.
    frames : ndarray of int, shape (N,)
        Between the first and the last keyframe.
    curve : Curve

    Returns
    -------
    ndarray of float64, shape (N, 4)
    """
    if len(keyframes) < 2 or not len(frames):
        return np.repeat(boxes_xyxy[:1], len(frames), axis=0)
    if curve is Curve.LINEAR:
        lines = [np.interp(frames, keyframes, side) for side in boxes_xyxy.T]
        return np.stack(lines, axis=1)
    tiny = np.finfo(float).tiny
    log_size = np.log(np.maximum(boxes.size(boxes_xyxy), tiny))
    curves = _monotone_cubic(
        keyframes.astype(float),
        np.concatenate([boxes.center(boxes_xyxy), log_size], axis=1),
        frames.astype(float),
    )
    return boxes.from_center(curves[:, :2], np.exp(curves[:, 2:]))


def _monotone_cubic(x: FloatArray, y: FloatArray, at: FloatArray) -> FloatArray:
    """Cubic Hermite curves through ``(x, y)``, shape ``(K,)`` and ``(K, D)``, at ``(N,)`` places.

    The slope at a keyframe is the weighted harmonic mean of the slopes beside it (Fritsch and
    Butland, SIAM J. Sci. Stat. Comput. 5(2), 1984), zero at a turning point and the neighbour's own
    at both ends.
    """
    h = np.diff(x)[:, None]
    slope = np.diff(y, axis=0) / h
    left, right = slope[:-1], slope[1:]
    w_left, w_right = h[:-1] + 2 * h[1:], 2 * h[:-1] + h[1:]
    turns = left * right <= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (w_left + w_right) / (w_left / right + w_right / left)
    inner = np.where(turns, 0.0, mean)
    tangent = np.concatenate([slope[:1], inner, slope[-1:]])
    k = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(h) - 1)
    t = ((at - x[k]) / h[k, 0])[:, None]
    hermite = (
        (1 + 2 * t) * (1 - t) ** 2 * y[k]
        + t * (1 - t) ** 2 * h[k] * tangent[k]
        + t**2 * (3 - 2 * t) * y[k + 1]
        + t**2 * (t - 1) * h[k] * tangent[k + 1]
    )
    return np.asarray(hermite)
