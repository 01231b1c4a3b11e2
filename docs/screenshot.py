"""Make docs/screenshot.png: the real window, in the middle of tracking the demo clip.

Run it where there is a display, or under a virtual one::

    xvfb-run -a -s "-screen 0 1400x900x24" python docs/screenshot.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari
from qtpy.QtTest import QTest

from napari_ocean.plugin.demo import start_demo

PATIENCE_MS = 180_000


def main() -> None:
    """Track the demo clip, take the picture at the given frame, close everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("screenshot.png"))
    parser.add_argument("--frame", type=int, default=62)
    parser.add_argument("--theme", choices=["dark", "light"], default="dark")
    arguments = parser.parse_args()

    viewer = napari.Viewer(show=True)
    viewer.theme = arguments.theme
    viewer.window.resize(1280, 800)
    widget = start_demo(viewer)
    QTest.qWait(500)
    viewer.reset_view()
    waited_ms = 0
    while widget.running and viewer.dims.current_step[0] < arguments.frame:
        QTest.qWait(20)
        waited_ms += 20
        if waited_ms > PATIENCE_MS:
            raise SystemExit(f"Frame {arguments.frame} was not reached; is the tracker running?")
    QTest.qWait(100)
    viewer.screenshot(arguments.out, canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    main()
