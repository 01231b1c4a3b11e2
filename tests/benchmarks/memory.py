"""Does memory stay flat over a long video? Frames are made one by one, boxes go into a Tracks.

``--model tiny`` takes a network that answers nonsense in a few milliseconds: all around it is as
it is (crops, online update, judgement, annotation), and 50 000 frames take minutes.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.evaluation.runs import in_processes
from napari_ocean.network import OceanNet, fold_batch_norm
from napari_ocean.network.presets import Preset
from napari_ocean.online.settings import OnlineSettings
from napari_ocean.tracking import Tracker, load_tracker, propagate, settings_from
from napari_ocean.tracking.settings import LITE
from napari_ocean.tracks import ObjectPrediction, State, Tracks
from napari_ocean.video.frames import Frame, SourceBase
from tests.benchmarks.measure import rss_mib, table

OBJECTS = (1, 3)

MARKS = (1_000, 10_000, 50_000)
"""Frames after which the memory is told."""

READINGS = 200


class ThereAndBack(SourceBase):
    """The demo clip played forwards and backwards without end; each frame is a fresh array."""

    name = "there and back"

    def __init__(self, length: int) -> None:
        self._clip = demo_clip(60, height=120, width=160)
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


class Curve(NamedTuple):
    """Memory of one run."""

    frames: list[int]
    mib: list[float]
    """Of the process, after each of `frames`."""
    boxes_mib: float
    """What the boxes found take, by a copy of them."""
    trimmed_mib: float | None
    """Of the process at the end, after the C library gave back what it had free; None where it is
    not glibc."""
    learnt: int
    """Boxes that the online update learnt from."""


def run(args: argparse.Namespace) -> None:
    """Track through ``--frames`` frames, with one object and with several, each in a process."""
    rows = []
    marks = [*(mark for mark in MARKS if mark < args.frames), args.frames]
    for objects in OBJECTS:
        (curve,) = in_processes(measure, [(args.model, args.device, objects, args.frames)], 1)
        at, mib = np.array(curve.frames), np.array(curve.mib)
        steady = at >= min(marks[0], args.frames / 2)
        grown = np.polyfit(at[steady], mib[steady], 1)[0] * 10_000
        of_boxes = curve.boxes_mib * 10_000 / args.frames
        rows.append(
            [
                objects,
                *(f"{np.interp(mark, at, mib):.0f}" for mark in marks),
                f"{grown:+.2f}",
                f"{of_boxes:.2f}",
                f"{grown - of_boxes:+.2f}",
                "-" if curve.trimmed_mib is None else f"{curve.trimmed_mib:.0f}",
                curve.learnt,
            ]
        )
    video = ThereAndBack(1)
    table(
        f"Memory over {args.frames} frames of {video.width}x{video.height} ({args.model}); growth "
        "once the first were done",
        [
            "objects",
            *(f"MiB at {mark}" for mark in marks),
            "growth, MiB per 10 000 frames",
            "of that the boxes found",
            "the rest",
            "MiB at the end, free heap given back",
            "boxes learnt from",
        ],
        rows,
    )


def measure(model: str, device: str, objects: int, frames: int) -> Curve:
    """Track some objects with the online update, keep their boxes, read the memory on the way."""
    video = ThereAndBack(frames)
    tracker = _tiny() if model == "tiny" else load_tracker(model, device=device)
    tracks = Tracks()
    for k in range(objects):
        tracks.draw(tracks.add_object(), 0, video.first_box_xyxy + 3 * k)
    every = max(frames // READINGS, 1)
    at, mib, learnt = [], [], 0
    found = propagate(video, tracks, tracker=tracker)
    with tqdm(total=frames, file=sys.stderr, mininterval=10) as bar:
        for prediction in found:
            tracks.merge(prediction)
            learnt += prediction.state is State.FOUND
            if prediction.object_id != objects:
                continue
            bar.update()
            if prediction.frame % every == every - 1:
                gc.collect()
                at.append(prediction.frame + 1)
                mib.append(rss_mib())
                bar.set_postfix(mib=round(mib[-1]), refresh=False)
    return Curve(at, mib, _boxes_mib(tracks), _trimmed_mib(), learnt)


def _trimmed_mib() -> float | None:
    """Memory without what is free in the heap: small long-lived boxes keep large gaps open."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return None
    return rss_mib()


def _boxes_mib(tracks: Tracks) -> float:
    """Memory that an annotation takes, by filling another one with its boxes."""
    gc.collect()
    before, again = rss_mib(), Tracks()
    for object_id in tracks.object_ids:
        again.add_object(object_id=object_id)
    for row in tracks.rows():
        box = row.box
        again.merge(
            ObjectPrediction(
                object_id=row.object_id,
                frame=row.frame,
                box_xyxy=box.box_xyxy.copy(),
                score=box.score + 0.0,
                state=box.state,
            )
        )
    return rss_mib() - before


class _Blurred(nn.Module):
    """A backbone that is one convolution, of the grid of all others."""

    channels = 152

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv2d(3, self.channels, 8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cells: torch.Tensor = self.cells((x - 127) / 128)
        return cells


def _tiny() -> Tracker:
    """Always sure, so that it takes every frame in, and trains on every tenth; boxes keep size."""
    torch.manual_seed(0)
    preset = Preset(
        name="lite",
        backbone="efficientnet_lite0",
        channels=8,
        tower_depth=1,
        separable=True,
        cpu_threads=1,
    )
    net = OceanNet(preset, aware=False)
    net.backbone = _Blurred()  # type: ignore[assignment]
    sure = {"found_score": 0.0, "lost_score": 0.0, "size_rate": 0.0}
    online = OnlineSettings(hard_threshold=1e9)
    return Tracker(fold_batch_norm(net), settings_from(sure, LITE, None)[0], online)
