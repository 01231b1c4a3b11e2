"""Small sequences on disk: a textured square that moves over noise."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.evaluation.datasets import Sequence, find_sequences


def write_clips(root: Path, names: list[str], frames: int = 12) -> list[Sequence]:
    """Write ``<root>/<name>/img`` and ``groundtruth.txt`` of 160 x 120 px, and find them."""
    for seed, name in enumerate(names):
        folder = root / name
        (folder / "img").mkdir(parents=True)
        for i, frame in enumerate(draw(seed, frames)):
            iio.imwrite(folder / "img" / f"{i:04}.png", frame)
        np.savetxt(folder / "groundtruth.txt", boxes.to_xywh(truth(frames)), delimiter=",")
    return find_sequences(root)


def truth(frames: int) -> FloatArray:
    """Boxes of the square, which moves 2 px right and 1 px down a frame; shape (T, 4)."""
    steps = np.arange(frames)[:, None]
    return boxes.from_center([40, 40] + steps * [2, 1], np.full((frames, 2), 24))


def draw(seed: int, frames: int) -> np.ndarray:
    """Frames as uint8 (T, 120, 160, 3)."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(90, 130, (120, 160, 3), dtype=np.uint8)
    square = np.kron(rng.integers(0, 255, (4, 4, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    clip = np.tile(ground, (frames, 1, 1, 1))
    for frame, (x0, y0, x1, y1) in zip(clip, truth(frames).astype(int), strict=True):
        frame[y0:y1, x0:x1] = square
    return clip
