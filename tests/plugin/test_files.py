"""Boxes from files into a real viewer: what comes in, what is left out, what is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from napari.layers import Image
from numpy.testing import assert_allclose

from napari_ocean import formats
from napari_ocean.plugin import files, recovery
from napari_ocean.plugin import widget as module
from napari_ocean.plugin.session import Session
from napari_ocean.tracks import ABSENT, Source, State, TrackBox, Tracks
from napari_ocean.video import FrameArray, open_video
from tests.plugin.conftest import N_FRAMES, Desk

READABLE = [".csv", ".json", ".mot.txt", ".coco.json", ".cvat.xml"]
CLIP = formats.Clip(name="clip", width=320, height=240, length=N_FRAMES)
BOX = np.array([20.0, 30, 60, 70])


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    monkeypatch.setattr(module, "show_info", sentences.append)
    return sentences


def two_objects() -> Tracks:
    """A dog drawn and tracked on frames 0 to 4, a cat drawn on frame 7 only."""
    tracks = Tracks()
    dog, cat = tracks.add_object("dog", color="#123456"), tracks.add_object("cat", locked=True)
    tracks.draw(dog, 0, BOX)
    for frame in range(1, 5):
        tracks.put(dog, frame, TrackBox(BOX + frame, 0.5, State.UNCERTAIN, Source.TRACKED))
    tracks.put(dog, 5, ABSENT)
    tracks.put(cat, 7, TrackBox(BOX + 10))
    return tracks


def saved(tracks: Tracks, path: Path) -> Path:
    formats.write(path, tracks, CLIP)
    return path


@pytest.mark.parametrize("ending", READABLE)
def test_every_format_comes_in_as_new_objects_in_one_step(
    desk: Desk, tmp_path: Path, told: list[str], ending: str
) -> None:
    desk.draw(3)
    before = desk.shown()
    desk.widget.load(saved(two_objects(), tmp_path / f"boxes{ending}"))
    desk.qtbot.wait(60)
    tracks = desk.widget.session.tracks
    assert (desk.errors, desk.warnings) == ([], [])
    added = f"Added 2 objects with 6 boxes from boxes{ending}"
    assert told == [f"{added}; ids that were taken are numbered anew."]
    assert tracks.object_ids == [1, 2, 3]
    assert (tracks.frames(3), tracks.frames(2)) == ([0, 1, 2, 3, 4], [7])
    assert_allclose(tracks.get(3, 3).box_xyxy, BOX + 3)
    assert_allclose(desk.shown()[1, 3], before[1, 3])
    assert len(desk.shown()) == 7
    if "mot" not in ending:
        assert (tracks.label(3), tracks.label(2)) == ("dog", "cat")
    assert desk.widget.session.undo_labels == [f"Open boxes{ending}", "Draw object"]
    desk.press("undo")
    assert (tracks.object_ids, len(tracks)) == ([1], 1)
    desk.press("redo")
    assert (tracks.object_ids, len(tracks)) == ([1, 2, 3], 7)


def test_the_native_format_brings_all_it_knows(desk: Desk, tmp_path: Path) -> None:
    desk.widget.load(saved(two_objects(), tmp_path / "boxes.json"))
    tracks = desk.widget.session.tracks
    assert tracks.info(1).color == "#123456"
    assert tracks.info(2).locked
    assert tracks.cell(1, 5) is ABSENT
    box = tracks.get(1, 2)
    assert (box.score, box.state, box.source) == (0.5, State.UNCERTAIN, Source.TRACKED)


def test_a_clip_without_boxes_gets_a_layer_and_an_autosave(
    desk: Desk, tmp_path: Path, told: list[str]
) -> None:
    assert desk.widget.session is None
    desk.widget.load(saved(two_objects(), tmp_path / "boxes.csv"))
    assert told == ["Added 2 objects with 6 boxes from boxes.csv."]
    assert len(desk.viewer.layers) == 2
    assert sorted(desk.shown()) == [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 7)]
    assert desk.widget.controls.status.text() == told[0]
    desk.widget.shut_down()
    kept = Session(desk.image).find_saved(recovery.user_folder()).saved
    assert kept is not None
    assert len(kept.tracks) == 6


def test_only_boxes_that_stand_alone_wait_for_a_run(desk: Desk, tmp_path: Path) -> None:
    tracks = two_objects()
    for frame in range(1, 5):
        tracks.draw(1, frame, BOX)
    desk.widget.load(saved(tracks, tmp_path / "boxes.mot.txt"))
    assert desk.widget.session.pending.frames(reverse=False) == {2: [7]}


def test_what_does_not_fit_is_left_out_and_told(desk: Desk, tmp_path: Path) -> None:
    tracks = two_objects()
    tracks.put(1, N_FRAMES, TrackBox(BOX))
    tracks.put(1, N_FRAMES + 7, TrackBox(BOX))
    tracks.put(1, 8, TrackBox(BOX + 1000))
    tracks.put(1, 9, TrackBox(np.array([-10.0, -10, 5, 5])))
    late = tracks.add_object("late")
    tracks.put(late, N_FRAMES + 1, TrackBox(BOX))
    desk.widget.load(saved(tracks, tmp_path / "boxes.json"))
    assert desk.widget.session.tracks.frames(1) == [0, 1, 2, 3, 4, 9]
    assert desk.widget.session.tracks.object_ids == [1, 2]
    (warning,) = desk.warnings
    assert warning == (
        "Boxes of boxes.json that do not fit this clip were left out: 3 after the last frame (19), "
        "1 outside the picture. Added 2 objects with 7 boxes from boxes.json."
    )


def test_boxes_of_another_clip_come_in_with_a_warning(desk: Desk, tmp_path: Path) -> None:
    """Of the same size, so that nothing else gives the mistake away."""
    other = replace(files.clip_of(desk.image), name="yesterday.mp4")
    formats.write(tmp_path / "boxes.json", two_objects(), other)
    desk.widget.load(tmp_path / "boxes.json")
    (warning,) = desk.warnings
    assert warning.startswith(f"boxes.json was saved with yesterday.mp4, {N_FRAMES} frames of")
    assert "Undo if that is wrong. Added 2 objects with 6 boxes" in warning
    for name in (desk.image.name, f"{desk.image.name}.mp4", f"{desk.image.name} [1]"):
        formats.write(tmp_path / "same.json", two_objects(), replace(other, name=name))
        desk.widget.load(tmp_path / "same.json")
    assert len(desk.warnings) == 1
    formats.write(tmp_path / "twin.json", two_objects(), replace(other, name="clip 12.5mg"))
    desk.image.name = "clip 12.9mg"
    desk.widget.load(tmp_path / "twin.json")
    assert "was saved with clip 12.5mg" in desk.warnings[1]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("broken.json", "{", "broken.json: line 1: not JSON"),
        ("boxes.csv", "no,table\n", "boxes.csv: "),
        ("boxes.yolo.zip", "", "only written, not read"),
        ("notes.md", "", "is not a format"),
        ("gone.csv", None, "cannot be read"),
        ("empty.json", '{"format": "napari-ocean", "version": 2, "objects": []}', "no boxes in"),
        ("late.mot.txt", "99,1,10,10,30,30,1,1,1\n", "No box in late.mot.txt"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_and_changes_nothing(
    desk: Desk, tmp_path: Path, name: str, content: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    desk.widget.load(tmp_path / name)
    assert len(desk.errors) == 1
    assert says in desk.errors[0]
    assert desk.widget.session is None
    assert list(desk.viewer.layers) == [desk.image]


def test_without_a_clip_there_is_nothing_to_open_boxes_for(desk: Desk, tmp_path: Path) -> None:
    desk.viewer.layers.clear()
    assert not desk.widget.controls.load.isEnabled()
    desk.widget.load(saved(two_objects(), tmp_path / "boxes.csv"))
    assert "no image layer" in desk.errors[0]


def test_exports_have_the_names_of_the_images_in_the_folder(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    names = ["B2.png", "B10.png", "a1.png"]  # as napari counts
    for name, frame in zip(names, desk.clip.frames, strict=False):
        iio.imwrite(folder / name, frame)
    (opened,) = desk.viewer.open(folder, plugin="napari")
    assert_allclose(np.asarray(opened.data[2]), desk.clip.frames[2])
    assert files.clip_of(opened).images == tuple(names)
    (folder / "a2.png").write_bytes(b"not there when it was opened")
    assert files.clip_of(opened).images == ()
    assert files.clip_of(desk.viewer.layers["clip"]).images == ()
    (folder / "a2.png").unlink()
    lazily = Image(FrameArray(open_video(folder)), name="lazily", rgb=True)
    assert files.clip_of(lazily).images == ("a1.png", "B2.png", "B10.png")


def test_the_button_asks_for_a_file_of_any_format_that_is_read(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    path = saved(two_objects(), tmp_path / "boxes.csv")
    answers = iter([str(path), ""])

    def ask(*args: Any) -> tuple[str, str]:
        asked.append(args)
        return next(answers), ""

    monkeypatch.setattr(files.QFileDialog, "getOpenFileName", ask)
    desk.press("load")
    assert desk.widget.session.tracks.object_ids == [1, 2]
    desk.widget.perform("load")  # and thought better of it
    assert desk.widget.session.tracks.object_ids == [1, 2]
    assert "(*.csv *.json *.txt *.xml)" in asked[0][-1]
