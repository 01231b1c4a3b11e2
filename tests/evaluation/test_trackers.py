"""Trackers by name: what each finds on an easy clip, and what is said of one that is not here."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict

import cv2
import numpy as np
import pytest

from napari_ocean import boxes
from napari_ocean.errors import ConfigError, WeightsError
from napari_ocean.evaluation.runs import run_once
from napari_ocean.evaluation.trackers import ABLATIONS, TRACKERS, TrackerSpec, make
from napari_ocean.tracks import State
from tests.evaluation.clips import draw, truth, write_clips


def test_a_spec_survives_pickle_and_json() -> None:
    spec = TrackerSpec(settings={"penalty_k": 0.1}, without=("aware", "dilation"))
    assert pickle.loads(pickle.dumps(spec)) == spec
    again = json.loads(json.dumps(asdict(spec)))
    assert TrackerSpec(**{**again, "without": tuple(again["without"])}) == spec
    assert spec.label == "ocean-without-aware-without-dilation"
    assert TrackerSpec(name="csrt").label == "csrt"
    assert TrackerSpec(online="off").label == "ocean-off"


def test_the_online_update_is_as_the_spec_says() -> None:
    official = make(TrackerSpec(online="official")).__self__
    assert official.online.fidelity == "official"
    assert make(TrackerSpec(online="off")).__self__.online is None
    assert make(TrackerSpec()).__self__.online.fidelity == "default"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "sift"}, "no tracker 'sift'.*ocean, static"),
        ({"without": ("brain",)}, "no part brain.*aware, dilation"),
        ({"name": "mil", "settings": {"penalty_k": 1}}, "Only ocean has settings"),
    ],
)
def test_names_that_do_not_exist_are_refused_at_once(fields, said) -> None:
    with pytest.raises(ConfigError, match=said):
        TrackerSpec(**fields)


def test_what_this_computer_lacks_is_said_in_a_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.delattr(cv2, "TrackerCSRT_create", raising=False)
    with pytest.raises(ConfigError, match="no TrackerCSRT; pip install opencv-contrib"):
        make(TrackerSpec(name="csrt"))
    with pytest.raises(WeightsError, match=r"nanotrack_v1_backbone\.onnx; name the folder"):
        make(TrackerSpec(name="nanotrack_v1", nano_folder=str(tmp_path)))
    with pytest.raises(ConfigError, match="Unknown setting"):
        make(TrackerSpec(settings={"speed": 1}))


def mean_iou(spec: TrackerSpec, sequence) -> float:
    return float(boxes.iou(run_once(make(spec), sequence).boxes_xyxy, truth(12)).mean())


@pytest.mark.parametrize("name", TRACKERS)
def test_every_tracker_follows_a_slow_square(name, tmp_path, request) -> None:
    nano = ""
    if name.startswith("nanotrack"):
        nano = str(request.getfixturevalue("shared_data") / "weights")
    elif name in ("csrt", "kcf") and not hasattr(cv2, f"Tracker{name.upper()}_create"):
        pytest.skip("needs opencv-contrib-python")
    (sequence,) = write_clips(tmp_path, ["square"])
    found = mean_iou(TrackerSpec(name=name, nano_folder=nano), sequence)
    assert found < 0.5 if name == "static" else found > 0.6


def test_the_last_box_stays_where_opencv_says_that_it_lost_the_target(monkeypatch) -> None:
    class Loses:
        def init(self, frame_bgr, box_xywh) -> None:
            assert box_xywh == (40, 0, 24, 10)  # whole pixels inside the frame
            assert frame_bgr.flags.c_contiguous
            self.blue = int(frame_bgr[0, 0, 0])

        def update(self, frame_bgr):
            self.blue -= 1
            return (True, (1, 2, 3, 4)) if self.blue == 8 else (False, (0, 0, 0, 0))

    monkeypatch.setattr(cv2, "TrackerMIL_create", Loses)
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[..., 2] = 10  # blue
    session = make(TrackerSpec(name="mil"))(frame, np.array([40.3, -14, 64.2, 10]))
    before, seen, after = (session.step(frame) for _ in range(3))
    np.testing.assert_allclose(before.box_xyxy, [40.3, -14, 64.2, 10])
    np.testing.assert_allclose(seen.box_xyxy, [1, 2, 4, 6])
    np.testing.assert_allclose(after.box_xyxy, seen.box_xyxy)
    assert [p.state for p in (before, seen, after)] == [State.LOST, State.FOUND, State.LOST]


def test_an_ablation_leaves_out_its_part_and_nothing_else() -> None:
    frame, box = draw(0, 2)[0], truth(1)[0]
    whole = make(TrackerSpec()).__self__
    parts = {name: make(TrackerSpec(without=(name,))).__self__ for name in ABLATIONS}
    assert parts["aware"].net.aware_head is None
    assert len(parts["dilation"].net.box_combination.search) == 1
    assert (
        parts["penalties"].settings.penalty_k == parts["penalties"].settings.window_influence == 0
    )
    assert parts["aware"].settings == parts["dilation"].settings == whole.settings
    answers = [whole.start(frame, box).step(frame)]
    answers += [tracker.start(frame, box).step(frame) for tracker in parts.values()]
    assert all(boxes.iou(a.box_xyxy, box) > 0.5 for a in answers)
    assert len({a.score for a in answers}) > 1
