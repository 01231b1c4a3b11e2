"""Which objects a press on Track means, and over which frames each of them runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
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
    "Tracks every object with a box that you drew or changed and that was not tracked since, from "
    "that box. If there is none: the objects selected on this frame, else all that have a box on "
    "this frame, from there; else all objects again from the boxes you drew."
)
"""What :func:`plan` chooses, as the tool tip says it."""

Key = tuple[int, int]
"""Object id and frame: what identifies a box."""


class Pending:
    """Drawn boxes that wait for a run, for each of the two ways to walk."""

    def __init__(self) -> None:
        self._keys: dict[bool, set[Key]] = {False: set(), True: set()}

    def add(self, *keys: Key) -> None:
        """Take note of boxes that a person has just drawn or changed."""
        for waiting in self._keys.values():
            waiting.update(keys)

    def remove(self, key: Key) -> None:
        """Forget a box that is gone."""
        for waiting in self._keys.values():
            waiting.discard(key)

    def passed(self, key: Key, frames: Sequence[int], *, reverse: bool) -> None:
        """Take note that a run has met a box.

        It waits no longer on the way of that run, and on the other way only if nothing lies there
        yet: tracking forwards from a corrected box leaves nothing to do in front of it.

        Parameters
        ----------
        key : tuple of int
        frames : sequence of int
            All frames on which the object has a box, ascending.
        reverse : bool
            Whether the run walked downwards.
        """
        self._keys[reverse].discard(key)
        if frames[-1] > key[1] if reverse else frames[0] < key[1]:
            self._keys[not reverse].discard(key)

    def frames(self, *, reverse: bool) -> dict[int, list[int]]:
        """Frames of the waiting boxes, by object."""
        frames: dict[int, list[int]] = defaultdict(list)
        for object_id, frame in sorted(self._keys[reverse]):
            frames[object_id].append(frame)
        return frames


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


def plan(
    tracks: Tracks,
    direction: Direction,
    *,
    frame: int,
    start: int,
    stop: int,
    pending: Pending | None = None,
    selected: Collection[int] = (),
) -> list[Leg]:
    """Choose objects and passes by :data:`RULE`; forward passes come first.

    Parameters
    ----------
    tracks : Tracks
    direction : Direction
    frame : int
        The frame on the screen.
    start, stop : int
        Frames that may be written, in ``range`` manner.
    pending : Pending, optional
        Drawn boxes that wait for a run; none by default.
    selected : collection of int
        Objects selected on `frame`.

    Raises
    ------
    TracksError
        If no object has a box to begin with, or nothing lies beyond the boxes in that direction.
    """
    ways = {Direction.FORWARD: [False], Direction.BACKWARD: [True]}.get(direction, [False, True])
    pick = max if direction is Direction.BACKWARD else min
    groups: dict[tuple[bool, int, int], list[int]] = defaultdict(list)

    def add(object_id: int, frames: Iterable[int], *, reverse: bool) -> None:
        """Walk that way from the first of the frames that something lies beyond."""
        low, high = (start + 1, stop) if reverse else (start, stop - 1)
        if inside := [k for k in frames if low <= k < high]:
            of = (start, pick(inside) + 1) if reverse else (pick(inside), stop)
            groups[reverse, *of].append(object_id)

    for reverse in ways:
        for object_id, frames in (pending or Pending()).frames(reverse=reverse).items():
            add(object_id, frames, reverse=reverse)
    if not groups:
        begins = _begins(tracks, frame, start, stop, selected)
        for reverse in ways:
            for object_id, frames in begins.items():
                add(object_id, [pick(frames)], reverse=reverse)
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


def _begins(
    tracks: Tracks, frame: int, start: int, stop: int, selected: Collection[int]
) -> dict[int, list[int]]:
    """Frames to begin at where no box waits, by object."""
    if start <= frame < stop:
        here = [o for o in tracks.object_ids if tracks.get(o, frame) is not None]
        if here:
            return {o: [frame] for o in here if o in selected} or {o: [frame] for o in here}
    drawn = {
        object_id: [k for k in tracks.drawn_frames(object_id) if start <= k < stop]
        for object_id in tracks.object_ids
    }
    if not any(drawn.values()):
        raise TracksError(
            f"No box was drawn on frames {start} to {stop - 1}; draw one around the object, or "
            "choose another range."
        )
    return {object_id: frames for object_id, frames in drawn.items() if frames}
