"""Every tracker that can be measured, by name: ours, its ablations (Sec. 5.3) and its peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import ConfigError, WeightsError
from napari_ocean.evaluation.protocols import Examples, Start
from napari_ocean.tracks import Prediction, State

if TYPE_CHECKING:
    from napari_ocean.tracking import Tracker


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerSpec:
    """A tracker in words: it can be pickled, and ``dataclasses.asdict`` is fit for JSON."""

    name: str = "ocean"
    """One of :data:`TRACKERS`."""
    model: str = "lite"
    """Preset or weights file (ours only)."""
    device: str = "auto"
    """Torch device (ours only)."""
    engine: str = "auto"
    """What runs the network: ``auto``, ``torch`` or ``openvino`` (ours only)."""
    online: str = "default"
    """How the online update works: ``default``, ``official``, or ``off`` (ours only)."""
    settings: Mapping[str, bool | float | int] = field(default_factory=dict)
    """Changes to the settings that belong to the model (ours only)."""
    without: tuple[str, ...] = ()
    """Parts to leave out, of :data:`ABLATIONS` (ours only)."""
    nano_folder: str = ""
    """Folder of NanoTrack's ONNX files (NanoTrack only)."""

    def __post_init__(self) -> None:
        if self.name not in TRACKERS:
            raise ConfigError(
                f"There is no tracker {self.name!r}; there are {', '.join(TRACKERS)}."
            )
        if self.name != "ocean" and (self.settings or self.without or self.online != "default"):
            raise ConfigError(f"Only ocean has settings and parts to leave out, not {self.name}.")
        if unknown := sorted(set(self.without) - set(ABLATIONS)):
            raise ConfigError(
                f"There is no part {', '.join(unknown)} to leave out; there are "
                f"{', '.join(ABLATIONS)}."
            )

    @property
    def label(self) -> str:
        """Name for tables and folders, e.g. ``ocean-without-aware``."""
        model = [] if self.name != "ocean" or self.model == "lite" else [Path(self.model).stem]
        fidelity = [] if self.online == "default" else [self.online]
        return "-".join(
            [self.name, *model, *fidelity, *(f"without-{part}" for part in self.without)]
        )


def make(spec: TrackerSpec) -> Start:
    """Make a tracker ready to start.

    Raises
    ------
    ConfigError
        If this computer does not have it, or a setting does not exist.
    WeightsError
        If its weights are missing.
    """
    return TRACKERS[spec.name](spec)


# -------------------------------------------------------------------------- ours, whole or in part


def loaded(spec: TrackerSpec) -> Tracker:
    """Our tracker with the settings of a spec, whole.

    Raises
    ------
    WeightsError, ConfigError
        As :func:`make`.
    """
    from napari_ocean.tracking import ONLINE, load_tracker, settings_from  # torch is loaded here

    tracker = load_tracker(
        spec.model,
        device=spec.device,
        online=ONLINE[spec.online],
        engine=spec.engine,
        fast=False,  # the engine is not to choose what is measured
    )
    tracker.settings, tracker.online = settings_from(
        spec.settings, tracker.settings, tracker.online
    )
    return tracker


def _ocean(spec: TrackerSpec) -> Start:
    tracker = loaded(spec)
    for part in spec.without:
        ABLATIONS[part](tracker)
    return tracker.start


def _without_aware(tracker: Tracker) -> None:
    """Score by the regular head alone (Sec. 3.2)."""
    tracker.net.aware_head = None


def _without_dilation(tracker: Tracker) -> None:
    """Correlate in the branch of dilation 1 alone (eq. 9)."""
    for combination in (tracker.net.regular_combination, tracker.net.box_combination):
        combination.template = combination.template[:1]
        combination.search = combination.search[:1]
        combination.mix.data = combination.mix.data[:1]


def _without_penalties(tracker: Tracker) -> None:
    """Take the best score as it is: no penalty on change (eq. 10), no window."""
    from napari_ocean.tracking import settings_from

    nothing = {"penalty_k": 0.0, "window_influence": 0.0}
    tracker.settings, _ = settings_from(nothing, tracker.settings, None)


ABLATIONS: dict[str, Callable[[Tracker], None]] = {
    "aware": _without_aware,
    "dilation": _without_dilation,
    "penalties": _without_penalties,
}
"""Parts that can be left out of a trained network at test time; the paper trains anew."""


# ------------------------------------------------------------------------------------- others


class _Static:
    """The tracker that believes the target never moves."""

    def __init__(
        self, frame_rgb: NDArray[np.uint8], box_xyxy: ArrayLike, *, examples: Examples = ()
    ) -> None:
        self._found = Prediction(box_xyxy=boxes.check(box_xyxy), score=1.0, state=State.FOUND)

    def step(self, frame_rgb: NDArray[np.uint8], /) -> Prediction:
        return self._found


class _OpenCV:
    """One of OpenCV's trackers; where it says that it lost the target, its last box stays.

    Its rectangles are whole pixels, its frames BGR.
    """

    def __init__(
        self, create: Callable[[], Any], frame_rgb: NDArray[np.uint8], box_xyxy: FloatArray
    ) -> None:
        self._tracker = create()
        self._box_xyxy = np.asarray(box_xyxy, dtype=np.float64)
        inside = boxes.clip(self._box_xyxy, frame_rgb.shape[:2])
        x, y, width, height = (round(side) for side in boxes.to_xywh(inside).tolist())
        self._tracker.init(_bgr(frame_rgb), (x, y, max(width, 1), max(height, 1)))

    def step(self, frame_rgb: NDArray[np.uint8], /) -> Prediction:
        found, box_xywh = self._tracker.update(_bgr(frame_rgb))
        score = float(found)
        if hasattr(self._tracker, "getTrackingScore"):
            score = float(np.clip(self._tracker.getTrackingScore(), 0, 1))
        if found:
            self._box_xyxy = boxes.from_xywh(box_xywh)
        state = State.FOUND if found else State.LOST
        return Prediction(box_xyxy=self._box_xyxy, score=score, state=state)


def _bgr(frame_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(frame_rgb[..., ::-1])


def _opencv(spec: TrackerSpec) -> Start:
    class_name = f"Tracker{spec.name.upper()}"
    create = getattr(cv2, f"{class_name}_create", None)
    if create is None:
        raise ConfigError(
            f"This OpenCV has no {class_name}; pip install opencv-contrib-python-headless into a "
            "folder of its own and put that folder on PYTHONPATH."
        )
    return lambda frame_rgb, box_xyxy, *, examples=(): _OpenCV(create, frame_rgb, box_xyxy)


def _nanotrack(spec: TrackerSpec) -> Start:
    parameters = cv2.TrackerNano.Params()
    for part, attribute in (("backbone", "backbone"), ("head", "neckhead")):
        path = Path(spec.nano_folder) / f"{spec.name}_{part}.onnx"
        if not path.is_file():
            raise WeightsError(f"There is no file {path}; name the folder of NanoTrack's files.")
        setattr(parameters, attribute, str(path))
    return lambda frame_rgb, box_xyxy, *, examples=(): _OpenCV(
        lambda: cv2.TrackerNano.create(parameters), frame_rgb, box_xyxy
    )


TRACKERS: dict[str, Callable[[TrackerSpec], Start]] = {
    "ocean": _ocean,
    "static": lambda spec: _Static,
    "mil": _opencv,
    "csrt": _opencv,
    "kcf": _opencv,
    "nanotrack_v1": _nanotrack,
    "nanotrack_v2": _nanotrack,
}
"""How each tracker is made."""
