"""``napari-ocean demo``: the whole job on a clip that the package draws itself."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from napari_ocean.errors import FormatError

_NAME = "ladybird"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "--headless",
        action="store_true",
        help="do not open a window; write the boxes and a preview film instead",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help=f"folder for {_NAME}.boxes.csv and {_NAME}.mp4 of a headless run, which replaces "
        "those of an earlier one (default: the current folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Open napari on the clip, or do the same without a window where there is none."""
    obstacle = "--headless was given" if args.headless else _obstacle_to_a_window()
    if obstacle is None:
        from napari_ocean.plugin import open_demo

        open_demo()
        return 0
    print(f"Running without a window: {obstacle}.")
    _run_headless(args.out)
    return 0


def _run_headless(folder: Path) -> None:
    from napari_ocean import boxes
    from napari_ocean.cli import preview
    from napari_ocean.cli.follow import follow
    from napari_ocean.demo import demo_clip
    from napari_ocean.tracking import load_tracker, propagate
    from napari_ocean.tracks import Tracks
    from napari_ocean.video import open_video

    if not folder.is_dir():
        raise FormatError(f"There is no folder {folder}; make it or choose another with --out.")
    tracker = load_tracker()
    print("Drawing the clip: a ladybird walks behind grass and meets a cousin.")
    clip = demo_clip()
    tracks = Tracks()
    ladybird = tracks.add_object(_NAME)
    tracks.draw(ladybird, 0, clip.truth_xyxy[0])
    with open_video(clip.frames) as video:
        predictions = propagate(video, tracks, tracker=tracker)
        follow([predictions], tracks, folder / f"{_NAME}.boxes.csv", total=len(video) - 1)
        preview.write(folder / f"{_NAME}.mp4", video, tracks, fps=clip.fps)
    found = [row.box.box_xyxy for row in tracks.rows()]
    overlap = boxes.iou(found[1:], clip.truth_xyxy[1:])
    print(
        f"Mean overlap (IoU) with the true boxes: {overlap.mean():.3f}; lowest "
        f"{overlap.min():.3f}, on frame {overlap.argmin() + 1}."
    )


def _obstacle_to_a_window() -> str | None:
    """Say why no window can be opened here, or None if one can."""
    bindings = ("PyQt6", "PySide6", "PyQt5", "PySide2")
    if not any(importlib.util.find_spec(name) for name in bindings):
        return 'no Qt binding is installed (pip install "napari-ocean[gui]")'
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in displays):
        return "this computer has no display"
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return "QT_QPA_PLATFORM asks for no window"
    # Where a display cannot be reached or a system library is missing, Qt does not raise but ends
    # the process, so it is another process that tries.
    trial = "import cv2; from qtpy.QtWidgets import QApplication; QApplication([])"
    try:
        done = subprocess.run([sys.executable, "-c", trial], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "the display does not answer"
    return None if done.returncode == 0 else "Qt cannot open a window on this display"
