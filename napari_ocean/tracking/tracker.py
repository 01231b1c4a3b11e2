"""The tracker: ``load_tracker() -> Tracker``, ``start(frame, box) -> Session``, ``step(frame)``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    build_network,
    fold_batch_norm,
    read_checkpoint,
)
from napari_ocean.network.grid import decode
from napari_ocean.network.presets import STRIDE_PX
from napari_ocean.online.augment import ASPECT_VIEWS, EXAMPLE_VIEWS, VIEWS, View, look, shifts
from napari_ocean.online.classifier import Classifier
from napari_ocean.online.released import ReleasedUpdate
from napari_ocean.online.settings import OnlineSettings
from napari_ocean.online.update import Found, OnlineUpdate, Seen, Update
from napari_ocean.tracking import siamese
from napari_ocean.tracking.crop import context_side, crop_patch, mean_color, round_half_up
from napari_ocean.tracking.settings import SiameseSettings, default_settings
from napari_ocean.tracking.weights import find_weights
from napari_ocean.tracks import Prediction, State

Image = NDArray[np.uint8]
Example = tuple[Image, ArrayLike]
"""A frame and the target's box on it."""


def load_tracker(
    model: str | Path = "lite",
    *,
    device: str = "auto",
    settings: SiameseSettings | None = None,
    online: bool | OnlineSettings = True,
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
    online : bool or OnlineSettings
        Learn each target's looks while tracking (Sec. 4.2), and how; False: Siamese only.

    Raises
    ------
    WeightsError
        If the weights are not on this computer or cannot be loaded.
    ConfigError
        If there is no such device.
    """
    place = _device(device)
    path = find_weights(model)
    checkpoint = read_checkpoint(path)
    net = build_network(checkpoint, path)
    aware = net.aware_head is not None
    if settings is None:
        settings = default_settings(net.preset.name, aware=aware)
    net = fold_batch_norm(net).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs
    if online is True:
        online = OnlineSettings()
    classifier = Classifier.from_released(checkpoint.classifier) if checkpoint.classifier else None
    return Tracker(net, settings, online or None, classifier)


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
    """

    def __init__(
        self,
        net: OceanNet,
        settings: SiameseSettings,
        online: OnlineSettings | None = None,
        classifier: Classifier | None = None,
    ) -> None:
        self.net = net.eval()
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
        examples: Sequence[Example] = (),
    ) -> Session:
        """Begin to follow a target.

        Parameters
        ----------
        frame_rgb : ndarray of uint8, shape (H, W, 3)
            RGB; :func:`napari_ocean.video.to_rgb_uint8` converts other images.
        box_xyxy : array-like of 4 floats
            The target in frame pixels (edge coordinates).
        examples : sequence of (frame, box)
            The same target on other frames, as a person drew it: what the tracker is to know of
            its looks beforehand. Without the online update they are not used.

        Raises
        ------
        BoxError
            If a box is NaN, inverted, under 2 px, or outside its frame.
        VideoError
            If a frame is not an RGB uint8 image.
        """
        shown = [(frame_rgb, box_xyxy), *examples]
        for frame, _ in shown:
            _check_frame(frame)
        return Session(self, [(frame, _inside(box, frame)) for frame, box in shown])


