"""One small film for all tests of the folder."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from tests.video.films import encode


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mp4 of 60 frames, H.264 with B-frames where there is libx264."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    return encode(tmp_path_factory.mktemp("film") / "film.mp4", codec)
