"""Every layout of weights file loads completely or says what does not fit."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_ocean.errors import WeightsError
from napari_ocean.network import (
    LITE,
    OceanNet,
    load_network,
    read_checkpoint,
    resized,
    save_network,
)
from napari_ocean.tracking import find_weights, load_tracker
from tests.network.golden import KEYS, fill, official_state


@pytest.fixture(scope="module")
def aligned() -> dict[str, Tensor]:
    return official_state("offline_align")


@pytest.fixture(scope="module")
def online() -> dict[str, Tensor]:
    return official_state("online_siamese")


def without_align(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.startswith("align_head.")}


def sots(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in without_align(state).items():
        key = key.replace("features.features.", "backbone.", 1)
        renamed[key.replace("connect_model.", "head.", 1)] = value
    return renamed


LAYOUTS = {
    "bare": lambda s: s,
    "wrapped": lambda s: {"epoch": 3, "arch": "Ocean", "state_dict": s, "optimizer": {"lr": [0.1]}},
    "module.": lambda s: {f"module.{k}": v for k, v in s.items()},
    "feature_extractor.": lambda s: {f"module.feature_extractor.{k}": v for k, v in s.items()},
    "no alignment": without_align,
    "SOTS": sots,
    "without batch counters": lambda s: {
        k: v for k, v in s.items() if not k.endswith("num_batches_tracked")
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_released_layouts_load_completely(tmp_path: Path, aligned, layout: str) -> None:
    torch.save(LAYOUTS[layout](aligned), tmp_path / "ocean.pth")
    net = load_network(tmp_path / "ocean.pth")
    assert (net.aware_head is None) == (layout in ("no alignment", "SOTS"))
    state = net.state_dict()
    torch.testing.assert_close(
        state["regular_combination.search.2.0.weight"],
        aligned["connect_model.cls_encode.matrix21_s.0.weight"],
        rtol=0,
        atol=0,
    )
    torch.testing.assert_close(
        state["box_combination.template.1.1.running_var"],
        aligned["connect_model.reg_encode.matrix12_k.1.running_var"],
        rtol=0,
        atol=0,
    )


def test_online_file_gives_network_and_classifier(tmp_path: Path, online) -> None:
    siamese = {f"feature_extractor.{k}": v for k, v in without_align(online).items()}
    classifier = {k: fill(k, shape) for k, shape in KEYS["online_classifier"].items()}
    assert len(siamese) + len(classifier) == 522
    torch.save({**siamese, **classifier}, tmp_path / "OceanV18on.pth")
    net = load_network(tmp_path / "OceanV18on.pth")
    assert net.aware_head is None
    assert net.backbone.layeronline is not None
    read = read_checkpoint(tmp_path / "OceanV18on.pth").classifier
    assert {f"classifier.{k}" for k in read} == set(classifier)


def test_ours_round_trips_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = OceanNet(LITE).eval()
    save_network(net, tmp_path / "lite.safetensors", {"recipe": {"steps": 3}, "date": "today"})
    again = load_network(tmp_path / "lite.safetensors")
    assert again.preset == LITE
    for key, value in net.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, rtol=1e-3, atol=1e-6)
    metadata = read_checkpoint(tmp_path / "lite.safetensors").metadata
    assert metadata["recipe"] == '{"steps": 3}'


def test_a_network_of_another_size_round_trips_and_tracks(tmp_path: Path) -> None:
    torch.manual_seed(1)
    small = resized("lite", {"channels": 32, "tower_depth": 1, "blocks": 8})
    net = OceanNet(small).eval()
    shipped = load_network(find_weights("lite")).backbone.state_dict()
    net.backbone.load_state_dict({key: shipped[key] for key in net.backbone.state_dict()})
    save_network(net, tmp_path / "small.safetensors", {})
    again = load_network(tmp_path / "small.safetensors")
    assert again.preset == small
    assert len(again.regular_head.tower) == 4
    assert again.backbone.channels == 40 + 80
    frame = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    session = load_tracker(tmp_path / "small.safetensors").start(frame, (20, 10, 60, 50))
    assert np.isfinite(session.step(frame).box_xyxy).all()


@pytest.mark.parametrize(
    "size", ['{"channels": 7}', '{"width": 8}', '{"channels": "96"}', "[1]", "96", "{"]
)
def test_a_size_that_cannot_be_built_is_refused(tmp_path: Path, size: str) -> None:
    metadata = {"format": "napari-ocean", "preset": "lite", "size": size}
    save_file({"neck.1.weight": torch.ones(96)}, tmp_path / "odd.safetensors", metadata)
    with pytest.raises(WeightsError, match="does not know; update"):
        read_checkpoint(tmp_path / "odd.safetensors")


def test_weights_that_overflow_half_precision_are_not_saved(tmp_path: Path) -> None:
    net = OceanNet(LITE)
    torch.nn.init.constant_(net.box_head.bias, 1e6)
    with pytest.raises(WeightsError, match="not saved"):
        save_network(net, tmp_path / "lite.safetensors", {})
    assert not (tmp_path / "lite.safetensors").exists()


def test_missing_unexpected_and_misshapen_keys_are_named(tmp_path: Path, aligned) -> None:
    state = dict(aligned)
    del state["connect_model.adjust"]
    state["connect_model.extra"] = torch.zeros(1)
    state["neck.downsample.0.weight"] = torch.zeros(256, 512, 1, 1)
    torch.save(state, tmp_path / "ocean.pth")
    with pytest.raises(WeightsError) as error:
        load_network(tmp_path / "ocean.pth")
    message = str(error.value)
    assert "1 missing: box_head.adjust" in message
    assert "1 unexpected: connect_model.extra" in message
    assert "1 of another shape: neck.0.weight" in message


class _Trap:
    def __reduce__(self):
        return (Path.touch, (Path("trapped"),))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "neither a PyTorch checkpoint nor a safetensors"),
        (b"hello, this is a text file", "neither a PyTorch checkpoint nor a safetensors"),
        (b"PK\x03\x04 broken zip", "damaged PyTorch file"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{broken header}", "damaged safetensors"),
    ],
)
def test_other_files_are_refused_with_a_reason(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=says):
        load_network(tmp_path / "weights.pth")


def test_a_file_that_was_cut_off_anywhere_is_damaged_or_refused(tmp_path: Path) -> None:
    for new in (True, False):
        torch.save(
            {"a": torch.zeros(9)}, tmp_path / "whole.pth", _use_new_zipfile_serialization=new
        )
        whole = (tmp_path / "whole.pth").read_bytes()
        for length in range(0, len(whole), 7):
            (tmp_path / "cut.pth").write_bytes(whole[:length])
            with pytest.raises(WeightsError, match=r"cut\.pth"):
                read_checkpoint(tmp_path / "cut.pth")


def test_pickles_are_never_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": _Trap()}, tmp_path / "trap.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"a": _Trap()}))
    for name in ("trap.pth", "plain.pth"):
        with pytest.raises(WeightsError, match=name):
            load_network(tmp_path / name)
    assert not (tmp_path / "trapped").exists()


def test_other_networks_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="not an Ocean checkpoint"):
        load_network(tmp_path / "other.pth")
    for content in ([torch.zeros(3)], {0: torch.zeros(3)}):
        torch.save(content, tmp_path / "list.pth")
        with pytest.raises(WeightsError, match="no state_dict"):
            load_network(tmp_path / "list.pth")
    metadata = {"format": "napari-ocean", "preset": "huge"}
    save_file({"a": torch.zeros(1)}, tmp_path / "new.safetensors", metadata)
    with pytest.raises(WeightsError, match="'huge'"):
        load_network(tmp_path / "new.safetensors")
    with pytest.raises(WeightsError, match="no weights file"):
        load_network(tmp_path / "absent.pth")
