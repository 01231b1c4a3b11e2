"""What the filter sees: features of a crop, and where their cells lie in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_ocean.network import OceanNet
from napari_ocean.network.backbone import ResNet50
from napari_ocean.network.presets import STRIDE_PX
from napari_ocean.online.classifier import Classifier
from napari_ocean.online.model import Samples

BRANCH_PX = 224
"""Side of the crop that the online branch was trained with."""

BRANCH_STRIDE_PX = 16

CROPS_AT_ONCE: Mapping[str, int] = {"cpu": 4, "cuda": 32}
"""Crops in one batch of the network by kind of device: more do not fit a CPU's cache."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def crops_at_once(device: torch.device) -> int:
    """Crops that are best put through the network together (:data:`CROPS_AT_ONCE`)."""
    return CROPS_AT_ONCE.get(device.type, CROPS_AT_ONCE["cpu"])


@dataclass(frozen=True, slots=True)
class Cells:
    """Where cells lie along one axis of a crop: cell ``j`` at pixel ``first_px + j stride_px``.

    Attributes
    ----------
    stride_px, first_px : float
        Of the features.
    score_shift : float
        Cells by which the score map's cells lie before those of the features.
    """

    stride_px: float
    first_px: float
    score_shift: float = 0.0

    def samples(self, features: Tensor, boxes_px: Tensor) -> Samples:
        """Samples of targets whose boxes ``(N, 4)`` are in px of the crop, pixel centres whole."""
        boxes = ((boxes_px - self.first_px) / self.stride_px).to(features)
        return Samples(features, boxes, (boxes[:, :2] + boxes[:, 2:]) / 2 + self.score_shift)

    def score_px(self, cell: float) -> float:
        """Pixel of a cell of the score map."""
        return self.first_px + (cell - self.score_shift) * self.stride_px


def has_branch(net: OceanNet) -> bool:
    """Whether the network has features of its own for the classifier."""
    return isinstance(net.backbone, ResNet50) and net.backbone.layeronline is not None


def shared_features(net: OceanNet, classifier: Classifier, raw: Tensor) -> Tensor:
    """Features of the Siamese branch, each cell averaged with its neighbours.

    Parameters
    ----------
    raw : Tensor, shape (N, C, H, W)
        What the backbone made of the crops.

    Returns
    -------
    Tensor, shape (N, D, H, W)
    """
    # the filter's taps skip every second cell; the average lets them see it
    return classifier.features(F.avg_pool2d(net.neck(raw), 3, 1, 1))


def shared_cells(search_px: int, size: int) -> Cells:
    """Where the cells of :func:`shared_features` lie: the Siamese grid, three cells wider."""
    return Cells(STRIDE_PX, search_px // 2 - size // 2 * STRIDE_PX)


def coarse_features(net: OceanNet, classifier: Classifier, crops: Tensor) -> Tensor:
    """Features of stride 16, ``(N, D, 13, 13)``, from crops ``(N, 3, 224, 224)`` BGR 0..255.

    The crops are float32 whatever the network takes. Features are those of the online branch,
    which takes normalised RGB, or where the checkpoint has none the shared ones at every second
    cell. Larger crops give more cells.
    """
    backbone = net.backbone
    if has_branch(net) and isinstance(backbone, ResNet50):
        mean, std = (crops.new_tensor(v)[:, None, None] for v in (_IMAGENET_MEAN, _IMAGENET_STD))
        normalised = (crops.flip(1) / 255 - mean) / std
        return classifier.features(backbone.online_features(normalised.to(net.dtype)))
    features = net.neck(backbone(crops.to(net.dtype)))
    return classifier.features(F.avg_pool2d(features, 3, BRANCH_STRIDE_PX // 8))


def branch_features(
    net: OceanNet, classifier: Classifier, crops: Tensor, ordinary_px: int
) -> Tensor:
    """:func:`coarse_features` of search crops ``(N, 3, S, S)``, brought to the branch's scale.

    An ordinary search crop shows as much around the target as the 224 px that the branch is used
    to; a wider one becomes as much larger.
    """
    side = round(crops.shape[-1] * BRANCH_PX / ordinary_px)
    smaller = F.interpolate(
        crops.float(), (side, side), mode="bilinear", align_corners=False, antialias=True
    )
    return coarse_features(net, classifier, smaller)


def branch_cells(ordinary_px: int) -> Cells:
    """Where the cells of :func:`branch_features` lie in a search crop."""
    factor = ordinary_px / BRANCH_PX
    # the unpadded network puts its cell j at pixel 16 j + 15 of 224
    first = (BRANCH_STRIDE_PX - 0.5) * factor - 0.5
    return Cells(BRANCH_STRIDE_PX * factor, first, score_shift=0.5)


def resample(scores: Tensor, cells: Cells, centers_px: Tensor) -> Tensor:
    """Score maps read at other places of the crop, ``(N, S, S)`` from ``(N, H, H)``.

    Parameters
    ----------
    scores : Tensor, shape (N, H, H)
    cells : Cells
    centers_px : Tensor, shape (S,)
        Pixels at which to read, along either axis.
    """
    positions = (centers_px - cells.score_px(0)) / cells.stride_px  # in cells
    along = 2 * (positions + 0.5) / scores.shape[-1] - 1
    y, x = torch.meshgrid(along, along, indexing="ij")
    grid = torch.stack([x, y], dim=-1).to(scores).expand(len(scores), -1, -1, -1)
    return F.grid_sample(
        scores[:, None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )[:, 0]
