from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ocean import formats
from napari_ocean.annotation import edits, identity, sidecar
from napari_ocean.annotation.history import History
from napari_ocean.annotation.identity import Clip
from napari_ocean.annotation.sidecar import SUFFIX, Autosave, Place, load, locate
from napari_ocean.errors import FormatError
from napari_ocean.tracks import BoxChange, Change, Tracks
from tests.annotation.scripts import Act, acts, everything, perform, predicted, start
from tests.conftest import ROOT
from tests.systems import LONGEST, Refusal, refuse, refuse_new_files, shorten_paths

CLIP = Clip(digest="ab" * 32, n_frames=300, height=480, width=640)
BOX = (0, 0, 10, 10)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A clip in a folder of its own."""
    (tmp_path / "films").mkdir()
    path = tmp_path / "films" / "clip.mp4"
    path.write_bytes(b"moving pictures")
    return path


def clip_of(video: Path) -> Clip:
    return Clip(digest=identity.digest_file(video), n_frames=9, height=4, width=6)


def find(video: Path) -> Place:
    return locate(video, clip_of(video), video.parent.parent / "user")


def worked(video: Path) -> tuple[Tracks, Autosave]:
    """A clip that was annotated and not closed, as after a kill."""
    tracks = start()
    autosave = Autosave(find(video).path, clip_of(video), tracks, {"frame": 3})
    history = History(tracks, committed=autosave.append)
    with history.step("Draw"):
        tracks.draw(1, 5, BOX)
    autosave.note({"frame": 5, "object": 1})
    return tracks, autosave


# -- what is kept --


@given(todo=st.lists(st.tuples(acts(), st.booleans()), max_size=20), k=st.integers(0, 5))
def test_whatever_was_done_and_undone_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, todo: list[tuple[Act, bool]], k: int
) -> None:
    path = tmp_path_factory.mktemp("save") / f"a{SUFFIX}"
    tracks = start()
    autosave = Autosave(path, CLIP, tracks)
    history = History(tracks, committed=autosave.append)
    for act, in_step in todo:
        if in_step:
            with history.step(act.what):
                perform(tracks, act)
        else:
            perform(tracks, act)
    for _ in range(k):
        history.undo()
    assert everything(load(path).tracks) == everything(tracks)  # as after a kill
    autosave.close()
    assert everything(load(path).tracks) == everything(tracks)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert everything(formats.read(path)) == everything(tracks)  # it is a plain annotation file


def test_half_a_character_in_a_label_stops_no_autosave(tmp_path: Path) -> None:
    path = tmp_path / f"a{SUFFIX}"
    tracks = start()
    autosave = Autosave(path, CLIP, tracks)
    History(tracks, committed=autosave.append)
    tracks.rename(1, "dog \ud83d")
    assert load(path).tracks.label(1) == "dog \ud83d"
    autosave.close()
    for again in (load(path).tracks, formats.read(path)):
        assert everything(again) == everything(tracks)
    Autosave(path, CLIP, again).close()


def test_one_is_resumed_where_the_person_was(video: Path) -> None:
    tracks, autosave = worked(video)
    found = find(video)
    assert found.path == video.with_name("clip.mp4.ocean.json")
    assert everything(found.saved.tracks) == everything(tracks)
    assert found.saved.place == {"frame": 5, "object": 1}
    assert found.saved.clip == clip_of(video)
    autosave.close()
    assert find(video).saved.place == {"frame": 5, "object": 1}


def test_a_journal_counts_for_its_own_first_file_only(video: Path) -> None:
    tracks, autosave = worked(video)
    journal = autosave.path.with_suffix(".journal")
    shutil.copy(journal, journal.with_suffix(".kept"))
    tracks.remove(1, 5)
    autosave.close()
    shutil.copy(journal.with_suffix(".kept"), journal)  # as if killed before it was dropped
    assert load(autosave.path).tracks.frames(1) == [3, 9]


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_a_line_cut_short_counts_for_nothing(video: Path, cut: int) -> None:
    tracks, autosave = worked(video)
    before = everything(tracks)
    tracks.draw(1, 7, BOX)
    journal = autosave.path.with_suffix(".journal")
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert everything(load(autosave.path).tracks) == before


# -- going on in the same files --


def gone_on(video: Path, changes: Sequence[Change] = ()) -> tuple[Tracks, Autosave]:
    """The clip of :func:`worked`, resumed, with a first change."""
    saved = find(video).saved
    changes = changes or [BoxChange(1, 7, None, saved.tracks.get(1, 5))]
    saved.tracks.apply(changes)
    path, place = find(video).path, {"frame": 7}
    autosave = Autosave(path, clip_of(video), saved.tracks, place, resumed=saved, changes=changes)
    return saved.tracks, autosave


@pytest.mark.parametrize("closed", [True, False])
def test_the_first_edit_after_resuming_writes_one_line(video: Path, closed: bool) -> None:
    _, first = worked(video)
    if closed:
        first.close()
    before = first.path.read_bytes()
    tracks, second = gone_on(video)
    assert first.path.read_bytes() == before
    assert load(first.path).place == {"frame": 7}
    assert everything(load(first.path).tracks) == everything(tracks)
    third = everything(gone_on(video, [BoxChange(1, 3, tracks.get(1, 3), None)])[0])
    assert everything(load(first.path).tracks) == third
    with pytest.raises(FormatError, match="another window autosaves this video now"):
        second.note({})
    assert first.path.read_bytes() == before


@given(
    before=st.lists(acts(), max_size=8), after=st.lists(acts(), max_size=8), cut=st.integers(0, 30)
)
def test_going_on_after_a_kill_leaves_the_same_as_beginning_anew(
    tmp_path_factory: pytest.TempPathFactory, before: list[Act], after: list[Act], cut: int
) -> None:
    path = tmp_path_factory.mktemp("save") / f"a{SUFFIX}"
    tracks = start()
    History(tracks, committed=Autosave(path, CLIP, tracks).append)
    for act in before:
        perform(tracks, act)
    journal = path.with_suffix(".journal")
    head, lines = journal.read_bytes().split(b"\n", 1)
    journal.write_bytes(head + b"\n" + lines[: len(lines) - cut])
    saved = load(path)
    kept: list[Autosave] = []

    def keep(changes: Sequence[Change]) -> None:
        if kept:
            kept[0].append(changes)
        else:
            kept.append(Autosave(path, CLIP, saved.tracks, resumed=saved, changes=changes))

    History(saved.tracks, committed=keep)
    for act in after:
        perform(saved.tracks, act)
        assert everything(load(path).tracks) == everything(saved.tracks)


def test_what_somebody_else_has_written_to_is_begun_anew(video: Path) -> None:
    _, first = worked(video)
    saved = find(video).saved
    first.note({"frame": 6})
    change = BoxChange(1, 3, saved.tracks.get(1, 3), None)
    saved.tracks.apply([change])
    Autosave(first.path, clip_of(video), saved.tracks, resumed=saved, changes=[change])
    assert load(first.path).files.token != saved.files.token
    assert everything(load(first.path).tracks) == everything(saved.tracks)
    with pytest.raises(FormatError, match="another window"):
        first.note({})


def test_resuming_a_large_annotation_costs_no_writing_of_it(tmp_path: Path) -> None:
    path, tracks = tmp_path / f"a{SUFFIX}", start()
    for frame in range(10, 5000):
        tracks.draw(1, frame, BOX)
    Autosave(path, CLIP, tracks).close()
    saved = load(path)
    saved.tracks.draw(1, 3, BOX)
    changes = [BoxChange(1, 3, None, saved.tracks.get(1, 3))]
    Autosave(path, CLIP, saved.tracks, saved.place, resumed=saved, changes=changes)
    assert path.with_suffix(".journal").stat().st_size < 500 < path.stat().st_size


# -- kill -9 --

WORK = """
import sys
from pathlib import Path
import numpy as np
from napari_ocean.annotation.history import History
from napari_ocean.annotation.identity import Clip
from napari_ocean.annotation.sidecar import Autosave, load
from napari_ocean.tracks import ObjectPrediction, State, Tracks

