"""OceanNet (Fig. 2): template in once, search crop in per frame, boxes and scores out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_ocean.network.alignment import AwareHead
from napari_ocean.network.backbone import EfficientNetLite0, ResNet50
from napari_ocean.network.branches import side_by_side
from napari_ocean.network.combination import Combination
from napari_ocean.network.heads import BoxHead, RegularHead
from napari_ocean.network.presets import Preset

TEMPLATE_MARGIN = 4
"""Cells cut off each side of the 15x15 template features, leaving the target's own 7x7."""


class TemplateState(NamedTuple):
    """What the network keeps of a template; the caller holds it, the network does not."""

    regular: tuple[Tensor, ...]
    """Three correlation kernels ``(N, C, 5, 5)``, ``(N, C, 3, 5)``, ``(N, C, 5, 3)``."""
    box: tuple[Tensor, ...]
    """Likewise."""
    sides: Tensor
    """What else is known of how far the target reaches (:func:`napari_ocean.network.heads.added`),
    shape ``(N, 4, C + 1)``; zeros where nothing is."""

    def tensors(self) -> list[Tensor]:
        """All of them in a row."""
        return [*self.regular, *self.box, self.sides]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> TemplateState:
        """Inverse of :meth:`tensors`."""
        each = len(tensors) // 2  # an ablated network has fewer kernels
        return cls(tuple(tensors[:each]), tuple(tensors[each : 2 * each]), tensors[2 * each])


class OceanOutput(NamedTuple):
    """Answer for a search crop with an ``S x S`` score map."""

    ltrb: Tensor
    """Distances to the sides ``(N, 4, S, S)``, px of the search crop, positive."""
    regular: Tensor
    """Regular-region logits ``(N, 1, S, S)``."""
    aware: Tensor | None
    """Object-aware logits ``(N, 1, S, S)``; None without the object-aware head."""
    box_features: Tensor
    """Features of the box tower ``(N, C, S, S)``, which the distances are made from."""


class OceanNet(nn.Module):
    """Siamese network of the paper in one of its sizes.

    Parameters
    ----------
    preset : Preset
        Its size (:mod:`napari_ocean.network.presets`).
    aware : bool
        With the object-aware head (Sec. 3.2).
    online : bool
        With the feature branch of the online classifier, which only the ResNet has.
    """

    def __init__(self, preset: Preset, *, aware: bool = True, online: bool = False) -> None:
        super().__init__()
        self.preset = preset
        channels, separable = preset.channels, preset.separable
        self.backbone: ResNet50 | EfficientNetLite0
        if preset.backbone == "resnet50":
            self.backbone = ResNet50(online=online)
        else:
            self.backbone = EfficientNetLite0(preset.blocks)
        self.neck = nn.Sequential(
            nn.Conv2d(self.backbone.channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.regular_combination = Combination(channels, separable=separable)
        self.box_combination = Combination(channels, separable=separable)
        self.regular_head = RegularHead(channels, depth=preset.tower_depth, separable=separable)
        self.box_head = BoxHead(channels, depth=preset.tower_depth, separable=separable)
        self.aware_head = AwareHead(channels) if aware else None

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the crops it takes."""
        return next(self.backbone.parameters()).dtype

    def template(self, z: Tensor) -> TemplateState:
        """Encode the target.

        Parameters
        ----------
        z : Tensor, shape (N, 3, 127, 127)
            Template crops, BGR 0..255.
        """
        return self.encode(self.backbone(z))

    def search(self, x: Tensor, state: TemplateState) -> OceanOutput:
        """Look for the target.

        Parameters
        ----------
        x : Tensor, shape (N, 3, S, S)
            Search crops of a side of :data:`~napari_ocean.network.presets.SEARCH_PX`, BGR 0..255.
        state : TemplateState
            Of N targets, or of one that all crops share.
        """
        return self.match(self.backbone(x), state)

    def template_features(self, raw: Tensor) -> Tensor:
        """Features ``(N, C, 7, 7)`` of the target itself from the backbone's 15x15 cells."""
        features: Tensor = self.neck(raw)
        inner = slice(TEMPLATE_MARGIN, -TEMPLATE_MARGIN)
        return features[..., inner, inner]

    def encode(self, raw: Tensor) -> TemplateState:
        """The part of :meth:`template` after the backbone."""
        features = self.template_features(raw)
        return TemplateState(
            self.regular_combination.kernels(features),
            self.box_combination.kernels(features),
            features.new_zeros(len(features), 4, features.shape[1] + 1, dtype=torch.float32),
        )

    def match(self, raw: Tensor, state: TemplateState) -> OceanOutput:
        """The part of :meth:`search` after the backbone."""
        features = self.neck(raw)

        def boxes() -> tuple[Tensor, Tensor | None, Tensor]:
            matched = self.box_combination(features, state.box)
            ltrb, box_features = self.box_head(matched, state.sides)
            aware = None if self.aware_head is None else self.aware_head(box_features, ltrb)
            return ltrb, aware, box_features

        def scores() -> Tensor:
            regular: Tensor = self.regular_head(self.regular_combination(features, state.regular))
            return regular

        (ltrb, aware, box_features), regular = side_by_side(boxes, scores, raw.device)
        return OceanOutput(ltrb, regular, aware, box_features)

    def forward(self, z: Tensor, x: Tensor) -> OceanOutput:
        """Template and search in one call."""
        return self.search(x, self.template(z))


def blend(first: TemplateState, other: TemplateState, share: float) -> TemplateState:
    """Weighted mean of two looks; matching is linear in its kernels, so it costs what one does."""
    pairs = zip(first.tensors(), other.tensors(), strict=True)
    return TemplateState.of([torch.lerp(a, b, share) for a, b in pairs])


def stack(states: Sequence[TemplateState]) -> TemplateState:
    """Several targets' states as one, for search crops in the same order."""
    if len(states) == 1:
        return states[0]
    each = zip(*(state.tensors() for state in states), strict=True)
    return TemplateState.of([torch.cat(alike) for alike in each])


def fold_batch_norm(net: OceanNet) -> OceanNet:
    """Fold each batch norm into the convolution before it, in place, for inference.

    The result equals ``net.eval()`` up to rounding and cannot be trained any more.
    """
    net.eval()
    for module in list(net.modules()):
        names = list(module._modules)
        for first, second in pairwise(names):
            conv, norm = module._modules[first], module._modules[second]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module._modules[first] = torch.nn.utils.fuse_conv_bn_eval(conv, norm)
                module._modules[second] = nn.Identity()
    return net


def lower_precision(net: OceanNet, dtype: torch.dtype) -> OceanNet:
    """Have the layers of features work in half precision, in place, for inference.

    The predictions stay float32, and with them boxes and sampling positions: the exponential of a
    half number is off by up to a pixel. float32 leaves the network as it is.
    """
    parts: list[nn.Module] = [
        net.backbone,
        net.neck,
        net.regular_combination,
        net.box_combination,
        net.regular_head.tower,
        net.box_head.tower,
    ]
    if net.aware_head is not None:
        parts.append(net.aware_head.sample)
    for part in parts:
        part.to(dtype)
    return net
