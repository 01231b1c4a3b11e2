"""What can be followed in the training images, and what may be taken for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.training.images import LabelledImage, TrainingImages, film_of

Indices = NDArray[np.int64]

MIN_TARGET_PX = 8.0
"""Shorter side under which a box of the data holds too little to learn from."""


class Objects:
    """All boxes that can be a target, in the order photos, mosaics, videos.

    Attributes
    ----------
    has_photos : bool
        Whether any is in a photo; otherwise films serve for everything.
    image : ndarray of int64, shape (T,)
        Its image in the album.
    box : ndarray of float64, shape (T, 4)
    grids : ndarray of uint8, shape (T, 32, 32)
        Which part of the box is its own; 0 all over where that is not known.
    film : ndarray of int64, shape (album,)
        Of each image of the album the film that it is from; each other image is one of its own.
    kind : ndarray of int64, shape (T,)
        What it is: the set and label of a photo's box; a film's object is a kind of its own.
    mosaics : ndarray of int64
        Targets in mosaics.
    video_starts, video_lengths : ndarray of int64
        First target of each video, and how many follow.
    """

    def __init__(self, images: TrainingImages, laid: Sequence[LabelledImage]) -> None:
        rows: list[_Object] = []
        weights: list[float] = []
        for i, (image, weight) in enumerate(zip(images.photos, images.photo_weights, strict=True)):
            found = _objects(i, image)
            rows += found
            weights += [weight / max(len(found), 1)] * len(found)
        self._cumulative = np.cumsum(weights) / np.sum(weights)
        self.has_photos = bool(rows)
        first_mosaic = len(rows)
        for i, image in enumerate(laid, len(images.photos)):
            rows += _objects(i, image)
        self.mosaics = np.arange(first_mosaic, len(rows))
        lengths = np.array([len(video) for video in images.videos], dtype=np.int64)
        self.video_lengths = lengths
        self.video_starts = len(rows) + np.cumsum(lengths) - lengths
        number = len(images.photos) + len(laid)
        films = [str(image) for image in range(number)]
        for video, frames in enumerate(images.videos):
            for frame in frames:
                films.append(f"film {film_of(frame)}")
                rows.append(_Object(number, frame.boxes[0], frame.grids[0], f"film {video}"))
                number += 1
        if not rows:
            raise DataError(
                f"No training image has an object of {MIN_TARGET_PX:g} px or more; "
                "make shards of films with napari-ocean shard, or add photos with boxes."
            )
        self.image = np.array([row.image for row in rows], dtype=np.int64)
        self.box = np.stack([row.box for row in rows])
        self.grids = np.stack([row.grid for row in rows])
        self.kind = np.unique([row.kind for row in rows], return_inverse=True)[1]
        self.film = np.unique(films, return_inverse=True)[1]
        self._by_kind = np.argsort(self.kind, kind="stable")
        self._kind_counts = np.bincount(self.kind)
        self._kind_starts = np.cumsum(self._kind_counts) - self._kind_counts
        self._filmed = np.arange(len(rows)) >= len(rows) - lengths.sum()

    def photo(self, rng: np.random.Generator, count: int) -> Indices:
        """Targets in photos, by the weight of their photo; any at all without photos."""
        if not self.has_photos:
            return rng.integers(len(self.box), size=count)
        return np.searchsorted(self._cumulative, rng.random(count), side="right")

    def alike(self, rng: np.random.Generator, target: Indices) -> Indices:
        """For each target one of its kind; itself for a film's object, which has no other."""
        kind = self.kind[target]
        chosen = self._by_kind[self._kind_starts[kind] + rng.integers(self._kind_counts[kind])]
        return np.where(self._filmed[target], target, chosen)

    def are_one(self, a: Indices, b: Indices) -> NDArray[np.bool_]:
        """Whether targets are one object, pair by pair."""
        one_film = self._filmed[a] & (self.kind[a] == self.kind[b])
        return np.asarray((a == b) | one_film)

    def are_together(self, a: Indices, b: Indices) -> NDArray[np.bool_]:
        """Whether what surrounds one target may show the other, pair by pair."""
        return np.asarray(self.film[self.image[a]] == self.film[self.image[b]])


class _Object(NamedTuple):
    image: int
    box: FloatArray
    grid: NDArray[np.uint8]
    kind: str


def _objects(number: int, image: LabelledImage) -> list[_Object]:
    """Those of an image that are large enough to be a target."""
    group = image.name.partition("/")[0]
    return [
        _Object(number, box, grid, f"{group}/{label}")
        for box, grid, label in zip(image.boxes, image.grids, image.labels, strict=True)
        if boxes.size(box).min() >= MIN_TARGET_PX
    ]