clip = Clip(digest="ab" * 32, n_frames=300, height=480, width=640)
tracks = Tracks()
tracks.add_object()
for batch in range(10**6):
    if batch % 40 == 0:  # now and then a window is closed, another opened, or one resumed
        if batch % 80:
            autosave.close()
        saved = load(Path(sys.argv[1])) if batch % 80 else None
        tracks = saved.tracks if saved else tracks.copy()
        autosave = Autosave(Path(sys.argv[1]), clip, tracks, resumed=saved)
        history = History(tracks, committed=autosave.append)
    with history.step("Track", key="run"):
        for frame in range(10 * batch, 10 * batch + 10):
            tracks.merge(ObjectPrediction(object_id=1, frame=frame, score=0.5, state=State.FOUND,
                                          box_xyxy=np.array([1.0, 2, 30, 40])))
    print(batch, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for turn in range(12):
        path = tmp_path / f"{turn}{SUFFIX}"
        worker = subprocess.Popen(
            [sys.executable, "-c", WORK, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        worker.stdout.readline()
        time.sleep(rng.uniform(0, 0.3))
        worker.send_signal(signal.SIGKILL)
        told = [int(line) for line in worker.stdout.read().splitlines(keepends=True)[:-1]]
        assert worker.wait() == -signal.SIGKILL
        frames = load(path).tracks.frames(1)
        assert len(frames) % 10 == 0  # whole batches only
        assert frames == list(range(len(frames)))
        assert len(frames) >= 10 * (max(told, default=0) + 1)  # and all that were told


# -- which clip --


def test_a_renamed_folder_and_a_copied_clip_are_known_again(video: Path, tmp_path: Path) -> None:
    tracks, _ = worked(video)
    moved = tmp_path / "other name"
    video.parent.rename(moved)
    os.utime(moved / "clip.mp4", (0, 0))
    found = find(moved / "clip.mp4")
    assert everything(found.saved.tracks) == everything(tracks)
    assert found.problem is None


def test_another_clip_of_the_same_name_is_told_and_the_old_boxes_are_kept(video: Path) -> None:
    _, autosave = worked(video)
    before = autosave.path.read_bytes()
    video.write_bytes(b"other pictures!")
    found = find(video)
    assert found.saved is None
    assert "not this video's" in found.problem
    assert "of the same size with other content" in found.problem
    assert found.path != autosave.path
    Autosave(found.path, clip_of(video), Tracks()).close()
    assert autosave.path.read_bytes() == before
    assert find(video).saved.tracks.object_ids == []


# -- where it lies --


def test_a_folder_that_cannot_be_written_is_no_hindrance(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecar, "_writable", lambda path: False)
    user = tmp_path / "user"
    tracks, autosave = worked(video)
    assert autosave.path.parent == user
    assert [one.name for one in video.parent.iterdir()] == ["clip.mp4"]
    assert everything(find(video).saved.tracks) == everything(tracks)
    monkeypatch.undo()
    assert find(video).path == autosave.path  # also when it can be written again


@pytest.mark.parametrize("n_bytes", [219, 232, 255])
def test_a_film_of_any_name_has_its_autosave(video: Path, n_bytes: int) -> None:
    video = video.rename(video.with_name(f"{'犬' * 60}{'x' * (n_bytes - 184)}.mp4"))
    assert len(os.fsencode(video.name)) == n_bytes
    tracks, _ = worked(video)
    found = find(video)
    assert found.saved is not None
    assert everything(found.saved.tracks) == everything(tracks)
    sidecar.set_aside(found.path)
    assert (find(video).saved, find(video).problem) == (None, None)


def test_a_windows_folder_that_refuses_is_no_hindrance(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_new_files(monkeypatch, video.parent)
    tracks, autosave = worked(video)
    assert autosave.path.parent == video.parent.parent / "user"
    assert everything(find(video).saved.tracks) == everything(tracks)


@pytest.mark.parametrize("room", [3, 14, 21, 22])
def test_a_path_as_long_as_windows_allows_has_its_autosave(
    video: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    long = "x" * (LONGEST - room - len(str(video.with_name(".mp4"))))
    video = video.rename(video.with_name(f"{long}.mp4"))
    shorten_paths(monkeypatch)
    tracks, autosave = worked(video)
    assert (autosave.path.parent == video.parent) is (room == 22)
    assert everything(find(video).saved.tracks) == everything(tracks)
    sidecar.set_aside(autosave.path)
    assert (find(video).saved, find(video).problem) == (None, None)


def test_a_whole_drive_of_images_has_its_autosave(tmp_path: Path) -> None:
    assert locate(Path("/"), CLIP, tmp_path).path.parent == tmp_path


def test_pixels_without_a_file_have_a_place_too(tmp_path: Path) -> None:
    place = locate(None, CLIP, tmp_path)
    tracks = start()
    Autosave(place.path, CLIP, tracks).close()
    assert everything(locate(None, CLIP, tmp_path).saved.tracks) == everything(tracks)


def test_what_is_not_resumed_is_set_aside(video: Path) -> None:
    tracks, autosave = worked(video)
    aside = sidecar.set_aside(autosave.path)
    assert find(video) == Place(autosave.path, None, None)
    assert everything(load(aside).tracks) == everything(tracks)
    worked(video)
    assert sidecar.set_aside(autosave.path) != aside


def test_what_cannot_be_set_aside_stays_whole(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks, autosave = worked(video)
    there = sorted(video.parent.iterdir())
    renamed = Path.rename

    def rename(path: Path, to: Path) -> Path:
        if path == autosave.path:
            raise Refusal(13, "used by another process")
        return renamed(path, to)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(FormatError, match="cannot be renamed: used by another process"):
        sidecar.set_aside(autosave.path)
    assert sorted(video.parent.iterdir()) == there
    assert everything(find(video).saved.tracks) == everything(tracks)


# -- what goes wrong --


def test_a_damaged_autosave_is_told_and_kept(video: Path) -> None:
    _, autosave = worked(video)
    autosave.path.write_text('{"format": "napari-ocean", "version": 2, "objects": [{}]}')
    found = find(video)
    assert found.saved is None
    assert "is damaged" in found.problem
    assert found.path != autosave.path
    with pytest.raises(FormatError, match="cannot be read"):
        load(video.with_name("none"))


def test_a_second_window_takes_over_and_the_first_is_told(video: Path) -> None:
    tracks, first = worked(video)
    second = Autosave(first.path, clip_of(video), tracks.copy())
    for act in (lambda: first.append([]), lambda: first.note({}), first.close):
        with pytest.raises(FormatError, match="another window autosaves this video now"):
            act()
    second.note({"frame": 8})
    assert load(first.path).place == {"frame": 8}


def told_and_made_good(video: Path, trouble: AbstractContextManager[None], told: str) -> None:
    """Draw while the journal of `worked` cannot be written, and again afterwards."""
    tracks, autosave = worked(video)
    history = History(tracks, committed=autosave.append)
    with trouble, pytest.raises(FormatError, match=told), history.step("Draw"):
        tracks.draw(1, 6, BOX)
    assert tracks.get(1, 6) is not None  # the edit itself stands
    with history.step("Draw"):
        tracks.draw(1, 7, BOX)
    assert load(autosave.path).tracks.frames(1) == [3, 5, 6, 7, 9]


def test_a_full_disk_is_told_and_made_good_later(video: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")

    @contextmanager
    def full_disk() -> Iterator[None]:
        size = find(video).path.with_suffix(".journal").stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))  # ten more bytes find room
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    told_and_made_good(video, full_disk(), "the disk is full")


def test_a_journal_that_another_program_has_open_is_made_good_later(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def scanner() -> Iterator[None]:
        with monkeypatch.context() as windows:
            windows.setattr(Path, "open", refuse(1, Path.open))
            yield

    told_and_made_good(video, scanner(), "used by another process")


def test_a_journal_that_cannot_be_replaced_is_made_good_later(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, autosave = worked(video)
    autosave._torn = True  # as a full disk leaves it
    refused = PermissionError(13, "Permission denied")
    replaced = Path.replace

    def replace(path: Path, to: Path) -> Path:
        if to.suffix == ".journal":
            raise refused
        return replaced(path, to)

    with monkeypatch.context() as windows:
        windows.setattr(Path, "replace", replace)
        with pytest.raises(FormatError, match="Permission denied"):
            autosave.append([])
    tracks.draw(1, 6, BOX)
    autosave.append([])
    assert everything(load(autosave.path).tracks) == everything(tracks)


def test_a_deleted_journal_is_begun_anew(video: Path) -> None:
    tracks, autosave = worked(video)
    autosave.path.with_suffix(".journal").unlink()
    edits.mark_absent(tracks, 1, 0, 2)
    tracks.merge(predicted(1, 6))
    autosave.append([])
    assert everything(load(autosave.path).tracks) == everything(tracks)
    autosave.close()


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match=r"Autosave to .* failed: .*Save your boxes by hand"):
        Autosave(tmp_path / "file" / f"a{SUFFIX}", CLIP, Tracks())
