"""Shows a session in the panels of the form: strip, objects, review, and what can be done now."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Image

from napari_ocean.plugin.commands import (
    NO_BOX,
    NO_BOX_HERE,
    NOT_BETWEEN,
    SELECT_ONE,
    STOP_FIRST,
    around,
    why_not_keep,
)
from napari_ocean.plugin.controls import Controls
from napari_ocean.plugin.session import Session
from napari_ocean.plugin.strip import Lane
from napari_ocean.tracks import ABSENT

SUGGESTIONS = 3
"""Frames to correct first that are named, over all objects shown."""

HINT = "Draw a box around the object (W), then press T to track it."
NO_FILM = "Drop a video or an image stack on napari, or open the sample: File > Open Sample."
NO_CLIP = "Open a video or an image stack first."


def whereabouts(image: Image | None, of: Session | None) -> str:
    """How much there is, and what to do next."""
    if image is None or image.ndim < 3:
        return NO_FILM
    if of is not None and of.proposed:
        return f"The next box is {of.name(of.next_object)}'s; choose 'new object' for another."
    if of is None or not len(of.tracks):
        return HINT
    text = f"Objects: {len(of.object_ids)} · boxes: {len(of.tracks)}."
    if of.pending.frames(reverse=False):
        text += " Press T to track what you drew."
    return f"{text} Not autosaved: {of.unsaved}" if of.unsaved else text


class Dashboard:
    """Writes to the panels; it reads the session and changes nothing.

    Parameters
    ----------
    controls : Controls
    """

    def __init__(self, controls: Controls) -> None:
        self._on = controls

    def show_history(self, session: Session | None) -> None:
        """Say what can be undone and redone now, or why not."""
        undo, redo = (session.undo_labels, session.redo_labels) if session else ([], [])
        why_not = STOP_FIRST if session is not None and session.in_run else ""
        self._on.show_history(next(iter(undo), None), next(iter(redo), None), why_not)

    def show(self, session: Session | None, chosen: Sequence[int], frame: int) -> None:
        """Show everything anew."""
        self.show_objects(session)
        self.show_chosen(session, chosen, frame)
        self._show_review(session, chosen, frame)

    def show_objects(self, session: Session | None) -> None:
        """Fill the objects list."""
        ids = [] if session is None else session.tracks.object_ids
        rows = [session.review.summary(object_id) for object_id in ids] if session else []
        self._on.objects.show_rows(rows)

    def show_chosen(self, session: Session | None, chosen: Sequence[int], frame: int) -> None:
        """Select objects in the list, and show their lanes and what can be done to them."""
        self._on.objects.select(chosen)
        if session is None:
            self._on.strip.show_lanes([], 1)
        else:
            ids = list(chosen) if len(chosen) == 1 else session.object_ids
            lanes = [_lane(session, object_id, scored=len(ids) == 1) for object_id in ids]
            self._on.strip.show_lanes(lanes, session.n_frames)
        self.show_frame(session, chosen, frame)

    def show_frame(self, session: Session | None, chosen: Sequence[int], frame: int) -> None:
        """Show where the person is, and which marks and tracks make sense there."""
        on = self._on
        on.strip.show_frame(frame)
        on.review.mark(frame, chosen)
        ids = [] if session is None else session.tracks.object_ids
        marked = [object_id for object_id in chosen if object_id in ids] or ids
        why = _why_not(session, marked, several=not chosen and len(ids) > 1)
        for button in (on.keyframe, on.absent, on.occluded, on.between, on.interpolate):
            on.allow(button, why)
        if why or session is None:
            return
        tracks = session.tracks
        here = [tracks.get(object_id, frame) for object_id in marked]
        known = [box for box in here if box is not None]
        on.allow(on.occluded, "" if known else NO_BOX_HERE)
        on.allow(on.keyframe, why_not_keep(known))
        absent = all(tracks.cell(object_id, frame) is ABSENT for object_id in marked)
        on.absent.setText("In view" if absent else "Out of view")
        on.occluded.setText("Not hidden" if known and all(o.occluded for o in known) else "Hidden")
        spans = [around(tracks.keyframes(object_id), frame) for object_id in marked]
        for button in (on.between, on.interpolate):
            on.allow(button, "" if any(spans) else NOT_BETWEEN)

    def _show_review(self, session: Session | None, chosen: Sequence[int], frame: int) -> None:
        if session is None:
            self._on.review.show_flags([], {}, {})
            return
        ids = session.tracks.object_ids
        names = {object_id: session.name(object_id) for object_id in ids}
        suggested = list(chosen) if chosen else ids
        helpful = {}
        if len(suggested) == 1:
            helpful = {suggested[0]: session.review.helpful(suggested[0], SUGGESTIONS)}
        self._on.review.show_flags(session.review.queue(), names, helpful)
        self._on.review.mark(frame, chosen)


def _lane(session: Session, object_id: int, *, scored: bool) -> Lane:
    """Lane of an object in the strip."""
    return Lane(
        object_id=object_id,
        name=session.name(object_id),
        marks=session.review.strip(object_id),
        scores=session.review.scores(object_id) if scored else None,
    )


def _why_not(session: Session | None, marked: Sequence[int], *, several: bool) -> str:
    """Why no mark can be made, if so."""
    if session is None or not marked:
        return NO_BOX
    if several:
        return SELECT_ONE
    locked = [object_id for object_id in marked if session.tracks.info(object_id).locked]
    return f"Object {locked[0]} is locked; unlock it first." if locked else ""
