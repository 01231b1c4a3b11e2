"""One image file as the toolkits name it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_ocean.errors import VideoError
from napari_ocean.video import to_rgb_uint8


def read_rgb(path: str | Path) -> NDArray[np.uint8]:
    """Read an 8-bit image, uint8 RGB of shape (H, W, 3), as a folder of images gives it.

    Raises
    ------
    VideoError
        If it is missing or no image.
    """
    image = None
    with suppress(OSError):
        encoded = np.fromfile(path, np.uint8)  # imread knows no accents on Windows
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if image is None:
        raise VideoError(f"The image {path} is missing or cannot be decoded.")
    return to_rgb_uint8(image[..., ::-1])
