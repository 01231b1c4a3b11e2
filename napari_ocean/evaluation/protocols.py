"""What it takes to be measured: the tracker's interface, whoever made the tracker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ocean.boxes import FloatArray
from napari_ocean.tracks import Prediction


class Session(Protocol):
    """One target being followed."""

    def step(self, frame_rgb: NDArray[np.uint8], /) -> Prediction:
        """Find the target on the next frame."""
        ...


Examples = Sequence[tuple[NDArray[np.uint8], ArrayLike]]
"""The target on other frames, as a person drew it."""


class Start(Protocol):
    """Begins to follow a target: ``tracker.start``. Peers do nothing with examples."""

    def __call__(
        self,
        frame_rgb: NDArray[np.uint8],
        box_xyxy: FloatArray,
        /,
        *,
        examples: Examples = ...,
    ) -> Session:
        """Begin on a frame."""
        ...
