"""Carry drawn boxes through a video, one prediction per object and frame.

A generator: the caller shows progress by counting and stops by closing it; whatever was yielded
stays the caller's.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import BoxError, TracksError, VideoError
from napari_ocean.tracking.session import Session, step_together
from napari_ocean.tracking.tracker import EXAMPLES, Tracker, load_tracker
from napari_ocean.tracks import (
    ABSENT,
    Cell,
    ObjectPrediction,
    Prediction,
    State,
    TrackBox,
    Tracks,
)
from napari_ocean.video import FrameArray, FrameSource, open_video

Predictions = Generator[ObjectPrediction, None, None]

Correction = tuple[int, int, Cell]
"""Object, frame and what a person says of it now: a box, that it is absent, or nothing."""

Corrections = Callable[[], Iterable[Correction]]
"""Gives what a person has drawn, marked or taken back since it was last asked."""

_TIDY_EVERY = 500
"""Frames between two tidyings of memory, which take some milliseconds."""


def propagate(
    video: FrameSource | Any,
    tracks: Tracks,
    *,
    tracker: Tracker | None = None,
    start: int = 0,
    stop: int | None = None,
    reverse: bool = False,
    object_ids: Sequence[int] | None = None,
    taught_by: Tracks | None = None,
    corrections: Corrections | None = None,
) -> Predictions:
    """Track objects from the boxes that a person drew.

    Each object begins at the first drawn box met on the way (or at its box of any kind on the
    very first frame), begins anew at every further drawn box, and ends where it is marked absent.
    Where it begins at a box marked as occluded, its looks come from drawn boxes that are not.

    Parameters
    ----------
    video : FrameSource, or anything that :func:`napari_ocean.video.open_video` takes
    tracks : Tracks
        Read, never changed: give each prediction to :meth:`Tracks.merge`.
    tracker : Tracker, optional
        Default: the embedded one.
    start, stop : int
        Frames ``range(start, stop)``; `stop` defaults to the end of the video.
    reverse : bool
        Walk from ``stop - 1`` down to ``start``.
    object_ids : sequence of int, optional
        Default: all objects that have a box to begin with.
    taught_by : Tracks, optional
        Whose drawn boxes show the tracker what the objects look like; default: `tracks`. Those of
        other frames than the first teach the online update only.
    corrections : callable, optional
        Asked before each frame for what was drawn, marked or taken back meanwhile. An
        object begins anew at boxes that lie ahead, and at that of the last frame walked, which is
        yielded once more, and ends at absent marks there; what concerns other frames is left for
        another run, and so is that of objects that are not tracked.

    Yields
    ------
    ObjectPrediction
        One per object and frame from its beginning on; on drawn frames the drawn box, score 1.

    Raises
    ------
    TracksError
        At the call: if the range is empty or outside the video, an object does not exist, or
        none (or one that was named) has a box to begin with in the range.
    BoxError
        At the call: if a box to begin with is not a valid one on its frame.
    """
    with ExitStack() as cleanup:
        source = open_video(video)
        if not isinstance(video, FrameSource | FrameArray):  # whose owner closes them
            cleanup.callback(source.close)
        frames = _frames(len(source), start, stop, reverse=reverse)
        seeds = _seeds(tracks, frames, object_ids)
        for object_id, of in seeds.items():
            for frame, box in of.items():
                _check_seed(source, object_id, frame, box)
        absent = {k: frozenset(chain.from_iterable(tracks.absent_spans(k))) for k in seeds}
        teacher = tracks if taught_by is None else taught_by
        drawn = {object_id: _drawn(teacher, object_id) for object_id in seeds}
        hidden = {object_id: _hidden(tracks, object_id) for object_id in seeds}
        tracker = tracker or load_tracker()
        walk = _Walk(source, seeds, absent, drawn, hidden, tracker, corrections or (lambda: ()))
        return walk.over(frames, cleanup.pop_all())


@dataclass(slots=True)
class _Walk:
    """What a walk over the frames needs to know of each object, and where it stands."""

    source: FrameSource
    seeds: dict[int, dict[int, FloatArray]]
    absent: dict[int, frozenset[int]]
    drawn: dict[int, dict[int, FloatArray]]
    """Those that show what an object looks like."""
    hidden: dict[int, frozenset[int]]
    tracker: Tracker
    corrections: Corrections
    last: tuple[int, NDArray[np.uint8]] | None = None
    sessions: dict[int, Session] = field(default_factory=dict)
    drawn_last: dict[int, tuple[int, NDArray[np.uint8]]] = field(default_factory=dict)
    ended: dict[int, Session] = field(default_factory=dict)
    """Those that ended at what a person said of the last frame, which may be taken back."""

    def over(self, frames: range, cleanup: ExitStack) -> Predictions:
        first = frames.index(min((f for of in self.seeds.values() for f in of), key=frames.index))
        with cleanup:
            images = cleanup.enter_context(closing(_read_ahead(self.source, frames[first:])))
            for number, (frame, image) in enumerate(images, 1):
                if number % _TIDY_EVERY == 0:
                    _tidy_memory()
                anew = self._take_corrections(frames[first + number - 1 :])
                if self.last is not None:
                    yield from self._named(self.last[0], anew)
                yield from self._named(frame, self._on(frame, image))
                self.last = frame, image

    def _named(self, frame: int, found: dict[int, Prediction]) -> Predictions:
        for object_id in sorted(found, key=list(self.seeds).index):
            prediction = found[object_id]
            yield ObjectPrediction(
                object_id=object_id,
                frame=frame,
                box_xyxy=prediction.box_xyxy,
                score=prediction.score,
                state=prediction.state,
            )

    def _take_corrections(self, ahead: range) -> dict[int, Prediction]:
        """Take boxes ahead for seeds; begin anew at those of the last frame, and return these."""
        anew: dict[int, Prediction] = {}
        last = self.last
        for object_id, frame, cell in self.corrections():
            here = last is not None and frame == last[0]
            if object_id not in self.seeds or not (here or frame in ahead):
                continue
            if not isinstance(cell, TrackBox):
                self._take_back(object_id, frame, absent=cell is ABSENT, here=here)
                if here:
                    anew.pop(object_id, None)
                continue
            with suppress(BoxError):  # the next run that begins there says what is wrong
                boxes.check(cell.box_xyxy, (self.source.height, self.source.width))
                self._take(object_id, frame, cell)
                if here and last is not None:
                    self._end(object_id)
                    self.drawn_last[object_id] = last
                    anew[object_id] = _as_drawn(cell.box_xyxy)
        return anew

    def _take(self, object_id: int, frame: int, box: TrackBox) -> None:
        """Have a drawn box on a frame; it shows what the object looks like unless it is hidden."""
        self.absent[object_id] -= {frame}
        self.seeds[object_id][frame] = box.box_xyxy
        if box.occluded:
            self.hidden[object_id] |= {frame}
            self.drawn[object_id].pop(frame, None)
        else:
            self.hidden[object_id] -= {frame}
            self.drawn[object_id][frame] = box.box_xyxy

    def _take_back(self, object_id: int, frame: int, *, absent: bool, here: bool) -> None:
        """Have no drawn box or absent mark on a frame any longer, but the mark if `absent`.

        An object that is absent now ends there; else it goes on as it came there, if it did.
        """
        self.seeds[object_id].pop(frame, None)
        self.drawn[object_id].pop(frame, None)
        self.absent[object_id] -= {frame}
        if absent:
            self.absent[object_id] |= {frame}
        if here:
            self.drawn_last.pop(object_id, None)
            if absent:
                self._end(object_id)
            elif object_id in self.ended:
                self.sessions[object_id] = self.ended.pop(object_id)

    def _end(self, object_id: int) -> None:
        if (session := self.sessions.pop(object_id, None)) is not None:
            self.ended[object_id] = session

    def _on(self, frame: int, image: NDArray[np.uint8]) -> dict[int, Prediction]:
        """What is found on a frame, by object."""
        found: dict[int, Prediction] = {}
        self.ended = {}
        for object_id, of in self.seeds.items():
            if frame in of:
                # the session begins when a frame without a box comes, if one does
                self._end(object_id)
                self.drawn_last[object_id] = frame, image
                found[object_id] = _as_drawn(of[frame])
            elif frame in self.absent[object_id]:
                self._end(object_id)
                self.drawn_last.pop(object_id, None)
            elif object_id in self.drawn_last:
                self.sessions[object_id] = self._start(object_id, *self.drawn_last.pop(object_id))
        going = list(self.sessions)
        predictions = step_together([self.sessions[k] for k in going], image)
        return found | dict(zip(going, predictions, strict=True))

    def _start(self, object_id: int, frame: int, image: NDArray[np.uint8]) -> Session:
        """Begin at a drawn box, taught by those that a person drew nearest to it."""
        hidden = frame in self.hidden[object_id]
        others = sorted(self.drawn[object_id], key=lambda other: abs(other - frame))
        examples: list[tuple[NDArray[np.uint8], FloatArray]] = []
        hw = (self.source.height, self.source.width)
        for other in others if self.tracker.online is not None or hidden else []:
            if other != frame and len(examples) < EXAMPLES:
                # what cannot be used is no reason to stop: it may never be reached
                with suppress(VideoError, BoxError):
                    box = boxes.check(self.drawn[object_id][other], hw)
                    examples.append((self.source.frame(other), box))
        box = self.seeds[object_id][frame]
        guessed = frame not in self.drawn[object_id]
        return self.tracker.start(image, box, examples=examples, guessed=guessed, hidden=hidden)


def _as_drawn(box_xyxy: FloatArray) -> Prediction:
    return Prediction(box_xyxy=box_xyxy.copy(), score=1.0, state=State.FOUND)


def _read_ahead(
    source: FrameSource, frames: range
) -> Generator[tuple[int, NDArray[np.uint8]], None, None]:
    """Frames in turn, each read by a thread while the one before it is in work."""
    with ThreadPoolExecutor(1, "napari-ocean-reader") as reader:
        coming = reader.submit(source.frame, frames[0])
        for frame, after in zip_longest(frames, frames[1:]):
            image = coming.result()
            if after is not None:
                coming = reader.submit(source.frame, after)
            yield frame, image


def _tidy_memory() -> None:
    """Give unused memory back to the system, where its C library (glibc) can be asked to.

    Boxes that a caller keeps lie scattered between the network's large maps of each frame, and
    hold the room of those; without this a run of 50 000 frames takes some hundred MiB more.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _drawn(tracks: Tracks, object_id: int) -> dict[int, FloatArray]:
    """A person's boxes of an object where nothing hides it, by frame."""
    boxes_by_frame = {frame: tracks.get(object_id, frame) for frame in tracks.keyframes(object_id)}
    return {
        frame: box.box_xyxy
        for frame, box in boxes_by_frame.items()
        if box is not None and not box.occluded
    }


