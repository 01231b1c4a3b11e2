"""Frames per second of one target, ours and OpenCV's trackers, interleaved on the same frames.

Run it with ``python tests/benchmarks/speed.py [--video FILE --box X,Y,W,H] [--nano FOLDER]``.
CSRT and KCF take part where ``opencv-contrib-python`` is installed instead of ``opencv-python``;
NanoTrack where its ONNX files are given. Ratios from one run are what counts: absolute times
depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.tracking import load_tracker
from napari_ocean.video import open_video

Step = Callable[[np.ndarray], Any]


def opencv(create: Callable[[], Any], frame: np.ndarray, box_xyxy: np.ndarray) -> Step:
    """One of OpenCV's trackers, begun on a frame; it takes RGB like ours and turns it to BGR."""
    tracker = create()
    x, y, width, height = (round(v) for v in boxes.to_xywh(box_xyxy))
    tracker.init(frame[..., ::-1].copy(), (x, y, width, height))
    return lambda image: tracker.update(image[..., ::-1].copy())


def nano(folder: Path, version: int) -> Callable[[], Any]:
    """Constructor of NanoTrack from its ONNX files."""
    parameters = cv2.TrackerNano_Params()
    parameters.backbone = str(folder / f"nanotrack_v{version}_backbone.onnx")
    parameters.neckhead = str(folder / f"nanotrack_v{version}_head.onnx")
    return lambda: cv2.TrackerNano_create(parameters)


def contestants(frame: np.ndarray, box_xyxy: np.ndarray, args: argparse.Namespace) -> dict:
    """All trackers that this computer has, begun on the first frame."""
    tracker = load_tracker(args.model, device=args.device)
    if args.threads is not None:
        tracker.net.preset = replace(tracker.net.preset, cpu_threads=args.threads)
    steps: dict[str, Step] = {"napari-ocean": tracker.start(frame, box_xyxy).step}
    for name in ("CSRT", "KCF", "MIL"):
        if create := getattr(cv2, f"Tracker{name}_create", None):
            steps[name] = opencv(create, frame, box_xyxy)
    if args.nano is not None:
        for version in (1, 2):
            create = nano(args.nano, version)
            steps[f"NanoTrack v{version}"] = opencv(create, frame, box_xyxy)
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="lite")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads of our network (default: 1)")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--box", help="X,Y,W,H on the first frame of --video")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--nano", type=Path, help="folder of NanoTrack's ONNX files")
    args = parser.parse_args()
    if args.video is None:
        clip = demo_clip()
        frames, box_xyxy = list(clip.frames[: args.frames]), clip.truth_xyxy[0]
    else:
        with open_video(args.video) as video:
            frames = [video.frame(i) for i in range(min(len(video), args.frames))]
        box_xyxy = boxes.from_xywh([float(v) for v in args.box.split(",")])

    steps = contestants(frames[0], box_xyxy, args)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for frame in frames[1:]:
        for name, step in steps.items():
            began = time.perf_counter()
            step(frame)
            seconds[name].append(time.perf_counter() - began)

    height, width = frames[0].shape[:2]
    print(
        f"{width}x{height}, {len(frames) - 1} frames, torch {torch.__version__}, "
        f"OpenCV {cv2.__version__}\n"
    )
    print("| tracker | median ms | p95 ms | frames/s | our speed / theirs |\n|---|---|---|---|---|")
    ours = np.median(seconds["napari-ocean"])
    for name, taken in seconds.items():
        median, p95 = np.percentile(taken, [50, 95])
        print(
            f"| {name} | {1e3 * median:.1f} | {1e3 * p95:.1f} | {1 / median:.0f} "
            f"| {median / ours:.2f} |"
        )


if __name__ == "__main__":
    main()
