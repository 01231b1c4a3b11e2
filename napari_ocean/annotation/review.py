"""Where a person should look: the risk of each machine-made box, and an ordered list of flags.

Risk is a number in ``[0, 1]``, the largest of a few plain signs (:class:`Sign`), so that the window
can say why a frame is flagged. Keyframes, boxes marked as fine and absent frames have none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum, StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.tracks import Source, State, Tracks

IntArray = NDArray[np.int64]

FLAGGED = 0.5
"""Risk from which on a frame is flagged."""

STATE_RISK = {State.FOUND: 0.0, State.UNCERTAIN: 0.5, State.LOST: 1.0}
CHANGED_RISK = 0.5
"""Risk of the first frame after a change of state, either way: a target found again may be a
different one."""

JUMP_SIDES = 0.5
"""Unexpected motion within one frame, in sides of the box, that is certain to be wrong."""

JUMP_GROWTH = 1.5
"""Growth or shrinking of a side within one frame that is certain to be wrong."""

NEIGHBOURS = 0.5
"""Overlap (IoU) with another object's box that is no risk: neighbours that touch have so much."""

SAME_PLACE = 0.9
"""Overlap from which on more tells nothing, so that of a stretch the first such frame is looked
at: a correction there mends the rest too."""

JOINED_FRAMES = 15
"""Distance of two flagged frames between which boxes that stay more than neighbours do not part:
two that were drawn differently on one animal share now more of it, now less."""

MEMORY_FRAMES = 10
"""Frames over which a score is usual, for a score to fall from."""

HELP_FRAMES = 30
"""Distance over which a correction is taken to help a third (1/e) as much."""


class Mark(IntEnum):
    """What a frame is, for the strip along the time axis."""

    NOTHING = 0
    ABSENT = 1
    KEYFRAME = 2
    TRACKED = 3
    INTERPOLATED = 4
    RISKY = 5


class Sign(StrEnum):
    """Why a frame is at risk."""

    SCORE = "low score"
    FALL = "falling score"
    STATE = "uncertain or lost"
    CHANGE = "change of state"
    PLACE = "jump of place"
    SIZE = "jump of size"
    RUNS = "forward and backward runs disagree"
    TOGETHER = "same place as another object"


class Risks(NamedTuple):
    """Risk of each frame on which an object has a box.

    Attributes
    ----------
    frames : ndarray of int64, shape (N,)
        Ascending.
    risk : ndarray of float64, shape (N,)
        In ``[0, 1]``.
    signs : tuple of Sign, length N
        What the risk comes from; without meaning where it is 0.
    """

    frames: IntArray
    risk: FloatArray
    signs: tuple[Sign, ...]


class Flag(NamedTuple):
    """Neighbouring frames of an object that are at risk, and the one to look at.

    Attributes
    ----------
    object_id : int
    frame : int
        The riskiest frame; of several, the first.
    start, stop : int
        Frames of the flag, in ``range`` manner.
    risk : float
    sign : Sign
    """

    object_id: int
    frame: int
    start: int
    stop: int
    risk: float
    sign: Sign


def overlaps(tracks: Tracks, frames: Iterable[int]) -> dict[int, dict[int, float]]:
    """Largest overlap (IoU) of boxes with another object's on the same frame.

    A box that a person has marked as occluded counts for no object: two in one place are expected.

    Parameters
    ----------
    tracks : Tracks
    frames : iterable of int
        Those to look at, each once.

    Returns
    -------
    dict of int to dict of int to float
        By object and frame, where it is above :data:`NEIGHBOURS`.
    """
    here = [
        (frame, object_id, box.box_xyxy)
        for frame in frames
        for object_id, box in tracks.on_frame(frame).items()
        if not box.occluded
    ]
    frame_of = np.array([frame for frame, _, _ in here], dtype=np.int64)
    boxes_xyxy = np.array([box_xyxy for _, _, box_xyxy in here]).reshape(-1, 4)
    largest = np.zeros(len(here))
    for step in range(1, len(here)):  # the boxes of a frame stand together
        one = np.flatnonzero(frame_of[step:] == frame_of[:-step])
        if not len(one):
            break
        iou = boxes.iou(boxes_xyxy[one], boxes_xyxy[one + step])
        for pair in (one, one + step):
            largest[pair] = np.maximum(largest[pair], iou)
    found: dict[int, dict[int, float]] = {}
    for row in np.flatnonzero(largest > NEIGHBOURS).tolist():
        frame, object_id, _ = here[row]
        found.setdefault(object_id, {})[frame] = float(largest[row])
    return found


