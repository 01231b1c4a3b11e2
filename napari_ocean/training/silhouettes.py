"""Which part of a training box is the object's, where that is known.

``silhouettes.npz`` beside the shards holds a row a box: ``names``, its image as ``boxes.jsonl``
names it; ``boxes`` ``(K, 4)``, float32 xyxy in its pixels; ``grids`` ``(K, 32, 32)``, uint8: how
much of each cell of the box is the object's, 0 all over where that is not known. The boxes of an
image are those of ``boxes.jsonl``, in its order; an image that has none there has these.
``.ci/lease/silhouettes.py`` makes the file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError

FILE = "silhouettes.npz"
"""Its name in a folder of shards."""

GRID = 32
"""Cells along a side of a box."""


class Outlined(NamedTuple):
    """The objects of one image."""

    boxes: FloatArray
    """Shape (K, 4), xyxy, px."""
    grids: NDArray[np.uint8]
    """Shape (K, 32, 32)."""


def read_silhouettes(path: Path) -> dict[str, Outlined]:
    """Read the file: the objects of each image by its name.

    Raises
    ------
    DataError
        If it is damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names, boxes, grids = file["names"], file["boxes"].astype(np.float64), file["grids"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a file of silhouettes: {error}.") from error
    if boxes.shape != (len(names), 4) or grids.shape != (len(names), GRID, GRID):
        raise DataError(
            f"{path} is not a file of silhouettes: its arrays have the shapes {names.shape}, "
            f"{boxes.shape} and {grids.shape}."
        )
    order = np.argsort(names, kind="stable")
    images, starts = np.unique(names[order], return_index=True)
    rows = np.split(order, starts[1:])
    return {
        str(name): Outlined(boxes[of], grids[of]) for name, of in zip(images, rows, strict=True)
    }


def write_silhouettes(path: Path, images: Mapping[str, Outlined]) -> None:
    """Write the file, compressed."""
    counts = [len(image.boxes) for image in images.values()]
    np.savez_compressed(
        path,
        names=np.repeat(list(images), counts),
        boxes=np.concatenate([image.boxes for image in images.values()]).astype(np.float32),
        grids=np.concatenate([image.grids for image in images.values()]),
    )
