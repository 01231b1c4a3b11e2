"""The online update as we use it: on the Siamese crop, its features and its grid.

What differs from the released code, which :mod:`napari_ocean.online.released` keeps: the crop
follows the target's size, both scores are on one metric grid, and nothing is learnt from a frame
that is not trusted.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.network import OceanNet
from napari_ocean.network.grid import cell_centers, score_size
from napari_ocean.network.presets import STRIDE_PX
from napari_ocean.online.classifier import Classifier
from napari_ocean.online.features import (
    Cells,
    branch_cells,
    branch_features,
    crops_at_once,
    has_branch,
    resample,
    shared_cells,
    shared_features,
)
from napari_ocean.online.model import TargetModel
from napari_ocean.online.settings import OnlineSettings


class Seen(NamedTuple):
    """A frame as the Siamese network looked at it."""

    frame_rgb: NDArray[np.uint8]
    """Shape (H, W, 3)."""
    crop: Tensor
    """Search crop ``(1, 3, S, S)``, BGR 0..255."""
    raw: Tensor
    """What the backbone made of the crop."""


class Found(NamedTuple):
    """Where the target was found on the frame last seen."""

    box_px: FloatArray
    """``x0, y0, x1, y1`` in px of the search crop, shape (4,)."""
    center_xy: FloatArray
    """In px of the frame, shape (2,)."""
    size_wh: FloatArray
    """In px of the frame, shape (2,)."""


class Update(Protocol):
    """What learns a target's looks; the tracker asks it on each frame and tells it what came."""

    def scores(self, seen: Seen) -> FloatArray:
        """Score of each cell of the Siamese grid, about 1 on the target, shape (S', S')."""
        ...

    def learn(self, found: Found) -> None:
        """Learn from the frame last seen."""
        ...


class OnlineUpdate:
    """One target's classifier on its Siamese search crops.

    Parameters
    ----------
    net : OceanNet
    classifier : Classifier, optional
        What was learnt offline, for networks with the online branch; default: nothing.
    settings : OnlineSettings
    crops : Tensor, shape (N, 3, S, S)
        The first views, BGR 0..255, the plain one first.
    raw : Tensor
        What the backbone made of them.
    boxes_px : Tensor, shape (N, 4)
        The target in each, px of the crop counted from the middle of the first.
    """

    def __init__(
        self,
        net: OceanNet,
        classifier: Classifier | None,
        settings: OnlineSettings,
        crops: Tensor,
        raw: Tensor,
        boxes_px: Tensor,
    ) -> None:
        self._net = net
        self._ordinary_px = crops.shape[-1]
        self._branch = classifier is not None and has_branch(net)
        if classifier is None or not self._branch:
            classifier = Classifier.default(STRIDE_PX)
        self._classifier = classifier = classifier.to(crops.device)
        self._settings = settings
        at_once = crops_at_once(crops.device)
        parts = zip(crops.split(at_once), raw.split(at_once), strict=True)
        features = torch.cat([self._features(*part) for part in parts])
        cells = self._cells(crops.shape[-1], features.shape[-1])
        self._model = TargetModel(
            classifier,
            settings,
            cells.samples(features, boxes_px),
            dilation=1 if self._branch else 2,
        )
        self._learnt = 0

    def scores(self, seen: Seen) -> FloatArray:
        """Score of each cell of the Siamese grid (:meth:`Update.scores`)."""
        search_px = seen.crop.shape[-1]
        self._features_seen = self._features(seen.crop, seen.raw)
        self._cells_seen = self._cells(search_px, self._features_seen.shape[-1])
        scores = self._model.scores(self._features_seen).cpu()  # MPS cannot resample
        maps = resample(scores, self._cells_seen, cell_centers(score_size(search_px)))
        self._scores_seen = np.asarray(maps[0].double().numpy())
        return self._scores_seen

    def learn(self, found: Found) -> None:
        """Learn from the frame last seen: at once if something else answers too."""
        settings = self._settings
        self._learnt += 1
        hard = self._second_peak(found.box_px) > settings.hard_threshold
        box = torch.from_numpy(found.box_px)[None]
        self._model.remember(self._cells_seen.samples(self._features_seen, box), hard=hard)
        if hard:
            self._model.train(settings.hard_iterations)
        elif self._learnt % settings.every == 0:
            self._model.train(settings.iterations)

    def _second_peak(self, box_px: FloatArray) -> float:
        """Highest score away from the target, as a share of the highest on it."""
        scores = self._scores_seen
        centers = cell_centers(len(scores)).numpy()
        reach = boxes.size(box_px) * self._settings.neighbourhood / 2
        x, y = boxes.center(box_px)
        near = (np.abs(centers - y) <= reach[1])[:, None] & (np.abs(centers - x) <= reach[0])
        if near.all() or not near.any():
            return 0.0
        return float(scores[~near].max() / max(scores[near].max(), 1e-6))

    def _features(self, crops: Tensor, raw: Tensor) -> Tensor:
        if self._branch:
            return branch_features(self._net, self._classifier, crops, self._ordinary_px)
        return shared_features(self._net, self._classifier, raw)

    def _cells(self, search_px: int, size: int) -> Cells:
        return branch_cells(self._ordinary_px) if self._branch else shared_cells(search_px, size)
