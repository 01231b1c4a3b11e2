"""Training images: zip shards of image files with one ``boxes.jsonl`` each, kept decoded in memory.

A line of ``boxes.jsonl`` is ``{"file", "width", "height", "boxes": [[x0, y0, x1, y1], ...]}`` in
pixels of the stored image (edge coordinates); frames of a video also carry ``video`` and ``frame``.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError

MOSAIC_SIDE_PX = 64
"""Images of exactly this side are laid out as mosaics of many small objects."""

_DOUBTFUL_SETS = frozenset(
    (
        *("TigerandRosa-VOC", "persons-a", "persons-b", "aerial-cars", "davis-tennis", "chess"),
        *("angry-toys", "sign-hands", "plastic", "food-cp", "kuih", "rubik"),
    )
)
"""Narrow or doubtful sets (see the data's README), drawn at a third of the usual rate."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image, BGR uint8 ``(H, W, 3)``, with its boxes ``(K, 4)`` xyxy."""

    name: str
    pixels: NDArray[np.uint8]
    boxes: FloatArray


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """All images, sorted by what can be done with them."""

    photos: list[LabelledImage]
    """Some without boxes: they serve as backgrounds."""
    photo_weights: FloatArray
    """Chance that a photo gives the target; sums to 1."""
    tiny: list[LabelledImage]
    videos: list[list[LabelledImage]]
    """Frames of each video in order, with one box each."""


def read_images(folder: Path) -> TrainingImages:
    """Read all ``*.zip`` shards of a folder.

    Raises
    ------
    DataError
        If there is no shard, or one is damaged.
    """
    shards = sorted(folder.glob("*.zip"))
    if not shards:
        raise DataError(f"There are no *.zip shards of training images in {folder}.")
    photos: list[LabelledImage] = []
    tiny: list[LabelledImage] = []
    videos: dict[str, list[tuple[int, LabelledImage]]] = defaultdict(list)
    for shard in shards:
        for line, image in _read_shard(shard):
            if "video" in line:
                videos[line["video"]].append((line["frame"], image))
            elif line["width"] == line["height"] == MOSAIC_SIDE_PX:
                tiny.append(image)
            else:
                photos.append(image)
    weights = np.array([_weight(image) for image in photos])
    ordered = [[image for _, image in sorted(v, key=lambda f: f[0])] for v in videos.values()]
    return TrainingImages(photos, weights / weights.sum(), tiny, ordered)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each shard, by name: which data weights were made from."""
    return {
        shard.name: hashlib.sha256(shard.read_bytes()).hexdigest()
        for shard in sorted(folder.glob("*.zip"))
    }


def _read_shard(shard: Path) -> Iterator[tuple[dict[str, Any], LabelledImage]]:
    try:
        with zipfile.ZipFile(shard) as archive:
            for text in archive.read("boxes.jsonl").splitlines():
                line = json.loads(text)
                name = line["file"]
                encoded = np.frombuffer(archive.read(name), np.uint8)
                pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
                if pixels is None:
                    raise DataError(f"The training image {name} in {shard} cannot be decoded.")
                boxes = np.asarray(line["boxes"], dtype=np.float64).reshape(-1, 4)
                yield line, LabelledImage(name, pixels.astype(np.uint8, copy=False), boxes)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DataError(f"{shard} is not a shard of training images: {error}.") from error


def _weight(image: LabelledImage) -> float:
    doubtful = image.name.partition("/")[0] in _DOUBTFUL_SETS
    return (1 / 3 if doubtful else 1.0) * math.sqrt(min(len(image.boxes), 4))
