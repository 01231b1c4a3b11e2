"""Draw a box on one frame of a video, get a box on every other frame.

The public names are loaded when first used, so that ``import napari_ocean`` is instant and drags in
neither torch nor napari.

Examples
--------
>>> import napari_ocean as no
>>> tracks = no.Tracks()
>>> tracks.draw(tracks.add_object("dog"), frame=0, box_xyxy=(10, 10, 50, 40))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_ocean.formats import read, write
    from napari_ocean.tracking.propagate import propagate
    from napari_ocean.tracking.tracker import load_tracker
    from napari_ocean.tracks import Tracks
    from napari_ocean.video import open_video

    __version__: str

__all__ = ["Tracks", "__version__", "load_tracker", "open_video", "propagate", "read", "write"]

_HOMES = {
    "Tracks": "napari_ocean.tracks",
    "load_tracker": "napari_ocean.tracking",
    "open_video": "napari_ocean.video",
    "propagate": "napari_ocean.tracking",
    "read": "napari_ocean.formats",
    "write": "napari_ocean.formats",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("napari-ocean")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