def risks(
    tracks: Tracks,
    object_id: int,
    agreement: Mapping[int, float] | None = None,
    together: Mapping[int, float] | None = None,
) -> Risks:
    """Risk of each box of an object.

    Parameters
    ----------
    tracks : Tracks
    object_id : int
    agreement : mapping of int to float, optional
        Overlap (IoU) of the forward and the backward run, by frame, where both exist.
    together : mapping of int to float, optional
        Overlap with the other objects (:func:`overlaps`), by frame, where there is any.
    """
    frames = np.array(tracks.frames(object_id), dtype=np.int64)
    found = [tracks.get(object_id, frame) for frame in frames.tolist()]
    of = [box for box in found if box is not None]
    if not of:
        return Risks(frames, np.zeros(0), ())
    scores = np.array([box.score for box in of])
    state = np.array([STATE_RISK[box.state] for box in of])
    tracked = np.array([box.source is Source.TRACKED for box in of])
    linked = np.concatenate([[False], np.diff(frames) == 1])
    keyframe = np.array([box.is_keyframe for box in of])
    place, size = _jumps(np.array([box.box_xyxy for box in of]), linked, keyframe)
    known, near = agreement or {}, together or {}
    overlap = np.array([near.get(frame, 0.0) for frame in frames.tolist()])
    settled = keyframe | np.array([box.fine for box in of])
    by_sign = {
        Sign.SCORE: np.where(tracked, 1 - scores, 0.0),
        Sign.FALL: np.where(tracked, _falls(scores), 0.0),
        Sign.STATE: state,
        Sign.CHANGE: CHANGED_RISK * (linked & (np.diff(state, prepend=state[0]) != 0)),
        Sign.PLACE: place,
        Sign.SIZE: size,
        Sign.RUNS: np.array([1 - known.get(frame, 1.0) for frame in frames.tolist()]),
        Sign.TOGETHER: _together(frames, np.where(settled, 0.0, overlap)),
    }
    table = np.clip(np.stack(list(by_sign.values())), 0, 1)  # (signs, N)
    signs = list(by_sign)
    risk = np.where(settled, 0.0, table.max(axis=0))
    return Risks(frames, risk, tuple(signs[k] for k in table.argmax(axis=0)))


def flags(object_id: int, of: Risks, threshold: float = FLAGGED) -> list[Flag]:
    """Flags of an object, one for each run of neighbouring frames at risk, by time.

    What is left to review is their number; :func:`napari_ocean.annotation.edits.mark_fine` on the
    frames of one, or a correction, takes it away.
    """
    risky = np.flatnonzero(of.risk >= threshold)
    found = []
    for part in np.split(risky, np.flatnonzero(np.diff(of.frames[risky]) > 1) + 1):
        if len(part):
            worst = part[of.risk[part].argmax()]
            start, stop = of.frames[part[0]], of.frames[part[-1]] + 1
            flag = Flag(
                object_id,
                int(of.frames[worst]),
                int(start),
                int(stop),
                float(of.risk[worst]),
                of.signs[worst],
            )
            found.append(flag)
    return found


def queue(found: Iterable[Flag]) -> list[Flag]:
    """Flags of any objects in the order to review them: the riskiest first, the longest first."""
    return sorted(found, key=lambda flag: (-flag.risk, flag.start - flag.stop, flag[:2]))


def next_flag(
    found: Iterable[Flag], frame: int, object_id: int | None = None, *, reverse: bool = False
) -> Flag | None:
    """Nearest flag after a place, or before it with `reverse`: by frame, then by object.

    Parameters
    ----------
    found : iterable of Flag
    frame : int
        The place; flags are where their frame to look at is.
    object_id : int, optional
        The object looked at there; by default all objects of the frame have been seen.
    reverse : bool
    """
    if reverse:
        before = [of for of in found if _place(of) < (frame, object_id or 0)]
        return max(before, key=_place, default=None)
    seen = frame, math.inf if object_id is None else object_id
    return min((of for of in found if _place(of) > seen), key=_place, default=None)


def _place(flag: Flag) -> tuple[int, int]:
    return flag.frame, flag.object_id


