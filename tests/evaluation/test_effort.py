"""The simulated annotator, by hand, by its laws, and against the development table."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from napari_ocean import boxes
from napari_ocean.errors import ConfigError, DataError
from napari_ocean.evaluation import effort
from napari_ocean.evaluation.annotator import Annotator
from napari_ocean.evaluation.datasets import find_sequences
from napari_ocean.evaluation.effort import Effort, Plan, measure
from napari_ocean.evaluation.labelling import INTERPOLATED, TRACKED, Queue, reviewed
from napari_ocean.evaluation.report import read_peers
from napari_ocean.evaluation.store import Store
from napari_ocean.evaluation.trackers import TrackerSpec, make
from napari_ocean.evaluation.walks import Walks
from napari_ocean.tracking.fuse import fuse_runs
from napari_ocean.tracks import Prediction, State
from napari_ocean.video import FrameSource, open_video

HW = (40, 400)


@dataclass(eq=False)
class Clip:
    """A sequence whose frames hold nothing but their own number."""

    truth_xyxy: np.ndarray
    name: str = "clip"
    video: Path = Path("none")

    def __len__(self) -> int:
        return len(self.truth_xyxy)

    def open(self) -> FrameSource:
        frames = np.zeros((len(self.truth_xyxy), *HW, 3), np.uint8)
        frames[:] = np.arange(len(frames), dtype=np.uint8)[:, None, None, None]
        return open_video(frames)


class Blind:
    """Knows the way, but for the frames on which it stands still; from there on it is off."""

    def __init__(self, truth, lost, frame, box_xyxy, *, unsure=(), score=0.4) -> None:
        self.truth, self.lost, self.off = truth, lost, None
        self.unsure, self.score = unsure, score

    def step(self, frame) -> Prediction:
        index = int(frame[0, 0, 0])
        if index in self.lost:
            self.off = np.array([0, 0, 10, 10])
        box = self.truth[index] if self.off is None else self.off
        sure = self.off is None and index not in self.unsure
        score = 1.0 if sure else self.score
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


def walks(truth, session, video, **options) -> Walks:
    """Walks of a tracker whose sessions are made by ``session(frame, box, examples)``."""
    return Walks(
        lambda: lambda f, b, *, examples=(): session(f, b, examples), video, truth, **options
    )


def blind(truth, lost, **options):
    return lambda frame, box, examples: Blind(truth, lost, frame, box, **options)


def test_two_sides_mend_what_either_alone_loses() -> None:
    truth = course(30, 9)
    clip = Clip(truth)

    def label(method: str) -> Annotator:
        annotator = Annotator(truth, 0.5, HW)
        with clip.open() as video:
            TRACKED[method](walks(truth, blind(truth, {4}), video), annotator)
        return annotator

    forward, backward, both = (label(way) for way in ("forward", "backward", "two-sided"))
    assert (forward.drawn, forward.visited) == ([0, 4], 9)
    assert (backward.drawn, backward.visited, backward.corrections) == ([8, 4], 9, 1)
    # lost on frame 4 from either side: only that frame is wrong once both runs are fused
    assert (both.drawn, both.corrections, both.visited) == ([0, 8, 4], 1, 2 + 7 + 3 + 3)


def review(truth, session, bound: float = 0.5) -> tuple[Annotator, Queue]:
    annotator = Annotator(truth, bound, HW)
    with Clip(truth).open() as video:
        return annotator, reviewed(walks(truth, session, video), annotator)


def test_the_queue_leads_to_what_is_lost_with_a_low_score() -> None:
    truth = course(4, 20)
    annotator, queue = review(truth, blind(truth, {8}))
    # lost from frame 8 on; drawn there, both sides are right
    assert annotator.drawn == [0, 8]
    assert (queue.bad, queue.flagged, queue.found, queue.left) == (12, 12, 12, 0)
    assert (queue.drawn, queue.looked_at, annotator.visited) == (2, 2, 2)
    assert (annotator.corrections, annotator.scrubbed) == (1, 18)  # the rest is played through


def test_what_the_queue_does_not_see_is_found_by_playing_the_rest() -> None:
    truth = course(4, 10)
    # stands still with a high score: nothing is flagged
    annotator, queue = review(truth, lambda frame, box, examples: make(STATIC)(frame, box))
    assert queue == Queue(drawn=1, looked_at=1, left=8, bad=8, flagged=0, found=0)
    assert annotator.drawn == [0, 2, 4, 6, 8]
    assert (annotator.visited, annotator.scrubbed, annotator.corrections) == (1, 9, 4)


def test_a_flag_without_a_bad_box_costs_looks_and_no_drawing() -> None:
    truth = course(4, 12)
    # right everywhere, but unsure of itself on three frames
    annotator, queue = review(truth, blind(truth, set(), unsure={5, 6, 7}))
    assert (queue.drawn, queue.bad, queue.found, queue.flagged) == (1, 0, 0, 3)
    assert (annotator.visited, annotator.scrubbed) == (1 + 3, 12 - 4)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-12, 12), min_size=3, max_size=25),
    st.sampled_from([*INTERPOLATED, *TRACKED]),
    st.floats(0.3, 0.9),
    st.sets(st.integers(0, 24)),
    st.floats(0, 1),
)
def test_every_method_ends_with_every_frame_within_the_bound(
    steps, method, bound, lost, score
) -> None:
    truth = course(0, len(steps))
    truth[:, [0, 2]] += 200 + np.cumsum(steps)[:, None] / 2
    annotator = Annotator(truth, bound, HW)
    queue = None
    if method in INTERPOLATED:
        INTERPOLATED[method](annotator)
    else:
        with Clip(truth).open() as video:
            session = blind(truth, lost, score=score)
            queue = TRACKED[method](walks(truth, session, video), annotator)
    assert (annotator.ious >= bound).all()
    assert len(set(annotator.drawn)) == len(annotator.drawn) <= len(truth)
    assert annotator.visited + annotator.scrubbed >= len(truth)
    assert (queue is not None) == (method == "review")
    if queue is None:
        assert annotator.scrubbed == 0
        return
    assert annotator.corrections == len(annotator.drawn) - 1
    assert queue.found <= min(queue.bad, queue.flagged)
    assert 1 <= queue.drawn <= len(annotator.drawn)
    assert (queue.left > 0) == (len(annotator.drawn) > queue.drawn)
    assert queue.looked_at == annotator.visited
    assert annotator.scrubbed < len(truth)


def test_a_walk_is_made_once_and_goes_on_where_it_stood(monkeypatch) -> None:
    truth = course(4, 12)
    stepped: list[int] = []
    read: list[int] = []

    def session(frame, box, examples):
        of = Blind(truth, set(), frame, box)
        at = int(frame[0, 0, 0])

        class Counting:
            def step(self, image):
                stepped.append(int(image[0, 0, 0]))
                return of.step(image)

        taught.append((at, [int(image[0, 0, 0]) for image, _ in examples]))
        return Counting()

    taught: list[tuple[int, list[int]]] = []
    with Clip(truth).open() as video:
        frame = video.frame
        monkeypatch.setattr(video, "frame", lambda k: (read.append(k), frame(k))[1])
        walk = walks(truth, session, video, examples=2)
        assert_allclose([p.box_xyxy for p in walk.between(2, 6, [2])], truth[2:7])
        assert len(walk.between(2, 4, [2])) == 3
        assert_allclose([p.box_xyxy for p in walk.between(2, 8, [2])], truth[2:9])
        assert stepped == [3, 4, 5, 6, 7, 8]
        assert_allclose([p.box_xyxy for p in walk.between(8, 5, [0, 2, 5, 8])], truth[8:4:-1])
        assert taught == [(2, []), (8, [5, 2])]  # the nearest two
        assert len(read) == len(set(read))
        # a session that is no longer kept begins anew and finds the same
        for other in range(9, 12):
            monkeypatch.setattr("napari_ocean.evaluation.walks.LIVE", 1)
            walk.between(other, 0, [])
        assert_allclose([p.box_xyxy for p in walk.between(2, 11, [2])], truth[2:])
        assert len(read) == len(set(read))


def test_fused_boxes_keep_the_surer_state_where_the_walks_agree() -> None:
    near, far = course(2, 4), course(2, 4) + np.array([0, 100, 0, 100])
    runs = [
        [Prediction(box_xyxy=box, score=0.5, state=state) for box in of]
        for of, state in ((near, State.UNCERTAIN), (near, State.FOUND), (far, State.LOST))
    ]
    fused, overlap = fuse_runs(runs[0], runs[1])
    assert {of.state for of in fused} == {State.FOUND}
    assert_allclose(overlap, 1)
    fused, overlap = fuse_runs(runs[0], runs[2])
    assert [of.state for of in fused] == [State.UNCERTAIN] * 2 + [State.LOST] * 2
    assert_allclose([of.score for of in fused], 0)


def test_frames_without_a_target_are_neither_judged_nor_counted() -> None:
    truth = course(0)
    truth[[0, 4, 9]] = np.nan
    truth[5] = (-30, 5, 0.5, 25)  # half a pixel of it is inside the frame
    for plan in (
        Plan(tracker=STATIC),
        Plan(method="linear"),
        Plan(method="two-sided", tracker=STATIC),
        Plan(method="review", tracker=STATIC),
    ):
        done = measure(plan, Clip(truth), 0.5)
        assert (done.frames, done.corrections, done.mean_iou) == (5, 0, 1)
    with pytest.raises(DataError, match=r"clip has no true box .* two frames"):
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
    assert "| x | 20.0 | 13.3 | 1000 | - | 0.700 |" in text
    assert "queue" not in text
    assert "| b | 200 | 4 |" in text
    assert json.loads(json.dumps(asdict(efforts[0])))["drawn"] == 2
    assert [of.tracker and of.tracker.name for of in effort.plans_for([STATIC])] == [
        None, None, "static", "static",
    ]  # fmt: skip
    ours = [TrackerSpec(online=way) for way in ("off", "default")]
    assert [of.label for of in effort.plans_for(ours)][2:] == [
        "ocean-off", "ocean", "ocean-off backward", "ocean backward",
        "ocean-off two-sided", "ocean-off review",
    ]  # fmt: skip
    some = effort.plans_for([STATIC, *ours], ["two-sided", "forward", "two-sided"])
    assert [of.label for of in some] == ["static", "ocean-off", "ocean", "ocean-off two-sided"]


def test_the_queue_has_a_table_of_its_own_and_survives_the_disk() -> None:
    queue = Queue(drawn=3, looked_at=30, left=2, bad=40, flagged=20, found=10)
    efforts = [
        replace(record("x", name, 100, 5), queue=queue, scrubbed=70, label="x review")
        for name in "ab"
    ]
    text = effort.as_markdown(efforts)
    assert "| x review | 50.0 | 40.0 | 1000 | 700 | 0.650 |" in text
    assert "| x review | 30.0 | 300 | 20.0 | 400.0 | 25 % | 50 % |" in text
    kept = json.loads(json.dumps(asdict(efforts[0])))
    assert Effort.read({"truth_sha256": "0", **kept}) == efforts[0]
    older = {k: v for k, v in kept.items() if k not in ("queue", "scrubbed")}
    assert Effort.read(older).queue is None


def test_long_jobs_come_first_and_share_a_tracker(tmp_path) -> None:
    clips = [Clip(course(1, n), name) for n, name in ((5, "short"), (9, "long"))]
    plans = effort.plans_for([STATIC], ["linear", "linear-fewest", "forward"])
    store = Store(tmp_path, "folder")
    jobs = effort.missing(plans, clips, store)
    assert [([plan.label for plan, _ in tasks], clip.name) for tasks, clip, _ in jobs] == [
        (["linear", "linear", "linear-fewest", "linear-fewest"], "long"),
        (["linear", "linear", "linear-fewest", "linear-fewest"], "short"),
        (["static", "static"], "long"),
        (["static", "static"], "short"),
    ]
    assert sum(effort.run(*job) for job in jobs) == 12
    assert effort.missing(plans, clips, store) == []


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
