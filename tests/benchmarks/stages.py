"""Where a frame's time goes: each stage of one step on its own, medians in ms.

Run it with ``python tests/benchmarks/stages.py [--model lite]``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from napari_ocean.demo import demo_clip
from napari_ocean.tracking import load_tracker
from napari_ocean.tracking.crop import crop_patch

REPEATS = 50


def median_ms(work: Callable[[], object]) -> float:
    """Median time of a piece of work, after two runs to warm up."""
    seconds = []
    for _ in range(REPEATS + 2):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return 1e3 * float(np.median(seconds[2:]))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="lite")
    tracker = load_tracker(parser.parse_args().model, device="cpu")
    net = tracker.net
    if net.preset.cpu_threads is not None:
        torch.set_num_threads(net.preset.cpu_threads)
    frame = demo_clip().frames[0]
    fill = (90, 90, 90)
    side_px = tracker.settings.search_px
    patch, _ = crop_patch(frame, (20, 30), 400, side_px, fill)
    x = torch.from_numpy(patch).permute(2, 0, 1)[None].float()
    state = net.template(x[..., :127, :127])
    raw = net.backbone(x)
    features = net.neck(raw)
    matched = net.box_combination(features, state.box)
    ltrb, box_features = net.box_head(matched)
    stages: dict[str, Callable[[], object]] = {
        "crop, past the frame's corner": lambda: crop_patch(frame, (20, 30), 400, side_px, fill),
        "backbone": lambda: net.backbone(x),
        "neck": lambda: net.neck(raw),
        "combination (each of two)": lambda: net.box_combination(features, state.box),
        "box head": lambda: net.box_head(matched),
        "regular head": lambda: net.regular_head(matched),
    }
    if net.aware_head is not None:
        aware = net.aware_head
        stages["object-aware head"] = lambda: aware(box_features, ltrb)
    session = tracker.start(frame, (200, 150, 300, 250))
    stages["whole step"] = lambda: session.step(frame)
    print("| stage | median ms |\n|---|---|")
    for name, work in stages.items():
        print(f"| {name} | {median_ms(work):.1f} |")


if __name__ == "__main__":
    main()
