"""Passes compiled by OpenVINO: PyTorch's answers, one target or several, and what if it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_ocean.demo import demo_clip
from napari_ocean.errors import ConfigError
from napari_ocean.network import (
    LITE,
    Compiled,
    OceanNet,
    Search,
    TemplateState,
    fold_batch_norm,
    openvino_version,
    stack,
)
from napari_ocean.network.compiled import CROPS_BEFORE, _openvino
from napari_ocean.network.search import ask
from napari_ocean.tracking import Tracker, load_tracker


@pytest.fixture(scope="module")
def net() -> OceanNet:
    return load_tracker(device="cpu").net


@pytest.fixture(scope="module")
def search(net: OceanNet) -> Search:
    return Compiled(net)


def _question(net: OceanNet, count: int, side: int = 255) -> tuple[Tensor, TemplateState]:
    generator = torch.Generator().manual_seed(count)
    crops = torch.randint(0, 256, (count, 3, side, side), generator=generator).float()
    crops = crops.contiguous(memory_format=torch.channels_last)
    state = stack([net.template(crop[None, :, :127, :127]) for crop in crops])
    # as if an extent had been learnt for each
    sides = 0.01 * torch.randn(state.sides.shape, generator=generator)
    return crops, state._replace(sides=sides)


def _same(search: Search, net: OceanNet, crops: Tensor, state: TemplateState) -> None:
    said, wanted = search(crops, state), ask(net, crops, state)
    torch.testing.assert_close(said.raw, wanted.raw, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(said.maps, wanted.maps, atol=2e-3, rtol=1e-4)  # px of the crop
    torch.testing.assert_close(said.box_features, wanted.box_features, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 3])
@torch.inference_mode()
def test_answers_are_those_of_pytorch(search: Search, net: OceanNet, count: int) -> None:
    crops, state = _question(net, count)
    _same(search, net, crops, state)
    kept = search(crops, state)
    before = kept.maps.clone()
    search(crops.flip(-1), state)
    assert torch.equal(kept.maps, before), "an answer may be kept"


@torch.inference_mode()
def test_compiling_warns_nobody(net: OceanNet) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        Compiled(net)(*_question(net, 1))
    assert [str(warning.message) for warning in said] == []


@torch.inference_mode()
def test_crops_may_share_one_state(search: Search, net: OceanNet) -> None:
    crops, _ = _question(net, 3)
    _, state = _question(net, 1)
    _same(search, net, crops, state)


@torch.inference_mode()
def test_a_network_without_the_object_aware_head() -> None:
    torch.manual_seed(0)
    net = fold_batch_norm(OceanNet(LITE, aware=False))
    crops, state = _question(net, 1)
    said = Compiled(net)(crops, state)
    torch.testing.assert_close(said.maps, ask(net, crops, state).maps, atol=2e-3, rtol=1e-4)
    assert said.maps.shape == (1, 5, 25, 25)


@torch.inference_mode()
def test_a_rare_side_is_not_compiled(
    search: Search, net: OceanNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = []
    monkeypatch.setattr(
        "napari_ocean.network.compiled.ask",
        lambda net, crops, state: ordinary.append(len(crops)) or ask(net, crops, state),
    )
    search(*_question(net, 1))
    ordinary.clear()
    search(*_question(net, 2, side=319))
    assert ordinary == [2]
    monkeypatch.setattr("napari_ocean.network.compiled.CROPS_BEFORE", 2)
    crops, state = _question(net, 1, side=319)
    _same(search, net, crops, state)
    assert CROPS_BEFORE > 2
    assert ordinary[1:] == [1], "what is traced"


@torch.inference_mode()
def test_where_openvino_fails_passes_are_ordinary(
    net: OceanNet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Unsupported operation")

    monkeypatch.setattr(_openvino(), "compile_model", refuse)
    search = Compiled(net)
    crops, state = _question(net, 1)
    for _ in range(2):
        assert torch.equal(search(crops, state).maps, ask(net, crops, state).maps)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@torch.inference_mode()
def test_ctrl_c_is_not_taken_for_a_failure(net: OceanNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        except KeyboardInterrupt as error:  # as OpenVINO does
            raise RuntimeError("Conversion failed") from error
        raise RuntimeError("Conversion failed")

    monkeypatch.setattr(_openvino(), "convert_model", interrupted)
    # a test run in the background ignores Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Compiled(net)(*_question(net, 1))
    finally:
        signal.signal(signal.SIGINT, before)


@torch.inference_mode()
def test_what_fails_later_is_answered_by_pytorch(
    net: OceanNet, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def start_async(self, *_: object, **__: object) -> None:
            raise RuntimeError("out of memory")

    search = Compiled(net)
    crops, state = _question(net, 3)
    _same(search, net, crops, state)
    search._requests[255, 2][1] = Broken()  # the first is at work when it fails
    for _ in range(2):
        assert torch.equal(search(crops, state).maps, ask(net, crops, state).maps)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_session_finds_the_same_boxes() -> None:
    clip = demo_clip(n_frames=20)
    found = {}
    for engine in ("torch", "openvino"):
        tracker = load_tracker(device="cpu", engine=engine, fast=False)
        assert isinstance(tracker.search, Compiled) == (engine == "openvino")
        session = tracker.start(clip.frames[0], clip.truth_xyxy[0])
        found[engine] = [session.step(frame).box_xyxy for frame in clip.frames[1:]]
    np.testing.assert_allclose(found["openvino"], found["torch"], atol=0.02)


def test_which_engine_runs_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(**options: str) -> bool:
        tracker: Tracker = load_tracker(device="cpu", **options)  # type: ignore[arg-type]
        return isinstance(tracker.search, Compiled)

    assert engine()
    assert not engine(engine="torch")
    assert not engine(precision="bfloat16")
    with pytest.raises(ConfigError, match="float32 on the CPU"):
        engine(engine="openvino", precision="bfloat16")
    with pytest.raises(ConfigError, match="must be auto or torch or openvino"):
        engine(engine="onnx")
    monkeypatch.setattr("napari_ocean.tracking.tracker.openvino_version", lambda: None)
    assert not engine()
    with pytest.raises(ConfigError, match="pip install openvino"):
        engine(engine="openvino")


def test_an_openvino_that_does_not_work_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str) -> None:
        raise OSError("libopenvino.so.2640: cannot open shared object file")

    monkeypatch.setattr("napari_ocean.network.compiled.import_module", broken)
    _openvino.cache_clear()
    try:
        assert openvino_version() is None
        assert "cannot be loaded" in caplog.text
        tracker = load_tracker(device="cpu")
        assert not isinstance(tracker.search, Compiled)
        assert not tracker.settings.mirrored, "one look in PyTorch"
    finally:
        _openvino.cache_clear()
    assert "openvino_telemetry" not in sys.modules


def test_openvino_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    """Its telemetry keeps an identity in the home folder from the first import on."""
    code = (
        "import torch; from napari_ocean.network import LITE, OceanNet, Compiled\n"
        "net = OceanNet(LITE).eval()\n"
        "crops = torch.zeros(1, 3, 255, 255)\n"
        "with torch.inference_mode():\n"
        "    search = Compiled(net)\n"
        "    search(crops, net.template(crops[..., :127, :127]))\n"
        "assert 'openvino' in __import__('sys').modules and search._requests\n"
    )
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=120)
    assert not list(tmp_path.rglob("*openvino*"))
