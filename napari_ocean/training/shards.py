"""Make a training shard of a clip and its annotation.

Each object gives a video of cut-outs around it. :mod:`~napari_ocean.training.images` reads what
is written here; its docstring tells the layout.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import ConfigError, DataError
from napari_ocean.formats import put_in_place
from napari_ocean.tracks import Source, State, TrackBox, Tracks
from napari_ocean.video import FrameSource

WEBP_QUALITY = 80
"""Of 100; a cut-out of 352 px takes about 9 kB."""

LONGEST_SIDE_PX = 16383
"""WebP's own limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """How a clip is cut.

    Attributes
    ----------
    every : int
        Frames from one cut-out of an object to its next, at least: neighbours are too alike.
    side : int
        Longest side of a stored image, px.
    context : float
        Side of a cut-out, in object sizes (square root of the box's area).
    """

    every: int = 3
    side: int = 352
    context: float = 7.0

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"Every {self.every} frames cannot be taken; the least is 1.")
        if not 1 <= self.side <= LONGEST_SIDE_PX:
            raise ConfigError(
                f"The longest side of an image is 1 to {LONGEST_SIDE_PX} px, not {self.side}."
            )
        if not 1 <= self.context < math.inf:
            raise ConfigError(f"A cut-out is 1 object size or wider, not {self.context:g}.")


def joined(annotations: Iterable[Tracks]) -> Tracks:
    """Put the objects of several annotations of a clip into one.

    An object whose id is taken gets the next free one.
    """
    together = Tracks()
    for tracks in annotations:
        for old in tracks.object_ids:
            free = old not in together.object_ids
            new = together.add_object(tracks.label(old), old if free else None)
            for frame in tracks.frames(old):
                together.put(new, frame, tracks.get(old, frame))
    return together


@dataclass(frozen=True, slots=True)
class CutOut:
    """One image of a shard, RGB uint8 ``(H, W, 3)``, and its line of ``boxes.jsonl``."""

    pixels: NDArray[np.uint8]
    line: dict[str, Any]


def cut_outs(
    source: FrameSource, tracks: Tracks, settings: ShardSettings, name: str
) -> Iterator[CutOut]:
    """Cut every object out of a clip, frame by frame.

    Taken are the boxes that can be trusted: a person's, those a person found fine, and those the
    tracker was sure of; not those that were only interpolated. Objects marked as occluded are
    left out, as are boxes with less than ``boxes.MIN_SIZE_PX`` inside the frame.

    Parameters
    ----------
    source : FrameSource
    tracks : Tracks
        Its annotation.
    settings : ShardSettings
    name : str
        What the clip is called in the shard; ``#`` and the object's id are added.

    Raises
    ------
    DataError
        If the annotation goes beyond the end of the clip.
    """
    last = max((frame for k in tracks.object_ids for frame in tracks.frames(k)), default=0)
    if last >= len(source):
        raise DataError(
            f"The annotation has a box on frame {last}, but {source.name} ends at frame "
            f"{len(source) - 1}; is it that of another clip?"
        )
    chosen = _chosen(tracks, (source.height, source.width), settings.every)
    for frame, boxes_by_id in sorted(chosen.items()):
        pixels = source.frame(frame)
        for object_id, box in boxes_by_id.items():
            image, inside = cut(pixels, box, settings)
            video = f"{name}#{object_id}"
            line = {
                "file": f"{video}/{frame:05d}.webp",
                "width": image.shape[1],
                "height": image.shape[0],
                "boxes": [inside.round(2).tolist()],
                "labels": [tracks.label(object_id)],
                "video": video,
                "frame": frame,
                "track_ids": [object_id],
            }
            yield CutOut(image, line)


def cut(
    frame: NDArray[np.uint8], box_xyxy: FloatArray, settings: ShardSettings
) -> tuple[NDArray[np.uint8], FloatArray]:
    """Cut the surroundings of a box out of a frame and shrink them to the stored size.

    The square is moved to lie inside the frame, and is less than square where the frame is
    smaller than it.

    Parameters
    ----------
    frame : ndarray of uint8, shape (H, W, 3)
    box_xyxy : ndarray of float64, shape (4,)
        Inside the frame, px.
    settings : ShardSettings

    Returns
    -------
    image : ndarray of uint8, shape (h, w, 3)
        h and w at most ``settings.side``.
    box_xyxy : ndarray of float64, shape (4,)
        The box in pixels of the image (edge coordinates).
    """
    frame_wh = np.array(frame.shape[1::-1])
    size = np.sqrt(boxes.size(box_xyxy).prod())
    wanted = max(settings.context * size, *boxes.size(box_xyxy))
    window_wh = np.minimum(np.ceil(wanted), frame_wh).astype(int)
    corner = np.floor(boxes.center(box_xyxy) - window_wh / 2 + 0.5)
    x0, y0 = np.clip(corner, 0, frame_wh - window_wh).astype(int)
    image = frame[y0 : y0 + window_wh[1], x0 : x0 + window_wh[0]]
    shrink = min(1.0, settings.side / window_wh.max())
    stored_wh = np.maximum(np.floor(window_wh * shrink + 0.5), 1).astype(int)
    if shrink < 1:
        resized = cv2.resize(image, stored_wh.tolist(), interpolation=cv2.INTER_AREA)
        image = resized.astype(np.uint8, copy=False)
    scale = np.tile(stored_wh / window_wh, 2)
    return image, (box_xyxy - np.array([x0, y0, x0, y0])) * scale


def write_shard(path: Path, images: Iterable[CutOut]) -> int:
    """Write cut-outs as one zip, and return how many there were.

    The file takes its name only when it is whole.

    Raises
    ------
    DataError
        If there is no cut-out, or the file cannot be written.
    """
    part = path.with_name(f".{token_hex(8)}.part")
    try:
        lines = _write(part, images)
        if not lines:
            raise DataError("No box of the annotation can be used; nothing was written.")
        put_in_place(part, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
    return lines


def _write(part: Path, images: Iterable[CutOut]) -> int:
    lines: list[str] = []
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for image in images:
            bgr = np.ascontiguousarray(image.pixels[..., ::-1])
            _, encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
            archive.writestr(_entry(image.line["file"]), encoded.tobytes())
            lines.append(json.dumps(image.line) + "\n")
        archive.writestr(_entry("boxes.jsonl"), "".join(lines), zipfile.ZIP_DEFLATED)
    return len(lines)


def _entry(name: str) -> zipfile.ZipInfo:
    """A file of the zip that everybody may read, without the hour it was made.

    The same boxes give the same bytes, by whose digest weights tell what they were trained on.
    """
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    return entry


def _chosen(
    tracks: Tracks, frame_hw: tuple[int, int], every: int
) -> dict[int, dict[int, FloatArray]]:
    """Boxes to cut out, by frame and object, within the frame."""
    chosen: dict[int, dict[int, FloatArray]] = {}
    for object_id in tracks.object_ids:
        last = None
        for frame in tracks.frames(object_id):
            box = tracks.get(object_id, frame)
            if box is None or not _trusted(box) or (last is not None and frame < last + every):
                continue
            inside = boxes.clip(box.box_xyxy, frame_hw)
            if boxes.size(inside).min() >= boxes.MIN_SIZE_PX:
                chosen.setdefault(frame, {})[object_id] = inside
                last = frame
    return chosen


def _trusted(box: TrackBox) -> bool:
    sure = box.source is Source.TRACKED and box.state is State.FOUND
    return not box.occluded and (box.is_keyframe or box.fine or sure)
