"""The two sizes of one network: ``ocean`` (the paper's) and ``lite`` (for a laptop CPU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STRIDE_PX = 8
"""Distance of two cells of the score map, in pixels of the search crop."""

TEMPLATE_PX = 127
"""Side of the template crop; the target with its context fills it."""

SEARCH_PX = (223, 255, 271, 287)
"""Sides of the search crop: that of ``lite``, and those of the released settings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """Everything that distinguishes one size of :class:`OceanNet` from another."""

    name: str
    """Name a user types."""
    backbone: Literal["resnet50", "efficientnet_lite0"]
    """Feature extractor of stride 8 (Sec. 4.1)."""
    channels: int
    """Channels of the neck and of everything after it."""
    tower_depth: int
    """Convolutions between the correlation and each prediction."""
    separable: bool
    """Depth-wise plus 1x1 convolutions in encoders and towers instead of dense ones."""
    cpu_threads: int | None = None
    """Threads of each layer in PyTorch on a CPU; None leaves it to torch, and says it is large."""


OCEAN = Preset(name="ocean", backbone="resnet50", channels=256, tower_depth=4, separable=False)
"""The network of the paper; key for key that of the released checkpoints."""

LITE = Preset(
    name="lite",
    backbone="efficientnet_lite0",
    channels=96,
    tower_depth=3,
    separable=True,
    # A second thread gains a fifth on an idle machine and loses a factor of 20 on a busy one,
    # where the small layers wait for it (docs/performance.md).
    cpu_threads=1,
)
"""The same idea at about a twentieth of the cost; its weights ship with the package."""

PRESETS = {preset.name: preset for preset in (LITE, OCEAN)}
