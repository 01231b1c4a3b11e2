"""The tracker with the shipped weights: what goes in, what comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.errors import BoxError, ConfigError, VideoError, WeightsError
from napari_ocean.network import LITE, OceanNet, save_network
from napari_ocean.tracking import Tracker, find_weights, load_tracker
from napari_ocean.tracking import weights as weights_module
from napari_ocean.tracks import State

FRAME = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return load_tracker()


def test_follows_the_drawn_object(tracker: Tracker) -> None:
    clip = demo_clip()
    session = tracker.start(clip.frames[0], clip.truth_xyxy[0])
    found = np.array([session.step(frame).box_xyxy for frame in clip.frames[1:]])
    overlaps = boxes.iou(found, clip.truth_xyxy[1:])
    assert overlaps.mean() > 0.6
    assert overlaps[-10:].min() > 0.4


def test_sessions_of_one_tracker_do_not_touch_each_other(tracker: Tracker) -> None:
    clip = demo_clip()

    def alone() -> list[np.ndarray]:
        session = tracker.start(clip.frames[0], clip.truth_xyxy[0])
        return [session.step(frame).box_xyxy for frame in clip.frames[1:6]]

    first = tracker.start(clip.frames[0], clip.truth_xyxy[0])
    other = tracker.start(clip.frames[0], [10, 10, 60, 50])
    interleaved = []
    for frame in clip.frames[1:6]:
        interleaved.append(first.step(frame).box_xyxy)
        other.step(frame)
    np.testing.assert_allclose(interleaved, alone(), atol=1e-3)


def test_prediction_stays_inside_and_its_score_is_a_share(tracker: Tracker) -> None:
    session = tracker.start(FRAME, (0, 0, 80, 60))
    for shift in range(5):
        prediction = session.step(np.roll(FRAME, 20 * shift, axis=1))
        assert 0 <= prediction.score <= 1
        assert isinstance(prediction.state, State)
        assert np.isfinite(prediction.box_xyxy).all()
        center = boxes.center(prediction.box_xyxy)
        assert (center >= 0).all()
        assert (center <= [80, 60]).all()
        assert (boxes.size(prediction.box_xyxy) <= [80, 60]).all()


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((5, 5, float("nan"), 20), "not finite"),
        ((20, 5, 5, 20), "inverted"),
        ((5, 5, 6, 20), "at least 2 px"),
        ((100, 5, 120, 20), "outside the frame"),
        ((79, 5, 120, 20), "outside the frame"),
        ((1, 2, 3), "four numbers"),
        ("a box", "four numbers"),
    ],
)
def test_boxes_that_cannot_be_tracked_are_refused(tracker: Tracker, box, says: str) -> None:
    with pytest.raises(BoxError, match=says):
        tracker.start(FRAME, box)


@pytest.mark.parametrize(
    "frame",
    [FRAME[..., 0], FRAME.astype(float), FRAME[..., :2], np.dstack([FRAME, FRAME]), None],
    ids=["grey", "float", "two channels", "six channels", "none"],
)
def test_frames_that_are_not_rgb_uint8_are_refused(tracker: Tracker, frame) -> None:
    with pytest.raises(VideoError, match="RGB uint8"):
        tracker.start(frame, (5, 5, 30, 30))
    session = tracker.start(FRAME, (5, 5, 30, 30))
    with pytest.raises(VideoError, match="RGB uint8"):
        session.step(frame)


def test_a_preset_without_weights_says_what_to_put_where(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(weights_module, "weights_folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match=r"OceanV\.pth.*TracKit") as error:
        load_tracker("ocean")
    assert str(tmp_path / "ocean.pth") in str(error.value)
    (tmp_path / "ocean.pth").write_bytes(b"anything")
    assert find_weights("ocean") == tmp_path / "ocean.pth"


def test_a_path_is_taken_as_it_is(tmp_path) -> None:
    torch.manual_seed(0)
    save_network(OceanNet(LITE), tmp_path / "mine.safetensors", {})
    assert load_tracker(tmp_path / "mine.safetensors").net.preset == LITE
    for nowhere in (tmp_path / "nowhere.pth", "~nowhere.pth"):
        with pytest.raises(WeightsError, match=r"nowhere\.pth"):
            load_tracker(nowhere)


def test_unknown_devices_are_refused() -> None:
    for device in ("cuda:99", "toaster", "meta"):
        with pytest.raises(ConfigError, match=device):
            load_tracker(device=device)


def test_fast_looks_once() -> None:
    assert load_tracker(device="cpu").settings.mirrored
    assert not load_tracker(device="cpu", engine="torch").settings.mirrored
    assert load_tracker(device="cpu", engine="torch", fast=False).settings.mirrored
    fast = load_tracker(device="cpu", fast=True)
    assert fast.settings == replace(load_tracker(device="cpu").settings, mirrored=False)
    session = fast.start(FRAME, (20, 10, 50, 40))
    assert len(session._looks.template.regular[0]) == 1


def test_unknown_precisions_are_refused() -> None:
    with pytest.raises(ConfigError, match="float64"):
        load_tracker(device="cpu", precision="float64")  # type: ignore[arg-type]
    assert load_tracker(device="cpu").net.dtype == torch.float32
