"""The autosave of an image layer: where it lies, when it begins, what is there to resume.

It begins with the first change, in the place that :meth:`Saving.find` has found; without that call
nothing is ever written. A saved annotation that the person has neither resumed nor declined by
then is set aside under another name, never overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Image

from napari_ocean.annotation import identity, sidecar
from napari_ocean.annotation.identity import Clip
from napari_ocean.annotation.sidecar import Autosave, Place
from napari_ocean.errors import FormatError
from napari_ocean.plugin import layers
from napari_ocean.tracks import Change, Tracks
from napari_ocean.video import image_names

_paths: WeakKeyDictionary[Image, Path] = WeakKeyDictionary()
"""Where each layer was saved last, so that it finds its own again: two may show one clip."""

_living: WeakSet[Image] = WeakSet()
"""Those that are saved there now."""


class Saving:
    """Keeps one annotation safe.

    Parameters
    ----------
    image : napari.layers.Image
        The clip.

    Attributes
    ----------
    on : bool
        Whether changes are saved; a person may switch it off.
    place : Place or None
        Where the autosave lies or shall lie; None before :meth:`find`.
    problem : str
        Why the last change was not saved, in a sentence; empty if it was.
    """

    def __init__(self, image: Image) -> None:
        self.on = True
        self.place: Place | None = None
        self.problem = ""
        self._image = image
        self._clip: Clip | None = None
        self._autosave: Autosave | None = None
        self._resumed: sidecar.Saved | None = None
        self._missed: list[Change] = []

    def find(self, user_folder: Path) -> Place:
        """Look for the autosave of the clip; it raises a ``FormatError`` if the clip is gone."""
        with self._failing_aloud():
            self._clip = clip_of(self._image)
        self.place = locate(self._image, self._clip, user_folder)
        _paths[self._image] = self.place.path
        _living.add(self._image)
        return self.place

    def decline(self) -> Path | None:
        """Set what was saved aside and return its new name; None if there was nothing."""
        if self.place is None or self.place.saved is None:
            return None
        worth = self.place.saved.tracks.object_ids
        aside = sidecar.set_aside(self.place.path) if worth else None
        self.place = self.place._replace(saved=None)
        return aside

    def take(self) -> sidecar.Saved | None:
        """Take what is there to resume, once: it is the annotation's own file from now on."""
        if self.place is None or self.place.saved is None:
            return None
        saved = self.place.saved
        self.place = self.place._replace(saved=None)
        self._resumed = saved
        return saved

    def append(
        self, changes: Sequence[Change], tracks: Tracks, where: dict[str, Any]
    ) -> Path | None:
        """Keep some changes just made to `tracks`, and where the person is.

        Returns
        -------
        Path or None
            Where earlier work lies now that had to make room.
        """
        if not self.on or self.place is None or self._clip is None:
            return None
        aside = None
        with self._failing_aloud():
            if self._autosave is None:
                self._missed += changes  # until they are written
                aside = self.decline()
                place, resumed = self.place.path, self._resumed
                self._autosave = Autosave(
                    place, self._clip, tracks, where, resumed=resumed, changes=self._missed
                )
                aside = aside or self._autosave.aside
                self._resumed, self._missed = None, []
            else:
                self._autosave.append(changes)
                self._autosave.note(where)
        return aside

    def note(self, where: dict[str, Any]) -> None:
        """Keep where the person is, if anything is saved at all."""
        if self._autosave is not None and self.on:
            self._autosave.note(where)

    def close(self) -> None:
        """Write one whole file."""
        _living.discard(self._image)
        autosave, self._autosave = self._autosave, None
        if autosave is not None and self.on:
            autosave.close()

    @contextmanager
    def _failing_aloud(self) -> Iterator[None]:
        """Remember what goes wrong until something goes well."""
        try:
            yield
        except FormatError as error:
            self.problem = str(error)
            raise
        self.problem = ""


def locate(image: Image, clip: Clip, user_folder: Path) -> Place:
    """Find the autosave of an image layer, or a place for it that no other layer has."""
    own = _paths.get(image)
    return sidecar.locate(path_of(image), clip, user_folder, own=own, in_use=in_use(image))


def in_use(image: Image) -> set[Path]:
    """Where other image layers are saved now."""
    return {_paths[other] for other in _living if other is not image}


def is_kept(image: Image) -> bool:
    """Whether an image layer is saved now."""
    return image in _living


def path_of(image: Image) -> Path | None:
    """File or folder that an image layer was read from, None where there is none (any more)."""
    path = getattr(image.source, "path", None)
    return Path(path) if path and Path(path).exists() else None


def clip_of(image: Image) -> Clip:
    """What identifies the clip of an image layer."""
    path, frames = path_of(image), layers.n_frames(image)
    digest = None if path is None else identity.digest_file(path)
    # the files of a folder without images, such as a Zarr store's, do not tell its pixels
    if digest is None or (path and path.is_dir() and not image_names(path)):
        data = image.data[0] if image.multiscale else image.data
        first: list[Any] = [slice(None)] * layers.time_axis(image) + [0]
        digest = identity.digest_pixels(np.asarray(data[tuple(first)]))
    height, width = layers.frame_hw(image)
    return Clip(digest=digest, n_frames=frames, height=height, width=width)
