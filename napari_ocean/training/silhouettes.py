"""Which part of a training box is the object's, where that is known.

``silhouettes.npz`` beside the shards holds a row a box: ``names``, its image as ``boxes.jsonl``
names it; ``boxes`` ``(K, 4)``, float32 xyxy in its pixels; ``grids`` ``(K, 32, 32)``, uint8: how
much of each cell of the box is the object's, 0 all over where that is not known. The boxes of an
image are those of ``boxes.jsonl``, in its order, and after them others that were found in it.
``.ci/lease/silhouettes.py`` makes the file.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.formats import put_in_place

SILHOUETTES_FILE = "silhouettes.npz"
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
            names, boxes, grids = (file[name] for name in ("names", "boxes", "grids"))
    except (OSError, EOFError, KeyError, ValueError, TypeError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a file of silhouettes: {error}.") from error
    shapes = names.shape, boxes.shape, grids.shape
    count = names.size
    if shapes != ((count,), (count, 4), (count, GRID, GRID)) or grids.dtype != np.uint8:
        raise DataError(
            f"{path} is not a file of silhouettes: it holds arrays of the shapes "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}, the last {grids.dtype}."
        )
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names.tolist()):
        rows[name].append(row)
    return {name: Outlined(boxes[of].astype(np.float64), grids[of]) for name, of in rows.items()}


def write_silhouettes(path: Path, images: Mapping[str, Outlined]) -> None:
    """Write the file, compressed; it takes its name only when it is whole."""
    counts = [len(image.boxes) for image in images.values()]
    boxes = [np.zeros((0, 4)), *(image.boxes for image in images.values())]
    grids = [np.zeros((0, GRID, GRID), np.uint8), *(image.grids for image in images.values())]
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.repeat(np.array(list(images), dtype=np.str_), counts),
            boxes=np.concatenate(boxes).astype(np.float32),
            grids=np.concatenate(grids),
        )
    put_in_place(part, path)


def turned_boxes(
    grids: NDArray[np.uint8], size: FloatArray, angle: FloatArray, mirrored: NDArray[np.bool_]
) -> FloatArray:
    """Boxes of objects turned about the middles of their own.

    Parameters
    ----------
    grids : ndarray of uint8, shape (N, 32, 32)
        Their silhouettes.
    size : ndarray, shape (N, 2)
        Width and height of the upright boxes, px.
    angle : ndarray, shape (N,)
        Radians.
    mirrored : ndarray of bool, shape (N,)
        Whether the object is seen in the mirror before it is turned.

    Returns
    -------
    ndarray of float64, shape (N, 4)
        xyxy about the middle: as far from the turned silhouette as the box is from the upright one.
    """
    own = grids > 127
    share = (np.arange(GRID) + 0.5) / GRID - 0.5
    x = share * (size[:, 0] * np.where(mirrored, -1, 1))[:, None]
    y = share * size[:, 1][:, None]

    def bounds(angle: FloatArray) -> FloatArray:
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.stack([np.stack([cos, sin]), np.stack([-sin, cos])])  # (2, 2, N)
        places = (
            turn[:, 0, :, None, None] * x[:, None, :] + turn[:, 1, :, None, None] * y[..., None]
        )
        reach = np.einsum("ijn,nj->ni", np.abs(turn), size / (2 * GRID))  # of a cell
        least = np.where(own, places, np.inf).min(axis=(2, 3)).T - reach
        most = np.where(own, places, -np.inf).max(axis=(2, 3)).T + reach
        return np.hstack([least, most])

    upright = np.hstack([-size / 2, size / 2])
    return np.asarray(upright + bounds(angle) - bounds(np.zeros(len(size))))
