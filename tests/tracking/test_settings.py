"""Settings refuse what cannot work, and follow the network."""

from __future__ import annotations

import pytest

from napari_ocean.errors import ConfigError
from napari_ocean.tracking import RELEASED, OnlineSettings, SiameseSettings, settings_from
from napari_ocean.tracking.settings import LITE, default_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window_influence", 1.5),
        ("size_rate", -0.1),
        ("aware_weight", float("nan")),
        ("search_px", 256),
        ("penalty_k", -1),
        ("penalty_k", float("inf")),
        ("min_size_px", float("nan")),
        ("lost_score", 0.9),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        SiameseSettings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("memory", 39), ("every", 0), ("template_every", 0), ("iterations", -1)],
)
def test_counts_that_are_too_small_name_the_least(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is {value}; it must be at least {value + 1}\."):
        OnlineSettings(**{name: value})


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"windw.*known: penalty_k"):
        settings_from({"windw": 1}, LITE, OnlineSettings())
    with pytest.raises(ConfigError, match="template_share"):
        settings_from({"template_share": 0.1}, LITE, None)
    siamese, online = settings_from({"penalty_k": 0.2, "every": 3}, LITE, OnlineSettings())
    assert (siamese.penalty_k, online.every) == (0.2, 3)
    assert settings_from({}, LITE, None) == (LITE, None)


def test_default_settings_follow_the_network() -> None:
    assert default_settings("lite", aware=True) is LITE
    assert default_settings("ocean", aware=True) == RELEASED["VOT2019"]
    # a network without the object-aware head wants the settings tuned without it
    assert default_settings("ocean", aware=False) == RELEASED["VOT2019ON"]
