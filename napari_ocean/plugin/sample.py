"""The built-in clip as napari's sample data."""

from __future__ import annotations

from typing import Any

from napari_ocean.demo import demo_clip


def sample_clip() -> list[tuple[Any, dict[str, Any], str]]:
    """Image layer of the clip that the package draws itself."""
    settings = {"name": "Ocean demo", "rgb": True, "axis_labels": ("t", "y", "x")}
    return [(demo_clip().frames, settings, "image")]
