"""What a number was measured with: machine, versions, settings, weights, true boxes and frames."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from napari_ocean.annotation.identity import digest_file
from napari_ocean.errors import FormatError
from napari_ocean.evaluation.trackers import TrackerSpec, loaded, make

if TYPE_CHECKING:
    from napari_ocean.evaluation.datasets import Sequence
    from napari_ocean.tracking import Tracker


def identity(spec: TrackerSpec) -> dict[str, Any]:
    """Everything that changes what a tracker finds, fit for JSON; weights by their SHA-256.

    Raises
    ------
    WeightsError, ConfigError
        If the tracker cannot be made on this computer.
    """
    if spec.name == "ocean":
        return {"tracker": spec.name, **_ocean(spec)}
    make(spec)  # says what this computer lacks
    known: dict[str, Any] = {"tracker": spec.name, "opencv": cv2.__version__}
    if spec.name.startswith("nanotrack"):
        paths = sorted(Path(spec.nano_folder).glob(f"{spec.name}_*.onnx"))
        known["weights_sha256"] = {path.name: digest(path) for path in paths}
    return known


def _ocean(spec: TrackerSpec) -> dict[str, Any]:
    from napari_ocean.tracking import find_weights

    tracker = loaded(spec)
    path = find_weights(spec.model)
    return {
        "settings": asdict(tracker.settings),
        "online": "off" if tracker.online is None else asdict(tracker.online),
        "without": list(spec.without),
        "device": tracker.device.type,
        "weights_sha256": {path.name: digest(path)},
        "napari-ocean": version("napari-ocean"),
        "torch": version("torch"),
        "engine": _engine(tracker),
    }


def _engine(tracker: Tracker) -> str:
    """What runs the network."""
    from napari_ocean.network import Compiled, openvino_version

    return f"openvino {openvino_version()}" if isinstance(tracker.search, Compiled) else "torch"


def machine() -> str:
    """Processor, cores, system and Python, in one line."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


@lru_cache(1024)
def sequence_digests(sequence: Sequence) -> dict[str, str | None]:
    """What tells that a sequence is no longer the one it was.

    The frames' is that of :func:`~napari_ocean.annotation.identity.digest_file`, which is cheap,
    and None where there are none: results can be reported without them.
    """
    truth = np.ascontiguousarray(sequence.truth_xyxy, dtype="<f8")
    try:
        video = digest_file(sequence.video)
    except FormatError:
        video = None
    return {"truth_sha256": hashlib.sha256(truth.tobytes()).hexdigest(), "video_digest": video}


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    if table.is_file():
        for line in table.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