def _hidden(tracks: Tracks, object_id: int) -> frozenset[int]:
    """Frames on which something hides an object."""
    known = ((frame, tracks.get(object_id, frame)) for frame in tracks.frames(object_id))
    return frozenset(frame for frame, box in known if box is not None and box.occluded)


def _frames(length: int, start: int, stop: int | None, *, reverse: bool) -> range:
    stop = length if stop is None else stop
    if not 0 <= start < stop <= length:
        raise TracksError(
            f"The frames {start} to {stop} (excluded) are not a range of this video, "
            f"which has {length} frames (0 to {length - 1})."
        )
    frames = range(start, stop)
    return frames[::-1] if reverse else frames


def _seeds(
    tracks: Tracks, frames: range, object_ids: Sequence[int] | None
) -> dict[int, dict[int, FloatArray]]:
    """Boxes to begin with, by object and frame; objects without any are left out."""
    seeds: dict[int, dict[int, FloatArray]] = {}
    for object_id in tracks.object_ids if object_ids is None else object_ids:
        of: dict[int, FloatArray] = {}
        for frame in tracks.frames(object_id):
            box = tracks.get(object_id, frame)
            if box is None or frame not in frames:
                continue
            if box.is_keyframe or frame == frames[0]:
                of[frame] = box.box_xyxy
        if of:
            seeds[object_id] = of
        elif object_ids is not None:
            raise TracksError(
                f"Object {object_id} has no drawn box on the frames {min(frames)} to "
                f"{max(frames)}; draw one there."
            )
    if not seeds:
        raise TracksError(
            f"No object has a drawn box on the frames {min(frames)} to {max(frames)}; "
            "draw one box around the target first."
        )
    return seeds


def _check_seed(source: FrameSource, object_id: int, frame: int, box: FloatArray) -> None:
    try:
        boxes.check(box, (source.height, source.width))
    except BoxError as error:
        raise BoxError(f"Object {object_id}, frame {frame}: {error}") from error
