"""Small films that the tests encode themselves, and the plain decode to compare with."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_ocean.video import (
    FrameSource,
)

WIDTH, HEIGHT = 64, 48


def pictures(count: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Frames that differ everywhere from one to the next: a texture that slides."""
    texture = np.random.default_rng(7).integers(0, 255, (height, width + 3 * count, 3), np.uint8)
    texture = cv2.GaussianBlur(texture, (5, 5), 0)
    return np.stack([texture[:, 3 * at : 3 * at + width] for at in range(count)])


def encode(
    path: Path, codec: str = "libx264", count: int = 60, gop: int = 12, **options: str
) -> Path:
    """Encode :func:`pictures` (with B-frames where the codec has them); skip without the codec."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        if codec in ("mpeg4", "libx264"):
            stream.codec_context.max_b_frames = 2
        for picture in pictures(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def plain_decode(path: Path) -> list[NDArray[np.uint8]]:
    """All frames of one decode from the start to the end, or to where it breaks."""
    frames = []
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                frames.append(frame.to_ndarray(format="rgb24"))
        except av.error.InvalidDataError:
            return frames
    return frames


def assert_frames_are(video: FrameSource, expected: Any, order: list[int] | range) -> None:
    assert len(video) == len(expected)
    for index in order:
        frame = video.frame(index)
        assert frame.dtype == np.uint8
        assert np.array_equal(frame, expected[index]), f"frame {index} of {video.name}"


def orders(count: int) -> list[list[int]]:
    shuffled = random.Random(3).sample(range(count), count)
    return [list(range(count)), list(range(count))[::-1], shuffled, list(range(0, count, 7))]
