"""Every constant of Siamese tracking (Sec. 4.1), with where its value comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from napari_ocean.errors import ConfigError
from napari_ocean.network.presets import SEARCH_PX
from napari_ocean.online.settings import OnlineSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class SiameseSettings:
    """How scores and boxes become one box per frame. Defaults: the released code's own.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    penalty_k: float = 0.062
    """Strength of the penalty on change of size and aspect (eq. 10), at least 0."""
    size_rate: float = 0.765
    """How fast the size follows, in [0, 1]; multiplied by penalty and score."""
    window_influence: float = 0.38
    """Weight of the cosine window, in [0, 1] (0: off)."""
    aware_weight: float = 0.06
    """Weight of the object-aware score, in [0, 1] (0: regular only)."""
    search_px: int = 255
    """Side of the search crop for an ordinary target."""
    search_small_target_px: int = 255
    """Side of the search crop for a target under ``small_target_area``."""
    small_target_area: float = 0.004
    """Share of the first frame's area under which a target is small (released code)."""
    context: float = 0.5
    """Context around the target, as a share of width plus height on each axis (SiamFC)."""
    min_size_px: float = 10.0
    """Lower bound of width and height (released code)."""
    smooth_size_twice: bool = True
    """Smooth the size twice, an effective rate of ``size_rate ** 2``: the released code does."""
    exact_crop_origin: bool = False
    """Take back the rounding of the crop's corner to whole pixels; the released code ignores it."""
    mirrored: bool = False
    """Look at each frame's crop a second time in the mirror and take the mean of boxes and scores,
    for the time of two passes (ours). First views and the online update see it as it is."""
    aspect_share: float = 0.0
    """How far boxes are given the aspect of the drawn one where the network, looking at the first
    frame, finds another, in [0, 1]; besides what the online update learns of its extent (ours)."""
    score_offset: float = 0.0
    """Added to the score's logit, which makes a probability of it (ours; Platt, 1999)."""
    confidence_offset: float = 0.0
    """With the online update, added to the logit of the two scores' common confidence, which makes
    a chance of what is reported; states are judged without it (ours)."""
    found_score: float = 0.5
    """From this confidence on the state is *found* (ours: the released code has no states)."""
    lost_score: float = 0.25
    """Under this confidence the state is *lost*, between them *uncertain* (ours). With the online
    update the box stays where it is, and is *lost* after some such frames only."""
    patience: int = 4
    """With the online update: frames under ``lost_score`` until the target counts as lost; from
    then on the box stays until a score reaches ``found_score`` (ours)."""
    widening_steps: int = 4
    """Steps of eight cells by which the search crop grows while the target is lost (ours)."""
    learnt_weight: float = 0.4
    """Weight of the online score in the sum with the Siamese one, in [0, 1] (paper: 0.5)."""

    def __post_init__(self) -> None:
        shares = (
            "size_rate",
            "window_influence",
            "aware_weight",
            "found_score",
            "lost_score",
            "learnt_weight",
            "aspect_share",
        )
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie in [0, 1].")
        for name in ("search_px", "search_small_target_px"):
            if getattr(self, name) not in SEARCH_PX:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be one of {SEARCH_PX}."
                )
        least = {
            **dict.fromkeys(("penalty_k", "context", "small_target_area", "min_size_px"), 0),
            "patience": 1,
            "widening_steps": 0,
        }
        for name, bound in least.items():
            if not bound <= getattr(self, name) < math.inf:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be a finite number, {bound} or more."
                )
        free = ("score_offset", "confidence_offset")
        if not all(math.isfinite(getattr(self, name)) for name in free):
            raise ConfigError(f"{', '.join(free)} must be finite numbers.")
        if self.lost_score > self.found_score:
            raise ConfigError("lost_score must not be above found_score.")


RELEASED: Mapping[str, SiameseSettings] = MappingProxyType(
    {
        "VOT2018": SiameseSettings(
            penalty_k=0.021,
            size_rate=0.730,
            window_influence=0.321,
            search_small_target_px=271,
            aware_weight=0.07,
        ),
        "VOT2019": SiameseSettings(
            penalty_k=0.062,
            size_rate=0.765,
            window_influence=0.380,
            search_small_target_px=271,
            aware_weight=0.06,
        ),
        "VOT2018ON": SiameseSettings(
            penalty_k=0.187,
            size_rate=0.800,
            window_influence=0.640,
            search_px=271,
            search_small_target_px=287,
            aware_weight=0,
            learnt_weight=0.5,
        ),
        "VOT2019ON": SiameseSettings(
            penalty_k=0.06,
            size_rate=0.644,
            window_influence=0.484,
            search_small_target_px=287,
            aware_weight=0,
            learnt_weight=0.7,
        ),
        "OTB2015": SiameseSettings(
            penalty_k=0.087,
            size_rate=0.408,
            window_influence=0.366,
            search_px=271,
            search_small_target_px=271,
            aware_weight=0,
        ),
        "GOT10K": SiameseSettings(
            penalty_k=0.022, size_rate=0.799, window_influence=0.118, aware_weight=0
        ),
        "LASOT": SiameseSettings(
            penalty_k=0.11, size_rate=0.7, window_influence=0.20, aware_weight=0
        ),
    }
)
"""Settings of the released code per benchmark (its YAML files; fact sheet, section 4.3)."""

LITE = SiameseSettings(
    penalty_k=0.06,
    size_rate=0.8,
    window_influence=0.3,
    aware_weight=0.3,
    search_px=223,
    search_small_target_px=223,
    min_size_px=4,
    exact_crop_origin=True,
    mirrored=True,
    aspect_share=0.5,
    score_offset=1.5,
    confidence_offset=1.25,
)
"""Settings of the shipped ``lite`` weights, chosen on the development sequences."""


def default_settings(preset: str, *, aware: bool) -> SiameseSettings:
    """Settings for a network: the VOT2019 ones of the released code for the paper's network."""
    if preset == "lite":
        return LITE
    return RELEASED["VOT2019" if aware else "VOT2019ON"]


def settings_from(
    values: Mapping[str, object], siamese: SiameseSettings, online: OnlineSettings | None
) -> tuple[SiameseSettings, OnlineSettings | None]:
    """Both kinds of settings with some values replaced, each by its name.

    Raises
    ------
    ConfigError
        If there is no such setting; without online update, that has none.
    """
    bases = [base for base in (siamese, online) if base is not None]
    known = {field.name: i for i, base in enumerate(bases) for field in fields(base)}
    if unknown := sorted(set(values) - set(known)):
        raise ConfigError(f"Unknown setting {', '.join(unknown)}; known: {', '.join(known)}.")
    changed: list[dict[str, Any]] = [{} for _ in bases]
    for name, value in values.items():
        changed[known[name]][name] = value
    return replace(siamese, **changed[0]), online and replace(online, **changed[-1])
