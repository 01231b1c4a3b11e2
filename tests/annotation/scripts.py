"""Random work on an annotation: what a person and the machine may do, in any order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from napari_ocean.annotation import edits
from napari_ocean.annotation.interpolate import Curve, fill
from napari_ocean.errors import TracksError
from napari_ocean.formats import json
from napari_ocean.tracks import ObjectPrediction, State, Tracks

N_FRAMES = 12


Deed = Callable[[Tracks, "Act"], object]


class Act(NamedTuple):
    what: str
    object_id: int
    other: int
    start: int
    stop: int
    x: float

    @property
    def box(self) -> tuple[float, ...]:
        return self.x, 0, self.x + 10, 10


def _switch(name: str) -> Deed:
    def turn(tracks: Tracks, a: Act) -> None:
        tracks.set_object(a.object_id, **{name: not getattr(tracks.info(a.object_id), name)})

    return turn


def _track(tracks: Tracks, a: Act) -> None:
    for frame in range(a.start, a.stop):
        tracks.merge(predicted(a.object_id, frame, a.x))


def _mark(mark: Callable[..., None], **yes: bool) -> Deed:
    return lambda tracks, a: mark(tracks, a.object_id, a.start, a.stop, **yes)


def _fill(curve: Curve) -> Deed:
    return lambda tracks, a: fill(tracks, a.object_id, a.start, a.stop, curve)


_MACHINE: dict[str, Deed] = {
    "track": _track,
    "interpolate": _fill(Curve.LINEAR),
    "smooth": _fill(Curve.SMOOTH),
}
_PERSON: dict[str, Deed] = {
    "add": lambda tracks, a: tracks.add_object(f"new {a.x}"),
    "draw": lambda tracks, a: tracks.draw(a.object_id, a.start, a.box),
    "remove": lambda tracks, a: tracks.remove(a.object_id, a.start),
    "absent": _mark(edits.mark_absent),
    "present": _mark(edits.mark_absent, absent=False),
    "occluded": _mark(edits.mark_occluded),
    "fine": _mark(edits.mark_fine),
    "clear": _mark(edits.clear),
    "end": lambda tracks, a: edits.end_here(tracks, a.object_id, a.start, N_FRAMES),
    "start": lambda tracks, a: edits.start_here(tracks, a.object_id, a.start),
    "split": lambda tracks, a: edits.split(tracks, a.object_id, a.start),
    "join": lambda tracks, a: edits.join(tracks, a.object_id, a.other),
    "delete": lambda tracks, a: tracks.delete_object(a.object_id),
    "lock": _switch("locked"),
    "hide": _switch("hidden"),
    "rename": lambda tracks, a: tracks.rename(a.object_id, f"name {a.x}"),
    "color": lambda tracks, a: tracks.set_object(a.object_id, color=f"#{int(a.x):06x}"),
}
MACHINE, PERSON = tuple(_MACHINE), tuple(_PERSON)


def acts(kinds: tuple[str, ...] = PERSON + MACHINE) -> st.SearchStrategy[Act]:
    ids = st.integers(1, 4)
    frames = st.integers(0, N_FRAMES)
    return st.builds(Act, st.sampled_from(kinds), ids, ids, frames, frames, st.floats(0, 50))


def start() -> Tracks:
    tracks = Tracks()
    for _ in range(2):
        tracks.draw(tracks.add_object("thing"), 3, (0, 0, 10, 10))
        tracks.draw(tracks.object_ids[-1], 9, (20, 0, 30, 20))
    return tracks


def perform(tracks: Tracks, act: Act) -> None:
    """Do it, unless it is refused as a whole."""
    with suppress(TracksError):
        (_PERSON | _MACHINE)[act.what](tracks, act)


def predicted(object_id: int, frame: int, x: float = 5, score: float = 0.5) -> ObjectPrediction:
    box_xyxy = np.array([x + frame, 1, x + frame + 9, 9])
    return ObjectPrediction(
        object_id=object_id, frame=frame, box_xyxy=box_xyxy, score=score, state=State.FOUND
    )


def everything(tracks: Tracks) -> str:
    """All that an annotation holds, to the last bit."""
    return json.dumps(tracks)
