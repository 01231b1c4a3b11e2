"""What it takes to be measured: the tracker's interface, whoever made the tracker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ocean.boxes import FloatArray
from napari_ocean.tracks import Prediction


class Session(Protocol):
    """One target being followed."""

    def step(self, frame_rgb: NDArray[np.uint8], /) -> Prediction:
        """Find the target on the next frame."""
        ...


Start = Callable[[NDArray[np.uint8], FloatArray], Session]
"""Begins to follow a target: ``tracker.start``."""
