"""Which objects a press on Track means, and over which frames each of them runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from napari_ocean.errors import TracksError
from napari_ocean.plugin.pending import Pending
from napari_ocean.tracks import Tracks


class Direction(StrEnum):
    """Where to track from a box."""

    BACKWARD = "backward"
    BOTH = "both"
    FORWARD = "forward"


class Who(StrEnum):
    """Which objects to track."""

    WAITING = "what I drew"
    SELECTED = "selected"
    ALL = "all objects"
    EMPTY = "objects without boxes here"


class Reach(StrEnum):
    """How far to track."""

    RANGE = "to the end of the range"
    KEYFRAME = "to the next keyframe"


RULE = (
    "Tracks every object with a box that you drew or changed and that was not tracked since, from "
    "that box. If there is none: the selected objects, with none selected all, from this frame "
    "where they have a box on it; else again from the boxes you drew."
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
        Boxes to track, over all objects; a fused leg tracks each twice.
    fused : bool
        Whether the objects have keyframes on both ends, to be tracked from both and fused.
    """

    object_ids: tuple[int, ...]
    start: int
    stop: int
    reverse: bool
    steps: int
    fused: bool = False


def plan(
    tracks: Tracks,
    direction: Direction,
    *,
    frame: int,
    start: int,
    stop: int,
    pending: Pending | None = None,
    selected: Collection[int] = (),
    who: Who = Who.WAITING,
    reach: Reach = Reach.RANGE,
) -> list[Leg]:
    """Choose objects and passes, by :data:`RULE` unless `who` says otherwise; forward ones first.

    Objects chosen by name begin on `frame` if they have a box there, else at their keyframes.
    Locked objects are left out. As far as the next keyframe, objects selected here go before those
    that wait, and a pass that begins at a keyframe is tracked from both ends and fused.

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
        Objects that the person has selected.
    who : Who
    reach : Reach

    Raises
    ------
    TracksError
        If no object has a box to begin with, or nothing lies beyond the boxes in that direction.
    """
    ways = {Direction.FORWARD: [False], Direction.BACKWARD: [True]}.get(direction, [False, True])
    pick = max if direction is Direction.BACKWARD else min
    groups: dict[_Pass, list[int]] = defaultdict(list)

    def add(object_id: int, frames: Iterable[int], *, reverse: bool) -> None:
        """Walk that way from the first of the frames that something lies beyond."""
        low, high = (start + 1, stop) if reverse else (start, stop - 1)
        inside = [k for k in frames if low <= k < high]
        if inside and not tracks.info(object_id).locked:
            of = (
                _Pass(reverse, start, pick(inside) + 1)
                if reverse
                else _Pass(reverse, pick(inside), stop)
            )
            groups[_as_far_as(reach, tracks, object_id, of)].append(object_id)

    here = tracks.on_frame(frame).keys() if start <= frame < stop else ()
    at_hand = reach is Reach.KEYFRAME and not set(selected).isdisjoint(here)
    if who is not Who.WAITING or at_hand or pending is None:
        pending = Pending()
    for reverse in ways:
        for object_id, frames in pending.frames(reverse=reverse).items():
            add(object_id, frames, reverse=reverse)
    if not groups:
        begins = _stuck(tracks, pending, ways, frame)
        begins = begins or _begins(tracks, frame, start, stop, selected, who)
        for reverse in ways:
            for object_id, frames in begins.items():
                add(object_id, [pick(frames)], reverse=reverse)
        if not groups:
            raise TracksError(_why_none(tracks, begins, direction, start, stop))
    return _legs(groups)


def between(tracks: Tracks, object_ids: Iterable[int], frame: int) -> list[Leg]:
    """Track from the keyframes on both sides of a frame, and fuse the runs.

    On a keyframe the gap after it counts, or the one before it where it is the last. Locked
    objects, and those without two keyframes around the frame, are left out.

    Raises
    ------
    TracksError
        If that leaves none.
    """
    groups: dict[_Pass, list[int]] = defaultdict(list)
    for object_id in object_ids:
        keyframes = [] if tracks.info(object_id).locked else tracks.keyframes(object_id)
        absent = [span.start for span in tracks.absent_spans(object_id)]
        for low, high in reversed(list(pairwise(keyframes))):
            around = low <= frame <= high and high > low + 1
            if around and not any(low < k < high for k in absent):
                groups[_Pass(False, low, high + 1, True)].append(object_id)
                break
    if not groups:
        raise TracksError(
            f"No object has keyframes on both sides of frame {frame}; draw or correct its box on "
            "a frame before and on one after."
        )
    return _legs(groups)


