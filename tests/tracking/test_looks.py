"""The template follows the target's looks and never forgets the drawn one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_ocean.network import TemplateState, blend, load_network
from napari_ocean.online.settings import OnlineSettings
from napari_ocean.tracking import load_tracker
from napari_ocean.tracking.looks import Looks
from napari_ocean.tracking.siamese import calibrate
from napari_ocean.tracking.weights import find_weights

pytestmark = pytest.mark.usefixtures("one_thread")


def state(value: float) -> TemplateState:
    kernels = tuple(torch.full((1, 2, *size), float(value)) for size in ((5, 5), (3, 5), (5, 3)))
    return TemplateState(kernels, kernels, torch.zeros(1, 4, 3))


def level(template: TemplateState) -> float:
    (value,) = {float(v) for k in template.regular for v in k.unique()}
    return value


def test_later_looks_share_a_weight_and_fade() -> None:
    looks = Looks(state(0), share=0.5, rate=0.25)
    assert level(looks.template) == 0
    looks.add(state(8))
    assert level(looks.template) == 4
    looks.add(state(16))  # the later ones are at 8 + (16 - 8) / 4 = 10
    assert level(looks.template) == 5
    for _ in range(100):
        looks.add(state(16))
    assert level(looks.template) == pytest.approx(8)
    assert all((kernel == 0).all() for kernel in looks.template.box)  # sizes: the drawn look's


def test_sides_last_whatever_is_seen_later() -> None:
    looks = Looks(state(0), share=0.5, rate=0.25)
    looks.add(state(8))
    sides = torch.rand(1, 4, 3)
    looks.set_sides(sides)
    assert torch.equal(looks.template.sides, sides)
    assert level(looks.template) == 4
    looks.add(state(16))
    assert torch.equal(looks.template.sides, sides)


def test_matching_a_blend_is_blending_the_matches() -> None:
    """What makes one template as good as many: correlation is linear in its kernels."""
    net = load_network(find_weights("lite")).eval()
    torch.manual_seed(0)
    crop = torch.rand(1, 3, 255, 255) * 255
    with torch.inference_mode():
        one, two = (net.template(torch.rand(1, 3, 127, 127) * 255) for _ in range(2))
        features = net.neck(net.backbone(crop))

        def matched(template: TemplateState) -> torch.Tensor:
            return net.regular_combination(features, template.regular)

        want = 0.7 * matched(one) + 0.3 * matched(two)
        torch.testing.assert_close(matched(blend(one, two, 0.3)), want, rtol=1e-3, atol=1e-3)


def test_drawn_boxes_of_other_frames_are_in_the_template() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(2)]
    box = (50.0, 40.0, 90.0, 80.0)
    tracker = load_tracker(online=OnlineSettings(template_share=0.5))
    alone = tracker.start(frames[0], box)._looks.template
    taught = tracker.start(frames[0], box, examples=[(frames[1], box)])._looks.template
    other = tracker.start(frames[1], box)._looks.template
    want = blend(alone, other, 0.5)
    # not exactly: what lies outside the frame has the first frame's mean colour
    for got, kernel in zip(taught.regular, want.regular, strict=True):
        torch.testing.assert_close(got, kernel, rtol=0.05, atol=0.05)
    assert not torch.allclose(taught.regular[0], alone.regular[0], atol=0.05)


def test_looks_are_taken_where_the_target_was_found() -> None:
    frame = np.full((120, 160, 3), 90, np.uint8)
    frame[40:80, 50:90] = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    online = OnlineSettings(template_every=2)
    tracker = load_tracker(online=online)
    tracker.settings = replace(tracker.settings, found_score=0.01, lost_score=0.0)
    session = tracker.start(frame, (50, 40, 90, 80))
    first = session._looks.template
    session.step(frame)
    assert session._looks.template is first
    session.step(frame)
    assert session._looks.template is not first
    tracker.settings = replace(tracker.settings, found_score=1.0)
    session = tracker.start(frame, (50, 40, 90, 80))
    first = session._looks.template
    for _ in range(4):
        session.step(frame)
    assert session._looks.template is first


def test_calibration_keeps_the_order_and_can_do_nothing() -> None:
    scores = np.linspace(0, 1, 11)
    assert calibrate(scores, 0.0) is scores
    raised = calibrate(scores, 2.0)
    assert (np.diff(raised) > 0).all()
    assert ((raised >= 0) & (raised <= 1)).all()
    np.testing.assert_allclose(calibrate(np.array([0.5]), 1.0), 1 / (1 + np.exp(-1)))
