"""What some formats have to be told of the video, and what they make of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from os.path import splitext
from typing import TYPE_CHECKING

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import FormatError

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
    images : tuple of str
        Names of the image files that the frames are, in order; of a film they are numbers
        (:func:`image_name`).
    """

    name: str
    width: int
    height: int
    length: int
    images: tuple[str, ...] = ()

    @classmethod
    def of(cls, video: FrameSource) -> Clip:
        """Take it from an open video."""
        from napari_ocean.video import files_of  # who has one has loaded the decoders

        return cls(
            name=video.name,
            width=video.width,
            height=video.height,
            length=len(video),
            images=files_of(video),
        )


def image_name(frame: int, clip: Clip) -> str:
    """Name of the image that a frame is stored as: the file's own, else its 0-based number."""
    return clip.images[frame] if clip.images else f"{frame:06d}.jpg"


def stems(clip: Clip) -> list[str]:
    """Names of all images without their suffix, which labels in files of their own go by."""
    found: dict[str, str] = {}
    for name in clip.images:
        other = found.setdefault(splitext(name)[0], name)
        if other is not name:
            raise FormatError(
                f"labels of {other} and {name} would have one name; use a format with one file."
            )
    return list(found) or [splitext(image_name(frame, clip))[0] for frame in range(clip.length)]


def inside(box_xyxy: FloatArray, clip: Clip) -> FloatArray | None:
    """Part of a box that lies in the frame, None where nothing of it does."""
    part = boxes.clip(box_xyxy, (clip.height, clip.width))
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
