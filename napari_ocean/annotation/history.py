"""Undo and redo of everything that changes an annotation, as labelled steps of differences.

Whatever is done to the :class:`~napari_ocean.tracks.Tracks` inside ``with history.step("Draw
dog"):`` is one step, and an exception inside takes all of it back. The batches of a tracking run
share one step by its key, also when a person edits something else meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from napari_ocean.tracks import BoxChange, Change, ObjectChange, Tracks

MAX_STEPS = 200
MAX_CHANGES = 1_000_000
"""A change keeps one replaced box, some 0.4 kB: 50 runs over 20 000 boxes each, 0.4 GB at worst."""

_Key = tuple[int, int | None]


@dataclass(slots=True)
class Step:
    """What can be undone at once.

    Attributes
    ----------
    label : str
        What the person did, as a menu says it: "Track dog".
    key : hashable
        Steps of the same key (not None) have become one.
    changes : dict
        By object and frame, None for what is of the object as a whole.
    """

    label: str
    key: Hashable
    changes: dict[_Key, Change] = field(default_factory=dict)

    @property
    def frames(self) -> range:
        """From the first to the last frame where a box or an absent mark is another."""
        of = [frame for _, frame in self.changes if frame is not None]
        return range(min(of), max(of) + 1) if of else range(0)


class History:
    """The steps of one annotation, and the only door to changes that can be undone.

    Parameters
    ----------
    tracks : Tracks
        A change made to it outside of any step becomes a step of its own.
    committed : callable, optional
        Gets the changes of each edit, batch, undo and redo once it is complete, e.g.
        :meth:`napari_ocean.annotation.sidecar.Autosave.append`. When it raises, the change stays.
    max_steps, max_changes : int
        The oldest steps are forgotten beyond these; the newest step never is.
    """

    def __init__(
        self,
        tracks: Tracks,
        *,
        committed: Callable[[Sequence[Change]], None] | None = None,
        max_steps: int = MAX_STEPS,
        max_changes: int = MAX_CHANGES,
    ) -> None:
        self._tracks = tracks
        self._committed = committed or (lambda changes: None)
        self._max_steps = max_steps
        self._max_changes = max_changes
        self._done: list[Step] = []
        self._undone: list[Step] = []
        self._open: dict[_Key, Change] | None = None
        self._moving = False
        tracks.watch(self._on_change)

    @property
    def undo_labels(self) -> list[str]:
        """Labels of the steps that can be undone, the next one first."""
        return [step.label for step in reversed(self._done)]

    @property
    def redo_labels(self) -> list[str]:
        """Labels of the steps that can be redone, the next one first."""
        return [step.label for step in reversed(self._undone)]

    @property
    def undo_key(self) -> Hashable:
        """Key of the step that can be undone next, None without one."""
        return self._done[-1].key if self._done else None

    @contextmanager
    def step(self, label: str, key: Hashable = None) -> Iterator[None]:
        """Make one step of all changes inside; a step within a step belongs to the outer one.

        Parameters
        ----------
        label : str
            What the person did, as a menu says it: "Track dog".
        key : hashable, optional
            Steps of the same key (not None) become one, if nothing that came between touched
            the same frames of the same objects.
        """
        if self._open is not None:
            yield
            return
        self._open = {}
        try:
            yield
        except BaseException:  # Ctrl-C too must leave all of the step or nothing of it
            self._move([_inverse(change) for change in self._take_open()])
            raise
        changes = self._take_open()
        if changes:
            self._add(label, key, changes)
            self._committed(changes)

    def undo(self) -> Step | None:
        """Take the newest step back and return it; None if there is none."""
        return self._shift(self._done, self._undone, _inverse)

    def redo(self) -> Step | None:
        """Make the step undone last again and return it; None if there is none."""
        return self._shift(self._undone, self._done, lambda change: change)

    def _shift(
        self, source: list[Step], target: list[Step], turn: Callable[[Change], Change]
    ) -> Step | None:
        if self._open is not None:
            raise RuntimeError("undo and redo are no part of a step")
        if not source:
            return None
        step = source.pop()
        target.append(step)
        changes = [turn(change) for change in step.changes.values()]
        self._move(changes)
        self._committed(changes)
        return step

    def _move(self, changes: Sequence[Change]) -> None:
        self._moving = True
        try:
            self._tracks.apply(changes)
        finally:
            self._moving = False

    def _on_change(self, change: Change) -> None:
        if self._moving:
            return
        if self._open is not None:
            _join(self._open, change)
            return
        self._add("Edit", None, [change])
        self._committed([change])

    def _take_open(self) -> list[Change]:
        changes, self._open = self._open or {}, None
        return list(changes.values())

    def _add(self, label: str, key: Hashable, changes: list[Change]) -> None:
        """Put changes into the step of their key if that makes no difference, else into a new."""
        step = self._same_run(key, changes)
        if step is None:
            self._undone.clear()
            step = Step(label, key)
            self._done.append(step)
        for change in changes:
            _join(step.changes, change)
        while len(self._done) > 1 and self._too_many:
            del self._done[0]

    @property
    def _too_many(self) -> bool:
        n_changes = sum(len(step.changes) for step in self._done)
        return len(self._done) > self._max_steps or n_changes > self._max_changes

    def _same_run(self, key: Hashable, changes: list[Change]) -> Step | None:
        """Step of that key, unless one of the changes has to come after a later step."""
        if key is None:
            return None
        later = list(self._undone)
        for step in reversed(self._done):
            if step.key == key:
                return None if any(_clash(of.changes.values(), changes) for of in later) else step
            later.append(step)
        return None


def _key(change: Change) -> _Key:
    return change.object_id, change.frame if isinstance(change, BoxChange) else None


def _inverse(change: Change) -> Change:
    if isinstance(change, BoxChange):
        return BoxChange(change.object_id, change.frame, change.after, change.before)
    return ObjectChange(change.object_id, change.after, change.before)


def _join(changes: dict[_Key, Change], change: Change) -> None:
    """Add a change to some; what comes back to where it was is no change."""
    key = _key(change)
    old = changes.pop(key, None)
    if isinstance(old, BoxChange) and isinstance(change, BoxChange):
        change = change._replace(before=old.before)
    elif isinstance(old, ObjectChange) and isinstance(change, ObjectChange):
        change = ObjectChange(change.object_id, old.before, change.after)
    if change.before is not change.after:
        changes[key] = change


def _clash(a: Iterable[Change], b: Iterable[Change]) -> bool:
    """Whether it matters which of two sets of changes is made first."""
    a, b = list(a), list(b)
    if {_key(change) for change in a} & {_key(change) for change in b}:
        return True
    return bool(_born_or_gone(a) & _objects(b) or _born_or_gone(b) & _objects(a))


def _objects(changes: Iterable[Change]) -> set[int]:
    return {change.object_id for change in changes}


def _born_or_gone(changes: Iterable[Change]) -> set[int]:
    of_objects = (change for change in changes if isinstance(change, ObjectChange))
    return {change.object_id for change in of_objects if None in (change.before, change.after)}
