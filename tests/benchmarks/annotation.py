"""What the annotation model costs with 20 000 boxes, in ms: median and worst, and median CPU time.

Run it with ``python -m tests.benchmarks annotation``. The bar is 50 ms for an edit, a batch of 50
boxes or one frame's boxes, and 2 s for opening.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_ocean.annotation import edits, interpolate, review
from napari_ocean.annotation.history import History
from napari_ocean.annotation.identity import Clip
from napari_ocean.annotation.sidecar import SUFFIX, Autosave, load
from napari_ocean.tracks import ObjectPrediction, Source, State, TrackBox, Tracks

CLIP = Clip(digest="0" * 64, n_frames=20_000, height=480, width=640)


def annotation(n_objects: int, n_frames: int) -> Tracks:
    """Tracked boxes everywhere, a keyframe on every hundredth frame."""
    rng = np.random.default_rng(0)
    tracks = Tracks()
    for _ in range(n_objects):
        object_id = tracks.add_object("animal")
        corners = rng.uniform(0, 300, (n_frames, 2))
        for frame in range(n_frames):
            box = np.concatenate([corners[frame], corners[frame] + 40])
            source = Source.TRACKED if frame % 100 else Source.DRAWN
            tracks.put(object_id, frame, TrackBox(box, 0.9, State.FOUND, source))
    return tracks


def batch(object_id: int, start: int, n: int) -> list[ObjectPrediction]:
    return [
        ObjectPrediction(
            object_id=object_id,
            frame=start + k,
            box_xyxy=np.array([5.0, 5, 45 + k, 50]),
            score=0.8,
            state=State.FOUND,
        )
        for k in range(n)
    ]


def timed(name: str, work: Callable[[int], object], repeats: int = 30) -> None:
    spent = []
    for k in range(repeats):
        began, cpu = time.perf_counter(), time.process_time()
        work(k)
        spent.append((time.perf_counter() - began, time.process_time() - cpu))
    wall, cpu = 1e3 * np.array(spent).T
    print(f"  {name:<40} {np.median(wall):9.3f} {wall.max():9.3f} {np.median(cpu):9.3f}")


class Desk:
    """What a person and a run do, in steps that can be undone and are saved."""

    def __init__(self, n_objects: int, n_frames: int, path: Path) -> None:
        self.n_frames = n_frames
        self.tracks = annotation(n_objects, n_frames)
        self.saving = Autosave(path, CLIP, self.tracks)
        self.history = History(self.tracks, committed=self.saving.append)

    def edit(self, k: int) -> None:
        with self.history.step("Draw"):
            self.tracks.draw(1, 1 + k, (k, 5, 60 + k, 70))

    def batch(self, k: int) -> None:
        first = 50 * k % (self.n_frames - 50)
        with self.history.step("Track", key="run"):
            for prediction in batch(1, first, 50):
                self.tracks.merge(prediction)

    def whole_run(self, k: int) -> None:
        with self.history.step(f"Track {k}"):
            for object_id in self.tracks.object_ids:
                for prediction in batch(object_id, 0, self.n_frames):
                    self.tracks.merge(prediction)

    def end(self, k: int) -> None:
        with self.history.step("End here"):
            edits.end_here(self.tracks, 1, self.n_frames // 2 + k, self.n_frames)

    def fill(self, _: int) -> None:
        with self.history.step("Interpolate"):
            interpolate.fill(self.tracks, 1, 0, self.n_frames)

    def flag(self, _: int) -> None:
        for object_id in self.tracks.object_ids:
            review.flags(object_id, review.risks(self.tracks, object_id))


def measure(n_objects: int, n_frames: int, folder: Path) -> None:
    print(f"\n{n_objects} objects x {n_frames} frames{'median':>32} {'worst':>9} {'cpu':>9}")
    path = folder / f"{n_objects}{SUFFIX}"
    desk = Desk(n_objects, n_frames, path)
    timed("one edit, with undo and autosave", desk.edit)
    timed("a batch of 50, with undo and autosave", desk.batch)
    timed("the boxes of one frame", desk.tracks.on_frame)
    timed("copy for a worker", lambda k: desk.tracks.copy(), 5)
    timed("risk and flags of all objects", desk.flag, 5)
    timed("overlaps of all boxes", lambda k: review.overlaps(desk.tracks, range(n_frames)), 5)
    timed("interpolate one object", desk.fill, 1)
    timed("end here: half the clip absent", desk.end, 1)
    timed("undo of that", lambda k: desk.history.undo(), 1)
    timed("open after a kill", lambda k: load(path), 3)
    timed("track everything anew", desk.whole_run, 3)
    timed("undo of that", lambda k: desk.history.undo(), 3)
    size = path.with_suffix(".journal").stat().st_size / 1e6
    timed(f"open after a kill, journal of {size:.0f} MB", lambda k: load(path), 3)
    timed("close: one whole file", lambda k: desk.saving.close(), 1)
    timed("open after a close", lambda k: load(path), 3)
    saved = load(path)
    timed(
        "first autosave of what was resumed",
        lambda k: Autosave(path, CLIP, saved.tracks, resumed=saved),
        1,
    )
    timed("first autosave of what lies nowhere", lambda k: Autosave(path, CLIP, desk.tracks), 3)


def memory() -> None:
    """What undo keeps when the same 20 000 boxes are tracked anew again and again."""
    tracks = annotation(1, 20_000)
    history = History(tracks)
    tracemalloc.start()
    for k in range(10):
        with history.step(f"Track {k}"):
            for prediction in batch(1, 0, 20_000):
                tracks.merge(prediction)
    taken, _ = tracemalloc.get_traced_memory()
    print(f"\n10 runs over 20 000 boxes each keep {taken / 1e6:.0f} MB in the history")


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        measure(200, 100, Path(folder))
        measure(1, 20_000, Path(folder))
    memory()
