"""From a frame and a box to a box on every frame (Sec. 4.1); knows networks, not napari."""

from napari_ocean.online.settings import ONLINE, OnlineSettings
from napari_ocean.tracking.propagate import propagate
from napari_ocean.tracking.session import Session, step_together
from napari_ocean.tracking.settings import RELEASED, SiameseSettings, settings_from
from napari_ocean.tracking.tracker import Tracker, load_tracker
from napari_ocean.tracking.weights import find_weights, weights_folder

__all__ = [
    "ONLINE",
    "RELEASED",
    "OnlineSettings",
    "Session",
    "SiameseSettings",
    "Tracker",
    "find_weights",
    "load_tracker",
    "propagate",
    "settings_from",
    "step_together",
    "weights_folder",
]
