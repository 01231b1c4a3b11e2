"""What a person has set for this plugin in napari's Preferences.

The manifest (``configurations`` in ``napari.yaml``) declares the settings; napari keeps them since
0.9. An older napari ignores them, and the defaults hold.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """The settings, with the manifest's defaults.

    Attributes
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    model : str
        ``lite`` or ``ocean``.
    weights_folder : str
        Searched for ``ocean.safetensors`` and the like before the user's data folder.
    autosave : bool
        Whether every edit is kept beside the video.
    """

    device: str = "auto"
    model: str = "lite"
    weights_folder: str = ""
    autosave: bool = True


def load() -> Preferences:
    """Read the settings; the defaults where napari has none."""
    try:
        read = import_module("napari.settings").get_plugin_settings
        of = read("napari-ocean")
    except (AttributeError, KeyError):  # napari before 0.9; the plugin runs from a folder
        return Preferences()
    return Preferences(
        device=of.tracking.device,
        model=of.tracking.model,
        weights_folder=of.tracking.weights_folder,
        autosave=of.saving.autosave,
    )


def weights_of(model: str, folder: str) -> str:
    """File of a preset in the folder that a person has set, else the preset itself."""
    for suffix in (".safetensors", ".pth"):
        path = Path(os.path.expanduser(folder)) / f"{model}{suffix}"
        if folder and path.is_file():
            return str(path)
    return model
