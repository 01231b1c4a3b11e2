"""The search pass recorded and repeated; the recording itself needs a GPU, its tensors do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_ocean import boxes
from napari_ocean.demo import demo_clip
from napari_ocean.network import (
    LITE,
    Answer,
    Graphs,
    OceanNet,
    TemplateState,
    fold_batch_norm,
    lower_precision,
    ordinary,
    stack,
)
from napari_ocean.network.graphs import GRAPHS, PASSES_BEFORE, Work
from napari_ocean.network.search import ask
from napari_ocean.tracking import Tracker, load_tracker


class Tape:
    """Records as a GPU does: each repetition writes into the tensors of the one answer."""

    def __init__(self) -> None:
        self.recorded = 0
        self.repeated = 0

    def __call__(self, work: Work) -> Work:
        self.recorded += 1
        answer = work()

        def repeat() -> Answer:
            self.repeated += 1
            for kept, new in zip(answer, work(), strict=True):
                kept.copy_(new)
            return answer

        return repeat


@pytest.fixture(scope="module")
def net() -> OceanNet:
    torch.manual_seed(0)
    return fold_batch_norm(OceanNet(LITE))


def _question(net: OceanNet, seed: int, count: int = 1) -> tuple[Tensor, TemplateState]:
    generator = torch.Generator().manual_seed(seed)
    crops = torch.randint(0, 256, (count, 3, 255, 255), generator=generator).float()
    return crops, stack([net.template(crop[None, :, :127, :127]) for crop in crops])


@torch.inference_mode()
def test_a_recorded_pass_answers_what_is_asked_now(net: OceanNet) -> None:
    """Other crops of another target, and an answer that is kept stays what it was."""
    tape = Tape()
    search = Graphs(net, tape)
    questions = [_question(net, seed) for seed in range(PASSES_BEFORE + 3)]
    answers = [search(*question) for question in questions]
    assert (tape.recorded, tape.repeated) == (1, 3)
    for answer, question in zip(answers, questions, strict=True):
        for one, other in zip(answer, ask(net, *question), strict=True):
            torch.testing.assert_close(one, other)


def test_rare_sizes_are_not_recorded_and_old_ones_make_room(net, monkeypatch) -> None:
    monkeypatch.setattr(
        "napari_ocean.network.graphs.ask", lambda net, crops, state: Answer(crops, crops, crops)
    )
    tape = Tape()
    search = Graphs(net, tape)
    state = TemplateState.of([torch.zeros(1)] * 7)

    def look(side: int, times: int) -> None:
        for _ in range(times):
            assert search(torch.rand(1, 3, side, side), state).raw.shape[-1] == side

    look(1, PASSES_BEFORE)
    assert tape.recorded == 0
    for side in range(1, GRAPHS + 2):  # one too many: the first goes
        look(side, PASSES_BEFORE + 1)
    assert tape.recorded == GRAPHS + 1
    look(GRAPHS + 1, 1)
    look(1, PASSES_BEFORE)  # a rare size again
    assert tape.recorded == GRAPHS + 1


@torch.inference_mode()
def test_where_nothing_can_be_recorded_passes_are_ordinary(net: OceanNet, caplog) -> None:
    def refuse(work: Work) -> Work:
        raise RuntimeError("operation not permitted when stream is capturing")

    search = Graphs(net, refuse)
    question = _question(net, 0)
    for _ in range(PASSES_BEFORE + 2):
        torch.testing.assert_close(search(*question).maps, ask(net, *question).maps)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@torch.inference_mode()
def test_a_session_does_not_know_that_its_passes_are_recorded() -> None:
    clip = demo_clip(n_frames=8)
    tracker = load_tracker(device="cpu")
    search = Graphs(tracker.net, tape := Tape())
    taped = Tracker(tracker.net, tracker.settings, tracker.online, search=search)
    one, other = (t.start(clip.frames[0], clip.truth_xyxy[0]) for t in (tracker, taped))
    for frame in clip.frames[1:]:
        np.testing.assert_allclose(one.step(frame).box_xyxy, other.step(frame).box_xyxy, atol=1e-3)
    assert tape.repeated > 0


@torch.inference_mode()
def test_all_maps_come_in_one_tensor(net: OceanNet) -> None:
    crops, state = _question(net, 0, count=2)
    raw, maps, box_features = ask(net, crops, state)
    assert raw.shape == (2, net.backbone.channels, 31, 31)
    assert maps.shape == (2, 6, 25, 25)
    assert box_features.shape == (2, LITE.channels, 25, 25)
    assert maps.dtype == torch.float32
    out = net.search(crops, state)
    assert out.aware is not None
    torch.testing.assert_close(maps[:, 4:5], out.regular.sigmoid())
    torch.testing.assert_close(maps[:, 5:6], out.aware.sigmoid())


@torch.inference_mode()
def test_half_precision_finds_nearly_the_same() -> None:
    """bfloat16, the coarsest, as a CPU has it: features are half, answers are not."""
    clip = demo_clip(n_frames=30)
    found = []
    for precision in ("float32", "bfloat16"):
        tracker = load_tracker(device="cpu", precision=precision)
        assert tracker.net.dtype == getattr(torch, precision)
        assert tracker.net.box_head.bias.dtype == torch.float32
        session = tracker.start(clip.frames[0], clip.truth_xyxy[0])
        found.append([session.step(frame).box_xyxy for frame in clip.frames[1:6]])
    assert boxes.iou(np.array(found[0]), np.array(found[1])).min() > 0.9


@torch.inference_mode()
def test_what_half_precision_leaves_float32(net: OceanNet) -> None:
    half = lower_precision(fold_batch_norm(OceanNet(LITE, aware=False)), torch.bfloat16)
    crops = torch.zeros(1, 3, 255, 255, dtype=torch.bfloat16)
    raw, maps, _ = ask(half, crops, half.template(crops[..., :127, :127]))
    assert (raw.dtype, maps.dtype) == (torch.bfloat16, torch.float32)
    assert maps.shape[1] == 5
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for key, value in lower_precision(net, torch.float32).state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_cuda_graph_answers_like_ordinary_passes() -> None:
    clip = demo_clip(n_frames=12)
    tracker = load_tracker(device="cuda")
    search = ordinary(tracker.net)
    plain = Tracker(tracker.net, tracker.settings, tracker.online, search=search)
    one, other = (t.start(clip.frames[0], clip.truth_xyxy[0]) for t in (tracker, plain))
    for frame in clip.frames[1:]:
        a, b = one.step(frame), other.step(frame)
        np.testing.assert_allclose(a.box_xyxy, b.box_xyxy, atol=0.5)
        assert a.score == pytest.approx(b.score, abs=0.02)
