from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from napari_ocean.annotation import identity
from napari_ocean.annotation.identity import Clip
from napari_ocean.errors import FormatError
from tests.annotation.test_sidecar import CLIP


def test_how_clips_differ_is_said() -> None:
    longer = Clip(digest="cd" * 32, n_frames=301, height=480, width=640)
    assert CLIP.difference(CLIP) is None
    assert CLIP.difference(longer) == (
        "it was made for a video of 301 frames of 640 x 480, this one has 300 frames of 640 x 480"
    )


def test_what_a_digest_looks_at(tmp_path: Path) -> None:
    big = bytearray(5 * 2**20)
    seen = set()
    for place in (0, len(big) // 2, len(big) - 1, None):
        changed = bytearray(big)
        if place is not None:
            changed[place] = 1
        (tmp_path / "big").write_bytes(changed)
        seen.add(identity.digest_file(tmp_path / "big"))
    assert len(seen) == 4
    images = tmp_path / "images"
    images.mkdir()
    for k in range(3):
        (images / f"{k}.png").write_bytes(b"x" * k)
    before = identity.digest_file(images)
    (images / "boxes.csv").write_text("an export")
    images.rename(tmp_path / "renamed")
    assert identity.digest_file(tmp_path / "renamed") == before
    (tmp_path / "renamed" / "3.png").write_bytes(b"one more")
    assert identity.digest_file(tmp_path / "renamed") != before
    with pytest.raises(FormatError, match="cannot be read"):
        identity.digest_file(tmp_path / "none" / "a.mp4")
    frame = np.arange(12).reshape(3, 4)
    digests = {identity.digest_pixels(of) for of in (frame, frame.T, frame + 1, frame.astype("u1"))}
    assert len(digests) == 4


def folder_of(path: Path, names: list[str]) -> Path:
    path.mkdir()
    for at, name in enumerate(sorted(names)):
        (path / name).write_bytes(b"x" * at)
    return path


def test_a_folder_is_the_same_on_every_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["B_1.png", "a_2.png", "K\u00e4fer.png"]
    before = identity.digest_file(folder_of(tmp_path / "linux", names))
    decomposed = [unicodedata.normalize("NFD", name) for name in names]
    mac = folder_of(tmp_path / "mac", decomposed)
    for name in decomposed:
        (mac / f"._{name}").write_bytes(b"what macOS notes on some disks")
    assert identity.digest_file(mac) == before
    monkeypatch.setattr(Path, "__lt__", lambda a, b: a.name.lower() < b.name.lower())  # Windows
    assert identity.digest_file(tmp_path / "linux") == before
