"""What a person does to whole objects and spans of frames; single boxes are drawn in ``Tracks``.

Each function checks before it changes anything. Locked objects have to be unlocked first.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, NamedTuple

from napari_ocean.errors import TracksError
from napari_ocean.tracks import ABSENT, Cell, TrackBox, Tracks


class LeftOut(NamedTuple):
    """How many boxes of another annotation do not fit a clip.

    Attributes
    ----------
    late : int
        They come after its last frame.
    outside : int
        Nothing of them lies in the picture.
    """

    late: int
    outside: int


def fitting(others: Tracks, n_frames: int, frame_hw: tuple[int, int]) -> tuple[Tracks, LeftOut]:
    """Part of an annotation that fits a clip of some length and size, and what does not.

    An object is left out if none of its boxes fits. Absent marks after the end are of no use to
    anybody, and go without being counted.
    """
    part, late, outside = Tracks(), 0, 0
    for object_id in others.object_ids:
        frames = others.frames(object_id)
        in_time = [frame for frame in _known(others, object_id) if frame < n_frames]
        cells = {frame: others.cell(object_id, frame) for frame in in_time}
        kept = {frame: cell for frame, cell in cells.items() if _in_picture(cell, frame_hw)}
        late += sum(frame >= n_frames for frame in frames)
        outside += len(cells) - len(kept)
        if frames and not any(frame in kept for frame in frames):
            continue
        part.add_object(object_id=object_id, **_settings(others, object_id))
        for frame, cell in kept.items():
            part.put(object_id, frame, cell)
    return part, LeftOut(late, outside)


def told(left_out: LeftOut, name: str, n_frames: int) -> str:
    """Say what of a file was left out, if anything was."""
    if not any(left_out):
        return ""
    after, outside = f"after the last frame ({n_frames - 1})", "outside the picture"
    of = zip(left_out, (after, outside), strict=True)
    counted = ", ".join(f"{n} {where}" for n, where in of if n)
    return f"Boxes of {name} that do not fit this clip were left out: {counted}."


def take_in(tracks: Tracks, others: Tracks) -> list[int]:
    """Add all objects of another annotation, and return their ids here, in their order there.

    They keep ids above all that were given out here; the others are numbered anew after them.
    """
    last, ids = tracks.last_id, {}
    for object_id in sorted(others.object_ids, key=lambda k: k <= last):
        kept = object_id if object_id > last else None
        ids[object_id] = tracks.add_object(object_id=kept, **_settings(others, object_id))
        for frame in _known(others, object_id):
            tracks.put(ids[object_id], frame, others.cell(object_id, frame))
    return [ids[object_id] for object_id in others.object_ids]


def mark_absent(
    tracks: Tracks, object_id: int, start: int, stop: int, *, absent: bool = True
) -> None:
    """Say that an object is out of view on ``range(start, stop)``, or take that back.

    Boxes on frames marked absent are deleted, keyframes too: it is the person's newest word.

    Raises
    ------
    TracksError
        If the object does not exist or is locked, or `start` is negative.
    """
    tracks.check_unlocked(object_id)
    if start < 0:
        raise TracksError(f"Frames count from 0; {start} is before the first.")
    for frame in range(start, stop):
        if absent:
            tracks.put(object_id, frame, ABSENT)
        elif tracks.cell(object_id, frame) is ABSENT:
            tracks.put(object_id, frame, None)


def back_in_view(tracks: Tracks, object_id: int, frame: int) -> int:
    """Take the absent marks back from `frame` to the end of its span; return where that ends."""
    for span in tracks.absent_spans(object_id):
        if frame in span:
            mark_absent(tracks, object_id, frame, span.stop, absent=False)
            return span.stop
    return frame


def next_keyframe(tracks: Tracks, object_id: int, frame: int, n_frames: int) -> int:
    """Frame of the person's next box after `frame`, or the clip's end."""
    return next((k for k in tracks.keyframes(object_id) if k > frame), n_frames)


def mark_occluded(
    tracks: Tracks, object_id: int, start: int, stop: int, *, occluded: bool = True
) -> None:
    """Say that an object is hidden on ``range(start, stop)`` where it has boxes, or that it is not.

    The mark outlives tracking anew: the machine's next box on that frame takes it over.
    """
    tracks.check_unlocked(object_id)
    for frame, box in _boxes(tracks, object_id, start, stop):
        if box.occluded is not occluded:
            tracks.put(object_id, frame, replace(box, occluded=occluded))


def mark_fine(tracks: Tracks, object_id: int, start: int, stop: int, *, fine: bool = True) -> None:
    """Take the boxes on ``range(start, stop)`` for reviewed; a box that replaces one is not."""
    for frame, box in _boxes(tracks, object_id, start, stop):
        if box.fine is not fine and not box.is_keyframe:
            tracks.put(object_id, frame, replace(box, fine=fine))


def clear(tracks: Tracks, object_id: int, start: int, stop: int) -> None:
    """Delete the machine-made boxes of an object on ``range(start, stop)``."""
    tracks.check_unlocked(object_id)
    for frame, box in _boxes(tracks, object_id, start, stop):
        if not box.is_keyframe:
            tracks.put(object_id, frame, None)


def end_here(tracks: Tracks, object_id: int, frame: int, n_frames: int) -> None:
    """Make `frame` the object's last: later boxes go, and it is absent until the clip's end."""
    mark_absent(tracks, object_id, frame + 1, n_frames)


def start_here(tracks: Tracks, object_id: int, frame: int) -> None:
    """Make `frame` the object's first: earlier boxes go, and it is absent before."""
    mark_absent(tracks, object_id, 0, frame)


