"""One run from two: between two keyframes, a forward and a backward run become one answer.

Plain functions of arrays, whoever made the runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.tracks import Prediction, State

AGREE_IOU = 0.5
"""From this overlap on the two runs see the same thing, and their mean is better than either."""

ARRIVED_IOU = 0.3
"""From this overlap with the far keyframe on a run has followed the target to its end."""

NOT_ARRIVED = 0.05
"""Weight left to a run that missed the far keyframe; it may have been right until just before."""


def fuse(
    forward_xyxy: ArrayLike,
    backward_xyxy: ArrayLike,
    forward_score: ArrayLike,
    backward_score: ArrayLike,
) -> tuple[FloatArray, FloatArray]:
    """Fuse two runs over the frames from one keyframe to the next.

    A run that arrived at the other keyframe is bent so that it meets it exactly. Its weight on a
    frame is its score there, times how near the frame is to the keyframe it began on, times how
    well it arrived. Where the boxes agree the answer is their weighted mean, elsewhere the
    weightier one: the mean of two places is a third place.

    Parameters
    ----------
    forward_xyxy, backward_xyxy : array-like, shape (N, 4)
        Boxes on the N frames in order, N at least 2; ``forward_xyxy[0]`` and
        ``backward_xyxy[-1]`` are the keyframes.
    forward_score, backward_score : array-like, shape (N,)
        In ``[0, 1]``.

    Returns
    -------
    boxes_xyxy : ndarray of float64, shape (N, 4)
    score : ndarray of float64, shape (N,)
        Mean of the runs' scores by the same weights, or that of the weightier run; less where
        they contradict each other, down to 0 where they do not overlap.
    """
    forward, backward = np.asarray(forward_xyxy, float), np.asarray(backward_xyxy, float)
    scores = np.asarray(forward_score, float), np.asarray(backward_score, float)
    there, weight = _judge(forward, scores[0], backward[-1])
    back, back_weight = (of[::-1] for of in _judge(backward[::-1], scores[1][::-1], forward[0]))
    overlap = boxes.iou(there, back)
    share = weight / np.maximum(weight + back_weight, np.finfo(float).tiny)
    share = np.where(overlap >= AGREE_IOU, share, weight >= back_weight)
    fused = share[:, None] * there + (1 - share[:, None]) * back
    score = share * scores[0] + (1 - share) * scores[1]
    return fused, score * np.minimum(overlap / AGREE_IOU, 1)


def _judge(
    run_xyxy: FloatArray, score: FloatArray, goal_xyxy: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bend a run to its goal if it arrived there; also its weight on each frame, shape (N,)."""
    away = np.linspace(0, 1, len(run_xyxy))
    arrived = boxes.iou(run_xyxy[-1], goal_xyxy)
    weight = score * (1 - away) * (NOT_ARRIVED + arrived)
    if arrived < ARRIVED_IOU:
        return run_xyxy, weight
    miss_xy = boxes.center(goal_xyxy) - boxes.center(run_xyxy[-1])
    growth = boxes.size(goal_xyxy) / boxes.size(run_xyxy[-1])
    center_xy = boxes.center(run_xyxy) + away[:, None] * miss_xy
    return boxes.from_center(center_xy, boxes.size(run_xyxy) * growth ** away[:, None]), weight


def fuse_runs(
    forward: Sequence[Prediction], backward: Sequence[Prediction]
) -> tuple[list[Prediction], FloatArray]:
    """Fuse two runs over the same frames in the same order, both keyframes included.

    Where the boxes agree (:data:`AGREE_IOU`) the state is the surer one, elsewhere that of the
    run whose keyframe is nearer.

    Returns
    -------
    fused : list of Prediction
    overlap : ndarray of float64, shape (N,)
        Overlap (IoU) of the two runs.
    """
    runs = forward, backward
    there_xyxy, back_xyxy = (np.array([of.box_xyxy for of in run]) for run in runs)
    there_score, back_score = (np.array([of.score for of in run]) for run in runs)
    boxes_xyxy, scores = fuse(there_xyxy, back_xyxy, there_score, back_score)
    overlap = boxes.iou(there_xyxy, back_xyxy)
    fused = []
    for k, (there, back) in enumerate(zip(forward, backward, strict=True)):
        nearer = there if k < len(forward) / 2 else back
        surer = min(there.state, back.state, key=list(State).index)
        state = surer if overlap[k] >= AGREE_IOU else nearer.state
        fused.append(Prediction(box_xyxy=boxes_xyxy[k], score=float(scores[k]), state=state))
    return fused, overlap
