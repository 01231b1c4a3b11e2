"""``napari-ocean info``: what is installed, what it runs on, where the weights are."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from napari_ocean.errors import WeightsError

_PACKAGES = (
    *("napari-ocean", "napari", "torch", "openvino", "numpy", "opencv-python", "av"),
    *("PyQt6", "PySide6"),
)
_MISSING = "not installed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print(f"{'python':15}{platform.python_version()} on {platform.platform()}")
    for name in _PACKAGES:
        print(f"{name:15}{_version(name)}")
    if _version("openvino") == _MISSING:
        print(f"{'':15}On a CPU, the network takes half the time with it: pip install openvino")
    print(f"\nDevices (--device)\n{_devices()}")
    print(f"\nPresets (--model)\n{_presets()}")
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return _MISSING


def _devices() -> str:
    import torch

    lines = [f"  cpu   {os.cpu_count()} cores, {torch.get_num_threads()} threads"]
    for index in range(torch.cuda.device_count()):
        lines.append(f"  cuda:{index}   {torch.cuda.get_device_name(index)}")
    if torch.backends.mps.is_available():
        lines.append("  mps   Apple GPU")
    return "\n".join(lines)


def _presets() -> str:
    from napari_ocean.network import PRESETS
    from napari_ocean.tracking import find_weights

    lines = []
    for name in PRESETS:
        try:
            path = find_weights(name)
            lines.append(f"  {name:6}{path} ({path.stat().st_size / 2**20:.1f} MiB)")
        except WeightsError as error:
            lines.append(f"  {name:6}{error}")
    return "\n".join(lines)
