"""What a person does to objects and spans of frames, each as one step that can be undone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from napari_ocean.annotation import edits, interpolate
from napari_ocean.annotation.history import History, Step
from napari_ocean.annotation.interpolate import Curve
from napari_ocean.errors import TracksError
from napari_ocean.plugin.pending import Pending
from napari_ocean.plugin.prompts import Prompts
from napari_ocean.plugin.view import BoxesView
from napari_ocean.tracks import Tracks


class Editing(ABC):
    """The editing half of a :class:`~napari_ocean.plugin.session.Session`.

    Frames are ``range(start, stop)``. Each is one step, however many objects it is for, and raises
    a ``TracksError``, with nothing changed, if an object does not exist or is locked.
    """

    tracks: Tracks
    history: History
    view: BoxesView
    pending: Pending
    prompts: Prompts
    n_frames: int
    in_run: bool
    next_object: int
    next_label: str

    @abstractmethod
    def _edit(self, label: str) -> AbstractContextManager[None]:
        """Make one step of what is done inside, after what the person did before, and show it."""

    @abstractmethod
    def pull(self) -> None:
        """Take over what a person changed in the layer, and show the rest."""

    @abstractmethod
    def flush(self) -> None:
        """Write what changed in the model to the layer."""

    @abstractmethod
    def note(self) -> None:
        """Keep what waits for a run, after an edit that has told of it late."""

    @abstractmethod
    def name(self, object_id: int) -> str:
        """Label and id of an object, as the screen shows them."""

    def undo(self) -> Step | None:
        """Take the newest step back and return it; None if there is none."""
        step = self._travel(self.history.undo)
        if step is not None:
            self.pending.run_undone(step.key, self.tracks)
            self.prompts.travel(step.key, back=True)
            self.note()
        return step

    def redo(self) -> Step | None:
        """Make the step undone last again and return it; None if there is none."""
        step = self._travel(self.history.redo)
        if step is not None:
            self.pending.run_redone(step.key)
            self.prompts.travel(step.key, back=False)
            self.note()
        return step

    def _travel(self, move: Callable[[], Step | None]) -> Step | None:
        if self.view.busy:
            return None
        if self.view.touched:
            self.pull()
        step = move()
        self.flush()
        self.view.prepare_next(self.next_object, self.next_label)
        return step

    @property
    def undo_labels(self) -> list[str]:
        """Labels of the steps that can be undone, the next one first."""
        return self.history.undo_labels

    @property
    def redo_labels(self) -> list[str]:
        """Labels of the steps that can be redone, the next one first."""
        return self.history.redo_labels

    def set_object(self, object_id: int, **settings: Any) -> None:
        """Rename, recolour, hide, show, lock or unlock an object: fields of ObjectInfo."""
        word = {"label": "Rename", "color": "Recolour", "hidden": "Hide or show", "locked": "Lock"}
        with self._edit(f"{word[next(iter(settings))]} {self.name(object_id)}"):
            self.tracks.set_object(object_id, **settings)

    def delete_objects(self, object_ids: Iterable[int]) -> None:
        """Delete objects with all their boxes and marks."""
        with self._on_each(object_ids, "Delete") as ids:
            for object_id in ids:
                self.tracks.delete_object(object_id)

    def take_in(self, others: Tracks, label: str) -> list[int]:
        """Add the objects of another annotation, and return their ids (:func:`.edits.take_in`).

        Of their boxes only those wait for a run that stand alone; the others are tracks already.
        """
        with self._edit(label):
            ids = edits.take_in(self.tracks, others)
        for object_id in ids:
            frames = set(self.tracks.frames(object_id))
            for frame in frames:
                if not frames.isdisjoint((frame - 1, frame + 1)):
                    self.pending.remove((object_id, frame))
        self.note()
        return ids

    def join(self, keep: int, others: Sequence[int]) -> None:
        """Merge objects that are one."""
        with self._edit(f"Merge {self._names(others)} into {self.name(keep)}"):
            for other in others:
                edits.join(self.tracks, keep, other)

    def split(self, object_id: int, frame: int) -> int:
        """Give the object's boxes from a frame on to a new object; return its id.

        Not during a run, which would go on with the old one.
        """
        if self.in_run:
            raise TracksError("Stop the run first; then split the object.")
        with self._edit(f"Split {self.name(object_id)}"):
            return edits.split(self.tracks, object_id, frame)

    def end_here(self, object_ids: Iterable[int], frame: int) -> None:
        """Make a frame the objects' last: they are absent from then on."""
        with self._on_each(object_ids, "End here:") as ids:
            for object_id in ids:
                edits.end_here(self.tracks, object_id, frame, self.n_frames)

    def start_here(self, object_ids: Iterable[int], frame: int) -> None:
        """Make a frame the objects' first: they are absent before."""
        with self._on_each(object_ids, "Start here:") as ids:
            for object_id in ids:
                edits.start_here(self.tracks, object_id, frame)

    def mark_absent(
        self, object_ids: Iterable[int], start: int, stop: int, *, absent: bool = True
    ) -> None:
        """Say that objects are out of view on ``range(start, stop)``, or take that back."""
        with self._on_each(object_ids, "Out of view:" if absent else "In view:") as ids:
            for object_id in ids:
                edits.mark_absent(self.tracks, object_id, start, stop, absent=absent)

    def mark_absent_on(self, object_ids: Iterable[int], frame: int) -> None:
        """Say that objects are out of view from a frame up to the person's next box of each."""
        with self._on_each(object_ids, "Out of view:") as ids:
            for object_id in ids:
                stop = edits.next_keyframe(self.tracks, object_id, frame, self.n_frames)
                edits.mark_absent(self.tracks, object_id, frame, stop)

    def back_in_view(self, object_ids: Iterable[int], frame: int) -> int:
        """Take the absent marks from a frame to the end of its span back; return the last stop."""
        with self._on_each(object_ids, "In view:") as ids:
            return max(edits.back_in_view(self.tracks, object_id, frame) for object_id in ids)

    def mark_occluded(
        self, object_ids: Iterable[int], start: int, stop: int, *, occluded: bool = True
    ) -> None:
        """Say that objects are hidden by something where they have boxes, or that they are not."""
        with self._on_each(object_ids, "Hidden:" if occluded else "Not hidden:") as ids:
            for object_id in ids:
                edits.mark_occluded(self.tracks, object_id, start, stop, occluded=occluded)

    def mark_fine(self, spans: Mapping[int, range], *, fine: bool = True) -> None:
        """Take machine-made boxes for reviewed, or not: frames by object."""
        with self._on_each(spans, "Mark as fine:" if fine else "Review again:") as ids:
            for k in ids:
                edits.mark_fine(self.tracks, k, spans[k].start, spans[k].stop, fine=fine)

    def clear(self, object_ids: Iterable[int], start: int, stop: int) -> None:
        """Delete machine-made boxes."""
        with self._on_each(object_ids, "Clear the tracked boxes of") as ids:
            for object_id in ids:
                edits.clear(self.tracks, object_id, start, stop)

    def clear_on(self, object_ids: Iterable[int], frame: int) -> None:
        """Delete machine-made boxes after a frame, up to the person's next box of each object."""
        with self._on_each(object_ids, "Clear the tracked boxes of") as ids:
            for object_id in ids:
                stop = edits.next_keyframe(self.tracks, object_id, frame, self.n_frames)
                edits.clear(self.tracks, object_id, frame + 1, stop)

    def remove(self, object_ids: Iterable[int], frame: int) -> None:
        """Delete what stands on one frame."""
        with self._on_each(object_ids, "Delete a box of") as ids:
            for object_id in ids:
                self.tracks.remove(object_id, frame)

    def keep(self, object_ids: Iterable[int], frame: int) -> None:
        """Turn the machine's boxes on a frame into keyframes."""
        with self._on_each(object_ids, "Keyframe of") as ids:
            for object_id in ids:
                box = self.tracks.get(object_id, frame)
                if box is not None and not box.is_keyframe:
                    self.tracks.draw(object_id, frame, box.box_xyxy)

    def interpolate(self, spans: Mapping[int, range], curve: Curve = Curve.LINEAR) -> int:
        """Interpolate between keyframes, on frames by object; return the number of boxes made."""
        with self._on_each(spans, "Interpolate") as ids:
            made = {
                k: interpolate.fill(self.tracks, k, spans[k].start, spans[k].stop, curve)
                for k in ids
            }
        for object_id in filter(made.get, made):
            self.pending.filled(self.tracks, object_id, spans[object_id])
        self.note()
        return sum(made.values())

    @contextmanager
    def _on_each(self, object_ids: Iterable[int], what: str) -> Iterator[list[int]]:
        ids = sorted(object_ids)
        with self._edit(f"{what} {self._names(ids)}"):
            yield ids

    def _names(self, ids: Sequence[int]) -> str:
        return self.name(ids[0]) if len(ids) == 1 else f"{len(ids)} objects"
