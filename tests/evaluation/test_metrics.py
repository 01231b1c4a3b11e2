"""Metrics by hand and against the published rows of the development sequences."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.errors import DataError
from napari_ocean.evaluation.metrics import success_auc, success_curve, success_rate
from napari_ocean.evaluation.protocols import annotate, one_pass
from napari_ocean.evaluation.report import Result, as_json, as_markdown, read_peers
from napari_ocean.evaluation.sequences import find_sequences
from napari_ocean.tracks import Prediction, State
from napari_ocean.video import open_video


class StandStill:
    """The tracker that believes the target never moves."""

    def __init__(self, frame, box_xyxy) -> None:
        self.box_xyxy = box_xyxy

    def step(self, frame) -> Prediction:
        return Prediction(box_xyxy=self.box_xyxy, score=1.0, state=State.FOUND)


def test_success_curve_counts_frames_above_each_threshold() -> None:
    curve = success_curve([0, 0.5, 1])
    assert_allclose(curve[[0, 9, 10, 19, 20]], [2 / 3, 2 / 3, 1 / 3, 1 / 3, 0])
    assert success_rate([0.4, 0.5, 0.6, 0.7], 0.5) == 0.5


@given(st.lists(st.floats(0, 1), min_size=1))
def test_area_is_near_the_mean_overlap(ious: list[float]) -> None:
    assert (np.diff(success_curve(ious)) <= 0).all()
    assert abs(success_auc(ious) - np.mean(ious)) <= 0.05


def test_the_static_box_scores_what_the_development_table_says(shared_data) -> None:
    root = shared_data / "data" / "dev"
    peers = read_peers(root / "peers.json")
    sequences = {s.name: s for s in find_sequences(root)}
    assert set(sequences) == set(peers)
    for name in ("DAVIS2016val/dog", "OTB/Skiing"):
        sequence, want = sequences[name], peers[name]["static"]
        with sequence.open() as video:
            once = one_pass(StandStill, video, sequence.truth_xyxy)
            helped = annotate(StandStill, video, sequence.truth_xyxy)
        assert len(once.ious) == want["frames"]
        assert_allclose(success_auc(once.ious), want["auc"], atol=1e-4)
        assert_allclose(once.ious.mean(), want["ao"], atol=1e-4)
        assert_allclose(success_rate(once.ious, 0.5), want["sr50"], atol=1e-4)
        assert helped.corrections == want["corrections"]
        assert_allclose(helped.ious.mean(), want["mean_iou"], atol=1e-4)


def test_each_correction_draws_the_truth_and_goes_on_from_it() -> None:
    truth = np.array([boxes.from_center((20 + 4 * i, 20), (20, 20)) for i in range(10)])
    video = open_video(np.zeros((10, 40, 80, 3), np.uint8))
    helped = annotate(StandStill, video, truth)
    # 4 px of 20: overlap 2/3 after one frame, 3/7 after two
    assert helped.corrections == 4
    assert_allclose(helped.ious, [2 / 3, 1, 2 / 3, 1, 2 / 3, 1, 2 / 3, 1, 2 / 3])


def test_frames_without_truth_do_not_count_and_nothing_to_measure_is_said() -> None:
    truth = np.tile([10.0, 10, 30, 30], (4, 1))
    truth[2] = np.nan
    video = open_video(np.zeros((4, 40, 80, 3), np.uint8))
    assert one_pass(StandStill, video, truth).ious.tolist() == [1, 1]
    assert annotate(StandStill, video, truth).corrections == 0
    for bad in (truth[:1], truth[2:], np.tile(truth[:1], (9, 1))):
        with pytest.raises(DataError, match="true box"):
            one_pass(StandStill, video, bad)


def test_sequences_are_found_by_their_ground_truth(tmp_path) -> None:
    import imageio.v3 as iio

    clip = demo_clip()
    folder = tmp_path / "set" / "clip"
    (folder / "img").mkdir(parents=True)
    for i in range(3):
        iio.imwrite(folder / "img" / f"{i}.png", clip.frames[i])
    np.savetxt(folder / "groundtruth.txt", boxes.to_xywh(clip.truth_xyxy[:3]), delimiter=",")
    (sequence,) = find_sequences(tmp_path)
    assert sequence.name == "set/clip"
    assert_allclose(sequence.truth_xyxy, clip.truth_xyxy[:3])
    with sequence.open() as video:
        np.testing.assert_array_equal(video.frame(2), clip.frames[2])
    (folder / "groundtruth.txt").write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"groundtruth\.txt"):
        find_sequences(tmp_path)
    with pytest.raises(DataError, match="no sequence"):
        find_sequences(folder / "img")


def test_report_has_a_row_per_sequence_and_totals(tmp_path) -> None:
    row = {"frames": 100, "ao": 0.5, "sr50": 0.5, "fps": 50.0}
    results = [
        Result(sequence="a", auc=0.5, corrections=1, **row),
        Result(sequence="b", auc=0.7, corrections=4, **row),
    ]
    peers = {"a": {"csrt": {"auc": 0.4, "corrections": 3, "frames": 100}}}
    lines = as_markdown(results, peers).splitlines()
    assert lines[2] == "| a | 100 | 0.500 / 1 | 50 | 0.400 / 3 |"
    assert lines[3] == "| b | 100 | 0.700 / 4 | 50 | - / - |"
    assert "| 200 | 0.600 / 25.0 | 50 | 0.400 / 30.0 |" in lines[4]
    assert json.loads(as_json(results))[1]["corrections"] == 4
    (tmp_path / "peers.json").write_text("[1]")
    with pytest.raises(DataError, match=r"peers\.json"):
        read_peers(tmp_path / "peers.json")
