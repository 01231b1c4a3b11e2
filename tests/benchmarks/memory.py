"""Does memory stay flat over a long video? Frames are made one by one, boxes are not kept."""

from __future__ import annotations

import argparse
import sys

import numpy as np
from tqdm import tqdm

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.tracking import load_tracker, propagate
from napari_ocean.tracks import Tracks
from napari_ocean.video.frames import Frame, SourceBase
from tests.benchmarks.measure import rss_mib, table

WARM_FRAMES = 500
"""Frames before the first reading, in which caches and allocators reach their size."""

READINGS = 100


class ThereAndBack(SourceBase):
    """The demo clip played forwards and backwards without end; each frame is a fresh array."""

    name = "there and back"

    def __init__(self, length: int) -> None:
        self._clip = demo_clip(60, height=240, width=320)
        self.height, self.width = self._clip.frames.shape[1:3]
        self._length = length

    @property
    def first_box_xyxy(self) -> boxes.FloatArray:
        """The target on frame 0."""
        return self._clip.truth_xyxy[0]

    def frame(self, index: int) -> Frame:
        last = len(self._clip.frames) - 1
        return self._clip.frames[last - abs(last - self._check(index) % (2 * last))].copy()

    def close(self) -> None:
        """Nothing is held."""


def run(args: argparse.Namespace) -> None:
    """Track one target through ``--frames`` frames and read the memory on the way."""
    length = args.frames + WARM_FRAMES
    video = ThereAndBack(length)
    tracks = Tracks()
    tracks.draw(tracks.add_object(), 0, video.first_box_xyxy)
    tracker = load_tracker(args.model, device=args.device)
    every = max(args.frames // READINGS, 1)
    at, mib = [], []
    found = propagate(video, tracks, tracker=tracker)
    for prediction in tqdm(found, total=length, file=sys.stderr, mininterval=10):
        past = prediction.frame - WARM_FRAMES
        if past >= 0 and past % every == 0:
            at.append(past)
            mib.append(rss_mib())
    slope = np.polyfit(at, mib, 1)[0] * 10_000
    table(
        f"Memory over {args.frames} frames of {video.width}x{video.height}, read {len(mib)} times "
        f"after {WARM_FRAMES} frames",
        ["start MiB", "end MiB", "largest MiB", "growth, MiB per 10 000 frames"],
        [[f"{mib[0]:.0f}", f"{mib[-1]:.0f}", f"{max(mib):.0f}", f"{slope:+.2f}"]],
    )
