"""Anchor-free regression (Sec. 3.1, eq. 1) and regular-region classification (Sec. 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_ocean.network.combination import conv_block

LOGIT_SCALE = 0.1
"""Factor on the regular-region logit, bias included, as in the released network."""


def tower(channels: int, *, depth: int, separable: bool) -> nn.Sequential:
    """Stack of 3x3 convolutions (with bias), batch norms and ReLUs."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += conv_block(channels, separable=separable, padding=1, bias=True)
    return nn.Sequential(*layers)


class BoxHead(nn.Module):
    """Distances from each cell to the four sides of the target."""

    def __init__(self, channels: int, *, depth: int, separable: bool) -> None:
        super().__init__()
        self.tower = tower(channels, depth=depth, separable=separable)
        self.predict = nn.Conv2d(channels, 4, 3, padding=1)
        self.adjust = nn.Parameter(torch.full((1,), 0.1))
        self.bias = nn.Parameter(torch.ones(1, 4, 1, 1))

    def forward(self, matched: Tensor, sides: Tensor) -> tuple[Tensor, Tensor]:
        """Distances ``(N, 4, S, S)`` in px of the search crop, and the tower's features.

        Parameters
        ----------
        matched : Tensor, shape (N, C, S, S)
        sides : Tensor, shape (N or 1, 4, C + 1)
            What is known of these targets (:func:`added`).
        """
        features = self.tower(matched)
        # in full precision: half a percent of a size is some of the overlap
        raw = self.predict(features.float()).float()
        ltrb = torch.exp(self.adjust * raw + self.bias + added(sides, features))
        return ltrb, features


def added(sides: Tensor, features: Tensor) -> Tensor:
    """What is added to the logarithm of each distance, because of what is known of a target.

    Parameters
    ----------
    sides : Tensor, shape (N or 1, 4, C + 1)
        A 1x1 kernel over the features of the box tower, and a constant
        (:mod:`napari_ocean.online.extent`).
    features : Tensor, shape (N, C, S, S)

    Returns
    -------
    Tensor, shape (N, 4, S, S)
    """
    logs = sides[..., :-1] @ features.float().flatten(2) + sides[..., -1:]
    return logs.reshape(features.shape[0], 4, *features.shape[2:])


class RegularHead(nn.Module):
    """Whether a cell lies in the middle region of the target."""

    def __init__(self, channels: int, *, depth: int, separable: bool) -> None:
        super().__init__()
        self.tower = tower(channels, depth=depth, separable=separable)
        self.predict = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, matched: Tensor) -> Tensor:
        """Logits ``(N, 1, S, S)``."""
        logits: Tensor = LOGIT_SCALE * self.predict(self.tower(matched).float())
        return logits
