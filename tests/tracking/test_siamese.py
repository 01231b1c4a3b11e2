"""Crop and post-processing against the reference implementation's numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.network import load_network
from napari_ocean.network.grid import cell_centers
from napari_ocean.tracking import RELEASED, Tracker, load_tracker, siamese
from napari_ocean.tracking.crop import crop_patch, mean_color, round_half_up
from tests.network.golden import GOLDEN, RTOL, official_state


def golden_frame(index: int) -> np.ndarray:
    """Frame of the reference run, in its own channel order (BGR)."""
    y, x = np.mgrid[0:240, 0:320].astype(np.float64)
    cx, cy = 150 + 4 * index, 110 + 3 * index
    inside = (abs(x - cx) < 30) & (abs(y - cy) < 20)
    channels = []
    for c in range(3):
        background = 127 + 60 * np.sin(x / 17 + c) + 50 * np.cos(y / 13 - c)
        target = 200 - 60 * c + 40 * np.sin((x - cx) / 5)
        channels.append(np.where(inside, target, background))
    return np.clip(np.round(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)


pytestmark = pytest.mark.usefixtures("one_thread")


def test_crop_at_the_border_has_the_reference_pixels() -> None:
    frame = golden_frame(0)
    side_px = round_half_up(180.5)
    patch, _ = crop_patch(frame, (5.5, 230.5), side_px, 127, mean_color(frame))
    want = GOLDEN["crop_border"]
    flat = patch.transpose(2, 0, 1).astype(np.float64).ravel()
    assert_allclose(flat.sum(), want["sum"], rtol=RTOL)
    assert (flat.min(), flat.max()) == (want["min"], want["max"])
    assert flat[want["idx"]].tolist() == want["val"]


@pytest.mark.parametrize(
    ("name", "aware"), [("VOT2018", True), ("VOT2019", True), ("OTB2015", False)]
)
def test_tracks_equal_the_reference(tmp_path, name: str, aware: bool) -> None:
    state = official_state("offline_align")
    if not aware:
        state = {k: v for k, v in state.items() if not k.startswith("align_head.")}
    torch.save(state, tmp_path / "ocean.pth")
    tracker = Tracker(load_network(tmp_path / "ocean.pth"), RELEASED[name])
    rgb = [np.ascontiguousarray(golden_frame(i)[..., ::-1]) for i in range(6)]
    session = tracker.start(rgb[0], boxes.from_center((150, 110), (60, 40)))
    got = []
    for frame in rgb[1:]:
        box = session.step(frame).box_xyxy
        got.append([*boxes.center(box), *boxes.size(box)])
    assert_allclose(got, GOLDEN[f"track_{name}"], rtol=RTOL)


def test_what_is_seen_in_the_mirror_is_turned_back() -> None:
    """Two answers that say the same of a crop have themselves as their mean."""
    rng = np.random.default_rng(0)
    centers = cell_centers(25).numpy()
    x, y = np.meshgrid(centers, centers)
    left, top, right, bottom = rng.uniform(5, 60, (4, 25, 25))
    plain = np.stack([x - left, y - top, x + right, y + bottom, *rng.uniform(size=(2, 25, 25))])
    assert_allclose(siamese.both_ways(plain[None]), plain)
    # in the mirror a cell's left is its right, and it stands on the other side of the crop
    mirrored = np.stack([-x + 254 - right, y - top, -x + 254 + left, y + bottom, *plain[4:]])
    seen = mirrored[:, :, ::-1]
    assert seen[0, 3, 24] == mirrored[0, 3, 0]
    assert_allclose(siamese.both_ways(np.stack([plain, seen])), plain)


def test_with_the_mirror_left_and_right_are_alike() -> None:
    """A clip in the mirror gives the boxes in the mirror."""
    clip = demo_clip()
    tracker = load_tracker(device="cpu", online=False)
    width = clip.frames.shape[2]

    def mirrored(box_xyxy: np.ndarray) -> np.ndarray:
        return np.array([width - box_xyxy[2], box_xyxy[1], width - box_xyxy[0], box_xyxy[3]])

    differ = []
    for on in (False, True):
        tracker.settings = replace(tracker.settings, mirrored=on)
        plain = tracker.start(clip.frames[0], clip.truth_xyxy[0])
        turned = tracker.start(clip.frames[0][:, ::-1].copy(), mirrored(clip.truth_xyxy[0]))
        pairs = [
            (plain.step(frame).box_xyxy, mirrored(turned.step(frame[:, ::-1].copy()).box_xyxy))
            for frame in clip.frames[1:5]
        ]
        differ.append(max(np.abs(one - other).max() for one, other in pairs))
    assert differ[1] < 1.2  # px; crops begin at whole ones
    assert differ[0] > 2 * differ[1]
