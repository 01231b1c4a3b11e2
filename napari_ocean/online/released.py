"""The online update with everything the released code does (fact sheet, section 4.5).

Kept on purpose: the sample's scale stays that of the first frame, its centre is moved by half a
cell, the score map is laid over the Siamese one by plain resizing although they show different
areas, and no window is applied. :mod:`napari_ocean.online.update` is the same without these.
"""

from __future__ import annotations

import math
from enum import StrEnum

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_ocean.boxes import FloatArray
from napari_ocean.network import OceanNet
from napari_ocean.network.grid import score_size
from napari_ocean.online.augment import RELEASED_VIEWS, look, shifts
from napari_ocean.online.classifier import Classifier
from napari_ocean.online.features import BRANCH_PX, BRANCH_STRIDE_PX, coarse_features
from napari_ocean.online.model import Samples, TargetModel
from napari_ocean.online.settings import OnlineSettings
from napari_ocean.online.update import Found, Seen

AREA_SCALE = 4
"""Sides of the target (of a square as large) that a sample shows."""

_FEATURE_CELLS = 13
_HALF_CELL = BRANCH_PX / (2 * _FEATURE_CELLS)
"""Sample px by which a sample's centre lies right of and below the target's."""

_NOT_FOUND = 0.0
_DISTRACTOR = 100.0
_DISPLACEMENT = 0.7
_SEED = 1234


class Localisation(StrEnum):
    """What the classifier's score map says of the target."""

    NORMAL = "normal"
    HARD_NEGATIVE = "hard_negative"
    UNCERTAIN = "uncertain"
    NOT_FOUND = "not_found"


class ReleasedUpdate:
    """One target's classifier on samples of its own.

    Parameters
    ----------
    net : OceanNet
    classifier : Classifier, optional
        Default: nothing learnt offline.
    settings : OnlineSettings
    frame_rgb : ndarray of uint8, shape (H, W, 3)
    center_xy, size_wh : ndarray of float64, shape (2,)
        The target in px of the frame.
    """

    def __init__(
        self,
        net: OceanNet,
        classifier: Classifier | None,
        settings: OnlineSettings,
        frame_rgb: NDArray[np.uint8],
        center_xy: FloatArray,
        size_wh: FloatArray,
    ) -> None:
        self._net = net
        self._device = next(net.parameters()).device
        self._classifier = (classifier or Classifier.default()).to(self._device)
        self._settings = settings
        # frame px per sample px; for ever
        self._scale = math.sqrt((AREA_SCALE * size_wh).prod()) / BRANCH_PX
        self._frame = 1
        self._position = center_xy
        wide, _, _ = sample_patch(frame_rgb, np.round(center_xy), self._scale, 2 * BRANCH_PX)
        moves = shifts(RELEASED_VIEWS, BRANCH_PX, jitter=1 / 3, seed=_SEED)
        crops = [
            look(wide, view, BRANCH_PX, move)
            for view, move in zip(RELEASED_VIEWS, moves, strict=True)
        ]
        middle = (BRANCH_PX - 1) / 2 + moves + (center_xy - np.round(center_xy)) / self._scale
        features = torch.cat([self._features(crop) for crop in crops])
        first = self._samples(features, middle, np.tile(size_wh / self._scale, (len(crops), 1)))
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(_SEED)
            self._model = TargetModel(self._classifier, settings, first, dilation=1)

    def scores(self, seen: Seen) -> FloatArray:
        """Score map, resized as it is to the cells of the Siamese one (:meth:`Update.scores`)."""
        size = score_size(seen.crop.shape[-1])
        center = np.trunc(self._position + self._scale * _HALF_CELL)
        patch, self._sample_center, self._sample_scale = sample_patch(
            seen.frame_rgb, center, self._scale, BRANCH_PX
        )
        self._sample = self._features(patch)
        self._scores = self._model.scores(self._sample)[0].cpu().numpy()
        resized = cv2.resize(self._scores, (size, size), interpolation=cv2.INTER_CUBIC)
        return np.asarray(resized, dtype=np.float64)

    def learn(self, found: Found) -> None:
        """Learn from the frame last seen, as far as the score map allows."""
        settings = self._settings
        self._frame += 1
        size = found.size_wh / self._sample_scale
        verdict = localise(self._scores, size, settings)
        if verdict is not Localisation.NOT_FOUND:
            self._position = found.center_xy
        if verdict in (Localisation.NOT_FOUND, Localisation.UNCERTAIN):
            return
        middle = (found.center_xy - self._sample_center) / self._sample_scale + (BRANCH_PX - 1) / 2
        hard = verdict is Localisation.HARD_NEGATIVE
        self._model.remember(self._samples(self._sample, middle[None], size[None]), hard=hard)
        if hard:
            self._model.train(settings.hard_iterations)
        elif (self._frame - 1) % settings.every == 0:
            self._model.train(settings.iterations)

    def _features(self, patch_rgb: NDArray[np.uint8]) -> Tensor:
        bgr = torch.from_numpy(patch_rgb[..., ::-1].copy()).to(self._device)
        crop = bgr.permute(2, 0, 1)[None].float()
        return coarse_features(self._net, self._classifier, crop)

    def _samples(self, features: Tensor, middle: FloatArray, size: FloatArray) -> Samples:
        # feature and score cells alike are taken to lie at multiples of the stride
        upper_left = middle - (size - 1) / 2
        corners = np.concatenate([upper_left, upper_left + size], axis=1) / BRANCH_STRIDE_PX
        boxes = torch.from_numpy(corners).to(features)
        return Samples(features, boxes, (boxes[:, :2] + boxes[:, 2:]) / 2)


