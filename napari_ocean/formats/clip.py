"""What some formats have to be told of the video, and what they make of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ocean.boxes import FloatArray

if TYPE_CHECKING:
    from napari_ocean.video import FrameSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The video that the boxes belong to.

    Attributes
    ----------
    name : str
        File, folder or layer name.
    width, height : int
        Size of a frame in pixels.
    length : int
        Number of frames.
    """

    name: str
    width: int
    height: int
    length: int

    @classmethod
    def of(cls, video: FrameSource) -> Clip:
        """Take it from an open video."""
        return cls(name=video.name, width=video.width, height=video.height, length=len(video))


def frame_name(frame: int) -> str:
    """Name, without suffix, of the image that a frame is stored as: its 0-based number."""
    return f"{frame:06d}"


def inside(box_xyxy: FloatArray, clip: Clip) -> FloatArray | None:
    """Part of a box that lies in the frame, None where nothing of it does."""
    size = (clip.width, clip.height, clip.width, clip.height)
    part: FloatArray = np.clip(box_xyxy, 0.0, size)
    return part if part[0] < part[2] and part[1] < part[3] else None


def zipped(files: Mapping[str, str]) -> bytes:
    """Pack texts into a zip file; the same texts always give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980, not of now
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text.encode())
    return packed.getvalue()