def helpful(of: Risks, keyframes: Sequence[int], n: int) -> list[int]:
    """Frames where a correction would help most, the best first.

    A correction is taken to mend the frame itself wholly and others the less, the farther they
    are, up to the next keyframe. Each further frame is chosen as if those before were corrected.

    Parameters
    ----------
    of : Risks
    keyframes : sequence of int
        The object's, ascending.
    n : int
        Frames wanted; fewer are returned where nothing is at risk.
    """
    if not len(of.frames):
        return []
    first = int(of.frames[0])
    left = np.zeros(int(of.frames[-1]) - first + 1)  # risk left on each frame
    left[of.frames - first] = of.risk
    chosen: list[int] = []
    for _ in range(n):
        cuts = np.unique(np.clip(np.array([*keyframes, *chosen], dtype=np.int64) - first, 0, None))
        gain = np.concatenate([_gain(part) for part in np.split(left, cuts)])
        best = int(np.where(left > 0, gain, 0).argmax())
        if left[best] <= 0:
            break
        chosen.append(first + best)
        low = int(cuts[cuts <= best].max(initial=0))
        high = int(cuts[cuts > best].min(initial=len(left)))
        left[low:high] *= 1 - _help(np.arange(low, high) - best)
    return chosen


def strip(tracks: Tracks, object_id: int, of: Risks, n_frames: int) -> NDArray[np.uint8]:
    """What to paint along the time axis for an object: a :class:`Mark` for each frame."""
    marks = np.full(n_frames, Mark.NOTHING, dtype=np.uint8)
    for span in tracks.absent_spans(object_id):
        marks[span.start : span.stop] = Mark.ABSENT
    for frame, risk in zip(of.frames.tolist(), of.risk, strict=True):
        box = tracks.get(object_id, frame)
        if box is None or frame >= n_frames:
            continue
        if box.is_keyframe:
            marks[frame] = Mark.KEYFRAME
        elif risk >= FLAGGED:
            marks[frame] = Mark.RISKY
        else:
            made = Mark.TRACKED if box.source is Source.TRACKED else Mark.INTERPOLATED
            marks[frame] = made
    return marks


def _falls(scores: FloatArray) -> FloatArray:
    """How far each score lies under the median of those before it."""
    before = np.concatenate([np.full(MEMORY_FRAMES, scores[0]), scores[:-1]])
    windows = np.lib.stride_tricks.sliding_window_view(before, MEMORY_FRAMES)
    return np.asarray(np.median(windows, axis=1) - scores)


def _together(frames: IntArray, overlap: FloatArray) -> FloatArray:
    """Risk of sharing a place, ``(N,)``; 0 is an overlap that is no risk.

    Short stretches between two flagged frames are flagged too, unless the boxes part there.
    """
    risk = np.minimum(overlap, SAME_PLACE) ** 2
    flagged = np.flatnonzero(risk >= FLAGGED)
    for low, high in pairwise(flagged.tolist()):
        if high > low + 1 and frames[high] - frames[low] <= JOINED_FRAMES:
            between = slice(low + 1, high)
            if overlap[between].all():
                risk[between] = FLAGGED
    return np.asarray(risk)


def _jumps(
    boxes_xyxy: FloatArray, linked: NDArray[np.bool_], keyframe: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Risk of sudden changes of place and of size since the frame before, ``(N,)`` each.

    Motion is unexpected as far as it differs both from standing still and from the motion before.
    The risk grows with its square, as shaky cameras and changing outlines make small jumps usual.
    A jump onto a keyframe counts for the machine's box before it: that is the one gone astray.
    """
    sizes = np.maximum(boxes.size(boxes_xyxy), boxes.MIN_SIZE_PX)
    centers = boxes.center(boxes_xyxy)
    motion = np.where(linked[:, None], np.diff(centers, axis=0, prepend=centers[:1]), 0)
    change = np.diff(motion, axis=0, prepend=motion[:1])
    sides = np.sqrt(np.roll(sizes, 1, axis=0).prod(axis=1))
    length = np.minimum(np.linalg.norm(motion, axis=1), np.linalg.norm(change, axis=1))
    growth = np.abs(np.diff(np.log(sizes), axis=0, prepend=np.log(sizes[:1]))).max(axis=1)
    place = np.where(linked, length / sides / JUMP_SIDES, 0) ** 2
    size = np.where(linked, growth / np.log(JUMP_GROWTH), 0) ** 2
    return _blame(np.asarray(place), keyframe), _blame(np.asarray(size), keyframe)


def _blame(jump: FloatArray, keyframe: NDArray[np.bool_]) -> FloatArray:
    onto = np.append(jump[1:] * keyframe[1:], 0)
    return np.asarray(np.maximum(jump, onto))


def _gain(risk: FloatArray) -> FloatArray:
    """Risk that a correction on each frame of a stretch between two keyframes would take away."""
    if not len(risk):
        return risk
    reach = 3 * HELP_FRAMES
    return np.convolve(risk, _help(np.arange(-reach, reach + 1)))[reach:-reach]


def _help(distance: IntArray) -> FloatArray:
    """Share of the risk that a correction at some distance in frames takes away."""
    return np.asarray(np.exp(-((distance / HELP_FRAMES) ** 2)))
