"""Small frames whose grey value is their number, so that a test sees which frame it got."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from napari_ocean.evaluation.datasets import Sequence


def write_frames(folder: Path, numbers: Iterable[int], digits: int = 4) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        image = np.full((6, 8), number % 251, np.uint8)
        cv2.imwrite(str(folder / f"{number:0{digits}d}.png"), image)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def frame_numbers(sequence: Sequence) -> list[int]:
    """Which frames a sequence reads, modulo 251."""
    with sequence.open() as video:
        assert len(video) == len(sequence)
        return [int(video.frame(at)[0, 0, 0]) for at in range(len(video))]
