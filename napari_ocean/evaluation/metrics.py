"""Scores of boxes against true boxes: pure functions, one convention per benchmark.

The benchmarks agree that a frame succeeds when its overlap is *greater* than a threshold and is
precise when its error is *at most* one, that a curve is averaged over its thresholds, and that a
frame without a true box does not count. They differ in what a :class:`Convention` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
"""Overlaps of the success curve (OTB, LaSOT: 0 to 1 in steps of 0.05)."""

PRECISION_THRESHOLDS_PX = np.arange(51.0)
"""Centre errors of the precision curve (OTB, LaSOT: 0 to 50 px); its score is the one at 20 px."""

NORMALIZED_THRESHOLDS = np.arange(51) / 100
"""Centre errors in target sizes (LaSOT, TrackingNet: 0 to 0.5); LaSOT's score is the one at 0.2."""

_SCORE_AT = 20  # 20 px and 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """What one benchmark counts, and where that is written."""

    first_frame: bool
    """The first frame counts, with the given box: an overlap of 1 for every tracker."""
    pooled: bool
    """Averages are over all frames, so that a long sequence weighs more; else over sequences."""
    inside: Literal["as is", "cut", "moved and cut"]
    """What is done first to boxes that reach past the frame's edges (see :func:`move_and_cut`)."""
    source: str
    """The program that does so."""


_OTB = Convention(
    first_frame=True,
    pooled=False,
    inside="as is",
    source="OTB's tracker benchmark v1.1 and ExperimentOTB of the got10k toolkit 0.1.3",
)
_DAVIS = Convention(
    first_frame=True,
    pooled=False,
    inside="as is",
    source="OTB's rules on the masks' tight boxes (DAVIS itself scores masks)",
)

CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        "folder": Convention(
            first_frame=False,
            pooled=False,
            inside="as is",
            source="ours: OTB's curves without the frame that was given",
        ),
        "otb": _OTB,
        "uav": _OTB,
        "lasot": Convention(
            first_frame=True,
            pooled=False,
            inside="as is",
            source="LaSOT_Evaluation_Toolkit, calc_seq_err_robust.m; absent frames are removed",
        ),
        "got10k": Convention(
            first_frame=False,
            pooled=True,
            inside="moved and cut",
            source="ExperimentGOT10k of the got10k toolkit 0.1.3; frames with cover 0 are removed",
        ),
        "vot": Convention(
            first_frame=False,
            pooled=False,
            inside="cut",
            source="ours, on upright boxes; EAO, accuracy and robustness are vot-toolkit's",
        ),
        "davis": _DAVIS,
    }
)
"""The convention of each dataset of ``napari-ocean evaluate --dataset``."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How well one sequence, or a set of them, was tracked.

    Attributes
    ----------
    frames : int
        Frames that counted.
    auc : float
        Area under the success curve, the mean over its thresholds (OTB, LaSOT).
    ao, sr50, sr75 : float
        Average overlap, and the share of frames whose overlap exceeds 0.5 and 0.75 (GOT-10k).
    precision, normalized_precision : float
        Share of frames whose centre is at most 20 px, or 0.2 target sizes, off (OTB; LaSOT).
    auc_true_size, auc_true_center : float
        AUC if every box had the true size, or the true centre: which of the two costs the most.
    success_curve, precision_curve, normalized_curve : tuple of float
        Shapes (21,), (51,) and (51,), over the thresholds of this module.
    """

    frames: int
    auc: float
    ao: float
    sr50: float
    sr75: float
    precision: float
    normalized_precision: float
    auc_true_size: float
    auc_true_center: float
    success_curve: tuple[float, ...]
    precision_curve: tuple[float, ...]
    normalized_curve: tuple[float, ...]


NUMBERS = (
    "auc", "ao", "sr50", "sr75", "precision", "normalized_precision", "auc_true_size",
    "auc_true_center",
)  # fmt: skip
"""The fields of :class:`Scores` that are one number."""

_CURVES = ("success_curve", "precision_curve", "normalized_curve")


class Interval(NamedTuple):
    """Bounds of a confidence interval."""

    low: float
    high: float


def score(
    found_xyxy: ArrayLike,
    truth_xyxy: ArrayLike,
    convention: Convention,
    frame_hw: tuple[int, int],
) -> Scores:
    """Score one sequence.

    Parameters
    ----------
    found_xyxy : array-like, shape (T, 4)
        The tracker's boxes; the first is the given one.
    truth_xyxy : array-like, shape (T, 4)
        True boxes, NaN where a frame has none.
    convention : Convention
    frame_hw : tuple of int
        Height and width of the frames, for conventions that clip.

    Raises
    ------
    DataError
        If the shapes differ, a counted box is not finite, or no frame counts.
    """
    found = np.asarray(found_xyxy, dtype=np.float64)
    truth = np.asarray(truth_xyxy, dtype=np.float64)
    if found.shape != truth.shape:
        raise DataError(f"There are {len(found)} boxes for {len(truth)} true boxes.")
    counts = np.asarray(np.isfinite(truth).all(axis=1))
    counts[: not convention.first_frame] = False
    if not counts.any():
        raise DataError("No frame counts: there is no true box, or on the first frame only.")
    found, truth = found[counts], truth[counts]
    if not np.isfinite(found).all():
        raise DataError("A box of a result is not four finite numbers.")
    if convention.inside != "as is":
        fit = boxes.clip if convention.inside == "cut" else move_and_cut
        found, truth = fit(found, frame_hw), fit(truth, frame_hw)
    return _scores(found, truth)


