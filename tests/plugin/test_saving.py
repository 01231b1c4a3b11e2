"""Autosave and resume of an image layer's annotation, also after a kill -9; without a window."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image
from napari.layers._source import layer_source
from numpy.testing import assert_allclose

from napari_ocean.annotation import sidecar
from napari_ocean.plugin import saving
from napari_ocean.plugin.dashboard import whereabouts
from napari_ocean.plugin.saving import clip_of, path_of
from napari_ocean.plugin.session import Session
from tests.plugin.hands import assert_in_step, box, change, draw, found, track

PIXELS = np.arange(30 * 60 * 80, dtype=np.uint8).reshape(30, 60, 80)


def opened(folder: Path) -> Session:
    """The clip as a program of its own opens it, whatever is open in others."""
    saving._living.clear()
    session = Session(Image(PIXELS, name="clip"))
    assert session.find_saved(folder).problem is None
    return session


def rows(session: Session) -> list[tuple[int, int, str, str]]:
    return [(r.object_id, r.frame, r.label, r.box.source.value) for r in session.tracks.rows()]


def work(session: Session) -> None:
    """A little of everything; the last change is a moved box on frame 7."""
    session.choose_next(0, "dog")
    draw(session, 0, box(10))
    draw(session, 2, box(40))
    track(session, 1, range(12))
    session.mark_absent([1], 9, 11)
    session.set_object(2, color="#102030")
    session.set_object(2, label="cat")
    session.delete_objects([2])
    session.undo()
    session.show_frame(7)
    row = session.view.rows.index((1, 7))
    change(session, row, (0, 2, 3))
    session.pull()


def test_nothing_is_written_without_a_place_or_a_change(tmp_path: Path) -> None:
    work(Session(Image(PIXELS)))
    opened(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_all_is_there_again_after_closing(tmp_path: Path) -> None:
    first = opened(tmp_path)
    work(first)
    first.show_frame(21)
    first.close()
    again = opened(tmp_path)
    assert rows(again) == []
    place = again.resume()
    assert (place["frame"], place["label"]) == (21, "dog")
    assert rows(again) == rows(first)
    assert again.tracks.absent_spans(1) == [range(9, 11)]
    assert again.tracks.info(2) == first.tracks.info(2)
    assert again.next_label == "dog"
    assert_in_step(again)
    assert again.resume() == {}
    draw(again, 20, box(30))
    assert again.undo_labels == ["Draw dog"]
    again.close()
    last = opened(tmp_path)
    last.resume()
    assert len(last.tracks) == len(first.tracks) + 1


def test_the_first_edit_after_resuming_leaves_the_large_file_alone(tmp_path: Path) -> None:
    first = opened(tmp_path)
    work(first)
    first.close()
    again = opened(tmp_path)
    again.resume()
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    draw(again, 20, box(30))
    again.set_object(2, label="bird")
    assert path.read_bytes() == before
    killed = opened(tmp_path)
    killed.resume()
    assert rows(killed) == rows(again)


def waits(session: Session) -> list[dict[int, list[int]]]:
    return [session.pending.frames(reverse=reverse) for reverse in (False, True)]


@pytest.mark.parametrize("killed", [True, False])
def test_a_correction_waits_after_a_restart_too(tmp_path: Path, killed: bool) -> None:
    first = opened(tmp_path)
    draw(first, 0, box(10), box(40))
    for reverse in (False, True):
        first.record([found(1, 0, box(10)), found(1, 9, box(15))], reverse=reverse)
    first.draw(1, 5, box(12))
    if not killed:
        first.close()
    again = opened(tmp_path)
    again.resume()
    assert waits(again) == [{1: [5], 2: [0]}, {1: [5], 2: [0]}]
    assert "Press T to track what you drew" in whereabouts(again.image, again)


@pytest.mark.parametrize(
    "late",
    [
        lambda session: session.undo(),
        lambda session: session.undo() and session.redo(),
        lambda session: session.record([found(1, 0, box(10))], reverse=True),
        lambda session: session.draw(1, 9, box(15)) or session.interpolate({1: range(10)}),
        lambda session: session.take_in(session.tracks.copy(), "Open"),
    ],
    ids=["undo", "redo", "a run that only meets it", "interpolation", "a file"],
)
def test_a_kill_does_not_forget_what_waits_no_longer(tmp_path: Path, late) -> None:
    """Edits that tell what waits only after their boxes have been saved."""
    first = opened(tmp_path)
    draw(first, 0, box(10))
    draw(first, 1, box(40))
    first.record([found(1, 0, box(10)), found(1, 1, box(10))], run="one")
    late(first)
    again = opened(tmp_path)
    again.resume()
    assert waits(again) == waits(first)


@pytest.mark.parametrize("waiting", [None, 7, {"forward": 7}, {"forward": [[[]]], "backward": []}])
def test_an_autosave_that_does_not_say_what_waits_is_resumed(tmp_path: Path, waiting) -> None:
    """Older ones do not; then what was never tracked waits."""
    first = opened(tmp_path)
    work(first)
    first.close()
    (path,) = tmp_path.iterdir()
    content = json.loads(path.read_text())
    assert content["autosave"]["place"].pop("waiting")["forward"]
    if waiting is not None:
        content["autosave"]["place"]["waiting"] = waiting
    path.write_text(json.dumps(content))
    again = opened(tmp_path)
    again.resume()
    assert rows(again) == rows(first)
    assert waits(again) == [{2: [2]}, {2: [2]}]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.plugin.test_saving import opened, work
session = opened(Path(sys.argv[1]))
work(session)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_costs_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -signal.SIGKILL
    same = Session(Image(PIXELS))
    work(same)
    again = opened(tmp_path)
    assert again.resume()["frame"] == 7
    assert rows(again) == rows(same)
    for row in same.tracks.rows():
        kept = again.tracks.get(row.object_id, row.frame)
        assert_allclose(kept.box_xyxy, row.box.box_xyxy)
    assert again.tracks.keyframes(1) == [0, 7]
    assert_in_step(again)


@pytest.mark.parametrize("answer", ["declined", "none"])
def test_what_is_not_resumed_is_kept(tmp_path: Path, answer: str) -> None:
    first = opened(tmp_path)
    work(first)
    first.close()
    again = opened(tmp_path)
    if answer == "declined":
        again.decline()
    draw(again, 0, box(20))
    again.close()
    old = [path for path in tmp_path.iterdir() if ".old-1" in path.name]
    assert len(old) == 1
    fresh = opened(tmp_path)
    fresh.resume()
    assert len(fresh.tracks) == 1
    os.replace(old[0], fresh._saving.place.path)
    back = opened(tmp_path)
    back.resume()
    assert rows(back) == rows(first)


def test_another_windows_work_is_never_overwritten(tmp_path: Path) -> None:
    """Two windows find the same work; what the first one makes of it makes room for the second."""
    first = opened(tmp_path)
    work(first)
    first.close()
    one, two = opened(tmp_path), opened(tmp_path)
    one.resume()
    two.resume()
    draw(one, 20, box(30))
    one.close()
    told = draw(two, 21, box(30))
    (aside,) = (path for path in tmp_path.iterdir() if path.name.endswith(".old-1.ocean.json"))
    assert any(aside.name in sentence for sentence in told)
    assert 20 in {row.frame for row in sidecar.read(aside).rows()}
    two.close()
    last = opened(tmp_path)
    last.resume()
    assert rows(last) == rows(two)


@pytest.mark.parametrize("as_file", [True, False])
def test_layers_of_one_clip_have_an_autosave_each(tmp_path: Path, as_file: bool) -> None:
    path = tmp_path / "clip.npy"
    np.save(path, PIXELS)

    def begin(*images: Image) -> list[Session]:
        sessions = [Session(image) for image in images]
        for session in sessions:
            session.find_saved(tmp_path / "user")
        return sessions

    def end(sessions: list[Session]) -> list[list[int]]:
        kept = [session._saving.place.saved.tracks for session in sessions]
        for session in sessions:
            session.close()
        return [[row.frame for row in tracks.rows()] for tracks in kept]

    with layer_source(path=str(path) if as_file else None):
        images = [Image(PIXELS, name=f"channel {number}") for number in range(4)]
        later = [Image(PIXELS, name=f"channel {number}") for number in range(4)]
    first = begin(*images)
    for frame, session in enumerate(first):
        draw(session, frame, box(10))
        assert session.unsaved == ""
        session.close()
    assert end(begin(*images[::-1])) == [[3], [2], [1], [0]]  # the form was closed and opened
    assert end(begin(*later)) == [[0], [1], [2], [3]]  # another day
    assert end(begin(images[2], later[2])) == [[2], [0]]


def test_an_edit_that_could_not_be_saved_is_saved_with_the_next(tmp_path, monkeypatch) -> None:
    first = opened(tmp_path)
    work(first)
    first.close()
    again = opened(tmp_path)
    again.resume()

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sidecar, "replace_bytes", full)
    draw(again, 20, box(30))
    assert "No space left" in again.unsaved
    monkeypatch.undo()
    draw(again, 21, box(30))
    assert again.unsaved == ""
    killed = opened(tmp_path)
    killed.resume()
    assert rows(killed) == rows(again)


def test_an_autosave_without_boxes_makes_room_without_a_word(tmp_path: Path) -> None:
    first = opened(tmp_path)
    draw(first, 0, box(10))
    first.undo()
    first.close()
    again = opened(tmp_path)
    assert draw(again, 0, box(10)) == []
    assert not any(".old-" in path.name for path in tmp_path.iterdir())


def test_zarr_stores_of_one_size_are_different_clips(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    clips = []
    for name, level in (("a", 10), ("b", 20)):
        zarr.save(str(tmp_path / f"{name}.zarr"), np.full((3, 20, 30), level, np.uint8))
        with layer_source(path=str(tmp_path / f"{name}.zarr")):
            clips.append(clip_of(Image(np.full((3, 20, 30), level, np.uint8))))
    assert clips[0].digest != clips[1].digest


def test_switched_off_it_writes_nothing(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.saving = False
    work(session)
    session.close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_costs_no_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    session = opened(tmp_path / "file")
    (problem,) = draw(session, 0, box(10)) + draw(session, 1, box(10))
    assert len(session.tracks) == 2
    assert "Save your boxes by hand" in problem


def test_what_is_not_saved_is_said_as_long_as_it_is_not(tmp_path: Path) -> None:
    """A full disk is told once; the line that is always there goes on telling."""
    place = tmp_path / "later"
    place.write_text("no folder")
    session = opened(place)
    draw(session, 0, box(10))
    session.note()
    assert "Not autosaved: " in whereabouts(session.image, session)
    assert "Save your boxes by hand" in whereabouts(session.image, session)
    place.unlink()
    draw(session, 1, box(10))
    assert whereabouts(session.image, session).endswith("Press T to track what you drew.")
    session.saving = False
    assert "switched off" in whereabouts(session.image, session)


def test_a_clip_from_a_file_is_saved_beside_it(tmp_path: Path) -> None:
    video, user = tmp_path / "clips" / "clip.npy", tmp_path / "user"
    video.parent.mkdir()
    np.save(video, PIXELS)
    with layer_source(path=str(video)):
        image = Image(PIXELS)
    assert path_of(image) == video
    session = Session(image)
    session.find_saved(user)
    draw(session, 0, box(10))
    session.close()
    assert [path.name for path in video.parent.iterdir() if path != video] == [
        "clip.npy.ocean.json"
    ]
    assert not user.exists()
