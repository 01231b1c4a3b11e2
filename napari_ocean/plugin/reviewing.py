"""Risks, flags and summaries of an annotation, worked out anew only for objects that changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_ocean.annotation import review
from napari_ocean.annotation.review import Flag, Risks
from napari_ocean.plugin import layers
from napari_ocean.plugin.plan import Key
from napari_ocean.tracks import Source, Tracks


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
    """Where a person should look in one annotation.

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
        self._summaries: dict[int, Summary] = {}
        self._agreement: dict[int, dict[int, float]] = {}

    def forget(self, object_ids: Iterable[int]) -> None:
        """Take note that some objects have changed."""
        for object_id in object_ids:
            self._risks.pop(object_id, None)
            self._flags.pop(object_id, None)
            self._strips.pop(object_id, None)
            self._summaries.pop(object_id, None)

    def agree(self, agreement: Mapping[Key, float]) -> None:
        """Take note of how far two runs overlap (IoU), by object and frame."""
        for (object_id, frame), iou in agreement.items():
            self._agreement.setdefault(object_id, {})[frame] = iou
        self.forget({object_id for object_id, _ in agreement})

    def disagree_no_longer(self, key: Key) -> None:
        """Take note that a box was made otherwise since."""
        self._agreement.get(key[0], {}).pop(key[1], None)

    def risks(self, object_id: int) -> Risks:
        """Risk of each box of an object."""
        if object_id not in self._risks:
            self._risks[object_id] = review.risks(
                self._tracks, object_id, self._agreement.get(object_id)
            )
        return self._risks[object_id]

    def flags(self, object_id: int | None = None) -> list[Flag]:
        """Flags of one object by time, or of all that are not hidden."""
        if object_id is None:
            ids = [k for k in self._tracks.object_ids if not self._tracks.info(k).hidden]
            return [flag for k in ids for flag in self.flags(k)]
        if object_id not in self._flags:
            self._flags[object_id] = review.flags(object_id, self.risks(object_id))
        return self._flags[object_id]

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
        if object_id not in self._strips:
            risks = self.risks(object_id)
            self._strips[object_id] = review.strip(self._tracks, object_id, risks, self._n_frames)
        return self._strips[object_id]

    def summary(self, object_id: int) -> Summary:
        """One object's line in the list."""
        if object_id not in self._summaries:
            self._summaries[object_id] = self._summarize(object_id)
        return self._summaries[object_id]

    def next_keyframe(
        self, object_ids: Iterable[int], frame: int, *, reverse: bool = False
    ) -> int | None:
        """Nearest keyframe of any of the objects after a frame, or before it."""
        keyframes = {k for object_id in object_ids for k in self._tracks.keyframes(object_id)}
        if reverse:
            return max((k for k in keyframes if k < frame), default=None)
        return min((k for k in keyframes if k > frame), default=None)

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
