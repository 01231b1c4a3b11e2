"""What 20 000 boxes cost in a napari window, in ms, next to the image alone.

Run it with ``xvfb-run -a python -m tests.benchmarks layer``. The bar: moving to another frame costs
at most 1.5 times the image alone, an edit or a batch of 50 boxes 50 ms, opening 2 s. The image
alone, with its boxes, and with as many shapes of napari that never change take turns. The time of
the process is what counts on a shared machine; under Xvfb it includes the drawing, which the CPU
does there.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication

from napari_ocean.annotation.sidecar import Autosave
from napari_ocean.plugin import shaders
from napari_ocean.plugin.saving import clip_of
from napari_ocean.plugin.session import Session
from napari_ocean.tracks import Tracks
from tests.benchmarks.annotation import annotation, batch
from tests.benchmarks.measure import table
from tests.plugin.conftest import mouse

SIZES_HW = {"480 x 640 grey": (480, 640), "1080 x 1920 colour": (1080, 1920, 3)}
ROUNDS = 40
WARM_UP = 5

Taken = list[tuple[float, float]]


class Window:
    """A clip with its boxes, in a viewer.

    Parameters
    ----------
    pixels : ndarray
    tracks : Tracks
    folder : Path
        For the autosave.
    """

    def __init__(self, pixels: NDArray[np.uint8], tracks: Tracks, folder: Path) -> None:
        self.viewer = napari.Viewer()
        self.image: Image = self.viewer.add_image(pixels, name="clip")
        self.app = QApplication.instance()
        self.step(1)
        place = Session(self.image).find_saved(folder)
        Autosave(place.path, clip_of(self.image), tracks).close()
        self.opening = self.timed(lambda: self._open(folder))
        here = [of[:, 1:] for of in self.session.layer.data if of[0, 0] == self.session.frame]
        self.still = self.viewer.add_shapes(here, edge_width=2, visible=False)
        self.viewer.layers.selection.active = self.session.layer

    def _open(self, folder: Path) -> None:
        self.session = Session(self.image)
        self.session.find_saved(folder)
        self.session.resume()
        self.session.follow(self.viewer.dims)
        self.viewer.add_layer(self.session.layer)
        shaders.mend(self.session.layer)
        self.viewer.layers.selection.active = self.session.layer

    def timed(self, work: Callable[[], object]) -> tuple[float, float]:
        """Wall and process time of some work with all drawing it brings, in ms."""
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.app.processEvents()
        return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)

    def step(self, frame: int) -> None:
        self.viewer.dims.set_current_step(0, frame % self.image.data.shape[0])

    def show(self, what: str) -> None:
        """Show the image ``alone``, with its ``boxes``, or with ``still`` shapes."""
        self.session.layer.visible = what == "boxes"
        self.still.visible = what == "still"
        if what == "boxes":
            self.session.follow(self.viewer.dims)
        else:
            self.session.unfollow()
        self.app.processEvents()

    def scrub(self, stride: int) -> dict[str, Taken]:
        """Move along by some frames, with each of what :meth:`show` shows."""
        taken: dict[str, Taken] = {"alone": [], "boxes": [], "still": []}
        for k in range(ROUNDS // 4):
            for what, of in taken.items():
                self.show(what)
                for j in range(5):
                    frame = (5 * k + j) * stride
                    spent = self.timed(lambda frame=frame: self.step(frame))
                    if j:  # the first one pays for the switch
                        of.append(spent)
        return taken

    def edit(self, k: int) -> None:
        """Drop a box that was dragged."""
        frame = self.session.frame
        mouse(self.session.layer, "mouse_release", (frame, *self._at))
        self.session.pull()

    def grasp(self, k: int) -> None:
        """Drag a box of the frame shown a little way."""
        layer, session = self.session.layer, self.session
        row = next(row for row, key in enumerate(session.view.rows) if key == (1, session.frame))
        layer.mode = "select"
        layer.selected_data = {row}
        center = layer.data[row].mean(axis=0)
        self._at = center[1] + 4, center[2] + 4
        mouse(layer, "mouse_press", tuple(center))
        mouse(layer, "mouse_move", (center[0], center[1] + 2, center[2] + 2))
        mouse(layer, "mouse_move", (center[0], *self._at))
        self.app.processEvents()

    def batch(self, k: int) -> None:
        """Take in 50 boxes of a run, one of them on the frame shown."""
        start = max(self.session.frame - 20, 0)
        self.session.record(batch(1, start, 50), run="run")
        self.session.flush()

    def close(self) -> None:
        self.session.close()
        self.viewer.close()


def cell(taken: Taken) -> str:
    """Median process time, and wall time in brackets."""
    wall, cpu = np.median(np.array(taken), axis=0)
    return f"{cpu:.0f} ({wall:.0f})"


def repeat(window: Window, work: Callable[[int], object], before: Callable[[int], object]) -> Taken:
    taken: Taken = []
    for k in range(ROUNDS // 2 + WARM_UP):
        before(k)
        taken.append(window.timed(lambda k=k: work(k)))
    return taken[WARM_UP:]


def measure(n_objects: int, n_frames: int, size: str, folder: Path) -> list[object]:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 255, (50, *SIZES_HW[size]), dtype=np.uint8)
    pixels = np.lib.stride_tricks.as_strided(  # as long as wanted, in the memory of 50 frames
        one, (n_frames, *one.shape[1:]), (0, *one.strides[1:]), writeable=False
    )
    window = Window(pixels, annotation(n_objects, n_frames), folder)
    near, far = window.scrub(1), window.scrub(37)
    window.show("boxes")
    window.step(7)
    window.app.processEvents()
    edits = repeat(window, window.edit, window.grasp)
    undos = repeat(window, lambda k: window.session.undo(), lambda k: None)
    batches = repeat(
        window, window.batch, lambda k: window.timed(lambda: window.step(30 + k % 40))
    )  # the new frame is drawn before the clock starts
    row = [f"{n_objects} x {n_frames}", size, cell(near["alone"]), cell(near["boxes"])]
    row += [_ratio(near, "boxes"), _ratio(far, "boxes"), _ratio(near, "still")]
    row += [cell(edits), cell(undos), cell(batches)]
    row.append(cell([window.opening]))
    window.close()
    return row


def _ratio(taken: dict[str, Taken], what: str) -> str:
    cpu = {name: np.median(np.array(of), axis=0)[1] for name, of in taken.items()}
    return f"{cpu[what] / cpu['alone']:.2f}"


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    rows = []
    for size in SIZES_HW:
        for n_objects, n_frames in ((1, 40), (200, 100), (1, 20_000)):
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(n_objects, n_frames, size, Path(folder)))
    table(
        f"Boxes in a window: process time and (wall time) in ms; load {os.getloadavg()[0]:.1f}",
        [
            "objects x frames", "image", "next frame, image alone", "with boxes", "ratio",
            "ratio, far jumps", "ratio of still shapes", "drop a dragged box", "undo it",
            "batch of 50", "open",
        ],
        rows,
    )  # fmt: skip
