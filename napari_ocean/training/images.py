"""Training images: zip shards of image files with one ``boxes.jsonl`` each, decoded.

A line of ``boxes.jsonl`` is ``{"file", "width", "height", "boxes": [[x0, y0, x1, y1], ...],
"labels": [...]}`` in pixels of the stored image (edge coordinates); frames of a video also carry
``video`` and ``frame``. ``silhouettes.npz`` beside the shards tells which part of a box is the
object's (:mod:`napari_ocean.training.silhouettes`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import ConfigError, DataError
from napari_ocean.training.silhouettes import (
    GRID,
    SILHOUETTES_FILE,
    Outlined,
    read_silhouettes,
)

MOSAIC_SIDE_PX = 64
"""Images of exactly this side, with a box, are laid out as mosaics of many small objects."""

MOSAIC_TILES = 5
"""Small images along a side of a mosaic."""

_IMAGE_KEYS: Mapping[str, type] = {"file": str, "width": int, "height": int, "boxes": list}
_VIDEO_KEYS: Mapping[str, type] = {"video": str, "frame": int}

_UNFIT = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError)
"""What reading a damaged or encrypted zip, or one of something else, can end in."""

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
    labels: tuple[str, ...]
    """What is in each box."""
    grids: NDArray[np.uint8]
    """Silhouettes in the boxes ``(K, 32, 32)``, 0 all over where one is not known."""


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """All images, sorted by what can be done with them."""

    photos: list[LabelledImage]
    """Some without boxes: they serve as backgrounds."""
    photo_weights: FloatArray
    """Chance that a photo gives the target; sums to 1."""
    tiny: list[LabelledImage]
    videos: list[list[LabelledImage]]
    """Frames of each video in order, with one box each: one object of a film (:func:`film_of`)."""

    def without_films(self, count: int) -> tuple[TrainingImages, TrainingImages]:
        """Some films, evenly spaced, kept apart: the rest of everything, and they alone.

        Raises
        ------
        ConfigError
            If that would leave nothing to train on, or there are not so many.
        """
        films = list(dict.fromkeys(film_of(video[0]) for video in self.videos))
        if count > len(films) or (count == len(films) and count and not self.photos):
            raise ConfigError(
                f"unseen_videos is {count}, but the data has {len(films)} films; "
                "keep fewer apart, or add films."
            )
        every = max(len(films) // count, 1) if count else 1
        apart = set(films[every // 2 :: every][:count])
        kept = [video for video in self.videos if film_of(video[0]) not in apart]
        shown = [video for video in self.videos if film_of(video[0]) in apart]
        return replace(self, videos=kept), TrainingImages([], np.zeros(0), [], shown)


def film_of(frame: LabelledImage) -> str:
    """Film that a frame of a video is from: several objects or parts of one are several videos.

    Its folder, without the number of the object (``clip#2``) or of the part (UAV123: ``car16_2``).
    """
    return re.sub(r"(#|_)\d+$", "", frame.name.rpartition("/")[0])


def read_images(folder: Path) -> TrainingImages:
    """Read all ``*.zip`` shards of a folder, and its silhouettes if there are any.

    Raises
    ------
    DataError
        If there is no shard, one is damaged, or the silhouettes are of other boxes.
    """
    shards = _shards(folder)
    if not shards:
        raise DataError(f"There are no *.zip shards of training images in {folder}.")
    photos: list[LabelledImage] = []
    tiny: list[LabelledImage] = []
    videos: dict[str, list[tuple[int, LabelledImage]]] = defaultdict(list)
    silhouettes = folder / SILHOUETTES_FILE
    outlined = read_silhouettes(silhouettes) if silhouettes.is_file() else {}
    for shard in shards:
        for line, image in _read_shard(shard):
            if image.name in outlined:
                image = _outlined(image, outlined[image.name], silhouettes)
            if "video" in line:
                videos[line["video"]].append((line["frame"], image))
            elif line["width"] == line["height"] == MOSAIC_SIDE_PX and len(image.boxes):
                tiny.append(image)
            else:
                photos.append(image)
    weights = np.array([_weight(image) for image in photos])
    ordered = [[image for _, image in sorted(v, key=lambda f: f[0])] for v in videos.values()]
    return TrainingImages(photos, weights / max(weights.sum(), 1e-9), tiny, ordered)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, by name: which data weights were made from."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (*_shards(folder), *folder.glob(SILHOUETTES_FILE))
    }


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.zip"))  # macOS puts ._clip.zip beside clip.zip on some disks


def mosaics(tiny: Sequence[LabelledImage], count: int, seed: int) -> list[LabelledImage]:
    """Small images laid side by side, :data:`MOSAIC_TILES` a side; the inner ones keep their box.

    Parameters
    ----------
    tiny : sequence of LabelledImage
        Of :data:`MOSAIC_SIDE_PX` a side.
    count : int
        Mosaics to lay; none without small images.
    seed : int
    """
    rng = np.random.default_rng([seed, count])
    side, px = MOSAIC_TILES, MOSAIC_SIDE_PX
    laid = []
    for number in range(count if tiny else 0):
        tiles = [tiny[i] for i in rng.choice(len(tiny), side * side)]
        pixels = np.stack([tile.pixels for tile in tiles]).reshape(side, side, px, px, 3)
        pixels = pixels.swapaxes(1, 2).reshape(side * px, side * px, 3)
        inner = [(r, c) for r in range(1, side - 1) for c in range(1, side - 1)]
        chosen = [tiles[r * side + c] for r, c in inner]
        moved = [
            tile.boxes[:1] + px * np.array([c, r, c, r])
            for tile, (r, c) in zip(chosen, inner, strict=True)
        ]
        labels = tuple(tile.labels[0] for tile in chosen)
        grids = np.concatenate([tile.grids[:1] for tile in chosen])
        name = f"mosaic/{number}"
        laid.append(LabelledImage(name, pixels, np.concatenate(moved), labels, grids))
    return laid


def _read_shard(shard: Path) -> Iterator[tuple[dict[str, Any], LabelledImage]]:
    try:
        with zipfile.ZipFile(shard) as archive, ThreadPoolExecutor() as pool:
            texts = archive.read("boxes.jsonl").splitlines()
            lines = [_line(number, text) for number, text in enumerate(texts, 1)]
            files = [archive.read(line["file"]) for line in lines]
            yield from zip(lines, pool.map(_decode, lines, files), strict=True)
    except _UNFIT as error:
        raise DataError(f"{shard} is not a shard of training images: {error}.") from error


def _line(number: int, text: bytes) -> dict[str, Any]:
    """A line of ``boxes.jsonl`` with its boxes as an array, and a label for each."""
    try:
        line = json.loads(text)
        if not isinstance(line, dict):
            raise ValueError("it is not a JSON object")
        for key, kind in {**_IMAGE_KEYS, **(_VIDEO_KEYS if "video" in line else {})}.items():
            if not isinstance(line.get(key), kind):
                raise ValueError(f"{key} is {line.get(key)!r}; its type must be {kind.__name__}")
        given = np.asarray(line["boxes"], dtype=np.float64).reshape(-1, 4)
        size = boxes.size(given)
        if not (np.isfinite(size) & (size >= 0)).all():
            raise ValueError("a box is not x0, y0, x1, y1 in this order")
        labels = line.get("labels") or [""] * len(given)
        if not isinstance(labels, list) or len(labels) != len(given):
            raise ValueError(f"its labels are {labels!r}; it needs one for each of its boxes")
        if "video" in line and len(given) != 1:
            raise ValueError(f"it has {len(given)} boxes; a frame of a video needs exactly one")
        if "video" in line and not (size > 0).all():
            raise ValueError("its box has no area; a frame of a video needs one to follow")
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"line {number} of boxes.jsonl: {error}") from error
    return {**line, "boxes": given, "labels": labels}


def _decode(line: dict[str, Any], file: bytes) -> LabelledImage:
    encoded = np.frombuffer(file, np.uint8)
    pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if pixels is None:
        raise ValueError(f"the image {line['file']} cannot be decoded")
    height, width = pixels.shape[:2]
    if (width, height) != (line["width"], line["height"]):
        raise ValueError(
            f"the image {line['file']} is {width} x {height} px, "
            f"not {line['width']} x {line['height']}"
        )
    unknown = np.zeros((len(line["boxes"]), GRID, GRID), np.uint8)
    return LabelledImage(
        line["file"],
        pixels.astype(np.uint8, copy=False),
        line["boxes"],
        tuple(line["labels"]),
        unknown,
    )


def _outlined(image: LabelledImage, objects: Outlined, file: Path) -> LabelledImage:
    """The image with its silhouettes, and the objects that were found besides its own."""
    count = len(image.boxes)
    same = count <= len(objects.boxes)
    # the file holds float32
    if not same or not np.allclose(image.boxes, objects.boxes[:count], rtol=0, atol=0.01):
        raise DataError(
            f"{file} has other boxes of {image.name} than its shard: it was made for other shards; "
            "take it away."
        )
    together = np.concatenate([image.boxes, objects.boxes[count:]])
    labels = image.labels + ("",) * (len(together) - count)
    return replace(image, boxes=together, labels=labels, grids=objects.grids)


def _weight(image: LabelledImage) -> float:
    doubtful = image.name.partition("/")[0] in _DOUBTFUL_SETS
    return (1 / 3 if doubtful else 1.0) * math.sqrt(min(len(image.boxes), 4))
