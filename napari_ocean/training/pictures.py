"""What a training looks at, and how it goes, as pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_ocean.network.presets import TEMPLATE_PX
from napari_ocean.training.images import TrainingImages
from napari_ocean.training.pairs import PairBatch

_PRESENT, _ABSENT = (0, 200, 0), (0, 0, 230)
_COLUMNS = 6


def pairs_sheet(batch: PairBatch) -> NDArray[np.uint8]:
    """Each template above its search crop; a box is green where the target is there, else red.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        BGR.
    """
    cells = []
    for template, search, box, present in zip(*(part.cpu().numpy() for part in batch), strict=True):
        shown = search.copy()
        x0, y0, x1, y1 = (int(side) for side in np.round(box))
        cv2.rectangle(shown, (x0, y0), (x1, y1), _PRESENT if present else _ABSENT, 2)
        above = np.full((TEMPLATE_PX, shown.shape[1], 3), 255, np.uint8)
        above[:, :TEMPLATE_PX] = template
        cells.append(cv2.copyMakeBorder(np.vstack([above, shown]), 2, 2, 2, 2, cv2.BORDER_CONSTANT))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % _COLUMNS)
    rows = [np.hstack(cells[i : i + _COLUMNS]) for i in range(0, len(cells), _COLUMNS)]
    return np.vstack(rows).astype(np.uint8, copy=False)


def data_report(images: TrainingImages) -> str:
    """How much there is of what, as Markdown."""
    sets: dict[str, list[int]] = {}
    outlined = 0
    for image in images.photos:
        of = sets.setdefault(image.name.partition("/")[0], [0, 0])
        of[0] += 1
        of[1] += len(image.boxes)
        outlined += int(image.grids.any(axis=(1, 2)).sum())
    frames = [len(video) for video in images.videos]
    total = sum(n for _, n in sets.values())
    counts = (
        f"{len(images.photos)} photos with {total} boxes",
        *([f"{outlined} of these with a silhouette"] if outlined else []),
        f"{len(images.tiny)} small images",
        f"{len(frames)} films with {sum(frames)} frames",
    )
    lines = [
        f"{', '.join(counts)}.",
        "",
        "| set | photos | boxes |",
        "|---|---|---|",
        *(f"| {name} | {photos} | {boxes} |" for name, (photos, boxes) in sorted(sets.items())),
    ]
    return "\n".join(lines) + "\n"


def read_metrics(lines: Iterable[str]) -> dict[str, list[tuple[float, float]]]:
    """Points ``(step, value)`` of each curve of a metrics log."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        record = json.loads(line)
        for name, value in record.items():
            if name != "step":
                curves.setdefault(name, []).append((record["step"], value))
    return curves


def write_curves(metrics: Path, path: Path) -> None:
    """Losses, rate and unseen overlap over the steps; needs matplotlib (extra ``evaluate``)."""
    from matplotlib.figure import Figure

    curves = read_metrics(metrics.read_text(encoding="utf-8").splitlines())
    figure = Figure(figsize=(8, 4), layout="constrained")
    losses, overlap = figure.subplots(1, 2)
    shown = {losses: ("loss", "box", "regular", "aware"), overlap: ("unseen_iou",)}
    for axes, names in shown.items():
        for name in names:
            if name in curves:  # a run of a few steps has no losses yet
                axes.plot(*zip(*curves[name], strict=True), marker=".", label=name)
                axes.legend()
    losses.set(xlabel="step", ylabel="loss", yscale="log" if losses.lines else "linear")
    overlap.set(xlabel="step", ylabel="IoU on unseen videos")
    figure.savefig(path, dpi=120)
