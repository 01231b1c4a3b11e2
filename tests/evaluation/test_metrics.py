"""Metrics by hand, and against the got10k toolkit's and vot-toolkit's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from napari_ocean import boxes
from napari_ocean.errors import DataError
from napari_ocean.evaluation.datasets import DATASETS, Run, Sequence
from napari_ocean.evaluation.metrics import (
    CONVENTIONS,
    bootstrap,
    center_error_px,
    mean,
    move_and_cut,
    normalized_error,
    score,
    success_auc,
    success_curve,
    success_rate,
)

HW = (120, 160)


def test_success_curve_counts_frames_above_each_threshold() -> None:
    curve = success_curve([0, 0.5, 1])
    assert_allclose(curve[[0, 9, 10, 19, 20]], [2 / 3, 2 / 3, 1 / 3, 1 / 3, 0])
    assert success_rate([0.4, 0.5, 0.6, 0.7], 0.5) == 0.5


@given(st.lists(st.floats(0, 1), min_size=1))
def test_area_is_near_the_mean_overlap(ious: list[float]) -> None:
    assert (np.diff(success_curve(ious)) <= 0).all()
    assert abs(success_auc(ious) - np.mean(ious)) <= 0.05


def test_errors_of_the_centre_are_in_pixels_and_in_true_sizes() -> None:
    truth = boxes.from_center([50, 50], [40, 20])
    found = boxes.from_center([62, 55], [10, 10])
    assert center_error_px(found, truth) == 13  # 12 and 5
    assert_allclose(normalized_error(found, truth), np.hypot(0.3, 0.25))
    flat = boxes.from_center([50, 50], [40, 0])
    assert normalized_error(flat, flat) == 0
    assert np.isinf(normalized_error(found, flat))


def test_scores_of_a_sequence_worked_by_hand() -> None:
    truth = np.tile(boxes.from_center([50, 50], [40, 40]), (5, 1))
    truth[2] = np.nan
    off = np.array([[0, 0], [10, 0], [0, 0], [20, 0], [0, 20.5]])
    found = np.tile(truth[0], (5, 1)) + np.tile(off, 2)
    # overlaps 1, 30/50, -, 20/60 and 19.5/60.5; centre errors 0, 10, -, 20 and 20.5 px
    scores = score(found, truth, CONVENTIONS["folder"], HW)
    assert scores.frames == 3
    assert_allclose(scores.ao, (30 / 50 + 20 / 60 + 19.5 / 60.5) / 3)
    assert_allclose([scores.sr50, scores.sr75], [1 / 3, 0])
    # 20 px are within 20 px; none is within 0.2 sizes (8 px), and 0.25 sizes are 10 px
    assert_allclose([scores.precision, scores.normalized_precision], [2 / 3, 0])
    assert_allclose([scores.normalized_curve[24], scores.normalized_curve[25]], [0, 1 / 3])
    # each is 40 px wide and high like the true one, so only the centre costs overlap
    assert_allclose([scores.auc_true_size, scores.auc_true_center], [scores.auc, 20 / 21])
    with_first = score(found, truth, CONVENTIONS["otb"], HW)
    assert with_first.frames == 4
    assert_allclose([with_first.precision, with_first.normalized_precision], [3 / 4, 1 / 4])


def test_what_costs_overlap_is_told_apart() -> None:
    truth = np.tile(boxes.from_center([50, 50], [40, 40]), (3, 1))
    found = boxes.from_center([[50, 50], [50, 50], [60, 50]], [[40, 40], [60, 40], [40, 40]])
    scores = score(found, truth, CONVENTIONS["folder"], HW)
    # overlaps 40/60 and 30/50; set right, the first is 1 by its size, the second by its centre
    assert_allclose(scores.auc_true_size, (20 + 12) / 42)
    assert_allclose(scores.auc_true_center, (14 + 20) / 42)


def test_averages_are_over_sequences_or_over_all_frames() -> None:
    truth = np.tile([10.0, 10, 30, 30], (5, 1))
    good, bad = truth, truth + 100
    bad[0] = truth[0]
    for name, ao in (("folder", 1 / 2), ("got10k", 2 / 6)):
        rule = CONVENTIONS[name]
        both = [score(good[:3], truth[:3], rule, HW), score(bad, truth, rule, HW)]
        assert_allclose([mean(both, rule).ao, mean(both, rule).success_curve[0]], ao)
        assert mean(both, rule).frames == 6


def test_what_cannot_be_scored_is_said() -> None:
    truth = np.tile([10.0, 10, 30, 30], (3, 1))
    rule = CONVENTIONS["folder"]
    with pytest.raises(DataError, match="2 boxes for 3 true boxes"):
        score(truth[:2], truth, rule, HW)
    with pytest.raises(DataError, match="No frame counts"):
        score(truth, np.vstack([truth[:1], np.full((2, 4), np.nan)]), rule, HW)
    with pytest.raises(DataError, match="four finite numbers"):
        score(truth * np.nan, truth, rule, HW)


def test_bootstrap_draws_sequences() -> None:
    # of two values, the mean of two draws is 0, 0.5 or 1 with probabilities 1/4, 1/2, 1/4
    assert bootstrap([0, 1]) == (0, 1)
    assert bootstrap([0, 1], level=0.4) == (0.5, 0.5)
    assert bootstrap([0.3]) == (0.3, 0.3)
    # a sequence that weighs three times as much: 0, 0.75 or 1
    assert bootstrap([0, 1], [1, 3], level=0.4) == (0.75, 0.75)


def test_bootstrap_is_as_wide_as_the_theory_says() -> None:
    values = np.random.default_rng(1).normal(0.6, 0.1, 200)
    low, high = bootstrap(values)
    error = values.std() / np.sqrt(200)
    assert_allclose([low, high], values.mean() + 1.96 * error * np.array([-1, 1]), atol=1.5e-3)


def random_clip(rng: np.random.Generator, name: str, frames: int) -> tuple[Sequence, Run]:
    """Boxes that partly reach past the frame, and a tracker's that are some way off."""
    center = rng.uniform([0, 0], HW[::-1], (frames, 2))
    size = rng.uniform(10, 60, (frames, 2))
    truth = np.round(boxes.from_center(center, size))
    found = truth + rng.normal(0, rng.uniform(2, 15), (frames, 4))
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    found[0] = truth[0]
    run = Run(found, np.ones(frames), rng.uniform(0.01, 0.1, frames))
    return Sequence(name, truth, video=None), run  # type: ignore[arg-type]  # no frames needed