def split(tracks: Tracks, object_id: int, frame: int) -> int:
    """Give the object's boxes and marks from `frame` on to a new object of the same label.

    Returns
    -------
    int
        Id of the new object.

    Raises
    ------
    TracksError
        If the object is locked or has no box on one of the two sides.
    """
    tracks.check_unlocked(object_id)
    frames = tracks.frames(object_id)
    if not frames or not frames[0] < frame <= frames[-1]:
        raise TracksError(
            f"Object {object_id} has no box on one side of frame {frame}; choose a frame within "
            "its span."
        )
    later = [k for k in _known(tracks, object_id) if k >= frame]
    settings = tracks.info(object_id)
    new_id = tracks.add_object(settings.label, hidden=settings.hidden)
    for k in later:
        tracks.put(new_id, k, tracks.cell(object_id, k))
        tracks.put(object_id, k, None)
    return new_id


def join(tracks: Tracks, keep: int, other: int) -> None:
    """Merge two objects that are one: `other` is deleted, what it has goes to `keep`.

    Where both have something, a keyframe goes before a machine-made box, that before an absent
    mark, and `keep` before `other`.

    Raises
    ------
    TracksError
        If one of them is locked or does not exist, or they are the same.
    """
    tracks.check_unlocked(keep)
    tracks.check_unlocked(other)
    if keep == other:
        raise TracksError(f"Object {keep} cannot be merged with itself; choose two objects.")
    for frame in _known(tracks, other):
        theirs = tracks.cell(other, frame)
        if _rank(theirs) > _rank(tracks.cell(keep, frame)):
            tracks.put(keep, frame, theirs)
    tracks.delete_object(other)


def _in_picture(cell: Cell, frame_hw: tuple[int, int]) -> bool:
    if not isinstance(cell, TrackBox):
        return True
    # without arrays (`boxes.clip`), which take several times as long box by box
    (height, width), (x0, y0, x1, y1) = frame_hw, cell.box_xyxy.tolist()
    return bool(max(x0, 0) < min(x1, width) and max(y0, 0) < min(y1, height))


def _settings(tracks: Tracks, object_id: int) -> dict[str, Any]:
    return asdict(tracks.info(object_id))


def _rank(cell: Cell) -> int:
    if isinstance(cell, TrackBox):
        return 3 if cell.is_keyframe else 2
    return 0 if cell is None else 1


def _known(tracks: Tracks, object_id: int) -> list[int]:
    """Frames on which an object has a box or is absent, ascending."""
    absent = [frame for span in tracks.absent_spans(object_id) for frame in span]
    return sorted([*tracks.frames(object_id), *absent])


def _boxes(tracks: Tracks, object_id: int, start: int, stop: int) -> list[tuple[int, TrackBox]]:
    found = ((frame, tracks.get(object_id, frame)) for frame in range(max(start, 0), stop))
    return [(frame, box) for frame, box in found if box is not None]
