"""Video files for napari, frame by frame: only frames that are looked at are decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error

from napari_ocean.errors import VideoError
from napari_ocean.video import SUFFIXES, FrameArray, open_video

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader of one video file, None for anything else."""
    if not isinstance(path, str) or Path(path).suffix.lower() not in SUFFIXES:
        return None
    return read_film


def read_film(path: str) -> list[LayerData]:
    """Image layer of a video file, decoded lazily.

    A file that is no video gives no layer and a notification that says why.
    """
    try:
        film = open_video(path)
    except VideoError as error:
        show_error(str(error))
        return [(None,)]  # type: ignore[list-item]  # napari's sign for "read, but nothing to show"
    settings = {"name": Path(path).stem, "rgb": True, "axis_labels": ("t", "y", "x")}
    return [(FrameArray(film), settings, "image")]
