"""A run in the worker, with a tracker that only drifts: batches, stop, hold, fusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_ocean import boxes, tracking
from napari_ocean.errors import VideoError
from napari_ocean.plugin.plan import Direction, Leg, Reach, plan
from napari_ocean.plugin.worker import Batch, Control, track_batches
from napari_ocean.tracks import ObjectPrediction, State, Tracks
from napari_ocean.video import open_video
from tests.plugin.hands import box

VIDEO = np.zeros((20, 60, 80, 3), np.uint8)


Step = Callable[[int], None]


@pytest.fixture
def drift(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a tracker in place whose boxes move to the right by some pixels a step."""

    def install(px: float = 1.0, on_step: Step = lambda frame: None) -> None:
        def propagate(
            video: Any, tracks: Tracks, *, start: int, stop: int, reverse: bool, **of: Any
        ) -> Iterator[ObjectPrediction]:
            frames = range(start, stop)[::-1] if reverse else range(start, stop)
            begin = tracks.get(1, frames[0]).box_xyxy
            for k, frame in enumerate(frames):
                if k:
                    on_step(frame)
                x = (-px if reverse else px) * k
                yield ObjectPrediction(
                    object_id=1,
                    frame=frame,
                    box_xyxy=begin + np.array([x, 0, x, 0]),
                    score=0.8 if k else 1.0,
                    state=State.FOUND,
                )

        monkeypatch.setattr(tracking, "propagate", propagate)

    return install


def tracks(*keyframes: int) -> Tracks:
    drawn = Tracks()
    drawn.add_object()
    for frame in keyframes:
        drawn.draw(1, frame, box(10 + frame))
    return drawn


def run(
    drawn: Tracks, legs: list[Leg], control: Control | None = None, batch_s: float = 0.0
) -> tuple[list[Batch], str | None]:
    got: list[Batch] = []
    with open_video(VIDEO) as video:
        work = track_batches(video, drawn, legs, object, control or Control(), batch_s)
        while True:
            try:
                got.append(next(work))
            except StopIteration as end:
                return got, end.value


def gap(drawn: Tracks) -> list[Leg]:
    (leg,) = plan(drawn, Direction.FORWARD, frame=2, start=0, stop=20, reach=Reach.KEYFRAME)
    assert (leg.start, leg.stop, leg.fused) == (2, 13, True)
    return [leg]


def test_two_runs_that_agree_are_fused_and_meet_both_keyframes(drift: Any) -> None:
    drift(0.5)  # half as quick as the truth
    drawn = tracks(2, 12)
    batches, problem = run(drawn, gap(drawn))
    assert problem is None
    for batch in batches:
        for of in batch.predictions:
            drawn.merge(of)
    assert drawn.keyframes(1) == [2, 12]
    assert drawn.frames(1) == list(range(2, 13))
    got = np.array([drawn.get(1, frame).box_xyxy for frame in range(2, 13)])
    truth = np.array([box(10 + frame) for frame in range(2, 13)])
    assert boxes.iou(got, truth).min() > 0.9
    last = batches[-3]
    assert set(last.agreement) == {(1, frame) for frame in range(3, 12)}
    assert last.done == last.total == 22


def test_each_way_of_a_fused_run_learns_from_all_drawn_boxes_and_meets_none_at_its_end(
    drift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drift(1.0)
    drawn, known = tracks(0, 2, 12, 15, 18), []
    made = tracking.propagate

    def propagate(video: Any, tracks: Tracks, **of: Any) -> Iterator[ObjectPrediction]:
        known.append((tracks.keyframes(1), of["taught_by"].keyframes(1)))
        return made(video, tracks, **of)

    monkeypatch.setattr(tracking, "propagate", propagate)
    run(drawn, gap(drawn))
    assert known == [([2], [0, 2, 12, 15, 18]), ([12], [0, 2, 12, 15, 18])]


def test_a_stop_before_the_second_run_leaves_the_first(drift: Any) -> None:
    drawn, control = tracks(2, 12), Control()
    steps: list[int] = []

    def on_step(frame: int) -> None:
        steps.append(1)
        if len(steps) == 13:
            control.stop.set()

    drift(1.0, on_step)
    batches, _ = run(drawn, gap(drawn), control)
    found = {of.frame: of.box_xyxy for batch in batches for of in batch.predictions}
    assert sorted(found) == list(range(2, 13))
    assert_allclose(found[7], box(17))
    assert not any(batch.agreement for batch in batches)


def test_a_held_run_hands_over_what_it_has_and_goes_on(drift: Any) -> None:
    drawn, control = tracks(0), Control()
    (leg,) = plan(drawn, Direction.FORWARD, frame=0, start=0, stop=20)
    steps: list[int] = []

    def on_step(frame: int) -> None:
        steps.append(1)
        if len(steps) == 5:
            control.hold.set()

    drift(1.0, on_step)
    with open_video(VIDEO) as video:
        work = track_batches(video, drawn, [leg], object, control, batch_s=1000.0)
        assert next(work).predictions == []
        assert [of.frame for of in next(work).predictions] == [0, 1, 2, 3, 4, 5]
        control.hold.clear()
        rest = [of.frame for batch in work for of in batch.predictions]
    assert rest == list(range(6, 20))


def test_every_pass_but_a_fused_one_is_told_of_all_corrections(
    drift: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drift(1.0)
    given, made = [], tracking.propagate

    def propagate(video: Any, tracks: Tracks, **of: Any) -> Iterator[ObjectPrediction]:
        ask = of["corrections"]
        given.append(ask and [[frame for _, frame, _ in ask()] for _ in range(2)])
        return made(video, tracks, **of)

    monkeypatch.setattr(tracking, "propagate", propagate)
    drawn, control = tracks(2, 12), Control()
    control.correct(1, 7, box(50))
    ways = plan(drawn, Direction.BOTH, frame=2, start=0, stop=20, selected=[1])
    run(drawn, [*ways, *gap(drawn)], control)
    assert given == [[[7], []], [[7], []], None, None]


@pytest.mark.parametrize("at", [1, 7, 19])
def test_a_held_run_can_be_stopped(drift: Any, at: int) -> None:
    control, steps = Control(), []

    def on_step(frame: int) -> None:
        steps.append(1)
        if len(steps) == at:
            control.hold.set()
            control.stop.set()

    drawn = tracks(0)
    legs = plan(drawn, Direction.FORWARD, frame=0, start=0, stop=20)
    drift(1.0, on_step)
    batches, _ = run(drawn, legs, control)
    assert len([of for batch in batches for of in batch.predictions]) == at + 1


@pytest.mark.parametrize("batch_s", [0.0, 1e6])
def test_what_goes_wrong_is_returned_and_what_was_found_stays(drift: Any, batch_s: float) -> None:
    def on_step(frame: int) -> None:
        if frame == 7:
            raise VideoError("The disk is gone.")

    drawn = tracks(0)
    legs = plan(drawn, Direction.FORWARD, frame=0, start=0, stop=20)
    drift(1.0, on_step)
    batches, problem = run(drawn, legs, batch_s=batch_s)
    assert problem == "The disk is gone."
    assert [of.frame for batch in batches for of in batch.predictions] == list(range(7))
