"""1 to 50 objects and 240p to 4K: how the time of a frame grows."""

from __future__ import annotations

import argparse

import numpy as np

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.tracking import Tracker, load_tracker, propagate
from napari_ocean.tracks import Tracks
from napari_ocean.video import open_video
from tests.benchmarks.measure import clock, interleaved, table

OBJECTS = (1, 2, 5, 10, 20, 50)
SIZES_WH = ((426, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))
FRAMES = 5
"""Frames of a clip; the time of a run is for all but the first."""


def run(args: argparse.Namespace) -> None:
    """Print a table for the objects and one for the sizes."""
    tracker = load_tracker(args.model, device=args.device)
    _objects(tracker, max(args.rounds // 25, 1))
    _sizes(tracker, args.rounds)


def _objects(tracker: Tracker, rounds: int) -> None:
    clip = demo_clip(FRAMES)
    rng = np.random.default_rng(0)
    now = clock(tracker.device.type)
    ms: dict[int, list[float]] = {count: [] for count in OBJECTS}
    with open_video(clip.frames) as video:
        for _ in range(rounds):
            for count in OBJECTS:
                tracks = Tracks()
                centers = rng.uniform((60, 60), (video.width - 60, video.height - 60), (count, 2))
                for box in boxes.from_center(centers, (80, 60)):
                    tracks.draw(tracks.add_object(), 0, box)
                began = 0.0
                for prediction in propagate(video, tracks, tracker=tracker):
                    if prediction.frame == 0:
                        began = now()  # the start of the last object
                ms[count].append(1e3 * (now() - began) / (FRAMES - 1))
    one = np.median(ms[1])
    table(
        f"Objects in one run ({video.width}x{video.height}, {rounds} interleaved rounds)",
        ["objects", "ms a frame", "ms a box", "a box, against one object"],
        [
            [
                count,
                f"{np.median(of):.1f}",
                f"{np.median(of) / count:.1f}",
                f"{np.median(of) / count / one:.2f}",
            ]
            for count, of in ms.items()
        ],
    )


def _sizes(tracker: Tracker, rounds: int) -> None:
    works = {}
    for width, height in SIZES_WH:
        clip = demo_clip(2, height=height, width=width)
        session = tracker.start(clip.frames[0], clip.truth_xyxy[0])
        works[f"{width}x{height}"] = lambda session=session, of=clip.frames[0]: session.step(of)
    taken = interleaved(works, rounds, clock(tracker.device.type))
    base = np.median(taken["640x480"])
    table(
        f"Frame sizes; the target grows along, decoding is not in it ({rounds} interleaved rounds)",
        ["frame", "step, median ms", "p95 ms", "against 640x480"],
        [
            [
                name,
                f"{np.median(ms):.1f}",
                f"{np.percentile(ms, 95):.1f}",
                f"{np.median(ms) / base:.2f}",
            ]
            for name, ms in taken.items()
        ],
    )
