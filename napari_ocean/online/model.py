"""One target's own classifier: its filter and the samples it was trained on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_ocean.online.classifier import Classifier
from napari_ocean.online.memory import SampleMemory
from napari_ocean.online.optimizer import optimise, score_maps
from napari_ocean.online.settings import OnlineSettings

_DROPOUT = 0.2


class Samples(NamedTuple):
    """Features with their targets."""

    features: Tensor
    """Shape (N, D, H, W)."""
    boxes: Tensor
    """``x0, y0, x1, y1`` in cells of the features, cell ``j`` at ``j``, shape (N, 4)."""
    centers: Tensor
    """``x, y`` in cells of the score map, shape (N, 2)."""


class TargetModel:
    """A filter that is trained while its target is followed.

    Parameters
    ----------
    classifier : Classifier
    settings : OnlineSettings
    first : Samples
        The first frame's; the plain view comes first.
    dilation : int
        Of the filter's taps (:func:`napari_ocean.online.optimizer.score_maps`).
    """

    def __init__(
        self, classifier: Classifier, settings: OnlineSettings, first: Samples, dilation: int
    ) -> None:
        self._classifier = classifier
        self._settings = settings
        self._dilation = dilation
        copies = settings.first_dropouts
        dropped = F.dropout2d(first.features[:1].expand(copies, -1, -1, -1), _DROPOUT)
        features = torch.cat([first.features, dropped])
        boxes = torch.cat([first.boxes, first.boxes[:1].expand(copies, -1)])
        centers = torch.cat([first.centers, first.centers[:1].expand(copies, -1)])
        self.filter = classifier.first_filter(features, boxes)
        self._map_size = score_maps(self.filter, features[:1], dilation).shape[-1]
        self._memory = SampleMemory(settings.memory, settings.lasting_weight)
        self._memory.fill(features, centers, lasting=settings.lasting_weight > 0)
        self.train(settings.first_iterations)

    def scores(self, features: Tensor) -> Tensor:
        """Score maps ``(N, H', W')`` of samples ``(N, D, H, W)``."""
        return score_maps(self.filter, features, self._dilation)

    def remember(self, sample: Samples, *, hard: bool) -> None:
        """Take one sample in; `hard` when something else than the target answers on it too."""
        rate = self._settings.hard_rate if hard else self._settings.rate
        self._memory.add(sample.features[0], sample.centers[0], rate)

    def train(self, iterations: int) -> None:
        """Train the filter on all that is remembered."""
        features, centers, weights = self._memory.used()
        self.filter, _ = optimise(
            self.filter,
            features,
            self._classifier.goals(centers, self._map_size),
            weights,
            regularization=self._classifier.regularization,
            step_length=self._classifier.step_length,
            iterations=iterations,
            dilation=self._dilation,
        )
