"""The training loop: it learns, it goes on exactly, and it refuses what cannot work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from napari_ocean.errors import ConfigError, WeightsError
from napari_ocean.network import (
    OCEAN,
    OceanNet,
    load_network,
    read_checkpoint,
    resized,
    save_network,
)
from napari_ocean.training.imagenet import convert_resnet50, load_backbone
from napari_ocean.training.images import digests
from napari_ocean.training.settings import TrainSettings
from napari_ocean.training.state import Training
from napari_ocean.training.train import train

TINY = TrainSettings(
    steps=4, batch=4, warmup_steps=2, save_every=2, log_every=2, backbone_dtype="float32"
)


pytestmark = pytest.mark.usefixtures("one_thread")


class _PowerCutError(Exception):
    pass


def test_a_stopped_training_goes_on_exactly(shards, lite0_file, tmp_path, monkeypatch) -> None:
    straight = train(TINY, shards, tmp_path / "straight", backbone=lite0_file, workers=0)

    save = Training.save

    def save_then_stop(self: Training, path) -> None:
        save(self, path)
        raise _PowerCutError

    monkeypatch.setattr(Training, "save", save_then_stop)
    with pytest.raises(_PowerCutError):
        train(TINY, shards, tmp_path / "cut", backbone=lite0_file, workers=0)
    monkeypatch.undo()
    resumed = train(TINY, shards, tmp_path / "cut", workers=0)

    one, two = read_checkpoint(straight).network, read_checkpoint(resumed).network
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=0)
    log = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [2, 4]
    assert load_network(resumed).preset.name == "lite"
    metadata = read_checkpoint(resumed).metadata
    assert json.loads(metadata["recipe"])["steps"] == 4
    assert len(json.loads(metadata["data"])["shard-00.zip"]) == 64
    assert {"commit", "date", "init"} <= set(metadata)


@pytest.mark.parametrize(("steps", "save_every"), [(6, 2), (2, 6)], ids=["amid", "at the end"])
def test_a_training_that_diverges_leaves_the_last_good_checkpoint(
    shards, tmp_path, steps: int, save_every: int
) -> None:
    settings = replace(TINY, steps=steps, save_every=save_every, log_every=7)
    settings = replace(settings, learning_rate=1e30, clip=1e30, unseen_videos=1)
    good = Training(settings)
    good.provenance = {"data": digests(shards), "commit": "", "init": ""}
    good.save(tmp_path / "checkpoint.pt")
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(WeightsError, match="it was not saved"):
        train(settings, shards, tmp_path, workers=0)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_two_processes_train_as_one(shards, lite0_file, tmp_path) -> None:
    """Same pairs, losses, batch statistics and weights up to rounding, whoever has which pairs."""
    config = tmp_path / "config.json"
    settings = replace(TINY, steps=3, log_every=1, deep_rate=0.1)
    config.write_text(json.dumps(asdict(settings)))
    train(settings, shards, tmp_path / "one", backbone=lite0_file, workers=0)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "napari_ocean", "train", str(shards), "--out", str(tmp_path / "two")),
        *("--config", str(config), "--backbone", str(lite0_file), "--workers", "0"),
    ]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)

    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    for line, other in zip(*logs, strict=True):
        one, two = json.loads(line), json.loads(other)
        for name in ("loss", "box", "regular", "aware"):
            assert two[name] == pytest.approx(one[name], rel=1e-4), (name, one["step"])
    start = Training(settings)
    load_backbone(start.net.backbone, lite0_file)
    first, one, two = (
        torch.cat([of.double().flatten() for of in net.values() if of.is_floating_point()])
        for net in (start.net.state_dict(), *map(_net, (tmp_path / "one", tmp_path / "two")))
    )
    assert (two - one).norm() < 0.02 * (one - first).norm()


def _net(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "checkpoint.pt", weights_only=True)["net"]


def test_a_second_round_starts_from_trained_weights(shards, lite0_file, tmp_path) -> None:
    first = train(TINY, shards, tmp_path / "first", backbone=lite0_file, workers=0)
    slow = replace(TINY, steps=1, learning_rate=0.0, ema=0.0)
    second = train(slow, shards, tmp_path / "second", init=first, workers=0)
    key = "box_head.tower.0.weight"
    torch.testing.assert_close(
        read_checkpoint(second).network[key], read_checkpoint(first).network[key]
    )
    ocean = tmp_path / "ocean.safetensors"
    save_network(OceanNet(OCEAN), ocean, {})
    with pytest.raises(WeightsError, match="another network than lite"):
        train(TINY, shards, tmp_path / "third", init=ocean, workers=0)


def test_another_size_starts_from_the_backbone_of_a_trained_network(
    shards, lite0_file, tmp_path
) -> None:
    first = train(TINY, shards, tmp_path / "first", backbone=lite0_file, workers=0)
    small = replace(TINY, steps=1, size={"channels": 32, "tower_depth": 1, "blocks": 8})
    second = train(small, shards, tmp_path / "second", init=first, workers=0)
    former, found = read_checkpoint(first), read_checkpoint(second)
    assert found.preset == resized("lite", small.size)
    assert found.network["neck.0.weight"].shape == (32, 120, 1, 1)
    blocks = {key for key in found.network if key.startswith("backbone.blocks.")}
    assert {key.split(".")[2] for key in blocks} == set("01234567")
    for key in blocks:
        torch.testing.assert_close(found.network[key], former.network[key], rtol=0, atol=0)
    with pytest.raises(WeightsError, match="too few blocks"):
        train(TINY, shards, tmp_path / "third", init=second, workers=0)


def test_it_learns_the_drawn_objects(shards, lite0_file, tmp_path) -> None:
    settings = replace(TINY, steps=20, batch=6, log_every=5, learning_rate=3e-3)
    train(settings, shards, tmp_path, backbone=lite0_file, workers=0)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.9 * lines[0]["loss"]


def test_the_backbone_stays_frozen(shards, lite0_file, tmp_path) -> None:
    weights = train(TINY, shards, tmp_path, backbone=lite0_file, workers=0)
    fresh = Training(TINY)
    load_backbone(fresh.net.backbone, lite0_file)
    for key, value in read_checkpoint(weights).network.items():
        if key.startswith("backbone."):
            want = fresh.net.state_dict()[key]
            want = want.half().float() if want.ndim > 1 else want
            torch.testing.assert_close(value, want, rtol=0, atol=0)


def test_settings_that_cannot_work_are_refused(shards, lite0_file, tmp_path) -> None:
    with pytest.raises(ConfigError, match="no preset 'huge'"):
        TrainSettings(preset="huge")
    with pytest.raises(ConfigError, match="no size 'width'; known: channels, tower_depth, blocks"):
        TrainSettings(size={"width": 96})
    with pytest.raises(ConfigError, match="ocean has no size 'blocks'"):
        TrainSettings(preset="ocean", size={"blocks": 8})
    with pytest.raises(ConfigError, match="channels is 70; it must be 8 to 1024 in steps of 8"):
        TrainSettings(size={"channels": 70})
    with pytest.raises(ConfigError, match="tower_depth is True"):
        TrainSettings(size={"tower_depth": True})
    with pytest.raises(ConfigError, match="batch is 0"):
        TrainSettings(batch=0)
    with pytest.raises(ConfigError, match="objective is 'pytracking'; it must be code or paper"):
        TrainSettings(objective="pytracking")
    with pytest.raises(ConfigError, match="backbone_dtype is 'bf16'; it must be bfloat16"):
        TrainSettings(backbone_dtype="bf16")
    train(replace(TINY, steps=1), shards, tmp_path, backbone=lite0_file, workers=0)
    with pytest.raises(ConfigError, match="other settings"):
        train(TINY, shards, tmp_path, backbone=lite0_file, workers=0)
    with pytest.raises(WeightsError, match="no ImageNet weights file"):
        train(TINY, shards, tmp_path / "new", backbone=tmp_path / "absent.pth", workers=0)


def test_a_training_that_was_stopped_goes_on_from_what_it_was(shards, lite0_file, tmp_path) -> None:
    """Same data and same beginning, which its weights tell, and no line of its log twice."""
    first = train(
        replace(TINY, steps=1), shards, tmp_path / "first", backbone=lite0_file, workers=0
    )
    out, log = tmp_path / "second", tmp_path / "second" / "metrics.jsonl"
    settings = replace(TINY, steps=3, log_every=2)

    stopped = Training(settings)
    stopped.provenance = {"data": digests(shards), "commit": "", "init": _metadata(first)}
    stopped.step = 1
    out.mkdir()
    stopped.save(out / "checkpoint.pt")
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 3.0}\n{"step": 2, "unsee')

    weights = train(settings, shards, out, workers=0)
    assert json.loads(_metadata(weights)["init"]) == _metadata(first)
    one, two = (json.loads(line) for line in log.read_text().splitlines())
    assert (one["step"], two["step"]) == (1, 2)
    assert 0.5 < two["loss"] < 5, "the mean of the one step since"
    assert two["loss"] == pytest.approx(two["box"] + two["regular"] + two["aware"], rel=1e-5)
    before = _metadata(weights)
    train(settings, shards, out, init=first, workers=0)
    assert _metadata(weights) == before
    with pytest.raises(ConfigError, match=r"began from other weights than .*second"):
        train(settings, shards, out, init=weights, workers=0)
    shutil.copytree(shards, tmp_path / "more")
    shutil.copy(tmp_path / "more" / "shard-00.zip", tmp_path / "more" / "shard-01.zip")
    with pytest.raises(ConfigError, match="other data; give another --out"):
        train(settings, tmp_path / "more", out, workers=0)


def _metadata(weights: Path) -> dict[str, str]:
    return read_checkpoint(weights).metadata


def test_the_rate_rises_and_falls() -> None:
    settings = TrainSettings(steps=1000, warmup_steps=100, learning_rate=1.0)
    rates = [settings.rate(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[50] == pytest.approx(0.51)
    assert rates[500] == pytest.approx(0.505)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    assert all(a < b for a, b in pairwise(rates[:95]))
    assert all(a > b for a, b in pairwise(rates[100:]))


def test_a_training_by_time_ends_with_its_rate_fallen() -> None:
    settings = TrainSettings(steps=10**6, minutes=2, warmup_steps=10, learning_rate=1.0)
    assert settings.rate(500, seconds=60) == pytest.approx(0.505, abs=1e-3)
    assert settings.rate(900, seconds=119.9) == pytest.approx(0.01, abs=1e-3)
    assert settings.done(900, seconds=121) == 1


def test_time_ends_a_training(shards, lite0_file, tmp_path) -> None:
    settings = replace(TINY, steps=1000, minutes=0.001, unseen_videos=1)
    weights = train(settings, shards, tmp_path, backbone=lite0_file, workers=0)
    steps = int(_metadata(weights)["steps"])
    assert 1 <= steps < 100
    train(settings, shards, tmp_path, workers=0)
    assert int(_metadata(weights)["steps"]) == steps, "its time is over"
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == steps
    assert 0 <= last["unseen_iou"] <= 1


def test_the_backbone_begins_to_learn_when_told() -> None:
    settings = replace(TINY, steps=100, deep_rate=0.1, shallow_rate=0.05, backbone_from=0.2)
    training = Training(settings)
    for step, shares in ((10, {1.0, 0.0}), (20, {1.0, 0.1, 0.05})):
        training.step = step
        training.set_rates()
        rates = {group["lr"] / settings.rate(step) for group in training.optimizer.param_groups}
        assert sorted(rates) == pytest.approx(sorted(shares))


def test_kernels_decay_and_norms_do_not() -> None:
    training = Training(replace(TINY, deep_rate=0.1))
    decays = {
        parameter: group["weight_decay"]
        for group in training.optimizer.param_groups
        for parameter in group["params"]
    }
    net = training.net
    assert decays[net.box_head.predict.weight] == TINY.weight_decay
    assert decays[net.box_head.bias] == decays[net.box_head.predict.bias] == 0
    assert decays[net.backbone.blocks[-1].depthwise.weight] == TINY.weight_decay
    assert net.backbone.stem.weight not in decays
    assert not net.backbone.stem.weight.requires_grad


def test_folded_lite_backbone_equals_the_unfolded_one(lite0_file) -> None:
    net = Training(TINY).net.backbone
    load_backbone(net, lite0_file)
    state = torch.load(lite0_file, weights_only=True)
    rgb = torch.randint(0, 256, (1, 3, 31, 31)).float()
    conv = torch.nn.functional.conv2d(
        (rgb - 127) / 128, state["_conv_stem.weight"], stride=2, padding=1
    )
    want = torch.nn.functional.batch_norm(
        conv,
        *(state[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")),
        eps=1e-3,
    )
    got = net.stem((rgb.flip(1) - 127) / 128)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_imagenet_resnet_fits_and_takes_raw_bgr(shared_data) -> None:
    from safetensors.torch import load_file

    file = load_file(shared_data / "weights" / "resnet50_imagenet_conv1-layer3.safetensors")
    net = OceanNet(OCEAN).backbone.eval()
    net.load_state_dict(convert_resnet50(file))
    rgb = torch.randint(0, 256, (1, 3, 63, 63)).float()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    normal = (rgb / 255 - mean) / std
    conv = torch.nn.functional.conv2d(normal, file["conv1.weight"].float(), stride=2)
    norm = [file[f"bn1.{n}"].float() for n in ("running_mean", "running_var", "weight", "bias")]
    want = torch.nn.functional.batch_norm(conv, *norm)
    with torch.inference_mode():
        got = net.bn1(net.conv1(rgb.flip(1)))
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3)


def test_the_deep_half_of_the_backbone_learns_only_when_asked(shards, lite0_file, tmp_path) -> None:
    start = Training(TINY).net
    load_backbone(start.backbone, lite0_file)
    for rate in (0.0, 0.1):
        settings = replace(TINY, deep_rate=rate, ema=0.0)
        out = train(settings, shards, tmp_path / str(rate), backbone=lite0_file, workers=0)
        trained = load_network(out)
        deep = start.backbone.blocks_stride8
        for i, (before, after) in enumerate(
            zip(start.backbone.blocks, trained.backbone.blocks, strict=True)
        ):
            moved = (before.project.weight - after.project.weight).abs().max()
            rounding = 1e-3 * before.project.weight.abs().max()  # weights are saved as float16
            assert (moved > rounding) == (rate > 0 and i >= deep), i
