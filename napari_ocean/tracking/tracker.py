"""The tracker: ``load_tracker() -> Tracker``, ``start(frame, box) -> Session``, ``step(frame)``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import ConfigError, VideoError
from napari_ocean.network import (
    TEMPLATE_PX,
    OceanNet,
    TemplateState,
    fold_batch_norm,
    load_network,
)
from napari_ocean.network.grid import decode
from napari_ocean.tracking import siamese
from napari_ocean.tracking.crop import context_side, crop_patch, mean_color, round_half_up
from napari_ocean.tracking.settings import SiameseSettings, default_settings
from napari_ocean.tracking.weights import find_weights
from napari_ocean.tracks import Prediction, State


def load_tracker(
    model: str | Path = "lite",
    *,
    device: str = "auto",
    settings: SiameseSettings | None = None,
) -> Tracker:
    """Load a network and make it ready to track.

    Parameters
    ----------
    model : str or Path
        Preset (``"lite"``, the embedded default, or ``"ocean"``) or a weights file.
    device : str
        ``"auto"`` (a CUDA GPU when there is one, else the CPU) or a torch device.
    settings : SiameseSettings, optional
        Default: those that belong to the network.

    Raises
    ------
    WeightsError
        If the weights are not on this computer or cannot be loaded.
    ConfigError
        If there is no such device.
    """
    place = _device(device)
    net = load_network(find_weights(model))
    aware = net.aware_head is not None
    if settings is None:
        settings = default_settings(net.preset.name, aware=aware)
    net = fold_batch_norm(net).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs
    return Tracker(net, settings)


class Tracker:
    """A network in evaluation mode with its settings; sessions share it, and it keeps no state."""

    def __init__(self, net: OceanNet, settings: SiameseSettings) -> None:
        self.net = net.eval()
        self.settings = settings

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.net.parameters()).device

    def start(self, frame_rgb: NDArray[np.uint8], box_xyxy: ArrayLike) -> Session:
        """Begin to follow a target.

        Parameters
        ----------
        frame_rgb : ndarray of uint8, shape (H, W, 3)
            RGB; :func:`napari_ocean.video.to_rgb_uint8` converts other images.
        box_xyxy : array-like of 4 floats
            The target in frame pixels (edge coordinates).

        Raises
        ------
        BoxError
            If the box is NaN, inverted, under 2 px, or outside the frame.
        VideoError
            If the frame is not an RGB uint8 image.
        """
        _check_frame(frame_rgb)
        box = boxes.clip(boxes.check(box_xyxy, frame_rgb.shape[:2]), frame_rgb.shape[:2])
        return Session(self, frame_rgb, box)


class Session:
    """One target being followed through consecutive frames, in either direction."""

    def __init__(
        self, tracker: Tracker, frame_rgb: NDArray[np.uint8], box_xyxy: FloatArray
    ) -> None:
        self._net = tracker.net
        self._device = tracker.device
        self._settings = tracker.settings
        self._center_xy = boxes.center(box_xyxy)
        self._size_wh = boxes.size(box_xyxy)
        self._fill = mean_color(frame_rgb)
        settings = self._settings
        area = self._size_wh.prod() / (frame_rgb.shape[0] * frame_rgb.shape[1])
        small = area < settings.small_target_area
        self._search_px = settings.search_small_target_px if small else settings.search_px
        side_px = max(round(context_side(self._size_wh, settings.context)), 1)
        patch, _ = crop_patch(frame_rgb, self._center_xy, side_px, TEMPLATE_PX, self._fill)
        with self._inference():
            self._template: TemplateState = self._net.template(self._tensor(patch))

    def step(self, frame_rgb: NDArray[np.uint8]) -> Prediction:
        """Find the target on the next frame.

        Parameters
        ----------
        frame_rgb : ndarray of uint8, shape (H, W, 3)

        Raises
        ------
        VideoError
            If the frame is not an RGB uint8 image.
        """
        _check_frame(frame_rgb)
        settings = self._settings
        context_px = context_side(self._size_wh, settings.context)
        scale = TEMPLATE_PX / context_px  # crop px per frame px
        side_px = max(round_half_up(context_px * self._search_px / TEMPLATE_PX), 1)
        patch, transform = crop_patch(
            frame_rgb, self._center_xy, side_px, self._search_px, self._fill
        )
        maps, score = self._look(patch)
        best = siamese.select(maps, score, self._size_wh * scale, settings)

        if settings.exact_crop_origin:
            # The grid counts from the centre of the middle pixel, edges from its corner.
            center = transform.to_frame(boxes.center(best.box_xyxy) + 0.5)
        else:
            center = self._center_xy + (boxes.center(best.box_xyxy) - self._search_px // 2) / scale
        rate = best.penalty * best.score * settings.size_rate
        size = siamese.smooth_size(
            self._size_wh,
            boxes.size(best.box_xyxy) / scale,
            rate,
            twice=settings.smooth_size_twice,
        )
        limit_wh = np.array([frame_rgb.shape[1], frame_rgb.shape[0]], dtype=np.float64)
        self._center_xy = np.clip(center, 0, limit_wh)
        self._size_wh = np.clip(size, np.minimum(settings.min_size_px, limit_wh), limit_wh)
        return Prediction(
            box_xyxy=boxes.from_center(self._center_xy, self._size_wh),
            score=best.score,
            state=self._state(best.score),
        )

    def _look(self, patch: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Boxes ``(4, S, S)`` in px of the search crop and fused score ``(S, S)``."""
        with self._inference():
            output = self._net.search(self._tensor(patch), self._template)
        aware = None if output.aware is None else _array(output.aware.sigmoid())[0]
        score = siamese.fuse_scores(
            _array(output.regular.sigmoid())[0], aware, self._settings.aware_weight
        )
        return _array(decode(output.ltrb)), score

    def _tensor(self, patch_rgb: NDArray[np.uint8]) -> Tensor:
        bgr = torch.from_numpy(patch_rgb[..., ::-1].copy())
        return bgr.to(self._device).permute(2, 0, 1)[None].float()

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Run the network without gradients, on as many threads as suit it."""
        before = torch.get_num_threads()
        threads = self._net.preset.cpu_threads
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(before)

    def _state(self, score: float) -> State:
        if score >= self._settings.found_score:
            return State.FOUND
        return State.UNCERTAIN if score >= self._settings.lost_score else State.LOST


def _array(batch: Tensor) -> FloatArray:
    return np.asarray(batch[0].cpu().double().numpy())  # in this order: MPS has no float64


def _device(name: str) -> torch.device:
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


def _check_frame(frame: Any) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape[2:] != (3,):
        kind = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame)
        raise VideoError(
            f"A frame is an RGB uint8 array (H, W, 3), not {kind}; "
            "napari_ocean.video.to_rgb_uint8 converts it."
        )
