"""``napari-ocean track``: one box in, a box on every frame out."""

from __future__ import annotations

import argparse
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ocean import boxes, formats
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import OceanError, TracksError
from napari_ocean.tracks import Tracks

if TYPE_CHECKING:
    from napari_ocean.video import FrameSource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("video", help="film (mp4, avi, mov, mkv ...), folder of images or stack")
    parser.add_argument(
        "--box",
        type=_box,
        action="append",
        required=True,
        metavar="X,Y,W,H",
        help="the target: left, top, width and height in pixels of frame N; give it again for "
        "a second object; a negative number needs the form --box=-5,0,20,20",
    )
    parser.add_argument(
        "--label", action="append", default=[], help="name of the object; once for each --box"
    )
    parser.add_argument(
        "--frame", type=int, default=0, metavar="N", help="frame of the box, from 0 (default: 0)"
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
    parser.add_argument(
        "--model", default="lite", help="preset or weights file (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda ... (default: %(default)s)"
    )
    parser.add_argument(
        "--online",
        choices=["default", "official", "off"],
        default="default",
        help="how the tracker learns the object's changing looks: as measured best, as the "
        "released code does, or not at all (faster) (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help=f"file for the boxes; the ending says how: {formats.supported()} (default: VIDEO's "
        "name with .boxes.csv, in the current folder)",
    )
    parser.add_argument(
        "--preview", type=Path, metavar="FILM", help="also write a film with the boxes drawn in"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist already")


def run(args: argparse.Namespace) -> int:
    """Track, write the boxes and, if asked for, the preview."""
    from napari_ocean.cli import preview
    from napari_ocean.video import open_video

    with open_video(args.video) as video:
        out: Path = args.out or Path(f"{Path(args.video).resolve().stem}.boxes.csv")
        walks = _walks(args, len(video))
        tracks = _drawn(args)
        _check_files(args, out, tracks, formats.Clip.of(video))
        _track(args, video, tracks, out, walks)
        if args.preview:
            preview.write(args.preview, video, tracks)
    return 0


def _box(text: str) -> FloatArray:
    """Parse ``X,Y,W,H``; whether it makes sense is checked against the video."""
    try:
        x, y, width, height = map(float, text.replace(",", " ").split())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,W,H, four numbers") from None
    return boxes.from_xywh((x, y, width, height))


def _drawn(args: argparse.Namespace) -> Tracks:
    if len(args.label) > len(args.box):
        raise TracksError("There are more --label than --box; give each box at most one label.")
    tracks = Tracks()
    for box_xyxy, label in zip_longest(args.box, args.label, fillvalue="object"):
        tracks.draw(tracks.add_object(label), args.frame, box_xyxy)
    return tracks


def _walks(args: argparse.Namespace, length: int) -> list[tuple[range, bool]]:
    """Frames of each run and whether they are walked backwards."""
    if not 0 <= args.frame < length:
        raise TracksError(
            f"--frame {args.frame} is not in this video, which has {length} frames (0 to "
            f"{length - 1})."
        )
    stop = length if args.stop is None else min(args.stop, length)
    if not 0 <= args.start <= args.frame < stop:
        raise TracksError(
            f"--frame {args.frame}, where the box is, lies outside the frames to track, "
            f"--start {args.start} to --stop {stop} (excluded)."
        )
    forward = (range(args.frame, stop), False)
    backward = (range(args.start, args.frame + 1), True)
    walks = [forward, backward] if args.both else [backward if args.backward else forward]
    if all(len(frames) == 1 for frames, _ in walks):
        where = "before" if args.backward else "after"
        raise TracksError(f"No frame lies {where} the box on frame {args.frame}; nothing to track.")
    return walks


def _check_files(args: argparse.Namespace, out: Path, tracks: Tracks, clip: formats.Clip) -> None:
    """Refuse, before any work, what could not be written or would replace somebody's file."""
    from napari_ocean.cli import preview

    formats.check(out, tracks, clip)
    if args.preview:
        preview.check(args.preview)
    for path in filter(None, (out, args.preview)):
        if not path.exists():
            continue
        if not path.is_file() or path.samefile(args.video):
            raise OceanError(f"{path} cannot be replaced; choose another name.")
        if not args.force:
            raise OceanError(f"{path} exists already; choose another name or add --force.")


def _track(
    args: argparse.Namespace,
    video: FrameSource,
    tracks: Tracks,
    out: Path,
    walks: list[tuple[range, bool]],
) -> None:
    from napari_ocean.cli.follow import follow
    from napari_ocean.tracking import ONLINE, load_tracker, propagate

    tracker = load_tracker(args.model, device=args.device, online=ONLINE[args.online])
    runs = [
        propagate(video, tracks, tracker=tracker, start=of.start, stop=of.stop, reverse=reverse)
        for of, reverse in walks
    ]
    total = len(args.box) * sum(len(of) - 1 for of, _ in walks)
    follow(runs, tracks, out, total=total, clip=formats.Clip.of(video))
