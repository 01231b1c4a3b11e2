"""``napari-ocean track``: one box in, a box on every frame out, or many of a file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ocean import formats
from napari_ocean.cli import targets
from napari_ocean.errors import OceanError
from napari_ocean.tracks import Tracks

if TYPE_CHECKING:
    from napari_ocean.video import FrameSource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("video", help="film (mp4, avi, mov, mkv ...), folder of images or stack")
    targets.add_arguments(parser)
    parser.add_argument(
        "--model", default="lite", help="preset or weights file (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, mps, or auto: cuda if there is one, else cpu"
    )
    parser.add_argument(
        "--online",
        choices=["default", "official", "off"],
        default="default",
        help="how the tracker learns the object's changing looks: as measured best, as the "
        "released code does, or not at all (faster) (default: %(default)s)",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        default=None,  # the tracker's own
        help="lite: look at each frame once, not a second time in the mirror: one and a half times "
        "as quick, boxes a little less exact (always so on a CPU without OpenVINO)",
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
        tracks = targets.drawn(args, video)
        walks = targets.walks(args, tracks, len(video))
        _check_files(args, out, tracks, formats.Clip.of(video))
        _track(args, video, tracks, out, walks)
        if args.preview:
            preview.write(args.preview, video, tracks)
    return 0


def _check_files(args: argparse.Namespace, out: Path, tracks: Tracks, clip: formats.Clip) -> None:
    """Refuse, before any work, what could not be written or would replace somebody's file."""
    from napari_ocean.cli import preview

    formats.check(out, tracks, clip)
    if args.preview:
        preview.check(args.preview)
    for path in filter(None, (out, args.preview)):
        if not path.exists():
            continue
        if not path.is_file() or path.samefile(os.path.expanduser(args.video)):
            raise OceanError(f"{path} cannot be replaced; choose another name.")
        if not args.force:
            raise OceanError(f"{path} exists already; choose another name or add --force.")


def _track(
    args: argparse.Namespace,
    video: FrameSource,
    tracks: Tracks,
    out: Path,
    walks: list[targets.Walk],
) -> None:
    from napari_ocean.cli.follow import follow
    from napari_ocean.tracking import ONLINE, load_tracker, propagate

    tracker = load_tracker(
        args.model, device=args.device, online=ONLINE[args.online], fast=args.fast
    )
    drawn = targets.without_guesses(tracks)
    runs = [
        propagate(
            video,
            drawn,
            tracker=tracker,
            start=walk.frames.start,
            stop=walk.frames.stop,
            reverse=walk.reverse,
            object_ids=list(walk.keyframes),
        )
        for walk in walks
    ]
    total = sum(walk.expected for walk in walks)
    follow(runs, tracks, out, total=total, clip=formats.Clip.of(video))
