"""Which objects a press on Track means, and over which frames each of them runs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum

from napari_ocean.errors import TracksError
from napari_ocean.tracks import Tracks


class Direction(StrEnum):
    """Where to track from a box."""

    BACKWARD = "backward"
    BOTH = "both"
    FORWARD = "forward"


RULE = (
    "Tracks each object whose box you drew on this frame, and each drawn object that has not "
    "been tracked yet, from its own box. If there are none, goes on from the tracked boxes of "
    "this frame; failing these, starts all objects again from the boxes you drew."
)
"""What :func:`plan` chooses, as the tool tip says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One pass over ``range(start, stop)``, for some objects at once.

    Attributes
    ----------
    object_ids : tuple of int
    start, stop : int
        Frames of the pass, in ``range`` manner.
    reverse : bool
        Whether the frames are walked downwards.
    steps : int
        Boxes to expect, over all objects.
    """

    object_ids: tuple[int, ...]
    start: int
    stop: int
    reverse: bool
    steps: int


def plan(tracks: Tracks, direction: Direction, *, frame: int, start: int, stop: int) -> list[Leg]:
    """Choose objects and passes by :data:`RULE`; forward passes come first.

    Parameters
    ----------
    tracks : Tracks
    direction : Direction
    frame : int
        The frame on the screen.
    start, stop : int
        Frames that may be written, in ``range`` manner.

    Raises
    ------
    TracksError
        If no object has a box to begin with, or nothing lies beyond the boxes in that direction.
    """
    anchors = _anchors(tracks, direction, frame, start, stop)
    if not anchors:
        raise TracksError(
            f"No box was drawn on frames {start} to {stop - 1}; draw one around the object, or "
            "choose another range."
        )
    groups: dict[tuple[bool, int, int], list[int]] = defaultdict(list)
    for object_id, anchor in anchors.items():
        if direction is not Direction.BACKWARD and anchor + 1 < stop:
            groups[False, anchor, stop].append(object_id)
        if direction is not Direction.FORWARD and anchor > start:
            groups[True, start, anchor + 1].append(object_id)
    if not groups:
        where = "before" if direction is Direction.BACKWARD else "after"
        raise TracksError(
            f"No frame of the range {start} to {stop - 1} lies {where} the box; widen the range "
            "or track in the other direction."
        )
    return [
        Leg(
            object_ids=tuple(ids),
            start=low,
            stop=high,
            reverse=reverse,
            steps=len(ids) * (high - low),
        )
        for (reverse, low, high), ids in sorted(groups.items())
    ]


def _anchors(
    tracks: Tracks, direction: Direction, frame: int, start: int, stop: int
) -> dict[int, int]:
    """Map each chosen object to the frame its run begins on."""
    drawn = {
        object_id: [k for k in tracks.drawn_frames(object_id) if start <= k < stop]
        for object_id in tracks.object_ids
    }
    first = -1 if direction is Direction.BACKWARD else 0
    anchors = {o: frame for o, frames in drawn.items() if frame in frames}
    for object_id, frames in drawn.items():
        untracked = tracks.frames(object_id) == tracks.drawn_frames(object_id)
        if frames and untracked:
            anchors.setdefault(object_id, frames[first])
    if not anchors and start <= frame < stop:
        anchors = {o: frame for o in tracks.object_ids if tracks.get(o, frame) is not None}
    return anchors or {o: frames[first] for o, frames in drawn.items() if frames}