class StandIn(list):
    """What got10k's experiments ask of a dataset."""

    return_meta = False

    def __init__(self, names: list[str], rows: list[tuple]) -> None:
        super().__init__(rows)
        self.seq_names = names

    def __getitem__(self, key):
        return super().__getitem__(self.seq_names.index(key) if isinstance(key, str) else key)


def test_otb_scores_are_those_of_the_got10k_toolkit(tmp_path) -> None:
    experiments = pytest.importorskip("got10k.experiments")
    clips = [random_clip(np.random.default_rng(i), f"clip{i}", 20 + 7 * i) for i in range(5)]
    layout, ours = DATASETS["otb"], []
    for clip, run in clips:
        layout.write_result(tmp_path, "some", clip, run)
        kept = layout.read_result(tmp_path, "some", clip)
        ours.append(score(kept.boxes_xyxy, clip.truth_xyxy, CONVENTIONS["otb"], HW))

    theirs = experiments.ExperimentOTB.__new__(experiments.ExperimentOTB)
    rows = [(None, boxes.to_xywh(clip.truth_xyxy + 1)) for clip, _ in clips]
    theirs.dataset = StandIn([clip.name for clip, _ in clips], rows)
    theirs.result_dir, theirs.report_dir = str(tmp_path), str(tmp_path / "reports")
    theirs.nbins_iou, theirs.nbins_ce = 21, 51
    theirs.plot_curves = lambda names: None
    report = theirs.report(["some"])["some"]

    for (clip, _), mine in zip(clips, ours, strict=True):
        want = report["seq_wise"][clip.name]
        assert_allclose(mine.success_curve, want["success_curve"], atol=1e-12)
        assert_allclose(mine.precision_curve, want["precision_curve"], atol=1e-12)
    overall = mean(ours, CONVENTIONS["otb"])
    assert_allclose(overall.auc, report["overall"]["success_score"], atol=1e-12)
    assert_allclose(overall.precision, report["overall"]["precision_score"], atol=1e-12)
    assert_allclose(overall.sr50, report["overall"]["success_rate"], atol=1e-12)
    assert 0.2 < overall.auc < 0.8


