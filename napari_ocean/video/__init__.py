"""Pixels in: every kind of video as one :class:`FrameSource`, by absolute frame index.

:func:`open_video` takes a film (mp4, m4v, mov, avi, mkv, webm), a folder of images, a TIFF stack,
a ``.npy`` file, a Zarr store or any array (numpy, dask, zarr, ...) and gives frames as uint8 RGB.
Nothing is loaded before it is asked for, memory does not grow with the length, and ``frame`` may
be called from any thread.

``frames.py`` holds what a frame is (conversion to RGB, the view napari shows), ``films.py`` what
PyAV decodes, found again by ``index.py``, ``stacks.py`` what is read image by image.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from napari_ocean.errors import VideoError
from napari_ocean.video.films import CACHE_BYTES, SUFFIXES, Film
from napari_ocean.video.frames import (
    FrameArray,
    FrameSource,
    ValueRange,
    check_value_range,
    files_of,
    to_rgb_uint8,
)
from napari_ocean.video.stacks import (
    IMAGE_SUFFIXES,
    ArrayStack,
    ImageFolder,
    NpyStack,
    TiffStack,
    ZarrStack,
    image_names,
    natural_key,
    unread_series,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "SUFFIXES",
    "FrameArray",
    "FrameSource",
    "VideoError",
    "files_of",
    "image_names",
    "natural_key",
    "open_video",
    "to_rgb_uint8",
    "unread_series",
]

SUPPORTED = (
    "Supported are films (" + ", ".join(sorted(SUFFIXES)) + "), folders of images, TIFF stacks, "
    ".npy files, Zarr stores and arrays of shape (t, y, x), (t, y, x, 3 or 4) or (t, c, y, x)."
)


def open_video(
    source: Any, *, value_range: ValueRange | None = None, cache_bytes: int = CACHE_BYTES
) -> FrameSource:
    """Open anything that holds frames.

    Parameters
    ----------
    source : path, array or FrameSource
        A film (``.mp4 .m4v .mov .avi .mkv .webm``), a folder of images (taken in natural order:
        ``img2`` before ``img10``), a TIFF stack, a ``.npy`` file, a Zarr store, or an array-like
        with ``shape``, ``dtype`` and indexing. The layouts of arrays are
        ``(t, y, x)``, ``(t, y, x, 3 or 4)`` and ``(t, c, y, x)`` with at most 4 channels; where
        a shape fits two of them, a last axis of 3 or 4 is taken for colour.
        A ``FrameSource`` (or the source behind a :class:`FrameArray`) is returned as it is.
    value_range : (float, float), optional
        The values that become 0 and 255, e.g. napari's contrast limits. By default 8-bit frames
        are taken as they are, and others are scaled by the smallest and largest value of at most
        five frames sampled evenly over the video (floats within 0 and 1 by 0 and 1). The range is
        the same for all frames. Films are decoded to 8 bits and do not use it.
    cache_bytes : int
        Bytes of a film's frames kept for stepping backwards and for several readers.

    Returns
    -------
    FrameSource
        Close it, or use it in a ``with`` statement.

    Raises
    ------
    VideoError
        If there is nothing of that name, or it cannot be read as a video.

    Notes
    -----
    A film's frame ``k`` is the ``k``-th frame that a decoder gives when it runs from the start.
    Films and photographs that carry a rotation (phones) are turned upright as players, browsers
    and OpenCV show them; pixels that are not square stay as they are stored.
    """
    if isinstance(source, FrameArray):
        source = source.source
    if isinstance(source, FrameSource):
        return source
    if value_range is not None:
        value_range = check_value_range(value_range)
    if isinstance(source, str | os.PathLike):
        path = Path(os.path.expanduser(os.fsdecode(source)))  # ~notes.mp4 is a name, too
        return _open_path(path, value_range, cache_bytes)
    if hasattr(source, "shape") and hasattr(source, "dtype") and hasattr(source, "__getitem__"):
        return ArrayStack(source, "array", value_range)
    kind = type(source).__name__
    raise VideoError(f"A {kind} is neither a path nor an array. {SUPPORTED}")


def _open_path(path: Path, value_range: ValueRange | None, cache_bytes: int) -> FrameSource:
    suffix = path.suffix.lower()
    try:
        if not path.exists():
            raise VideoError(f"There is no file or folder {path}.")
        if suffix == ".zarr":
            return ZarrStack(path, value_range)
        if path.is_dir():
            return ImageFolder(path, value_range)
        if suffix in SUFFIXES:
            return Film(path, cache_bytes)
        if suffix in (".tif", ".tiff"):
            return TiffStack(path, value_range)
        if suffix == ".npy":
            return NpyStack(path, value_range)
    except OSError as error:
        raise VideoError(f"{path} cannot be opened: {error.strerror or error}.") from error
    if suffix in IMAGE_SUFFIXES:
        raise VideoError(f"{path.name} is a single image; give the folder that holds all frames.")
    ending = f"with the ending {suffix}" if suffix else "without an ending"
    raise VideoError(f"{path.name} is a file {ending}, which is not supported. {SUPPORTED}")
