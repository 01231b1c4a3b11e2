"""The samples a filter is trained on: a bounded memory in which old ones fade."""

from __future__ import annotations

import torch
from torch import Tensor


class SampleMemory:
    """Features of samples with their targets and weights, which sum to 1.

    Lasting samples (the first frame's, and boxes that a person drew) are never replaced, and
    together never weigh less than ``lasting_weight``; the others fade as new ones come.

    Parameters
    ----------
    capacity : int
        Samples kept.
    lasting_weight : float
        Least weight of all lasting samples together, in [0, 1).
    """

    def __init__(self, capacity: int, lasting_weight: float = 0.0) -> None:
        self.capacity = capacity
        self.lasting_weight = lasting_weight
        self.count = 0
        self.features = torch.empty(0)
        self.centers = torch.empty(0)
        self.weights = torch.zeros(0)
        self._lasting = torch.zeros(0, dtype=torch.bool)
        self._newest: int | None = None

    def fill(self, features: Tensor, centers: Tensor, *, lasting: bool) -> None:
        """Begin with the first frame's samples, of equal weight.

        Parameters
        ----------
        features : Tensor, shape (N, C, H, W)
            N may not exceed the capacity.
        centers : Tensor, shape (N, 2)
            Targets' centres in cells of the score map.
        lasting : bool
        """
        n = len(features)
        self.features = features.new_zeros(self.capacity, *features.shape[1:])
        self.centers = centers.new_zeros(self.capacity, 2)
        # on the CPU: a GPU would be waited for at each question about them
        self.weights = torch.zeros(self.capacity)
        self._lasting = torch.zeros(self.capacity, dtype=torch.bool)
        self.features[:n], self.centers[:n], self.weights[:n] = features, centers, 1 / n
        self._lasting[:n] = lasting
        self.count, self._newest = n, None

    def add(self, features: Tensor, center: Tensor, rate: float) -> None:
        """Take in a sample ``(C, H, W)`` with its target's centre ``(2,)``.

        The newest weighs ``rate`` of the total at first and ``1 / (1 - rate)`` of the one
        before it later on; it takes a free place, or that of the lightest sample.
        """
        place = self._place()
        if self._newest is None:
            self.weights /= 1 - rate
            self.weights[place] = rate
        else:
            self.weights[place] = self.weights[self._newest] / (1 - rate)
        self.features[place], self.centers[place] = features, center
        self._newest = place
        self._share()

    def used(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features, centres and weights of all samples there are."""
        n = self.count
        return self.features[:n], self.centers[:n], self.weights[:n].to(self.features.device)

    def _place(self) -> int:
        if self.count < self.capacity:
            self.count += 1
            return self.count - 1
        return int(torch.where(self._lasting, torch.inf, self.weights).argmin())

    def _share(self) -> None:
        """Make the weights sum to 1, the lasting ones to their least share."""
        self.weights /= self.weights.sum()
        lasting = self.weights[self._lasting].sum()
        if 0 < lasting < self.lasting_weight:
            self.weights[self._lasting] *= self.lasting_weight / lasting
            self.weights[~self._lasting] *= (1 - self.lasting_weight) / (1 - lasting)
