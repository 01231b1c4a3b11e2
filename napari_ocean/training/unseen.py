"""How well a network finds targets in videos that it was not trained on: when to stop."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch

from napari_ocean import boxes
from napari_ocean.network import OceanNet
from napari_ocean.network.grid import decode
from napari_ocean.training.images import TrainingImages
from napari_ocean.training.pairs import PairSource
from napari_ocean.training.settings import PairSettings

_BATCH = 64
_BATCHES = 4


class Unseen:
    """Undistorted pairs of two frames of one video, always the same ones.

    Parameters
    ----------
    images : TrainingImages
        Whose videos are looked at.
    device : torch.device
    """

    def __init__(self, images: TrainingImages, device: torch.device) -> None:
        shares = [each.name for each in fields(PairSettings) if each.name.endswith("_share")]
        untouched: dict[str, Any] = dict.fromkeys([*shares, "color", "crop_color"], 0.0)
        settings = PairSettings(**{**untouched, "video_share": 1.0})
        source = PairSource(images, settings, seed=0, batch=_BATCH, device=device)
        self._batches = [source[step] for step in range(_BATCHES)]

    @torch.no_grad()
    def overlap(self, net: OceanNet) -> float:
        """Mean IoU of the box of the best cell with the truth."""
        net.eval()
        overlaps = []
        for batch in self._batches:
            for z, x, truth in zip(
                *(part.split(8) for part in (batch.templates, batch.searches, batch.boxes)),
                strict=True,
            ):
                output = net(*(crops.permute(0, 3, 1, 2).float() for crops in (z, x)))
                best = output.regular.flatten(1).argmax(dim=1)
                found = decode(output.ltrb).flatten(2)[torch.arange(len(best)), :, best]
                overlaps.append(boxes.iou(found.cpu(), truth.cpu()))
        return float(np.concatenate(overlaps).mean())
