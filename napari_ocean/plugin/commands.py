"""What the commands for marks, review and undo do to a session.

The commands that track are in ``widget.py``, as they need the form.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from typing import Protocol

from napari_ocean.annotation.history import Step
from napari_ocean.annotation.interpolate import Curve
from napari_ocean.annotation.review import Flag
from napari_ocean.errors import TracksError
from napari_ocean.plugin.keys import native
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.words import counted, on_frames
from napari_ocean.tracks import ABSENT, TrackBox


class Place(Protocol):
    """Where a person is: a session, a frame and some objects."""

    @property
    def session(self) -> Session | None:
        """The annotation in view."""

    @property
    def frame(self) -> int:
        """The frame in view."""

    @property
    def chosen(self) -> list[int]:
        """Objects that the person has selected, last in the layer or in the list."""

    def visit(self, frame: int, object_id: int | None = None) -> None:
        """Go to a frame, and select an object there."""

    def tell(self, text: str) -> None:
        """Say something in the status line."""


class Commands:
    """One method for each command, by its name.

    Parameters
    ----------
    place : Place
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def _session(self) -> Session:
        session = self._place.session
        if session is None or not session.tracks.object_ids:
            raise TracksError(NO_BOX)
        return session

    def objects(self) -> list[int]:
        """Objects that a mark is for: those selected, or the only one there is.

        Raises
        ------
        TracksError
            If nothing is selected and there are several.
        """
        ids = self._session.tracks.object_ids
        chosen = [object_id for object_id in self._place.chosen if object_id in ids]
        if not chosen and len(ids) > 1:
            raise TracksError(SELECT_ONE)
        return chosen or ids

    # -- marks -------------------------------------------------------------------------------------

    def keyframe(self) -> None:
        """Take the machine's boxes on this frame for keyframes."""
        session, ids, frame = self._session, self.objects(), self._place.frame
        here = [box for box in map(session.tracks.on_frame(frame).get, ids) if box is not None]
        if why_not := why_not_keep(here):
            raise TracksError(why_not)
        session.keep(ids, frame)

    def absent(self) -> None:
        """Mark this frame absent; where all are, take that back up to the end of the stretch."""
        session, ids, frame = self._session, self.objects(), self._place.frame
        if any(session.tracks.cell(object_id, frame) is not ABSENT for object_id in ids):
            session.mark_absent(ids, frame, frame + 1)
            self._place.tell(f"Out of view on frame {frame}.")
        else:
            last = session.back_in_view(ids, frame) - 1
            upto = f" to {last}" if last > frame else ""
            self._place.tell(f"In view again: frame {frame}{upto}.")

    def absent_on(self) -> None:
        """Mark the objects absent from this frame up to the next keyframe of each."""
        ids, frame = self.objects(), self._place.frame
        self._session.mark_absent_on(ids, frame)
        self._place.tell(f"Out of view from frame {frame} up to the next box of yours.")

    def occluded(self) -> None:
        """Turn the occluded mark of this frame on, or off where all have it."""
        session, frame = self._session, self._place.frame
        boxes = {object_id: session.tracks.get(object_id, frame) for object_id in self.objects()}
        known = {object_id: box for object_id, box in boxes.items() if box is not None}
        if not known:
            raise TracksError(NO_BOX_HERE)
        on = not all(box.occluded for box in known.values())
        session.mark_occluded(list(known), frame, frame + 1, occluded=on)
        self._place.tell(f"Hidden on frame {frame}." if on else f"Not hidden on frame {frame}.")

    def start_here(self) -> None:
        """Begin the objects on this frame."""
        self._session.start_here(self.objects(), self._place.frame)

    def end_here(self) -> None:
        """End the objects on this frame."""
        self._session.end_here(self.objects(), self._place.frame)

    def delete_box(self) -> None:
        """Delete the boxes on this frame; the objects stay."""
        session, ids, frame = self._session, self.objects(), self._place.frame
        if all(session.tracks.cell(object_id, frame) is None for object_id in ids):
            raise TracksError(NO_BOX_HERE)
        session.remove(ids, frame)

    def clear_on(self) -> None:
        """Delete the machine's boxes after this frame, up to the next keyframe of each object."""
        session, ids, frame = self._session, self.objects(), self._place.frame
        before = len(session.tracks)
        session.clear_on(ids, frame)
        gone = before - len(session.tracks)
        self._place.tell(
            f"Deleted {counted(gone, 'tracked box', 'es')} after frame {frame}."
            if gone
            else f"There is no tracked box between frame {frame} and the next box of yours."
        )

    # -- whole objects -----------------------------------------------------------------------------

    def delete(self) -> None:
        """Delete the selected objects."""
        ids, session = self.objects(), self._session
        n_boxes = sum(len(session.tracks.frames(object_id)) for object_id in ids)
        names = ", ".join(session.name(object_id) for object_id in ids)
        gone, undo = counted(n_boxes, "box", "es"), native("Ctrl+Z")
        session.delete_objects(ids)
        self._place.tell(f"Deleted {names}, {gone}; {undo} brings them back.")

    def join(self) -> None:
        """Merge the selected objects into the first one."""
        keep, *others = self.objects()
        if not others:
            raise TracksError("Select the two objects that are one.")
        self._session.join(keep, others)
        self._place.tell(f"Merged into {self._session.name(keep)}.")

    def split(self) -> None:
        """Give the boxes from this frame on to a new object."""
        object_id, *others = self.objects()
        if others:
            raise TracksError("Select one object only.")
        new_id = self._session.split(object_id, self._place.frame)
        self._place.tell(f"Object {new_id} goes on from frame {self._place.frame}.")

    def interpolate(self, curve: Curve = Curve.LINEAR) -> None:
        """Interpolate between the keyframes before and after this frame."""
        session, frame = self._session, self._place.frame
        found = {k: around(session.tracks.keyframes(k), frame) for k in self.objects()}
        spans = {k: range(span[0], span[1] + 1) for k, span in found.items() if span is not None}
        if not spans:
            raise TracksError(NOT_BETWEEN)
        session.interpolate(spans, curve)

    # -- review ------------------------------------------------------------------------------------

    def next_flag(self) -> None:
        """Go to the next flagged frame, after the last to the first."""
        self._go_to_flag(reverse=False)

    def previous_flag(self) -> None:
        """Go to the flagged frame before, before the first to the last."""
        self._go_to_flag(reverse=True)

    def fine(self) -> None:
        """Mark the boxes flagged on this frame as fine, and go to the next flag."""
        session, frame = self._session, self._place.frame
        here = self.flags_here()
        session.mark_fine({flag.object_id: range(flag.start, flag.stop) for flag in here})
        if not here:
            self._place.tell(f"Nothing is flagged on frame {frame}.")
        if here or session.review.queue():
            self._go_to_flag(reverse=False)

    def flags_here(self) -> list[Flag]:
        """Flags on this frame, of the selected objects if there are any."""
        session, frame = self._session, self._place.frame
        here = [flag for flag in session.review.queue() if flag.start <= frame < flag.stop]
        chosen = set(self._place.chosen)
        return [flag for flag in here if flag.object_id in chosen] if chosen else here

    def _go_to_flag(self, *, reverse: bool) -> None:
        review, chosen = self._session.review, self._place.chosen
        at = chosen[0] if len(chosen) == 1 else None
        beyond = self._session.n_frames if reverse else -1
        flag = review.next_flag(self._place.frame, at, reverse=reverse)
        flag = flag or review.next_flag(beyond, reverse=reverse)
        if flag is None:
            self._place.tell("Nothing is left to review.")
            return
        self._place.visit(flag.frame, flag.object_id)
        self._place.tell(f"Frame {flag.frame}: {flag.sign}.")

    def next_keyframe(self) -> None:
        """Go to the next keyframe."""
        self._go_to_keyframe(reverse=False)

    def previous_keyframe(self) -> None:
        """Go to the keyframe before."""
        self._go_to_keyframe(reverse=True)

    def _go_to_keyframe(self, *, reverse: bool) -> None:
        session, ids = self._session, self._place.chosen or self._session.tracks.object_ids
        frame = session.review.next_keyframe(ids, self._place.frame, reverse=reverse)
        if frame is None:
            self._place.tell(f"There is no keyframe {'before' if reverse else 'after'} this one.")
        else:
            self._place.visit(frame)

    def middle(self) -> None:
        """Go to the middle between the keyframes around this frame."""
        tracks, ids = self._session.tracks, self._place.chosen or self._session.tracks.object_ids
        keyframes = sorted({k for object_id in ids for k in tracks.keyframes(object_id)})
        span = around(keyframes, self._place.frame)
        if span is None:
            raise TracksError(NOT_BETWEEN)
        self._place.visit(sum(span) // 2)

    def ahead(self) -> None:
        """Go some frames ahead."""
        self._place.visit(self._place.frame + STRIDE)

    def back(self) -> None:
        """Go some frames back."""
        self._place.visit(self._place.frame - STRIDE)

    def end_of(self, object_id: int) -> None:
        """Go to the first box of an object, or from there to its last one."""
        first, *later = self._session.tracks.frames(object_id) or [self._place.frame]
        there = self._place.frame == first
        self._place.visit(later[-1] if there and later else first, object_id)

    # -- history -----------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take the last step back, and go where it was if that is one frame."""
        self._travel("undo", "Undone")

    def redo(self) -> None:
        """Make the step undone last again, and go where it is if that is one frame."""
        self._travel("redo", "Done again")

    def _travel(self, name: str, word: str) -> None:
        session = self._place.session
        if session is not None and session.in_run:  # another widget's run counts too
            raise TracksError(STOP_FIRST)
        if session is not None and session.busy:
            raise TracksError("Finish the shape that you are drawing first.")
        step: Step | None = None if session is None else getattr(session, name)()
        if step is None:
            self._place.tell(f"There is nothing to {name}.")
            return
        if len(step.frames) == 1:
            self._place.visit(step.frames[0])
        self._place.tell(f"{word}: {step.label}{on_frames(step.frames)}.")


STRIDE = 10
"""Frames that a person leaps over at once."""

NO_BOX = "There is no box yet; draw one around the object first."
SELECT_ONE = "Select an object first, by its box or in the list of objects."
NO_BOX_HERE = "The object has no box on this frame."
YOURS_ALREADY = "It is one of yours already."
STOP_FIRST = "Stop the run first."
NOT_BETWEEN = (
    "This frame does not lie between two boxes of yours; draw or correct one on each side."
)


def why_not_keep(here: Collection[TrackBox]) -> str:
    """Why none of the boxes on a frame can become a keyframe; empty where one can."""
    if not here:
        return NO_BOX_HERE
    return YOURS_ALREADY if all(box.is_keyframe for box in here) else ""


def around(keyframes: Sequence[int], frame: int) -> tuple[int, int] | None:
    """Keyframes before and after a frame; on a keyframe, the next stretch, else the one before."""
    after = bisect_right(keyframes, frame)
    if after == len(keyframes):
        after = bisect_left(keyframes, frame)
    if not 0 < after < len(keyframes):
        return None
    return keyframes[after - 1], keyframes[after]