def test_got10k_scores_are_those_of_the_got10k_toolkit(tmp_path) -> None:
    experiments = pytest.importorskip("got10k.experiments")
    layout, ours, rows, names = DATASETS["got10k"], [], [], []
    for i in range(5):
        rng = np.random.default_rng(i)
        clip, run = random_clip(rng, f"clip{i}", 20 + 7 * i)
        cover = rng.integers(0, 9, len(clip))
        cover[0] = 8
        meta = {"cover": cover, "resolution": str(HW[::-1])}
        rows.append((None, boxes.to_xywh(clip.truth_xyxy + 1), meta))
        names.append(clip.name)
        layout.write_result(tmp_path, "some", clip, run)
        kept = layout.read_result(tmp_path, "some", clip)
        truth = np.where(cover[:, None] > 0, clip.truth_xyxy, np.nan)
        ours.append(score(kept.boxes_xyxy, truth, CONVENTIONS["got10k"], HW))

    theirs = experiments.ExperimentGOT10k.__new__(experiments.ExperimentGOT10k)
    theirs.dataset, theirs.subset = StandIn(names, rows), "val"
    theirs.result_dir, theirs.report_dir = str(tmp_path), str(tmp_path / "reports")
    theirs.plot_curves = lambda files, names: None
    report = theirs.report(["some"])["some"]

    for name, mine in zip(names, ours, strict=True):
        want = report["seq_wise"][name]
        assert_allclose([mine.ao, mine.sr50], [want["ao"], want["sr"]], atol=1e-12)
    overall = mean(ours, CONVENTIONS["got10k"])
    assert_allclose(overall.ao, report["overall"]["ao"], atol=1e-12)
    assert_allclose(overall.sr50, report["overall"]["sr"], atol=1e-12)
    assert_allclose(overall.sr75, report["overall"]["succ_curve"][75], atol=1e-12)
    assert_allclose(overall.success_curve, report["overall"]["succ_curve"][::5], atol=1e-12)


def test_got10k_moves_a_box_inside_before_it_cuts_it() -> None:
    # counted from 1: left of 0 is moved (11 px wide stays 11), right of the width is cut
    assert_allclose(move_and_cut([-6, 10, 5, 30], HW), [-1, 10, 10, 30])
    assert_allclose(move_and_cut([150, 10, 170, 30], HW), [150, 10, 159, 30])


def test_one_pass_overlaps_of_vot_are_those_of_the_vot_toolkit() -> None:
    regions = pytest.importorskip("vot.region.shapes")
    from vot.analysis.accuracy import gather_overlaps
    from vot.region import Special
    from vot.tracker import Trajectory

    clip, run = random_clip(np.random.default_rng(3), "clip", 60)
    found = np.round(run.boxes_xyxy)  # the toolkit compares whole pixels

    def rectangles(boxes_xyxy: np.ndarray) -> list:
        return [regions.Rectangle(*box) for box in boxes.to_xywh(boxes_xyxy).tolist()]

    trajectory = [Special(Trajectory.INITIALIZATION), *rectangles(found[1:])]
    overlaps, frames = gather_overlaps(
        trajectory, rectangles(clip.truth_xyxy), burnin=1, bounds=HW[::-1]
    )
    assert frames == list(range(1, 60))
    scores = score(found, clip.truth_xyxy, CONVENTIONS["vot"], HW)
    assert_allclose(scores.ao, overlaps.mean(), atol=1e-6)
    assert_allclose(scores.sr50, (overlaps > 0.5).mean(), atol=1e-12)
