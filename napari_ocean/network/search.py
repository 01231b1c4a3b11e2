"""The search pass as one call; which engine answers it is nobody's matter but the engine's.

Engines are :func:`ordinary` passes, recorded CUDA graphs (:mod:`napari_ocean.network.graphs`) and
passes compiled for a CPU (:mod:`napari_ocean.network.compiled`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from napari_ocean.network.grid import decode
from napari_ocean.network.ocean import OceanNet, OceanOutput, TemplateState


class Answer(NamedTuple):
    """What the network says of N search crops."""

    raw: Tensor
    """What the backbone made of them, shape (N, C, H, W)."""
    maps: Tensor
    """``x0, y0, x1, y1`` of each cell in px of the crop, regular and (with that head) object-aware
    score in [0, 1]; float32, shape (N, 5 or 6, S, S)."""
    box_features: Tensor
    """What the boxes come from, shape (N, C, S, S)."""


Search = Callable[[Tensor, TemplateState], Answer]
"""Answer for crops ``(N, 3, S, S)`` and the states of N targets, or of one that all crops share
every time; it may be kept."""


def ordinary(net: OceanNet) -> Search:
    """Layer after layer in PyTorch."""
    return partial(ask, net)


def ask(net: OceanNet, crops: Tensor, state: TemplateState) -> Answer:
    """One pass of the network over search crops ``(N, 3, S, S)``."""
    raw = net.backbone(crops)
    out = net.match(raw, state)
    return Answer(raw, _maps(out), out.box_features)


def _maps(out: OceanOutput) -> Tensor:
    """:attr:`Answer.maps` of the heads' output, in one piece so that one copy brings it home."""
    scores = [logits.sigmoid() for logits in (out.regular, out.aware) if logits is not None]
    return torch.cat([decode(out.ltrb), *scores], dim=1)
