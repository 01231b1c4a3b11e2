"""Every constant of a training run, with what the released recipe has instead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from napari_ocean.errors import ConfigError
from napari_ocean.network import resized
from napari_ocean.training.losses import Objective
from napari_ocean.training.pairs import PairSettings

_AT_LEAST: Mapping[str, int] = {
    **dict.fromkeys(("steps", "batch", "save_every", "log_every"), 1),
    **dict.fromkeys(("seed", "minutes", "warmup_steps", "unseen_videos"), 0),
    **dict.fromkeys(("learning_rate", "weight_decay", "deep_rate", "shallow_rate"), 0),
}


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
            if not (value := getattr(self, name)) >= least:  # NaN is not either
                raise ConfigError(f"{name} is {value}; it must be at least {least}.")
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