class Session:
    """One target being followed through consecutive frames, in either direction."""

    def __init__(self, tracker: Tracker, shown: Sequence[tuple[Image, FloatArray]]) -> None:
        frame_rgb, box_xyxy = shown[0]
        self._net = tracker.net
        self._device = tracker.device
        self._settings = tracker.settings
        self._center_xy = boxes.center(box_xyxy)
        self._size_wh = boxes.size(box_xyxy)
        self._fill = mean_color(frame_rgb)
        self._stretch_wh = np.ones(2)
        self._trusted = self._center_xy, self._size_wh
        self._doubtful_frames = 0
        settings = self._settings
        area = self._size_wh.prod() / (frame_rgb.shape[0] * frame_rgb.shape[1])
        small = area < settings.small_target_area
        self._search_px = settings.search_small_target_px if small else settings.search_px
        side_px = max(round(context_side(self._size_wh, settings.context)), 1)
        patch, _ = crop_patch(frame_rgb, self._center_xy, side_px, TEMPLATE_PX, self._fill)
        self._update: Update | None = None
        self._holds = tracker.online is not None and tracker.online.fidelity == "default"
        with self._inference():
            self._template: TemplateState = self._net.template(self._tensor(patch))
            if settings.aspect_share > 0:
                self._stretch_wh = self._own_aspect(shown)
            if tracker.online is not None:
                self._update = self._begin_update(tracker, tracker.online, shown)

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
        search_px = self._search_px + self._widening_px()
        context_px = context_side(self._size_wh, settings.context)
        scale = TEMPLATE_PX / context_px  # crop px per frame px
        side_px = max(round_half_up(context_px * search_px / TEMPLATE_PX), 1)
        patch, transform = crop_patch(frame_rgb, self._center_xy, side_px, search_px, self._fill)
        maps, score, learnt = self._look(frame_rgb, patch)
        best = siamese.select(maps, score, self._size_wh * scale, settings, learnt)
        state = self._judge(best.confidence)
        if state is State.LOST and self._holds:
            self._center_xy, self._size_wh = self._trusted
            return self._prediction(best.confidence, state)

        if settings.exact_crop_origin:
            # The grid counts from the centre of the middle pixel, edges from its corner.
            center = transform.to_frame(boxes.center(best.box_xyxy) + 0.5)
        else:
            center = self._center_xy + (boxes.center(best.box_xyxy) - search_px // 2) / scale
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
        if state is State.FOUND:
            self._trusted = self._center_xy, self._size_wh
        learns = not self._holds or (state is State.FOUND and search_px == self._search_px)
        if self._update is not None and learns:
            with self._inference():
                self._update.learn(Found(best.box_xyxy, self._center_xy, self._size_wh))
        return self._prediction(best.confidence, state)

    def _prediction(self, confidence: float, state: State) -> Prediction:
        box = boxes.from_center(self._center_xy, self._size_wh)
        return Prediction(box_xyxy=box, score=confidence, state=state)

    def _look(
        self, frame_rgb: Image, patch: Image
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Boxes ``(4, S, S)`` in px of the search crop, Siamese and learnt score ``(S, S)``."""
        with self._inference():
            crop = self._tensor(patch)
            raw = self._net.backbone(crop)
            maps, score = self._match(raw)
            learnt = None
            if self._update is not None:
                learnt = self._update.scores(Seen(frame_rgb, crop, raw))
        return maps, score, learnt

    def _own_aspect(self, shown: Sequence[tuple[Image, FloatArray]]) -> FloatArray:
        """Factors on width and height that give the shown targets their own aspect.

        A square template crop does not tell how wide its target is for its height; the network
        takes what is usual for such a thing.
        """
        logs = []
        for i, (frame, box) in enumerate(shown):
            crops, targets = self._views(frame, box, ASPECT_VIEWS, seed=i)
            for crop, target in zip(crops, targets, strict=True):
                maps = self._match(self._net.backbone(self._tensor(crop)))
                found = siamese.at(*maps, boxes.center(target))
                logs.append(np.log(boxes.size(target) / boxes.size(found)))
        width, height = self._settings.aspect_share * np.mean(logs, axis=0)
        return np.exp([(width - height) / 2, (height - width) / 2])

    def _match(self, raw: Tensor) -> tuple[FloatArray, FloatArray]:
        """Boxes ``(4, S, S)`` in px of the search crop, and score ``(S, S)``."""
        output = self._net.match(raw, self._template)
        aware = None if output.aware is None else _array(output.aware.sigmoid())[0]
        regular = _array(output.regular.sigmoid())[0]
        score = siamese.fuse_scores(regular, aware, self._settings.aware_weight)
        return siamese.stretch(_array(decode(output.ltrb)), self._stretch_wh), score

    def _begin_update(
        self, tracker: Tracker, settings: OnlineSettings, shown: Sequence[tuple[Image, FloatArray]]
    ) -> Update:
        """A classifier that knows the target from what a person showed of it."""
        if settings.fidelity == "official":
            return ReleasedUpdate(
                self._net,
                tracker.classifier,
                settings,
                shown[0][0],
                self._center_xy,
                self._size_wh,
            )
        crops: list[Image] = []
        targets: list[FloatArray] = []
        for i, (frame, box) in enumerate(shown):
            seen = self._views(frame, box, VIEWS if i == 0 else EXAMPLE_VIEWS, seed=i)
            crops += seen[0]
            targets += seen[1]
        batch = torch.cat([self._tensor(crop) for crop in crops])
        target_px = torch.from_numpy(np.stack(targets)).float().to(self._device)
        return OnlineUpdate(self._net, tracker.classifier, settings, batch, target_px)

    def _views(
        self, frame_rgb: Image, box_xyxy: FloatArray, views: Sequence[View], seed: int
    ) -> tuple[list[Image], list[FloatArray]]:
        """Search crops of one target in several views, and its box in each."""
        inner_px, margin_px = self._search_px, 64
        wide_px = inner_px + 2 * margin_px
        context_px = context_side(boxes.size(box_xyxy), self._settings.context)
        side_px = max(round_half_up(context_px * wide_px / TEMPLATE_PX), 1)
        center = boxes.center(box_xyxy)
        wide, transform = crop_patch(frame_rgb, center, side_px, wide_px, self._fill)
        target = transform.to_patch(box_xyxy) - margin_px - 0.5
        moves = shifts(views, inner_px, jitter=1 / 3, seed=seed)
        crops = [look(wide, v, inner_px, move) for v, move in zip(views, moves, strict=True)]
        return crops, list(target + np.tile(moves, 2))

    def _widening_px(self) -> int:
        """How much further to look, after a while without the target; whole cells either way."""
        lost_for = self._doubtful_frames - self._settings.patience
        if not self._holds or lost_for < 0:
            return 0
        return min(lost_for + 1, self._settings.widening_steps) * 8 * STRIDE_PX

    def _judge(self, confidence: float) -> State:
        """State of this frame; *lost* comes after some doubtful frames and goes when sure."""
        settings = self._settings
        if not self._holds:
            return self._state(confidence)
        was_lost = self._doubtful_frames >= settings.patience
        sure = settings.found_score if was_lost else settings.lost_score
        self._doubtful_frames = 0 if confidence >= sure else self._doubtful_frames + 1
        if self._doubtful_frames >= settings.patience:
            return State.LOST
        return State.FOUND if confidence >= settings.found_score else State.UNCERTAIN

    def _state(self, confidence: float) -> State:
        if confidence >= self._settings.found_score:
            return State.FOUND
        return State.UNCERTAIN if confidence >= self._settings.lost_score else State.LOST

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


def _inside(box_xyxy: ArrayLike, frame_rgb: Image) -> FloatArray:
    """A valid box, cut at the frame's edges."""
    hw = frame_rgb.shape[:2]
    return boxes.clip(boxes.check(box_xyxy, hw), hw)


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
