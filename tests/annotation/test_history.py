from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ocean.annotation import edits
from napari_ocean.annotation.history import History
from napari_ocean.errors import BoxError
from napari_ocean.tracks import Change, Source, Tracks
from tests.annotation.scripts import Act, acts, everything, perform, predicted, start

BOX = (0, 0, 10, 10)


def draw(tracks: Tracks, history: History, frame: int) -> None:
    with history.step(f"Draw {frame}"):
        tracks.draw(1, frame, BOX)


def track(tracks: Tracks, history: History, *frames: int, x: float = 5) -> None:
    """One batch of the same run."""
    with history.step("Track", key="run"):
        for frame in frames:
            tracks.merge(predicted(1, frame, x))


# None: outside of any step; "run": a batch of one run
scripts = st.lists(st.tuples(acts(), st.sampled_from([None, "edit", "run"])), max_size=20)


@given(scripts, st.integers(0, 20))
def test_undoing_and_redoing_everything_restores_exactly(
    script: list[tuple[Act, str | None]], n: int
) -> None:
    tracks = start()
    history = History(tracks)
    first = everything(tracks)
    for act, step in script:
        if step is None:
            perform(tracks, act)
        else:
            with history.step(act.what, key=step if step == "run" else None):
                perform(tracks, act)
    last = everything(tracks)
    for _ in range(n):  # some steps back and forth, then all the way
        history.undo()
    for _ in range(n):
        history.redo()
    assert everything(tracks) == last
    seen = [last]
    while history.undo() is not None:
        seen.append(everything(tracks))
    assert everything(tracks) == first
    for state in seen[-2::-1]:
        history.redo()
        assert everything(tracks) == state
    assert history.redo() is None


@given(scripts)
def test_the_changes_told_lead_a_copy_to_the_same_place(
    script: list[tuple[Act, str | None]],
) -> None:
    tracks = start()
    twin = tracks.copy()
    history = History(tracks, committed=twin.apply)
    for k, (act, step) in enumerate(script):
        with history.step("Do", key=step):
            perform(tracks, act)
        if k % 5 == 4:
            history.undo()
        if k % 7 == 6:
            history.redo()
    assert everything(twin) == everything(tracks)


def test_a_run_of_many_batches_is_one_step() -> None:
    tracks = start()
    history = History(tracks)
    for frame in range(4, 9):
        track(tracks, history, frame)
    assert history.undo_labels == ["Track"]
    assert history.undo().label == "Track"
    assert tracks.frames(1) == [3, 9]
    assert history.redo_labels == ["Track"]
    assert history.redo().label == "Track"
    assert tracks.frames(1) == [3, 4, 5, 6, 7, 8, 9]


def test_an_edit_during_a_run_is_undone_alone() -> None:
    tracks = start()
    history = History(tracks)
    track(tracks, history, 4, 5)
    draw(tracks, history, 5)
    track(tracks, history, 6, 7)
    assert history.undo_labels == ["Draw 5", "Track"]
    history.undo()
    assert tracks.get(1, 5).source is Source.TRACKED
    assert tracks.frames(1) == [3, 4, 5, 6, 7, 9]
    track(tracks, history, 8)  # the run goes on, and does not take the edit's redo away
    assert history.redo_labels == ["Draw 5"]
    history.redo()
    history.undo()
    history.undo()
    assert tracks.frames(1) == [3, 9]


def test_a_run_that_comes_after_an_edit_of_the_same_frame_is_a_step_of_its_own() -> None:
    tracks = start()
    history = History(tracks)
    track(tracks, history, 4, 5)
    with history.step("Delete box"):
        tracks.remove(1, 5)
    track(tracks, history, 5, x=9)
    assert history.undo_labels == ["Track", "Delete box", "Track"]
    tracks.delete_object(2)
    assert history.undo_labels[0] == "Edit"


def test_a_new_edit_forgets_what_was_undone() -> None:
    tracks = start()
    history = History(tracks)
    draw(tracks, history, 5)
    draw(tracks, history, 6)
    history.undo()
    draw(tracks, history, 7)
    assert history.redo() is None
    assert history.undo_labels == ["Draw 7", "Draw 5"]
    assert tracks.frames(1) == [3, 5, 7, 9]


def test_a_step_names_its_frames() -> None:
    tracks = start()
    history = History(tracks)
    draw(tracks, history, 5)
    track(tracks, history, 6, 8)
    with history.step("Rename"):
        tracks.rename(1, "cat")
    with history.step("Absent"):
        edits.mark_absent(tracks, 1, 10, 12)
    spans = [range(10, 12), range(0), range(6, 9), range(5, 6)]
    assert [history.undo().frames for _ in spans] == spans
    assert [history.redo().frames for _ in spans] == spans[::-1]


def test_a_step_is_all_or_nothing() -> None:
    tracks = start()
    before = everything(tracks)
    told: list[Change] = []
    history = History(tracks, committed=told.extend)

    def half() -> None:
        tracks.add_object("half")
        tracks.draw(3, 0, BOX)
        edits.mark_absent(tracks, 1, 0, 5)
        tracks.draw(3, 1, (9, 9, 0, 0))

    with pytest.raises(BoxError, match="inverted"), history.step("Draw"):
        half()
    assert everything(tracks) == before
    assert (told, history.undo_labels) == ([], [])


def test_steps_within_a_step_belong_to_it_and_nothing_is_no_step() -> None:
    tracks = start()
    history = History(tracks)
    with history.step("Both"):
        draw(tracks, history, 5)
        draw(tracks, history, 6)
        with pytest.raises(RuntimeError, match="no part of a step"):
            history.undo()
    with history.step("Nothing"):
        tracks.rename(1, "thing")
        tracks.remove(1, 99)
    assert history.undo_labels == ["Both"]


def test_the_oldest_steps_are_forgotten_and_at_least_fifty_kept() -> None:
    tracks = start()
    history = History(tracks)
    for k in range(300):
        draw(tracks, history, k)
    assert len(history.undo_labels) == 200
    assert history.undo_labels[-1] == "Draw 100"
    few = History(tracks, max_changes=100)
    for k in range(5):
        with few.step(f"Track {k}"):
            for frame in range(300, 340):
                tracks.merge(predicted(1, frame, k))
    assert few.undo_labels == ["Track 4", "Track 3"]


def test_a_step_keeps_differences_only() -> None:
    tracks = start()
    for frame in range(20_000):
        tracks.merge(predicted(1, frame))
    history = History(tracks)
    tracemalloc.start()
    for k in range(100):
        draw(tracks, history, 20 * k)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 100 * 5_000  # bytes; a copy of the annotation would take 100 times 1 MB or more
