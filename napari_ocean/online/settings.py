"""Every constant of the online update, with where its value comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from napari_ocean.errors import ConfigError

Fidelity = Literal["default", "official"]


MIN_MEMORY = 40
"""Room for all views of all drawn frames, and for some that come later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlineSettings:
    """How a target's classifier learns and what its answer weighs.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    fidelity: Fidelity = "default"
    """``"default"`` works on the Siamese search crop and grid; ``"official"`` on a crop of its
    own with everything the released code does to it (:mod:`napari_ocean.online.released`)."""
    memory: int = 50
    """Samples kept, more than the drawn frames give (released: 250)."""
    lasting_weight: float = 0.3
    """Least weight of the first frame and of boxes that a person drew, in [0, 1) (released: 0)."""
    rate: float = 0.02
    """Weight of a new sample (released: 0.0075)."""
    hard_rate: float = 0.03
    """Weight of a new sample beside which something else answers too (released: 0.02)."""
    first_iterations: int = 15
    """Steps of the optimiser on the first frame's samples (released: 25)."""
    iterations: int = 2
    """Steps at a regular update (released: 3)."""
    hard_iterations: int = 2
    """Steps at once when something else answers too (released: 3)."""
    every: int = 10
    """Frames between two regular updates (released: 10)."""
    hard_threshold: float = 0.5
    """A second peak above this share of the first is a hard negative (released: 0.45)."""
    neighbourhood: float = 2.2
    """Sides of the target within which a second peak belongs to it (released)."""
    template_share: float = 0.5
    """Weight in the Siamese template of later looks and of a person's other boxes, against the
    drawn one the target is followed from, in [0, 1) (released: 0)."""
    template_rate: float = 0.3
    """How much of those later looks each new one replaces, in [0, 1)."""
    template_every: int = 5
    """Frames between two looks, which are taken where the target was found."""
    extent_share: float = 0.6
    """How much of what the drawn boxes ask for beyond the network's is added to the boxes, in
    [0, 1] (:mod:`napari_ocean.online.extent`; released: 0)."""
    extent_ridge: float = 1.0
    """Weight of the penalty on it."""
    first_dropouts: int = 0
    """Copies of the first sample with channels dropped (released: 7)."""

    def __post_init__(self) -> None:
        if self.fidelity not in ("default", "official"):
            raise ConfigError(f"fidelity is {self.fidelity!r}; it must be default or official.")
        for name in ("rate", "hard_rate", "lasting_weight", "template_share", "template_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie in [0, 1).")
        if not 0 <= self.extent_share <= 1:
            raise ConfigError(f"extent_share is {self.extent_share}; it must lie in [0, 1].")
        if not 0 < self.extent_ridge < math.inf:
            raise ConfigError(f"extent_ridge is {self.extent_ridge}; it must be above 0.")
        counts = ("first_iterations", "iterations", "hard_iterations", "first_dropouts")
        least = {"memory": MIN_MEMORY, "every": 1, "template_every": 1} | dict.fromkeys(counts, 0)
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {bound}.")
        if self.first_dropouts > self.memory - MIN_MEMORY:
            raise ConfigError(
                f"first_dropouts is {self.first_dropouts}; with a memory of {self.memory} it must "
                f"be at most {self.memory - MIN_MEMORY}."
            )


RELEASED = OnlineSettings(
    fidelity="official",
    memory=250,
    lasting_weight=0.0,
    template_share=0.0,
    extent_share=0.0,
    rate=0.0075,
    hard_rate=0.02,
    first_iterations=25,
    iterations=3,
    hard_iterations=3,
    hard_threshold=0.45,
    first_dropouts=7,
)
"""The released parameters (fact sheet, section 4.5)."""

ONLINE: Mapping[str, OnlineSettings | None] = MappingProxyType(
    {"default": OnlineSettings(), "official": RELEASED, "off": None}
)
"""The ways to track, by the name that a command line takes."""
