"""Make the pictures of docs/: the real window on the demo clip, step by step.

Run it where there is a display, or under a virtual one::

    xvfb-run -a -s "-screen 0 1400x950x24" python docs/screenshot.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import napari
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_ocean.plugin import recovery
from napari_ocean.plugin.demo import start_demo
from napari_ocean.plugin.widget import OceanWidget

PATIENCE_MS = 300_000
DOCK_PX = 300
HIDDEN_FRAME = 55
"""Frame of the demo clip on which a blade of grass hides the animal."""


def main() -> None:
    """Track the demo clip, take a picture at each step, close everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--theme", choices=["dark", "light"], default="dark")
    parser.add_argument("--frame", type=int, default=62, help="frame of screenshot.png")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        recovery.user_folder = lambda: Path(folder)  # no real work is looked at or replaced
        viewer = napari.Viewer(show=True)
        viewer.theme = arguments.theme
        viewer.window.resize(1280, 900)
        widget = start_demo(viewer)
        take_pictures(viewer, widget, arguments.out, arguments.frame)
        viewer.close()


def take_pictures(viewer: napari.Viewer, widget: OceanWidget, out: Path, frame: int) -> None:
    """Take a picture while tracking, of the review, and after a correction was fused."""

    def save(name: str) -> None:
        QTest.qWait(400)
        viewer.screenshot(out / name, canvas_only=False, flash=False)

    narrow(viewer)
    QTest.qWait(500)
    viewer.reset_view()
    wait(lambda: not widget.running or viewer.dims.current_step[0] >= frame)
    save("screenshot.png")
    wait(lambda: not widget.running)
    widget.perform("next_flag")
    save("review.png")
    widget.visit(HIDDEN_FRAME, 1)
    widget.perform("occluded")
    widget.visit(HIDDEN_FRAME + 15, 1)
    widget.perform("keyframe")
    widget.visit(HIDDEN_FRAME, 1)
    widget.perform("between")
    wait(lambda: not widget.running)
    widget.controls.objects_part.expand()
    save("corrected.png")


def narrow(viewer: napari.Viewer) -> None:
    """Make the dock as narrow as people do."""
    window = viewer.window._qt_window
    docks = list(viewer.window._wrapped_dock_widgets.values())
    window.resizeDocks(docks, [DOCK_PX] * len(docks), Qt.Orientation.Horizontal)


def wait(until: Callable[[], bool]) -> None:
    """Let the window work until something holds."""
    waited_ms = 0
    while not until():
        QTest.qWait(20)
        waited_ms += 20
        if waited_ms > PATIENCE_MS:
            raise SystemExit("The run did not come so far; is the tracker running?")


if __name__ == "__main__":
    main()