def mean(scores: Sequence[Scores], convention: Convention) -> Scores:
    """Scores of a set: the mean over its sequences, or over its frames where they are pooled."""
    weights = weights_of(scores, convention)

    def average(name: str) -> Any:
        return np.average([getattr(s, name) for s in scores], axis=0, weights=weights).tolist()

    averages: dict[str, Any] = {name: average(name) for name in NUMBERS}
    averages |= {name: tuple(average(name)) for name in _CURVES}
    return Scores(frames=sum(s.frames for s in scores), **averages)


def weights_of(scores: Sequence[Scores], convention: Convention) -> FloatArray:
    """How much each sequence weighs in an average, shape (N,)."""
    return np.array([s.frames if convention.pooled else 1.0 for s in scores])


def bootstrap(
    values: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a (weighted) mean over sequences.

    Sequences are drawn with replacement, not frames, since the frames of one sequence are far
    from independent. For two trackers on the same sequences, pass the differences.

    Parameters
    ----------
    values : array-like, shape (N,)
        One value per sequence.
    weights : array-like, shape (N,), optional
        For example the frames of each sequence; default: equal.
    level : float
        Probability inside the interval.
    draws : int
        Resamples.
    seed : int
        The same seed gives the same interval.
    """
    value = np.asarray(values, dtype=np.float64)
    weight = np.ones_like(value) if weights is None else np.asarray(weights, dtype=np.float64)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(value), np.full(len(value), 1 / len(value)), size=draws)
    means = times @ (value * weight) / (times @ weight)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def success_curve(ious: ArrayLike) -> FloatArray:
    """Share of frames whose overlap exceeds each threshold (Wu et al., OTB), shape (21,)."""
    return _above(ious, SUCCESS_THRESHOLDS)


def success_auc(ious: ArrayLike) -> float:
    """Area under the success curve, the mean over its thresholds."""
    return float(success_curve(ious).mean())


def success_rate(ious: ArrayLike, threshold: float) -> float:
    """Share of frames whose overlap exceeds a threshold (GOT-10k: SR.50, SR.75)."""
    return float((np.asarray(ious) > threshold).mean())


def center_error_px(found_xyxy: ArrayLike, truth_xyxy: ArrayLike) -> FloatArray:
    """Distance of the centres in pixels, shape ``(...)``."""
    off = boxes.center(found_xyxy) - boxes.center(truth_xyxy)
    return np.asarray(np.hypot(off[..., 0], off[..., 1]))


def normalized_error(found_xyxy: ArrayLike, truth_xyxy: ArrayLike) -> FloatArray:
    """Distance of the centres in sizes of the true box, per axis (TrackingNet, LaSOT).

    Infinite where the true box is empty and the centres differ.
    """
    off = boxes.center(found_xyxy) - boxes.center(truth_xyxy)
    size = boxes.size(truth_xyxy)
    empty = np.where(off == 0, 0.0, np.inf)
    share = np.divide(off, size, out=empty, where=size != 0)
    return np.asarray(np.hypot(share[..., 0], share[..., 1]))


def move_and_cut(box_xyxy: ArrayLike, frame_hw: tuple[int, int]) -> FloatArray:
    """Fit boxes into the frame as GOT-10k's toolkit does.

    Its coordinates count from 1 but its frame begins at 0. A box whose corner lies left of or
    above the frame is moved inside before what reaches past the other edges is cut.
    """
    limit_wh = np.array(frame_hw[::-1], dtype=np.float64)
    xywh = boxes.to_xywh(np.asarray(box_xyxy, dtype=np.float64) + 1)
    corner = np.clip(xywh[..., :2], 0, limit_wh)
    size = np.clip(xywh[..., 2:], 0, limit_wh - corner)
    return boxes.from_xywh(np.concatenate([corner, size], axis=-1)) - 1


def _scores(found: FloatArray, truth: FloatArray) -> Scores:
    ious = boxes.iou(found, truth)
    success = success_curve(ious)
    precision = _within(center_error_px(found, truth), PRECISION_THRESHOLDS_PX)
    normalized = _within(normalized_error(found, truth), NORMALIZED_THRESHOLDS)
    true_size = boxes.from_center(boxes.center(found), boxes.size(truth))
    true_center = boxes.from_center(boxes.center(truth), boxes.size(found))
    return Scores(
        frames=len(ious),
        auc=float(success.mean()),
        ao=float(ious.mean()),
        sr50=success_rate(ious, 0.5),
        sr75=success_rate(ious, 0.75),
        precision=float(precision[_SCORE_AT]),
        normalized_precision=float(normalized[_SCORE_AT]),
        auc_true_size=success_auc(boxes.iou(true_size, truth)),
        auc_true_center=success_auc(boxes.iou(true_center, truth)),
        success_curve=tuple(success.tolist()),
        precision_curve=tuple(precision.tolist()),
        normalized_curve=tuple(normalized.tolist()),
    )


def _above(values: ArrayLike, thresholds: FloatArray) -> FloatArray:
    return np.asarray((np.asarray(values)[:, None] > thresholds).mean(axis=0))


def _within(values: ArrayLike, thresholds: FloatArray) -> FloatArray:
    return np.asarray((np.asarray(values)[:, None] <= thresholds).mean(axis=0))
