"""What is kept of a review goes with every change, that of another object too; no window."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image
from numpy.testing import assert_equal

from napari_ocean.annotation.history import History
from napari_ocean.annotation.review import Mark, Sign
from napari_ocean.plugin.reviewing import Review
from napari_ocean.plugin.session import Session
from napari_ocean.tracks import Tracks
from tests.annotation.scripts import N_FRAMES, Act, acts, perform, start
from tests.plugin.hands import box, change, draw, found, row_of


def look(tracks: Tracks, review: Review) -> list[object]:
    """Everything that the window shows of a review."""
    ids = tracks.object_ids
    return [
        review.queue(),
        [review.summary(k) for k in ids],
        [(review.risks(k), review.strip(k), review.scores(k), review.helpful(k, 3)) for k in ids],
    ]


@given(st.lists(acts() | st.sampled_from(["undo", "redo"]), max_size=20))
def test_what_is_kept_is_what_a_fresh_look_finds(todo: list[Act | str]) -> None:
    tracks = start()
    review, history = Review(tracks, N_FRAMES), History(tracks)
    for act in todo:
        if isinstance(act, Act):
            with history.step(act.what):
                perform(tracks, act)
        else:
            getattr(history, act)()
        copy = tracks.copy()
        assert_equal(look(tracks, review), look(copy, Review(copy, N_FRAMES)))


@pytest.fixture
def session() -> Session:
    """Two objects that were drawn apart; the machine has both on the first one's animal."""
    session = Session(Image(np.zeros((30, 60, 80), np.uint8), name="clip"))
    draw(session, 0, box(10), box(50))
    find(session, 1, range(1, 9), 10)
    find(session, 2, range(5, 9), 10)
    return session


def find(session: Session, object_id: int, frames: Iterable[int], x: float) -> None:
    session.record(found(object_id, frame, box(x)) for frame in frames)
    session.flush()


def together(session: Session) -> list[tuple[int, int, int]]:
    """Object, start and stop of each flag for two in one place; the strips say the same."""
    flags = [flag for flag in session.review.flags() if flag.sign is Sign.TOGETHER]
    for object_id in session.object_ids:
        risky = np.flatnonzero(session.review.strip(object_id) == Mark.RISKY).tolist()
        spans = [of[1:] for of in flags if of.object_id == object_id]
        assert risky == [k for _, first, stop, *_ in spans for k in range(first, stop)]
        assert session.review.summary(object_id).n_flags == len(spans)
    return [(flag.object_id, flag.start, flag.stop) for flag in flags]


def test_an_edit_of_the_other_object_is_seen(session: Session) -> None:
    assert together(session) == [(1, 5, 9), (2, 5, 9)]
    change(session, row_of(session, 2, 5), (0, 0, 5))
    session.pull()
    assert together(session) == [(1, 6, 9), (2, 6, 9)]
    session.undo()
    assert together(session) == [(1, 5, 9), (2, 5, 9)]
    session.remove([2], 8)
    assert together(session) == [(1, 5, 8), (2, 5, 8)]
    session.keep([2], 5)
    assert together(session) == [(1, 5, 8), (2, 6, 8)]


@pytest.mark.parametrize(
    "away",
    [
        lambda session: session.delete_objects([2]),
        lambda session: session.clear([2], 5, 9),
        lambda session: session.mark_absent([2], 5, 9),
        lambda session: session.mark_occluded([1], 5, 9),
        lambda session: find(session, 2, range(5, 9), 50),
        lambda session: session.join(1, [2]),
    ],
    ids=["deleted", "cleared", "out of view", "hidden", "tracked anew", "merged"],
)
def test_what_takes_one_away_takes_both_flags_away(session: Session, away) -> None:
    assert len(together(session)) == 2
    away(session)
    assert together(session) == []
    session.undo()
    assert len(together(session)) == 2
    session.redo()
    assert together(session) == []


def test_a_run_that_comes_upon_the_other_is_seen(session: Session) -> None:
    assert together(session) == [(1, 5, 9), (2, 5, 9)]
    find(session, 1, range(9, 14), 10)
    find(session, 2, range(9, 12), 10)
    assert together(session) == [(1, 5, 12), (2, 5, 12)]
    find(session, 2, range(12, 14), 10)
    assert together(session) == [(1, 5, 14), (2, 5, 14)]


def test_a_layer_that_is_taken_up_again_is_looked_at(session: Session) -> None:
    left = session.close()
    for of in (left, None):
        again = Session(session.image, session.layer, of)
        assert together(again) == [(1, 5, 9), (2, 5, 9)]
        again.close()
