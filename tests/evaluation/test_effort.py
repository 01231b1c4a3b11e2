"""The simulated annotator, by hand, by its laws, and against the development table."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from napari_ocean import boxes
from napari_ocean.errors import ConfigError, DataError
from napari_ocean.evaluation import effort
from napari_ocean.evaluation.datasets import find_sequences
from napari_ocean.evaluation.effort import INTERPOLATED, TRACKED, Annotator, Effort, Plan, measure
from napari_ocean.evaluation.report import read_peers
from napari_ocean.evaluation.trackers import TrackerSpec
from napari_ocean.tracks import Prediction, State
from napari_ocean.video import FrameSource, open_video

HW = (40, 400)


@dataclass
class Clip:
    """A sequence whose frames hold nothing but their own number."""

    truth_xyxy: np.ndarray
    name: str = "clip"

    def open(self) -> FrameSource:
        frames = np.zeros((len(self.truth_xyxy), *HW, 3), np.uint8)
        frames[:] = np.arange(len(frames), dtype=np.uint8)[:, None, None, None]
        return open_video(frames)


class Blind:
    """Knows the way, but for the frames on which it stands still; from there on it is off."""

    def __init__(self, truth, lost, frame, box_xyxy) -> None:
        self.truth, self.lost, self.off = truth, lost, None

    def step(self, frame) -> Prediction:
        index = int(frame[0, 0, 0])
        if index in self.lost:
            self.off = np.array([0, 0, 10, 10])
        box = self.truth[index] if self.off is None else self.off
        score = 1.0 if self.off is None else 0.4
        return Prediction(box_xyxy=box, score=score, state=State.FOUND)


def course(step_px: float, n: int = 10) -> np.ndarray:
    """A 20 px box that moves to the right."""
    return np.array([boxes.from_center((20 + step_px * i, 20), (20, 20)) for i in range(n)])


STATIC = TrackerSpec(name="static")


def test_forward_draws_where_the_box_is_refused_and_goes_on_from_there() -> None:
    # 4 px of 20: overlap 2/3 after one frame, 3/7 after two
    done = measure(Plan(tracker=STATIC), Clip(course(4)), 0.5)
    assert done == Effort(
        label="static", sequence="clip", bound=0.5, frames=9, drawn=5, corrections=4, visited=10,
        mean_iou=pytest.approx((5 * 2 / 3 + 4) / 9),
    )  # fmt: skip
    assert measure(Plan(tracker=STATIC), Clip(course(4)), 0.7).drawn == 10


def test_a_straight_course_needs_its_ends_and_a_bend_one_more() -> None:
    straight = course(4)
    bend = np.concatenate([straight, straight[-2::-1]])
    for method in INTERPOLATED:
        assert measure(Plan(method=method), Clip(straight), 0.9).drawn == 2
        done = measure(Plan(method=method), Clip(bend), 0.9)
        assert (done.drawn, done.mean_iou) == (3, pytest.approx(1))
    # both ends, 17 frames that are wrong in part, then 8 on either side of the bend
    assert measure(Plan(method="linear"), Clip(bend), 0.9).visited == 2 + 17 + 8 + 8


def test_two_sides_mend_what_either_alone_loses() -> None:
    truth = course(30, 9)
    clip = Clip(truth)

    def count(method: str) -> tuple[int, int]:
        annotator = Annotator(truth, 0.5, HW)
        with clip.open() as video:
            TRACKED[method](lambda f, b, *, examples=(): Blind(truth, {4}, f, b), video, annotator)
        return len(annotator.drawn), annotator.visited

    assert count("forward") == (2, 9)
    # lost on frame 4 from either side: only that frame is wrong once both runs are fused
    assert count("two-sided") == (3, 2 + 7 + 3 + 3)
    annotator = Annotator(truth, 0.5, HW)
    with clip.open() as video:
        effort.two_sided(lambda f, b, *, examples=(): Blind(truth, {4}, f, b), video, annotator)
    assert annotator.drawn == [0, 8, 4]
    assert annotator.corrections == 1


@settings(max_examples=40)
@given(
    st.lists(st.floats(-12, 12), min_size=3, max_size=25),
    st.sampled_from([*INTERPOLATED, *TRACKED]),
    st.floats(0.3, 0.9),
)
def test_every_method_ends_with_every_frame_within_the_bound(steps, method, bound) -> None:
    truth = course(0, len(steps))
    truth[:, [0, 2]] += 200 + np.cumsum(steps)[:, None] / 2
    tracker = STATIC if method in TRACKED else None
    annotator = Annotator(truth, bound, HW)
    if tracker is None:
        INTERPOLATED[method](annotator)
    else:
        with Clip(truth).open() as video:
            TRACKED[method](effort.make(tracker), video, annotator)
    assert (annotator.ious >= bound).all()
    assert len(set(annotator.drawn)) == len(annotator.drawn) <= len(truth)
    assert annotator.visited >= len(truth)


def test_frames_without_a_target_are_neither_judged_nor_counted() -> None:
    truth = course(0)
    truth[[0, 4, 9]] = np.nan
    truth[5] = (-30, 5, 0.5, 25)  # half a pixel of it is inside the frame
    for plan in (
        Plan(tracker=STATIC),
        Plan(method="linear"),
        Plan(method="two-sided", tracker=STATIC),
    ):
        done = measure(plan, Clip(truth), 0.5)
        assert (done.frames, done.corrections, done.mean_iou) == (5, 0, 1)
    with pytest.raises(DataError, match="two frames"):
        measure(Plan(method="linear"), Clip(truth[:2]), 0.5)


def test_a_plan_travels_to_other_processes_and_refuses_unknown_names() -> None:
    plan = Plan(method="two-sided", tracker=TrackerSpec(model="far/away.pth", without=("aware",)))
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert plan.label == "ocean-away-without-aware two-sided"
    for bad in ({"method": "linear", "tracker": STATIC}, {"method": "forward"}):
        with pytest.raises(ConfigError, match="no method"):
            Plan(**bad)


def record(label: str, sequence: str, frames: int, drawn: int, bound: float = 0.5) -> Effort:
    return Effort(
        label=label, sequence=sequence, bound=bound, frames=frames, drawn=drawn,
        corrections=drawn - 1, visited=frames, mean_iou=0.5 if sequence == "a" else 0.8,
    )  # fmt: skip


def test_tables_and_points_weigh_every_frame_alike() -> None:
    efforts = [record("x", "a", 100, 2), record("x", "b", 200, 4), record("x", "a", 100, 5, 0.7)]
    assert effort.points(efforts[:2]) == {"x": [(pytest.approx(20), pytest.approx(0.7))]}
    text = effort.as_markdown(efforts[:2])
    assert "| x | 20.0 | 13.3 | 1000 | 0.700 |" in text
    assert "| b | 200 | 4 |" in text
    assert json.loads(json.dumps(asdict(efforts[0])))["drawn"] == 2
    assert [of.tracker and of.tracker.name for of in effort.default_plans([STATIC])] == [
        None, None, "static",
    ]  # fmt: skip


def test_the_development_table_is_reproduced(shared_data) -> None:
    root = shared_data / "data" / "dev"
    peers = read_peers(root / "peers.json")
    for sequence in find_sequences(root):
        want = peers[sequence.name]
        fewest = measure(Plan(method="linear-fewest"), sequence, 0.5)
        assert fewest.drawn - 1 == want["linear"]["corrections"]
        static = measure(Plan(tracker=STATIC), sequence, 0.5)
        assert (static.frames, static.corrections) == (
            want["static"]["frames"],
            want["static"]["corrections"],
        )
        assert_allclose(static.mean_iou, want["static"]["mean_iou"], atol=1e-4)
