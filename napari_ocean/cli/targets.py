"""What ``napari-ocean track`` begins from, and over which frames it walks from there."""

from __future__ import annotations

import argparse
import sys
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_ocean import boxes, formats
from napari_ocean.annotation import edits, sidecar
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import TracksError
from napari_ocean.tracks import Tracks

if TYPE_CHECKING:
    from napari_ocean.video import FrameSource


class Walk(NamedTuple):
    """One run over the frames."""

    frames: range
    """Ascending, whichever way it goes."""
    reverse: bool
    keyframes: dict[int, list[int]]
    """A person's boxes on these frames, by object; each object is followed from the first met."""

    @property
    def expected(self) -> int:
        """Boxes that it finds, if nothing is marked as absent."""
        start, stop = self.frames.start, self.frames.stop
        return sum(
            (of[-1] + 1 - start if self.reverse else stop - of[0]) - len(of)
            for of in self.keyframes.values()
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that tell targets and frames."""
    targets = parser.add_mutually_exclusive_group(required=True)
    targets.add_argument(
        "--box",
        type=_box,
        action="append",
        metavar="X,Y,W,H",
        help="the target: left, top, width and height in pixels of frame N; give it again for "
        "a second object; a negative number needs the form --box=-5,0,20,20",
    )
    targets.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="follow every object of an annotation file from the boxes drawn there, each from its "
        f"own frame: {formats.readable()}",
    )
    parser.add_argument(
        "--label", action="append", default=[], help="name of the object; once for each --box"
    )
    parser.add_argument(
        "--frame", type=int, metavar="N", help="frame of the box, from 0 (default: 0)"
    )
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument("--backward", action="store_true", help="towards the first frame")
    direction.add_argument("--both", action="store_true", help="forwards, then backwards")
    parser.add_argument(
        "--start", type=int, default=0, help="first frame to track (default: 0, the first)"
    )
    parser.add_argument(
        "--stop", type=int, help="frame before which to stop (default: the end of the video)"
    )


def drawn(args: argparse.Namespace, video: FrameSource) -> Tracks:
    """Boxes to begin with.

    Raises
    ------
    TracksError, FormatError
        If the arguments do not go together, or a file cannot be read or does not fit the video.
    """
    if args.boxes is None:
        return _given(args, len(video))
    if args.frame is not None or args.label:
        raise TracksError("--frame and --label go with --box; a file has its own.")
    tracks, left_out = edits.fitting(
        sidecar.read(args.boxes), len(video), (video.height, video.width)
    )
    if not any(tracks.keyframes(k) for k in tracks.object_ids):
        raise TracksError(f"No drawn box of {args.boxes} lies in this video; nothing to track.")
    if any(left_out):
        print(edits.told(left_out, args.boxes.name, len(video)), file=sys.stderr)
    return tracks


def walks(args: argparse.Namespace, tracks: Tracks, length: int) -> list[Walk]:
    """Runs that follow every object from its boxes.

    Backwards after forwards, each object is followed from its first box only: the frames between
    its boxes are done already. Locked objects are left as they are.

    Raises
    ------
    TracksError
        If there is no frame to track, or all objects are locked.
    """
    stop = length if args.stop is None else min(args.stop, length)
    frames = range(args.start, stop)
    free = [k for k in tracks.object_ids if not tracks.info(k).locked]
    if len(free) < len(tracks.object_ids):
        if not free:
            raise TracksError("All objects are locked; unlock in napari what is to be tracked.")
        locked = ", ".join(str(k) for k in tracks.object_ids if k not in free)
        print(f"Left as they are, being locked: {locked}.", file=sys.stderr)
    found = {k: [f for f in tracks.keyframes(k) if f in frames] for k in free}
    keyframes = {k: of for k, of in found.items() if of}
    if not keyframes or args.start < 0:
        raise TracksError(
            f"The drawn box lies outside the frames to track, --start {args.start} to --stop "
            f"{stop} (excluded)."
        )
    first, last = min(of[0] for of in keyframes.values()), max(of[-1] for of in keyframes.values())
    if args.backward:
        planned = [Walk(range(args.start, last + 1), True, keyframes)]
    else:
        planned = [Walk(range(first, stop), False, keyframes)]
    if args.both:
        for frame in sorted({of[0] for of in keyframes.values()}):
            begun = {k: [frame] for k, of in keyframes.items() if of[0] == frame}
            planned.append(Walk(range(args.start, frame + 1), True, begun))
    if not any(walk.expected for walk in planned):
        where, frame = ("before", first) if args.backward else ("after", last)
        raise TracksError(f"No frame lies {where} the box on frame {frame}; nothing to track.")
    return planned


def without_guesses(tracks: Tracks) -> Tracks:
    """Copy without machine-made boxes, so that no object begins at one."""
    person = tracks.copy()
    for row in tracks.rows():
        if not row.box.is_keyframe:
            person.put(row.object_id, row.frame, None)
    return person


def _given(args: argparse.Namespace, length: int) -> Tracks:
    """Boxes of the command line."""
    if len(args.label) > len(args.box):
        raise TracksError("There are more --label than --box; give each box at most one label.")
    frame = args.frame or 0
    if not 0 <= frame < length:
        raise TracksError(
            f"--frame {frame} is not in this video, which has {length} frames (0 to {length - 1})."
        )
    tracks = Tracks()
    for box_xyxy, label in zip_longest(args.box, args.label, fillvalue="object"):
        tracks.draw(tracks.add_object(label), frame, box_xyxy)
    return tracks


def _box(text: str) -> FloatArray:
    """Parse ``X,Y,W,H``; whether it makes sense is checked against the video."""
    try:
        x, y, width, height = map(float, text.replace(",", " ").split())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,W,H, four numbers") from None
    return boxes.from_xywh((x, y, width, height))
