"""What other sizes of ``lite`` cost: the network's time beside that of the one that ships.

Time does not depend on the weights, so none are trained; docs/notebook.md has what trained ones
find.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch

from napari_ocean.network import (
    LITE,
    TEMPLATE_PX,
    Compiled,
    OceanNet,
    Preset,
    Search,
    fold_batch_norm,
    openvino_version,
    ordinary,
    resized,
)
from napari_ocean.tracking.settings import default_settings
from tests.benchmarks.measure import Work, clock, interleaved, table

CHANGES: tuple[Mapping[str, int], ...] = (
    {},
    {"channels": 64},
    {"channels": 128},
    {"tower_depth": 1},
    {"tower_depth": 2},
    {"tower_depth": 4},
    {"blocks": 8},
)
"""Sizes that are compared, as changes of the preset."""


def run(args: argparse.Namespace) -> None:
    """Print parameters and time of one crop, in turns, by each engine that is there."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    nets = {_name(changes): _net(resized("lite", changes)) for changes in CHANGES}
    nets["dense convolutions"] = _net(replace(LITE, separable=False))
    nets["ResNet-50"] = _net(replace(LITE, backbone="resnet50", blocks=0))
    engines: dict[str, Callable[[OceanNet], Search]] = {"PyTorch": ordinary}
    if openvino_version() is not None:
        engines["OpenVINO"] = Compiled
    side = default_settings("lite", aware=True).search_px
    taken = {}
    first = next(iter(nets))
    with torch.inference_mode():
        for engine, make in engines.items():
            works = {name: _work(make(net), net, side) for name, net in nets.items()}
            # the largest leaves the caches full of its own, which is no matter of what comes next
            works = {"after the largest": works[first], **works}
            taken[engine] = interleaved(works, args.rounds, clock("cpu"))
    rows = []
    for name, net in nets.items():
        count = sum(parameter.numel() for parameter in net.parameters())
        ratios = [np.median(ms[name] / ms[first]) for ms in taken.values()]
        rows.append([name, f"{count / 1e6:.2f}", *(f"{ratio:.2f}" for ratio in ratios)])
    table(
        f"Process time of one {side} px crop, the one that ships being 1 "
        f"({args.rounds} interleaved rounds)",
        ["size", "parameters, million", *engines],
        rows,
    )


def _name(changes: Mapping[str, int]) -> str:
    return ", ".join(f"{size} {value}" for size, value in changes.items()) or "lite"


def _net(preset: Preset) -> OceanNet:
    return fold_batch_norm(OceanNet(preset))


def _work(search: Search, net: OceanNet, side: int) -> Work:
    crop = torch.rand(1, 3, side, side) * 255
    state = net.template(crop[..., :TEMPLATE_PX, :TEMPLATE_PX])
    search(crop, state)  # compiles
    return lambda: search(crop, state)
