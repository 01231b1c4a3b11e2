"""Ours and what people would pick instead, in turns on the same frames."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from napari_ocean.demo import demo_clip
from napari_ocean.errors import OceanError
from napari_ocean.evaluation.datasets import Sequence
from napari_ocean.evaluation.runs import run_together, start_up
from napari_ocean.evaluation.store import Store
from napari_ocean.evaluation.trackers import TRACKERS, TrackerSpec, make
from tests.benchmarks.measure import WARM_UP, table


def run(args: argparse.Namespace) -> None:
    """Print speed, start-up and memory of every tracker that this computer has."""
    cv2.setNumThreads(1)  # as the network of lite and the processes of an evaluation
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    specs, missing = _specs(args)
    clip = demo_clip()
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "clip.npy"
        np.save(video, clip.frames)
        sequence = Sequence("ladybird", clip.truth_xyxy, video)
        store = Store(Path(folder) / "results", "folder")
        begun = {name: start_up(name, spec, sequence, store) for name, spec in specs.items()}
        runs, (height, width) = run_together({n: make(s) for n, s in specs.items()}, sequence)
    ms = {name: 1e3 * run.seconds[1 + WARM_UP :] for name, run in runs.items()}
    ours_ms = np.median(ms["ocean"])
    table(
        f"{width}x{height}, {len(ms['ocean'])} frames in turns, one thread each, our network two",
        [
            "tracker",
            "median ms",
            "p95 ms",
            "frames/s",
            "our time / theirs",
            "start-up s",
            "peak MiB",
        ],
        [
            [
                name,
                f"{np.median(of):.1f}",
                f"{np.percentile(of, 95):.1f}",
                f"{1e3 / np.median(of):.0f}",
                f"{ours_ms / np.median(of):.2f}",
                f"{begun[name].seconds:.2f}",
                f"{begun[name].peak_mib or np.nan:.0f}",
            ]
            for name, of in ms.items()
        ],
    )
    print("\n".join(["", *missing]))


def _specs(args: argparse.Namespace) -> tuple[dict[str, TrackerSpec], list[str]]:
    """Trackers that can be made here, and why the others cannot; a static box costs nothing."""
    specs, missing = {}, []
    for name in TRACKERS:
        spec = TrackerSpec(name=name, nano_folder=str(args.nano or ""))
        if name == "ocean":
            spec = TrackerSpec(model=args.model, device=args.device)
        try:
            make(spec)
        except OceanError as error:
            missing.append(f"{name} did not take part. {error}")
        else:
            specs[name] = spec
    specs.pop("static")
    specs["ocean-off"] = replace(specs["ocean"], online="off")
    fast = {"mirrored": False}
    specs["ocean-fast"] = replace(specs["ocean"], settings=fast)
    specs["ocean-off-fast"] = replace(specs["ocean-off"], settings=fast)
    for name in ("ocean", "ocean-off-fast"):
        specs[f"{name} in PyTorch"] = replace(specs[name], engine="torch")
    return specs, missing