def sample_patch(
    frame_rgb: NDArray[np.uint8], center_xy: FloatArray, scale: float, out_px: int
) -> tuple[NDArray[np.uint8], FloatArray, float]:
    """Cut a square around whole-pixel coordinates, the frame's edges repeated outside it.

    Parameters
    ----------
    frame_rgb : ndarray of uint8, shape (H, W, 3)
    center_xy : ndarray of float64, shape (2,)
        Whole numbers.
    scale : float
        Wanted frame px per px of the patch.
    out_px : int

    Returns
    -------
    patch : ndarray of uint8, shape (out_px, out_px, 3)
    center_xy : ndarray of float64, shape (2,)
        Its true centre in the frame.
    scale : float
        Its true scale.
    """
    wanted_px = scale * out_px
    # very large crops are taken from every n-th pixel
    step = max(int(wanted_px / out_px - 0.1), 1)
    offset = np.mod(center_xy, step).astype(int)
    thin = frame_rgb[offset[1] :: step, offset[0] :: step]
    middle = ((center_xy - offset) // step).astype(int)
    side = max(round(wanted_px / step), 2)
    start = middle - (side - 1) // 2
    stop = middle + side // 2 + 1
    rows = np.clip(np.arange(start[1], stop[1]), 0, thin.shape[0] - 1)
    columns = np.clip(np.arange(start[0], stop[0]), 0, thin.shape[1] - 1)
    square = torch.from_numpy(thin[rows[:, None], columns]).permute(2, 0, 1)[None].float()
    patch = F.interpolate(square, (out_px, out_px), mode="bilinear", align_corners=False)
    pixels = patch[0].permute(1, 2, 0).round().byte().numpy()
    extent = (stop - start) * step
    true_center = (start * step + stop * step - 1) / 2  # the offset is left out, as released
    return pixels, true_center, math.sqrt(float((extent / out_px).prod()))


def localise(
    scores: NDArray[np.float32], size: FloatArray, settings: OnlineSettings
) -> Localisation:
    """What a score map says (DiMP's rules with the released thresholds).

    Parameters
    ----------
    scores : ndarray, shape (H, H)
    size : ndarray of float64, shape (2,)
        Width and height of the target, sample px.
    settings : OnlineSettings
    """
    best = np.array(np.unravel_index(np.argmax(scores), scores.shape))  # row, column
    first = float(scores[tuple(best)])
    if first < _NOT_FOUND:
        return Localisation.NOT_FOUND
    reach = settings.neighbourhood * size[::-1] * _FEATURE_CELLS / BRANCH_PX / 2
    low = np.maximum(np.floor(best - reach + 0.5), 0).astype(int)
    high = np.floor(best + reach + 1.5).astype(int)
    rest = scores.copy()
    rest[low[0] : high[0], low[1] : high[1]] = 0
    other = np.array(np.unravel_index(np.argmax(rest), rest.shape))
    second = float(rest[tuple(other)])
    if second > _DISTRACTOR * first:
        return _distractor(best, other, len(scores))
    if second > settings.hard_threshold * first and second > 0:
        return Localisation.HARD_NEGATIVE
    return Localisation.NORMAL


def _distractor(best: NDArray[np.int_], other: NDArray[np.int_], cells: int) -> Localisation:
    """Which of two peaks is near the middle, where the target was before."""
    limit = _DISPLACEMENT * cells / 2
    moves = [float(np.hypot(*(peak - (cells - 1) / 2))) for peak in (best, other)]
    if (moves[0] < limit) != (moves[1] < limit):
        return Localisation.HARD_NEGATIVE
    return Localisation.UNCERTAIN
