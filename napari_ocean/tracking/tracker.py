"""The tracker: ``load_tracker() -> Tracker``, ``start(frame, box) -> Session``, ``step(frame)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import ConfigError
from napari_ocean.network import (
    Compiled,
    Graphs,
    OceanNet,
    Search,
    build_network,
    cuda_recorder,
    fold_batch_norm,
    lower_precision,
    openvino_version,
    ordinary,
    read_checkpoint,
)
from napari_ocean.online.classifier import Classifier
from napari_ocean.online.settings import OnlineSettings
from napari_ocean.tracking.session import Session, check_frame
from napari_ocean.tracking.settings import SiameseSettings, default_settings
from napari_ocean.tracking.weights import find_weights

EXAMPLES = 4
"""Examples that are used, the first ones given: each costs a few passes of the network."""


Precision = Literal["auto", "float32", "float16", "bfloat16"]
ENGINES = ("auto", "torch", "openvino")
"""What can run the network on the frames."""

PRECISIONS: Mapping[str, torch.dtype] = {"cpu": torch.float32, "cuda": torch.float16}
"""Number format of the layers of features by kind of device; others use float32."""


def load_tracker(
    model: str | Path = "lite",
    *,
    device: str = "auto",
    precision: Precision = "auto",
    settings: SiameseSettings | None = None,
    online: bool | OnlineSettings | None = True,
    engine: str = "auto",
    fast: bool | None = None,
) -> Tracker:
    """Load a network and make it ready to track.

    Parameters
    ----------
    model : str or Path
        Preset (``"lite"``, the embedded default, or ``"ocean"``) or a weights file.
    device : str
        ``"auto"`` (a CUDA GPU when there is one, else the CPU) or a torch device.
    precision : {"auto", "float32", "float16", "bfloat16"}
        Number format of the network's features; ``"auto"``: the fast one of the device. Boxes
        and scores are made in float32 always.
    settings : SiameseSettings, optional
        Default: those that belong to the network.
    online : bool or OnlineSettings, optional
        Learn each target's looks while tracking (Sec. 4.2), and how; False: Siamese only.
    engine : {"auto", "torch", "openvino"}
        What runs the network on the frames; ``"auto"``: OpenVINO for float32 on a CPU where it is
        installed, else PyTorch. The answers are the same up to rounding.
    fast : bool, optional
        Look at each frame once, without the second look in the mirror that the settings of
        ``lite`` have: one and a half times as quick, boxes a little less exact. Default: where
        PyTorch runs the network on a CPU, and no settings are given.

    Raises
    ------
    WeightsError
        If the weights are not on this computer or cannot be loaded.
    ConfigError
        If there is no such device, precision or engine.
    """
    place = find_device(device)
    dtype = _dtype(precision, place)
    path = find_weights(model)
    checkpoint = read_checkpoint(path)
    net = build_network(checkpoint, path)
    aware = net.aware_head is not None
    compiles = _compiles(engine, place, dtype)
    if settings is None:
        settings = default_settings(net.preset.name, aware=aware)
        if fast is None:
            fast = place.type == "cpu" and not compiles
    if fast:
        settings = replace(settings, mirrored=False)
    net = lower_precision(fold_batch_norm(net), dtype).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs
    if online is True:
        online = OnlineSettings()
    classifier = Classifier.from_released(checkpoint.classifier) if checkpoint.classifier else None
    search = Compiled(net) if compiles else None
    return Tracker(net, settings, online or None, classifier, search)


class Tracker:
    """A network in evaluation mode with its settings; sessions share it, and it keeps no state.

    Parameters
    ----------
    net : OceanNet
    settings : SiameseSettings
    online : OnlineSettings, optional
        Default: Siamese only.
    classifier : Classifier, optional
        What the online update knows beforehand; default: nothing.
    search : Search, optional
        What runs the network on search crops; default: PyTorch, on a GPU with CUDA graphs.
    """

    def __init__(
        self,
        net: OceanNet,
        settings: SiameseSettings,
        online: OnlineSettings | None = None,
        classifier: Classifier | None = None,
        search: Search | None = None,
    ) -> None:
        self.net = net.eval()
        self.search = search or _passes(net, self.device)
        self.settings = settings
        self.online = online
        self.classifier = classifier

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.net.parameters()).device

    def start(
        self,
        frame_rgb: NDArray[np.uint8],
        box_xyxy: ArrayLike,
        *,
        examples: Sequence[tuple[NDArray[np.uint8], ArrayLike]] = (),
        guessed: bool = False,
        hidden: bool = False,
    ) -> Session:
        """Begin to follow a target.

        Parameters
        ----------
        frame_rgb : ndarray of uint8, shape (H, W, 3)
            RGB; :func:`napari_ocean.video.to_rgb_uint8` converts other images.
        box_xyxy : array-like of 4 floats
            The target in frame pixels (edge coordinates).
        examples : sequence of (frame, box)
            The same target on other frames, as a person drew it, the most telling first: what
            the tracker is to know of its looks beforehand. The first :data:`EXAMPLES` are used,
            and none of them by ``fidelity="official"`` or, unless the target is hidden, without
            the online update.
        guessed : bool
            The box was found, not drawn: it teaches the online update no sizes.
        hidden : bool
            Something hides the target on this frame: the box tells where it is and how large, the
            examples alone what it looks like, if there are any (not by ``fidelity="official"``).

        Raises
        ------
        BoxError
            If a box is NaN, inverted, under 2 px, or outside its frame.
        VideoError
            If a frame is not an RGB uint8 image.
        """
        shown = [(frame_rgb, box_xyxy), *examples[:EXAMPLES]]
        for frame, _ in shown:
            check_frame(frame)
        given = [(frame, _inside(box, frame)) for frame, box in shown]
        return Session(self, given, guessed=guessed, hidden=hidden)


def _inside(box_xyxy: ArrayLike, frame_rgb: NDArray[np.uint8]) -> FloatArray:
    """A valid box, cut at the frame's edges."""
    hw = frame_rgb.shape[:2]
    return boxes.clip(boxes.check(box_xyxy, hw), hw)


def find_device(name: str) -> torch.device:
    """A torch device of this computer; ``"auto"`` is a CUDA GPU when there is one, else the CPU.

    Raises
    ------
    ConfigError
        If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"There is no device {name!r} here; use auto or cpu.") from error
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return PRECISIONS.get(device.type, torch.float32)
    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name not in dtypes:
        raise ConfigError(f"precision is {name!r}; it must be auto, {', '.join(dtypes)}.")
    return dtypes[name]


def _passes(net: OceanNet, device: torch.device) -> Search:
    """PyTorch's passes, as quick as the device lets them be."""
    return Graphs(net, cuda_recorder(device)) if device.type == "cuda" else ordinary(net)


def _compiles(engine: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether OpenVINO is to run the network."""
    if engine not in ENGINES:
        raise ConfigError(f"engine is {engine!r}; it must be {' or '.join(ENGINES)}.")
    can = device.type == "cpu" and dtype == torch.float32
    if engine != "openvino":
        return engine == "auto" and can and openvino_version() is not None
    if not can:
        raise ConfigError("OpenVINO runs float32 on the CPU only; use engine='auto'.")
    if openvino_version() is None:
        raise ConfigError("OpenVINO is not here: pip install openvino, or use engine='torch'.")
    return True
