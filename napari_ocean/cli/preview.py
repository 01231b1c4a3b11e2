"""A film with the boxes drawn in, to look at what was tracked and to show it to others."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from secrets import token_hex
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from napari_ocean.errors import FormatError
from napari_ocean.formats import check_writable, put_in_place
from napari_ocean.tracks import Row, State, Tracks
from napari_ocean.video import FrameSource

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi")

_DEFAULT_FPS = 25.0
_SLOWEST = Fraction(1, 1001)
_COLORS = ((255, 220, 0), (0, 220, 255), (255, 80, 200), (110, 255, 80), (255, 150, 50))


def check(path: Path) -> None:
    """Fail early if the film could not be written.

    Raises
    ------
    FormatError
        If the suffix is not that of a film or there is no such folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise FormatError(f"{path} is not the name of a preview film; supported are {known}.")
    check_writable(path)


def write(path: Path, video: FrameSource, tracks: Tracks, *, fps: float | None = None) -> None:
    """Draw the boxes into the frames that have any, from the first such frame to the last.

    Frames are read and written one by one. The film appears under its name when it is whole.

    Parameters
    ----------
    path : Path
        The film to write; one that exists is replaced.
    video : FrameSource
        What was tracked.
    tracks : Tracks
        At least one box.
    fps : float, optional
        Default: the video's own, or 25 where it does not tell.

    Raises
    ------
    FormatError
        If the film cannot be written.
    """
    target = path.resolve()  # through a symbolic link, so that the link stays one
    part = target.with_name(f".{token_hex(8)}{path.suffix.lower()}")
    rate = Fraction(fps or video.fps or _DEFAULT_FPS).limit_denominator(1001) or _SLOWEST
    try:
        _encode(part, rate, (video.width, video.height), _drawn_frames(video, tracks))
        put_in_place(part, target)
    except (av.FFmpegError, OSError) as error:
        raise FormatError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
    print(f"Wrote the preview film {path}")


def draw(frame_rgb: NDArray[np.uint8], rows: list[Row]) -> NDArray[np.uint8]:
    """Copy of a frame with boxes in it; thin where the tracker doubts, grey where it lost."""
    picture = frame_rgb.copy()
    unit = max(1, round(min(frame_rgb.shape[:2]) / 360))
    far_px = 2 * max(frame_rgb.shape[:2])  # out of the picture, and OpenCV's numbers end somewhere
    for row in rows:
        lost = row.box.state is State.LOST
        color = (150, 150, 150) if lost else _COLORS[(row.object_id - 1) % len(_COLORS)]
        thickness = unit * (2 if row.box.state is State.FOUND else 1)
        # OpenCV draws through pixel centres, in 1/16 px; the coordinates of boxes are edges.
        box_xyxy = np.clip(row.box.box_xyxy, -far_px, far_px)
        x0, y0, x1, y1 = np.round((box_xyxy - 0.5) * 16).astype(int).tolist()
        cv2.rectangle(picture, (x0, y0), (x1, y1), color, thickness, cv2.LINE_AA, shift=4)
        text = f"{row.label} {'lost' if lost else format(row.box.score, '.2f')}"
        place = (max(2, x0 // 16), max(14 * unit, y0 // 16 - 5 * unit))
        font: dict[str, Any] = {
            "fontFace": cv2.FONT_HERSHEY_SIMPLEX,
            "fontScale": 0.45 * unit,
            "lineType": cv2.LINE_AA,
        }
        cv2.putText(picture, text, place, **font, color=(0, 0, 0), thickness=3 * unit)
        cv2.putText(picture, text, place, **font, color=color, thickness=unit)
    return picture


def _drawn_frames(video: FrameSource, tracks: Tracks) -> Iterator[NDArray[np.uint8]]:
    by_frame: dict[int, list[Row]] = {}
    for row in tracks.rows():
        by_frame.setdefault(row.frame, []).append(row)
    for frame in tqdm(range(min(by_frame), max(by_frame) + 1), desc="preview", unit="frame"):
        yield draw(video.frame(frame), by_frame.get(frame, []))


def _encode(
    path: Path, rate: Fraction, size_wh: tuple[int, int], frames: Iterator[NDArray[np.uint8]]
) -> None:
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = (side + side % 2 for side in size_wh)  # yuv420p wants even
        stream.pix_fmt = "yuv420p"
        for picture in frames:
            pad_y, pad_x = stream.height - picture.shape[0], stream.width - picture.shape[1]
            even = cv2.copyMakeBorder(picture, 0, pad_y, 0, pad_x, cv2.BORDER_REPLICATE)
            frame = av.VideoFrame.from_ndarray(np.asarray(even, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
