"""Every constant of a training run, with what the released recipe has instead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from napari_ocean.errors import ConfigError
from napari_ocean.network import resized
from napari_ocean.network.presets import SEARCH_PX
from napari_ocean.training.losses import Objective

_AT_LEAST: Mapping[str, int] = {
    **dict.fromkeys(("steps", "batch", "save_every", "log_every"), 1),
    **dict.fromkeys(("seed", "minutes", "warmup_steps", "unseen_videos"), 0),
    **dict.fromkeys(("learning_rate", "weight_decay", "deep_rate", "shallow_rate"), 0),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PairSettings:
    """Shares and strengths of everything that happens to a pair."""

    search_px: int = 255
    """Side of the search crop."""
    video_share: float = 0.35
    """Pairs from two frames of one video."""
    video_reach: float = 0.4
    """Largest distance of the two frames, as a share of the video."""
    mosaic_share: float = 0.08
    """Pairs from a mosaic of 64 px images: many small objects side by side."""
    mosaics: int = 400
    """Mosaics that are laid, once."""
    negative_share: float = 0.12
    """Pairs whose search crop does not hold the target."""
    paste_share: float = 0.35
    """Search crops with another object pasted beside the target."""
    alike_share: float = 0.5
    """Of the strangers, pasted or sought in vain, those of the target's kind if there are any."""
    background_share: float = 0.7
    """Search crops reaching past the photo that show another photo there, not a flat colour."""
    part_share: float = 0.0
    """Pairs of one photo whose target is a part of an object, as a face is of a person, or more
    than it: the box has to end where the template's does, not where the object does."""
    transplant_share: float = 0.3
    """Search crops with the target on another photo, as its surroundings are not to be matched."""
    occlusion_share: float = 0.15
    """Search crops with something pasted over part of the target."""
    cover_share: float = 0.0
    """Template crops with an object or a bar pasted over part of the target, as where a box was
    drawn behind a post; most of their search crops have the same thing over another part."""
    template_shift_px: float = 4.0
    """Shift of the target in the template crop, uniform (released code)."""
    template_scale: float = 0.05
    """Change of its size, uniform (released code)."""
    search_shift_px: float = 64.0
    """Shift of the target in the search crop, uniform (released code)."""
    search_scale: float = 0.5
    """Logarithmic change of its size, uniform (released code: 0.18, linear)."""
    search_aspect: float = 0.3
    """Logarithmic change of its aspect, uniform."""
    roll_share: float = 0.0
    """Search crops turned in their plane, where a silhouette tells the turned target's box."""
    roll: float = 0.6
    """Largest angle of those, radians."""
    color: float = 0.25
    """Strength of brightness, contrast and colour changes of a pair (released code: 0.05)."""
    crop_color: float = 0.125
    """Likewise of each of its two crops by itself: the light changes on the way."""
    gray_share: float = 0.05
    """Pairs without colour."""
    blur_share: float = 0.2
    """Crops blurred, by defocus or motion."""
    coarse_share: float = 0.15
    """Pairs of both crops as a small, distant target gives them: few pixels, blown up."""
    noise_share: float = 0.15
    """Crops with sensor noise or compression, half each."""

    def __post_init__(self) -> None:
        if (side := self.search_px) not in SEARCH_PX:
            raise ConfigError(f"pairs.search_px is {side}; it must be one of {SEARCH_PX}.")
        for name in (each.name for each in fields(self) if each.name.endswith("_share")):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"pairs.{name} is {value}; it must lie in [0, 1].")
        for name in (each.name for each in fields(self)):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ConfigError(f"pairs.{name} is {value}; it must be finite and at least 0.")
        if self.template_scale >= 1:
            raise ConfigError(
                f"pairs.template_scale is {self.template_scale}; it must be less than 1, "
                "or some templates would have no size."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """One training run; the released recipe's values are given where ours differ."""

    preset: str = "lite"
    """The network."""
    size: dict[str, int] = field(default_factory=dict)
    """What differs from the preset's size: ``channels``, ``tower_depth``, ``blocks``."""
    objective: Objective = "code"
    """Labels and losses of the released code, or of the paper where they differ
    (:mod:`napari_ocean.training.losses`)."""
    seed: int = 0
    """Seed of everything drawn."""
    steps: int = 3000
    """Optimiser steps."""
    minutes: float = 0.0
    """Time after which the training ends if it has not done its steps, its rate fallen all the
    same; 0: as long as it takes. How many steps that were stands in the weights' metadata."""
    batch: int = 32
    """Pairs per step, over all processes (released: 256)."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW (released: SGD, 5e-3, with momentum 0.9)."""
    weight_decay: float = 5e-3
    """Weight decay (paper: 1e-3, released code: 1e-4)."""
    warmup_steps: int = 100
    """Linear rise of the rate; then it falls along a cosine to a hundredth."""
    clip: float = 5.0
    """Largest gradient norm (released: none)."""
    deep_rate: float = 0.0
    """Rate of the backbone's deeper half, as a share of ``learning_rate``; 0 leaves it frozen
    (released: 0.1)."""
    shallow_rate: float = 0.0
    """Likewise of its shallow half, except for the first convolution (released: 0.1)."""
    backbone_from: float = 0.0
    """Share of the training from which on the backbone learns (released: 0.2)."""
    backbone_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of the backbone's frozen part; bfloat16 takes a quarter of the time on CPUs
    that have it, and its rounding is far under what the heads learn to bear."""
    ema: float = 0.998
    """Decay of the running average of the weights, which is what is saved (released: none)."""
    unseen_videos: int = 0
    """Films kept out of the training, on which each checkpoint is measured."""
    save_every: int = 200
    """Steps between checkpoints."""
    log_every: int = 20
    """Steps between lines of the metrics log."""
    pairs: PairSettings = field(default_factory=PairSettings)
    """What the pairs are made of."""

    def __post_init__(self) -> None:
        resized(self.preset, self.size)
        if self.objective not in ("code", "paper"):
            raise ConfigError(f"objective is {self.objective!r}; it must be code or paper.")
        if self.backbone_dtype not in ("bfloat16", "float32"):
            raise ConfigError(
                f"backbone_dtype is {self.backbone_dtype!r}; it must be bfloat16 or float32."
            )
        for name, least in _AT_LEAST.items():
            if not least <= (value := getattr(self, name)) < math.inf:  # NaN is not either
                raise ConfigError(f"{name} is {value}; it must be at least {least} and finite.")
        if self.seed >= 2**63:
            raise ConfigError(f"seed is {self.seed}; torch takes none of 2**63 or more.")
        for name in ("backbone_from", "ema"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"{name} is {value}; it must lie in [0, 1].")
        if not self.clip > 0:
            raise ConfigError(f"clip is {self.clip}; it must be more than 0.")

    def done(self, step: int, seconds: float = 0.0) -> float:
        """Share of the training that is behind, by steps or by time, whichever is more."""
        by_time = seconds / (60 * self.minutes) if self.minutes > 0 else 0.0
        return min(max(step / self.steps, by_time), 1.0)

    def rate(self, step: int, seconds: float = 0.0) -> float:
        """Learning rate of a step."""
        done = self.done(step, seconds)
        falling = self.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
        return min(falling, self.learning_rate * (step + 1) / max(self.warmup_steps, 1))
