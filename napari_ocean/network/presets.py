"""The two sizes of one network: ``ocean`` (the paper's) and ``lite`` (for a laptop CPU)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from napari_ocean.errors import ConfigError

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
    blocks: int = 11
    """Blocks of EfficientNet-Lite0 that are used; 0 for a ResNet, which is used as it is."""
    cpu_threads: int | None = None
    """Threads of each layer in PyTorch on a CPU; None leaves it to torch, and says it is large."""


OCEAN = Preset(
    name="ocean", backbone="resnet50", channels=256, tower_depth=4, separable=False, blocks=0
)
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

SIZES = {"channels": range(8, 1025, 8), "tower_depth": range(1, 9), "blocks": range(6, 12)}
"""What of a preset an experiment may change, and to what."""


def sizes(preset: Preset) -> dict[str, int]:
    """Its sizes, as :func:`resized` takes them."""
    return {name: value for name in SIZES if (value := getattr(preset, name))}


def resized(name: str, changes: Mapping[str, int]) -> Preset:
    """The preset of this name with some of :data:`SIZES` changed.

    Raises
    ------
    ConfigError
        If there is no such preset or size, or it cannot be built in that size.
    """
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}; known: {', '.join(PRESETS)}.")
    for size, value in changes.items():
        if size not in (known := sizes(PRESETS[name])):
            raise ConfigError(f"{name} has no size {size!r}; known: {', '.join(known)}.")
        allowed = SIZES[size]
        if type(value) is not int or value not in allowed:
            steps = f" in steps of {allowed.step}" if allowed.step > 1 else ""
            raise ConfigError(
                f"{size} is {value!r}; it must be {allowed[0]} to {allowed[-1]}{steps}."
            )
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]  # names of SIZES only
