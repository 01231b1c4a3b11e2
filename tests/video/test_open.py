"""What ``open_video`` refuses, and how it says so."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from napari_ocean.video import (
    FrameArray,
    VideoError,
    open_video,
)


def test_wrong_files(tmp_path: Path, film: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no film at all\n" * 50)
    (tmp_path / "cut.mp4").write_bytes(film.read_bytes()[:3000])
    (tmp_path / "empty.avi").touch()
    (tmp_path / "table.xlsx").touch()
    (tmp_path / "single.png").touch()
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    (tmp_path / "bad.tif").write_bytes(b"nothing")
    (tmp_path / "folder").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.rate = 44100
        container.mux(stream.encode(silence) + stream.encode(None))
    for name, message in {
        "missing.mp4": "There is no file or folder .*missing.mp4",
        "notes.mp4": "notes.mp4 cannot be opened as a film",
        "cut.mp4": "cut.mp4 cannot be opened as a film",
        "empty.avi": "empty.avi cannot be opened as a film",
        "sound.mp4": "holds no moving picture",
        "table.xlsx": r"ending \.xlsx, which is not supported.*\.mp4",
        "single.png": "single.png is a single image; give the folder",
        "bad.npy": "not a .npy file",
        "bad.tif": "not a TIFF file",
        "folder": r"holds no images \(\.bmp, \.jpeg",
    }.items():
        with pytest.raises(VideoError, match=message):
            open_video(tmp_path / name)


def test_a_name_with_a_colon_is_no_protocol(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(film, tmp_path / "12:30:05.mp4")
    monkeypatch.chdir(tmp_path)
    with open_video("12:30:05.mp4") as video, open_video(film) as same:
        assert len(video) == len(same)
        assert video.name == "12:30:05.mp4"


def test_a_name_with_a_tilde_is_nobodys_home(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some programs call what they are about to replace."""
    shutil.copy(film, tmp_path / "~clip.mp4")
    monkeypatch.chdir(tmp_path)
    with open_video("~clip.mp4") as video:
        assert video.name == "~clip.mp4"
    with pytest.raises(VideoError, match=r"There is no file or folder ~nobody\.mp4"):
        open_video("~nobody.mp4")


@pytest.mark.parametrize("source", [None, 3, [1, 2], object()])
def test_neither_path_nor_array(source: Any) -> None:
    with pytest.raises(VideoError, match="neither a path nor an array"):
        open_video(source)


def test_source_passes_through(film: Path) -> None:
    with open_video(film) as video:
        assert open_video(video) is video
        assert open_video(FrameArray(video)) is video
