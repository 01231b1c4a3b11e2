"""Which drawn boxes wait for a run, as nothing was tracked from them since they were drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from napari_ocean.tracks import BoxChange, Cell, TrackBox, Tracks

Key = tuple[int, int]
"""Object id and frame: what identifies a box."""


def said(cell: Cell) -> Cell:
    """What a person says of a frame: a keyframe, that the object is absent, or nothing."""
    return None if isinstance(cell, TrackBox) and not cell.is_keyframe else cell


_WAYS = {False: "forward", True: "backward"}
"""What the two ways are called where they are kept, by whether they go towards the first frame."""


class Pending:
    """Drawn boxes that wait for a run, for each of the two ways to walk.

    One that was gone and comes back as it was, by undo or in another object, waits as it did.
    """

    def __init__(self) -> None:
        self._keys: dict[bool, set[Key]] = {False: set(), True: set()}
        self._waited: dict[tuple[int, bytes], dict[int, list[bool]]] = defaultdict(dict)
        self._met: dict[Hashable, list[tuple[Key, bool]]] = defaultdict(list)

    @classmethod
    def of(cls, tracks: Tracks, record: Any = None) -> Pending:
        """What waits in an annotation that comes from elsewhere.

        Parameters
        ----------
        tracks : Tracks
        record : dict, optional
            What waited (:meth:`record`). Without it, or where it makes no sense, the boxes wait of
            objects that were not tracked yet.
        """
        pending = cls()
        drawn = {(of, frame) for of in tracks.object_ids for frame in tracks.keyframes(of)}
        try:
            waited = {way: {tuple(key) for key in record[name]} for way, name in _WAYS.items()}
        except (KeyError, TypeError):
            tracked = {row.object_id for row in tracks.rows() if not row.box.is_keyframe}
            pending.add(*(key for key in drawn if key[0] not in tracked))
        else:
            pending._keys = {way: drawn & keys for way, keys in waited.items()}
        return pending

    def record(self) -> dict[str, list[list[int]]]:
        """Object and frame of what waits for each way, to be kept as JSON."""
        return {name: [[*key] for key in sorted(self._keys[way])] for way, name in _WAYS.items()}

    def add(self, *keys: Key) -> None:
        """Take note of boxes that a person has just drawn or changed."""
        for waiting in self._keys.values():
            waiting.update(keys)

    def remove(self, key: Key) -> None:
        """Forget a box that is gone."""
        for waiting in self._keys.values():
            waiting.discard(key)

    def take_note(self, change: BoxChange, tracks: Tracks) -> bool:
        """Have a keyframe wait that is new or was moved, and none that is gone.

        Parameters
        ----------
        change : BoxChange
        tracks : Tracks
            As they are after it and all that came with it.

        Returns
        -------
        bool
            Whether what a person says of the frame has changed.
        """
        key = (change.object_id, change.frame)
        before, after = said(change.before), said(change.after)
        if (
            isinstance(before, TrackBox)
            and isinstance(after, TrackBox)
            and np.array_equal(before.box_xyxy, after.box_xyxy)
        ):
            return before.occluded != after.occluded
        if isinstance(before, TrackBox):
            waited = [key in self._keys[reverse] for reverse in (False, True)]
            self._waited[change.frame, before.box_xyxy.tobytes()][change.object_id] = waited
        self.remove(key)
        if isinstance(after, TrackBox):
            self.add(key)
            gone = self._waited.get((change.frame, after.box_xyxy.tobytes()))
            if gone:
                self._wait_as_it_did(key, gone, tracks.frames(change.object_id))
        return before is not after

    def _wait_as_it_did(self, key: Key, gone: dict[int, list[bool]], frames: Sequence[int]) -> None:
        """Have a box that came back wait no longer where it did not; `frames` are its object's.

        In an object that it comes to for the first time it waits where no box lies beyond it, as
        nothing was tracked there.
        """
        object_id, frame = key
        own = gone.get(object_id)
        waited = own or [*gone.values()][-1]
        for reverse in (False, True):
            beyond = frames[0] < frame if reverse else frames[-1] > frame
            if not waited[reverse] and (beyond or own):
                self._keys[reverse].discard(key)

    def filled(self, tracks: Tracks, object_id: int, frames: range) -> None:
        """Take note that boxes were interpolated: the keyframes beside them wait no longer there.

        Parameters
        ----------
        tracks : Tracks
        object_id : int
        frames : range
            Where boxes were made.
        """
        for frame, after in pairwise(tracks.keyframes(object_id)):
            if after - frame > 1 and frames.start < after and frame + 1 < frames.stop:
                self._keys[False].discard((object_id, frame))
                self._keys[True].discard((object_id, after))

    def passed(self, key: Key, frames: Sequence[int], *, reverse: bool, run: Hashable = "") -> None:
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
        run : hashable, optional
            The key of its step, by which it may be undone.
        """
        beyond = frames[-1] > key[1] if reverse else frames[0] < key[1]
        for way in (reverse, not reverse) if beyond else (reverse,):
            if key in self._keys[way]:
                self._keys[way].discard(key)
                self._met[run].append((key, way))

    def run_undone(self, run: Hashable, tracks: Tracks) -> None:
        """Have the boxes wait again that a run had met, as far as they are still there."""
        for key, way in self._met.get(run, ()):
            box = tracks.get(*key)
            if box is not None and box.is_keyframe:
                self._keys[way].add(key)

    def run_redone(self, run: Hashable) -> None:
        """Have the boxes wait no longer that a run had met."""
        for key, way in self._met.get(run, ()):
            self._keys[way].discard(key)

    def frames(self, *, reverse: bool) -> dict[int, list[int]]:
        """Frames of the waiting boxes, by object."""
        frames: dict[int, list[int]] = defaultdict(list)
        for object_id, frame in sorted(self._keys[reverse]):
            frames[object_id].append(frame)
        return frames
