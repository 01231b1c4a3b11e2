"""What is known of the online update before any target: features, first filter, goals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_ocean.online.optimizer import BIN_CELLS, BINS, Goals, by_distance, distances
from napari_ocean.online.pooling import pool_box

KERNEL = 4
"""Side of the filter in taps."""

_SIGMA = 0.85
_MASK_EDGE = 2.0
"""The released training's beginning, in cells of 16 px."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """The parts of the classifier that are learnt offline, or their defaults where none are.

    The released online files hold them all (:meth:`from_released`); :meth:`default` uses the
    features as they are and the functions of distance that the released training began with.
    """

    label: Tensor
    """Wanted score by distance, shape (BINS,)."""
    mask_logit: Tensor
    """How much a negative score counts, by distance, before the sigmoid, shape (BINS,)."""
    weight: Tensor
    """Weight of a cell by distance, shape (BINS,)."""
    regularization: float = 0.01
    """``reg`` of the loss (eq. 11)."""
    step_length: float = 0.9
    """Share of the Gauss-Newton step."""
    project: Tensor | None = None
    """Convolution from the backbone's features to the filter's, shape (512, 1024, 3, 3)."""
    first_weight: Tensor | None = None
    """Convolution before the first filter is pooled, shape (512, 512, 3, 3)."""
    first_bias: Tensor | None = None
    """Its bias, shape (512,)."""

    @classmethod
    def default(cls, stride_px: float = 16) -> Classifier:
        """Nothing learnt: Gaussian label, mask that falls off at 32 px, equal weights."""
        distance = torch.arange(BINS) * BIN_CELLS * stride_px / 16
        label = torch.exp(-0.5 * (distance / _SIGMA) ** 2)
        return cls(
            label=label - label.min(),
            mask_logit=3 * torch.tanh(_MASK_EDGE - distance),
            weight=torch.ones(BINS),
        )

    @classmethod
    def from_released(cls, state: Mapping[str, Tensor]) -> Classifier:
        """From the ``classifier.`` part of a released online file, keys without that prefix."""
        optimizer = "filter_optimizer."
        return cls(
            label=state[f"{optimizer}label_map_predictor.weight"].flatten(),
            mask_logit=state[f"{optimizer}target_mask_predictor.0.weight"].flatten(),
            weight=state[f"{optimizer}spatial_weight_predictor.weight"].flatten(),
            regularization=max(float(state[f"{optimizer}filter_reg"]) ** 2, 1e-6),
            step_length=math.exp(float(state[f"{optimizer}log_step_length"])),
            project=state["feature_extractor.0.weight"],
            first_weight=state["filter_initializer.filter_conv.weight"],
            first_bias=state["filter_initializer.filter_conv.bias"],
        )

    def to(self, device: torch.device) -> Classifier:
        """Have the same on a device."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in values.items():
            if isinstance(value, Tensor):
                values[name] = value.to(device)
        return Classifier(**values)

    def features(self, raw: Tensor) -> Tensor:
        """Features of the filter from those of the backbone, instance-normalised, float32.

        Parameters
        ----------
        raw : Tensor, shape (N, C, H, W)

        Returns
        -------
        Tensor, shape (N, D, H, W)
            With the mean square of a sample at ``1 / (D KERNEL^2)``, so that a filter of unit
            features answers with about one.
        """
        raw = raw.float()  # the sum of the squares is beyond half precision
        if self.project is not None:
            raw = F.conv2d(raw, self.project, padding=1)
        channels = raw.shape[1]
        square = (raw**2).sum(dim=(1, 2, 3), keepdim=True)
        scale = math.sqrt(raw[0].numel() / (channels * KERNEL**2))
        return raw * scale * torch.rsqrt(square + 1e-5)

    def first_filter(self, features: Tensor, boxes: Tensor) -> Tensor:
        """What the targets have in common, shape (D, KERNEL, KERNEL).

        Parameters
        ----------
        features : Tensor, shape (N, D, H, W)
        boxes : Tensor, shape (N, 4)
            ``x0, y0, x1, y1`` in cells.
        """
        if self.first_weight is not None:
            features = F.conv2d(features, self.first_weight, self.first_bias, padding=1)
        return pool_box(features, boxes, KERNEL).mean(dim=0)

    def goals(self, centers: Tensor, size: int) -> Goals:
        """What score maps should be for targets at centres ``(N, 2)`` in cells of the map."""
        distance = distances(centers, size)
        return Goals(
            by_distance(self.label, distance),
            by_distance(self.mask_logit, distance).sigmoid(),
            by_distance(self.weight, distance),
        )