def shut_off(tracks: Tracks, leg: Leg) -> list[tuple[int, range]]:
    """Objects that a leg ends with at once, and where the person has marked them absent.

    They are so on the frame after the one to begin at, and have no further keyframe on the way.
    """
    begin, step = (leg.stop - 1, -1) if leg.reverse else (leg.start, 1)
    found = []
    for object_id in leg.object_ids:
        if not any(leg.start <= k < leg.stop for k in tracks.keyframes(object_id) if k != begin):
            spans = tracks.absent_spans(object_id)
            found += [(object_id, span) for span in spans if begin + step in span]
    return found


def _stuck(
    tracks: Tracks, pending: Pending, ways: Iterable[bool], frame: int
) -> dict[int, list[int]]:
    """Boxes that wait on a frame although no run begins there: no others are tracked instead."""
    waiting = {o for way in ways for o, at in pending.frames(reverse=way).items() if frame in at}
    return {object_id: [frame] for object_id in waiting if not tracks.info(object_id).locked}


def _why_none(
    tracks: Tracks, object_ids: Iterable[int], direction: Direction, start: int, stop: int
) -> str:
    """Why none of some objects can be tracked."""
    if all(tracks.info(object_id).locked for object_id in object_ids):
        return "All objects to track are locked; unlock one in the list first."
    where = "before" if direction is Direction.BACKWARD else "after"
    return (
        f"No frame of the range {start} to {stop - 1} lies {where} the box; widen the range "
        "or track in the other direction."
    )


class _Pass(NamedTuple):
    reverse: bool
    start: int
    stop: int
    fused: bool = False


def _as_far_as(reach: Reach, tracks: Tracks, object_id: int, of: _Pass) -> _Pass:
    """Shorten a pass of an object to its next keyframe, if it is to reach no farther."""
    if reach is Reach.RANGE:
        return of
    begin = of.stop - 1 if of.reverse else of.start
    keyframes = tracks.keyframes(object_id)
    if of.reverse:
        end = max((k for k in keyframes if of.start <= k < begin), default=None)
        low, high = (of.start, begin) if end is None else (end, begin)
    else:
        end = min((k for k in keyframes if begin < k < of.stop), default=None)
        low, high = (begin, of.stop - 1) if end is None else (begin, end)
    absent = any(low < span.start < high for span in tracks.absent_spans(object_id))
    fused = end is not None and begin in keyframes and high > low + 1 and not absent
    return _Pass(of.reverse and not fused, low, high + 1, fused)


def _legs(groups: dict[_Pass, list[int]]) -> list[Leg]:
    return [
        Leg(
            object_ids=tuple(sorted(set(ids))),
            start=of.start,
            stop=of.stop,
            reverse=of.reverse,
            steps=len(set(ids)) * (of.stop - of.start) * (2 if of.fused else 1),
            fused=of.fused,
        )
        for of, ids in sorted(groups.items())
    ]


def _begins(
    tracks: Tracks, frame: int, start: int, stop: int, selected: Collection[int], who: Who
) -> dict[int, list[int]]:
    """Frames to begin at where no box waits, by object."""
    ids = _chosen(tracks, start, stop, selected, who)
    if who is Who.WAITING and selected:
        ids = [o for o in ids if o in selected]
    if start <= frame < stop:
        here = [o for o in ids if tracks.get(o, frame) is not None]
        if who is Who.WAITING and here:
            return {o: [frame] for o in here}
    drawn = {o: [k for k in tracks.keyframes(o) if start <= k < stop] for o in ids}
    if who is not Who.WAITING and start <= frame < stop:
        drawn |= {o: [frame] for o in here}
    if not any(drawn.values()):
        raise TracksError(
            f"No box was drawn on frames {start} to {stop - 1}; draw one around the object, or "
            "choose another range."
        )
    return {object_id: frames for object_id, frames in drawn.items() if frames}


def _chosen(
    tracks: Tracks, start: int, stop: int, selected: Collection[int], who: Who
) -> list[int]:
    """Objects that are to be tracked."""
    if who is Who.SELECTED:
        if not selected:
            raise TracksError("No object is selected; select its box or its line in the list.")
        return sorted(selected)
    if who is Who.EMPTY:
        free = [o for o in tracks.object_ids if not _filled(tracks, o, start, stop)]
        if not free:
            raise TracksError(
                f"All objects have tracked boxes on frames {start} to {stop - 1} already."
            )
        return free
    return tracks.object_ids


def _filled(tracks: Tracks, object_id: int, start: int, stop: int) -> bool:
    """Whether the machine has been on these frames for an object."""
    found = (tracks.get(object_id, k) for k in tracks.frames(object_id) if start <= k < stop)
    return any(box is not None and not box.is_keyframe for box in found)
