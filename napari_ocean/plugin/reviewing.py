"""Risks, flags and summaries of an annotation, worked out anew only for objects that changed.

An object's risks depend on others too, whose boxes may share its place (:func:`.review.overlaps`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ocean.annotation import review
from napari_ocean.annotation.review import Flag, Risks
from napari_ocean.boxes import FloatArray
from napari_ocean.plugin import layers
from napari_ocean.plugin.pending import Key
from napari_ocean.tracks import BoxChange, Change, Source, Tracks

Kept = TypeVar("Kept")


class Summary(NamedTuple):
    """One line of the list of objects.

    Attributes
    ----------
    object_id : int
    label : str
    color : str
        ``#rrggbb``.
    hidden, locked : bool
    first, last : int or None
        Frames between which it has boxes; None without any.
    n_boxes, n_keyframes, n_flags : int
    lowest_score : float or None
        Of its tracked boxes.
    """

    object_id: int
    label: str
    color: str
    hidden: bool
    locked: bool
    first: int | None
    last: int | None
    n_boxes: int
    n_keyframes: int
    n_flags: int
    lowest_score: float | None


class Review:
    """Where a person should look in one annotation, which it watches.

    Parameters
    ----------
    tracks : Tracks
    n_frames : int
        Frames of the clip.
    """

    def __init__(self, tracks: Tracks, n_frames: int) -> None:
        self._tracks = tracks
        self._n_frames = n_frames
        self._risks: dict[int, Risks] = {}
        self._flags: dict[int, list[Flag]] = {}
        self._strips: dict[int, NDArray[np.uint8]] = {}
        self._scores: dict[int, FloatArray] = {}
        self._summaries: dict[int, Summary] = {}
        self._agreement: dict[int, dict[int, float]] = {}
        self._together: dict[int, dict[int, float]] = {}
        self._changed = set(tracks.object_ids)
        self._changed_frames = {k for object_id in self._changed for k in tracks.frames(object_id)}
        tracks.watch(self._on_change)

    def _on_change(self, change: Change) -> None:
        self._changed.add(change.object_id)
        if isinstance(change, BoxChange):
            self._changed_frames.add(change.frame)
            self._agreement.get(change.object_id, {}).pop(change.frame, None)

    def agree(self, agreement: Mapping[Key, float]) -> None:
        """Take note of how far two runs overlap (IoU), by object and frame."""
        for (object_id, frame), iou in agreement.items():
            self._agreement.setdefault(object_id, {})[frame] = iou
            self._changed.add(object_id)

    def _look_around(self) -> None:
        """Forget the objects that changed, and those that they came upon or parted from.

        Only the frames that changed are compared: a run brings a few of a film's at a time.
        """
        changed, self._changed = self._changed, set()
        frames, self._changed_frames = self._changed_frames, set()
        now = review.overlaps(self._tracks, frames)
        for object_id in {*self._together, *now}:
            of, new = self._together.setdefault(object_id, {}), now.get(object_id, {})
            old = {frame: of.pop(frame) for frame in frames & of.keys()}
            of.update(new)
            if old != new:
                changed.add(object_id)
        for known in (self._risks, self._flags, self._strips, self._scores, self._summaries):
            for object_id in changed:
                known.pop(object_id, None)

    def _kept(self, known: dict[int, Kept], object_id: int, work: Callable[[], Kept]) -> Kept:
        """What is known of an object, worked out if it or what it meets has changed."""
        if self._changed:
            self._look_around()
        if object_id not in known:
            known[object_id] = work()
        return known[object_id]

    def risks(self, object_id: int) -> Risks:
        """Risk of each box of an object."""

        def work() -> Risks:
            agreement, together = self._agreement.get(object_id), self._together.get(object_id)
            return review.risks(self._tracks, object_id, agreement, together)

        return self._kept(self._risks, object_id, work)

    def flags(self, object_id: int | None = None) -> list[Flag]:
        """Flags of one object by time, or of all that are not hidden."""
        if object_id is None:
            ids = [k for k in self._tracks.object_ids if not self._tracks.info(k).hidden]
            return [flag for k in ids for flag in self.flags(k)]
        one = object_id
        return self._kept(self._flags, one, lambda: review.flags(one, self.risks(one)))

    def queue(self) -> list[Flag]:
        """All flags, the riskiest first."""
        return review.queue(self.flags())

    def next_flag(
        self, frame: int, object_id: int | None = None, *, reverse: bool = False
    ) -> Flag | None:
        """Nearest flag after a frame, or before it."""
        return review.next_flag(self.flags(), frame, object_id, reverse=reverse)

    def helpful(self, object_id: int, n: int) -> list[int]:
        """Frames where a correction of an object would help most, the best first."""
        return review.helpful(self.risks(object_id), self._tracks.keyframes(object_id), n)

    def strip(self, object_id: int) -> NDArray[np.uint8]:
        """What to paint along the time axis: a :class:`~.review.Mark` for each frame."""

        def work() -> NDArray[np.uint8]:
            return review.strip(self._tracks, object_id, self.risks(object_id), self._n_frames)

        return self._kept(self._strips, object_id, work)

    def scores(self, object_id: int) -> FloatArray:
        """Score on each frame of the clip, NaN where there is no box, shape (T,)."""
        return self._kept(self._scores, object_id, lambda: self._scored(object_id))

    def summary(self, object_id: int) -> Summary:
        """One object's line in the list."""
        return self._kept(self._summaries, object_id, lambda: self._summarize(object_id))

    def next_keyframe(
        self, object_ids: Iterable[int], frame: int, *, reverse: bool = False
    ) -> int | None:
        """Nearest keyframe of any of the objects after a frame, or before it."""
        keyframes = {k for object_id in object_ids for k in self._tracks.keyframes(object_id)}
        if reverse:
            return max((k for k in keyframes if k < frame), default=None)
        return min((k for k in keyframes if k > frame), default=None)

    def _scored(self, object_id: int) -> FloatArray:
        scores = np.full(self._n_frames, np.nan)
        for frame in self._tracks.frames(object_id):
            box = self._tracks.get(object_id, frame)
            if box is not None and frame < self._n_frames:
                scores[frame] = box.score
        return scores

    def _summarize(self, object_id: int) -> Summary:
        info, frames = self._tracks.info(object_id), self._tracks.frames(object_id)
        found = [self._tracks.get(object_id, frame) for frame in frames]
        scores = [box.score for box in found if box and box.source is Source.TRACKED]
        return Summary(
            object_id=object_id,
            label=info.label,
            color=layers.color_of(self._tracks, object_id),
            hidden=info.hidden,
            locked=info.locked,
            first=frames[0] if frames else None,
            last=frames[-1] if frames else None,
            n_boxes=len(frames),
            n_keyframes=sum(box is not None and box.is_keyframe for box in found),
            n_flags=len(self.flags(object_id)),
            lowest_score=min(scores, default=None),
        )
