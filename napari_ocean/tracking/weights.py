"""Where weights are: shipped with the package, put in the weights folder, or named by path."""

from __future__ import annotations

import os
from pathlib import Path

from napari_ocean.errors import WeightsError
from napari_ocean.network import PRESETS

SHIPPED = Path(__file__).parent.parent / "weights"
"""Weights that come with the package."""

OFFICIAL_FILES = "OceanV.pth, OceanNoOA.pth, OceanO.pth, OceanV18on.pth or OceanV19on.pth"
"""Names under which the authors of the paper released theirs (researchmm/TracKit)."""

SUFFIXES = (".safetensors", ".pth")


def weights_folder() -> Path:
    """Folder in which a user keeps weights that do not ship with the package."""
    import platformdirs  # a bare machine tracks with a weights file and without this

    return platformdirs.user_data_path("napari-ocean", appauthor=False) / "weights"


def find_weights(model: str | Path) -> Path:
    """File of a preset, or the given file itself.

    Raises
    ------
    WeightsError
        If the preset has no weights on this computer, or there is no such file.
    """
    name = str(model)
    if name not in PRESETS:
        path = Path(os.path.expanduser(model))
        if not path.is_file():
            raise WeightsError(
                f"There is no weights file {path}; give a file or one of {', '.join(PRESETS)}."
            )
        return path
    for folder in (weights_folder(), SHIPPED):
        for suffix in SUFFIXES:
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    raise WeightsError(
        f"The preset {name!r} has no weights on this computer: put an official Ocean checkpoint "
        f"({OFFICIAL_FILES}, from researchmm/TracKit) at {weights_folder() / name}.pth, "
        "or give the file itself as the model."
    )
