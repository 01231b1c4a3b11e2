"""How long the window is deaf while it tracks: gaps between beats of Qt's event loop, in ms.

Run it with ``xvfb-run -a python -m tests.benchmarks gui``. The bar is 100 ms for the longest gap.
The demo clip is tracked in a real window, followed or not, and with a large annotation beside it.
A beat is due every few milliseconds; a second thread looks at what the window's own is busy with
when one is late, and the program prints the deepest of those places in the plugin and of all.
Under Xvfb the CPU draws, which a graphics card does elsewhere; the tracker has the other core.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest

from napari_ocean.demo import demo_clip
from napari_ocean.plugin import layers, recovery
from napari_ocean.plugin.widget import OceanWidget
from napari_ocean.tracks import Source, TrackBox
from tests.benchmarks.measure import table

BEAT_MS = 2
LATE_S = 0.06
"""A beat that is later than this has its reason looked for."""


class Pulse:
    """Beats of the event loop, and what kept it from the late ones."""

    def __init__(self) -> None:
        self.gaps_ms: list[float] = []
        self.reasons: Counter[str] = Counter()
        self._last = time.perf_counter()
        self._gui = threading.get_ident()

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps_ms.append(1e3 * (now - self._last))
        self._last = now

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(LATE_S / 4):
            if time.perf_counter() - self._last > LATE_S:
                self.reasons[place(sys._current_frames()[self._gui])] += 1

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take the pulse of what is done inside."""
        timer, ended = QTimer(), threading.Event()
        timer.setInterval(BEAT_MS)
        timer.timeout.connect(self._beat)
        watcher = threading.Thread(target=self._watch, args=(ended,))
        self._last = time.perf_counter()
        timer.start()
        watcher.start()
        try:
            yield
        finally:
            timer.stop()
            ended.set()
            watcher.join()


def place(frame: FrameType | None) -> str:
    """Deepest place of all and deepest place in the plugin, as ``file:function``."""
    names: list[str] = []
    while frame is not None:
        code = frame.f_code
        names.append(
            f"{Path(code.co_filename).parent.name}/{Path(code.co_filename).stem}:{code.co_name}"
        )
        frame = frame.f_back
    ours = next((name for name in names if name.startswith("plugin/")), "no plugin")
    return f"{ours} > {names[0]}"


def opened(clip: Any, others: int) -> tuple[Any, OceanWidget]:
    """A window on a clip, one box drawn, and objects that were tracked already."""
    viewer = napari.Viewer()
    image = viewer.add_image(clip.frames, name="clip", rgb=True)
    widget = OceanWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Ocean")
    widget.draw()
    session = widget.session
    assert session is not None
    for k in range(others):
        object_id = session.tracks.add_object("animal")
        for frame in range(len(clip.frames)):
            box = np.array([5.0, 5, 35, 30]) + 3 * k
            session.tracks.put(object_id, frame, TrackBox(box, 0.9, source=Source.TRACKED))
    session.flush()
    session.layer.add_rectangles([layers.rectangle(0, clip.truth_xyxy[0], image)])
    QTest.qWait(500)
    return viewer, widget


def measure(name: str, *, others: int = 0, follow: bool = True) -> tuple[list[object], Pulse]:
    viewer, widget = opened(demo_clip(), others)
    widget.controls.follow.value = follow
    pulse = Pulse()
    widget.perform("forward")
    wait(
        lambda: widget.session is not None and bool(widget._runner.run and widget._runner.run.done)
    )
    with pulse.taken():  # the tracker is loaded, which is no work of the window's
        wait(lambda: not widget.running)
        QTest.qWait(100)
    gaps = np.array(pulse.gaps_ms)
    viewer.close()
    late = int((gaps > 100).sum())
    values = [f"{v:.0f}" for v in (*np.percentile(gaps, [50, 99]), gaps.max())]
    return [name, len(gaps), *values, late, f"{gaps[gaps > 100].sum() / gaps.sum():.1%}"], pulse


def wait(until: Callable[[], bool]) -> None:
    while not until():
        QTest.qWait(5)


def run(args: argparse.Namespace) -> None:
    """Print the two tables."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        recovery.user_folder = lambda: Path(folder)
        runs = {
            "one object, followed": {},
            "one object, another frame in view": {"follow": False},
            "one object beside 100 tracked ones": {"others": 100},
            "one object, followed, again": {},
        }
        rows, reasons = [], Counter[str]()
        for name, settings in runs.items():
            row, pulse = measure(name, **settings)
            rows.append(row)
            reasons += pulse.reasons
    table(
        f"Gaps of the event loop while tracking, in ms; load {os.getloadavg()[0]:.1f}",
        ["run", "beats", "median", "99 %", "longest", "over 100 ms", "time in those"],
        rows,
    )
    table(
        f"Where it was when a beat was {1e3 * LATE_S:.0f} ms late",
        ["in the plugin > at all", "times seen"],
        reasons.most_common(12),
    )
