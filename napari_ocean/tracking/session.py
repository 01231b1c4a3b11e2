"""One target being followed: what is shown, where to look, what comes of it (Sec. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import VideoError
from napari_ocean.network import (
    TEMPLATE_PX,
    Answer,
    TemplateState,
    inference,
    ordinary,
    stack,
)
from napari_ocean.network.presets import STRIDE_PX
from napari_ocean.online.augment import EXAMPLE_VIEWS, EXAMPLE_ZOOMS, VIEWS, ZOOMS, zoomed
from napari_ocean.online.extent import learn_sides, taught
from napari_ocean.online.features import crops_at_once
from napari_ocean.online.released import ReleasedUpdate
from napari_ocean.online.settings import OnlineSettings
from napari_ocean.online.update import Found, OnlineUpdate, Seen, Update
from napari_ocean.tracking import siamese
from napari_ocean.tracking.crop import (
    CropTransform,
    context_side,
    crop_patch,
    mean_color,
    round_half_up,
)
from napari_ocean.tracking.looks import Looks
from napari_ocean.tracking.views import first_views
from napari_ocean.tracks import Prediction, State

if TYPE_CHECKING:
    from napari_ocean.tracking.tracker import Tracker

Image = NDArray[np.uint8]
Shown = tuple[Image, FloatArray]
"""A frame and the target's box on it."""

_OFF = OnlineSettings(template_share=0.0)

_STEP_PX = 8 * STRIDE_PX
"""By how much the search crop grows in one step: whole cells on either side."""


class _Question(NamedTuple):
    """Where a session looks on a frame."""

    frame_rgb: Image
    patch: Image
    transform: CropTransform
    scale: float
    """Crop px per frame px."""


class Session:
    """One target being followed through consecutive frames, in either direction."""

    def __init__(
        self,
        tracker: Tracker,
        shown: Sequence[Shown],
        *,
        guessed: bool = False,
        hidden: bool = False,
    ) -> None:
        frame_rgb, box_xyxy = shown[0]
        self._net = tracker.net
        self._search = tracker.search
        self._device = tracker.device
        self._settings = tracker.settings
        self._center_xy = boxes.center(box_xyxy)
        self._size_wh = boxes.size(box_xyxy)
        self._fill = mean_color(frame_rgb)
        self._stretch_wh = np.ones(2)
        self._doubtful_frames = 0
        settings = self._settings
        area = self._size_wh.prod() / (frame_rgb.shape[0] * frame_rgb.shape[1])
        small = area < settings.small_target_area
        self._search_px = settings.search_small_target_px if small else settings.search_px
        self._update: Update | None = None
        self._holds = tracker.online is not None and tracker.online.fidelity == "default"
        self._online = tracker.online or _OFF
        self._learnt_frames = 0
        if hidden and len(shown) > 1 and (tracker.online is None or self._holds):
            guessed, shown = False, shown[1:]  # what covers the target is not its look
            frame_rgb, box_xyxy = shown[0]
        with inference(self._net):
            self._looks = Looks(
                self._look(frame_rgb, box_xyxy),
                share=self._online.template_share,
                rate=self._online.template_rate,
            )
            if self._learns_looks:
                for frame, box in shown[1:]:
                    self._looks.add(self._look(frame, box))
            if self._holds or settings.aspect_share > 0:
                self._study(tracker, shown if self._holds else shown[:1], guessed=guessed)
            if tracker.online is not None and not self._holds:
                self._update = ReleasedUpdate(
                    self._net,
                    tracker.classifier,
                    tracker.online,
                    frame_rgb,
                    self._center_xy,
                    self._size_wh,
                )

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
        return step_together([self], frame_rgb)[0]

    # ------------------------------------------------------------------ one step, in two halves

    def _ask(self, frame_rgb: Image) -> _Question:
        """Where to look on a frame."""
        context_px = context_side(self._size_wh, self._settings.context)
        # what lies further away than the frame is long need not be searched
        widest_px = 2 * max(frame_rgb.shape[:2]) * TEMPLATE_PX / context_px
        search_px = self._search_px
        for _ in range(self._widening_steps()):
            if search_px + _STEP_PX <= widest_px:
                search_px += _STEP_PX
        scale = TEMPLATE_PX / context_px  # crop px per frame px
        side_px = max(round_half_up(context_px * search_px / TEMPLATE_PX), 1)
        patch, transform = crop_patch(frame_rgb, self._center_xy, side_px, search_px, self._fill)
        return _Question(frame_rgb, patch, transform, scale)

    def _answer(
        self, question: _Question, said: FloatArray, learnt: FloatArray | None
    ) -> Prediction:
        """Make one box of what network and online update said of the crop, and learn from it."""
        settings, search_px = self._settings, len(question.patch)
        cells, score = self._read(said)
        scale = question.scale
        best = siamese.select(cells, score, self._size_wh * scale, settings, learnt)
        state = self._judge(best.confidence)
        doubtful = state is State.LOST or best.confidence < settings.lost_score
        if doubtful and self._holds:  # the box stays, and nothing is learnt
            return self._prediction(best.confidence, state)

        if settings.exact_crop_origin:
            # The grid counts from the centre of the middle pixel, edges from its corner.
            center = question.transform.to_frame(boxes.center(best.box_xyxy) + 0.5)
        else:
            center = self._center_xy + (boxes.center(best.box_xyxy) - search_px // 2) / scale
        size = siamese.smooth_size(
            self._size_wh,
            boxes.size(best.box_xyxy) / scale,
            best.penalty * best.score * settings.size_rate,
            twice=settings.smooth_size_twice,
        )
        frame_wh = np.array(question.frame_rgb.shape[1::-1], dtype=np.float64)
        self._center_xy = np.clip(center, 0, frame_wh)
        self._size_wh = np.clip(size, np.minimum(settings.min_size_px, frame_wh), frame_wh)
        # the memory's samples are of one size, that of the ordinary crop
        learns = not self._holds or (state is State.FOUND and search_px == self._search_px)
        if self._update is not None and learns:
            self._update.learn(Found(best.box_xyxy, self._center_xy, self._size_wh))
            self._learnt_frames += 1
            if self._learns_looks and self._learnt_frames % self._online.template_every == 0:
                box = boxes.from_center(self._center_xy, self._size_wh)
                self._looks.add(self._look(question.frame_rgb, box))
        return self._prediction(best.confidence, state)

    @property
    def _learns_looks(self) -> bool:
        return self._holds and self._online.template_share > 0

    def _look(self, frame_rgb: Image, box_xyxy: FloatArray) -> TemplateState:
        """A target as a template."""
        side_px = max(round(context_side(boxes.size(box_xyxy), self._settings.context)), 1)
        center = boxes.center(box_xyxy)
        patch, _ = crop_patch(frame_rgb, center, side_px, TEMPLATE_PX, self._fill)
        return self._net.template(self._crops(self._ways(patch)))

    def _ways(self, patch: Image) -> list[Image]:
        """A template or search patch in all ways that the network is to look at it."""
        return [patch, np.ascontiguousarray(patch[:, ::-1])] if self._settings.mirrored else [patch]

    def _learnt(self, question: _Question, crop: Tensor, raw: Tensor) -> FloatArray | None:
        """What the online update says of the crop, if there is one."""
        if self._update is None:
            return None
        return self._update.scores(Seen(question.frame_rgb, crop, raw))

    def _read(self, said: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Boxes ``(4, S, S)`` in px of the search crop, and score ``(S, S)``."""
        regular, aware = said[4], said[5] if len(said) > 5 else None
        settings = self._settings
        score = siamese.fuse_scores(regular, aware, settings.aware_weight)
        score = siamese.calibrate(score, settings.score_offset)
        return siamese.stretch(said[:4], self._stretch_wh), score

    def _crops(self, patches_rgb: Sequence[Image]) -> Tensor:
        """Crops ``(N, 3, S, S)`` BGR 0..255 as the network takes them."""
        # OpenCV turns the channels round fifteen times as fast as torch
        bgr = np.stack([cv2.cvtColor(patch, cv2.COLOR_RGB2BGR) for patch in patches_rgb])
        pixels = torch.from_numpy(bgr)
        on_gpu = self._device.type == "cuda"
        if on_gpu:  # page-locked memory is copied while the CPU goes on
            pixels = pixels.pin_memory()
        there = pixels.to(self._device, non_blocking=on_gpu)
        return there.permute(0, 3, 1, 2).to(self._net.dtype)

    def _prediction(self, confidence: float, state: State) -> Prediction:
        box = boxes.from_center(self._center_xy, self._size_wh)
        offset = 0.0 if self._update is None else self._settings.confidence_offset
        score = float(siamese.calibrate(np.array(confidence), offset))
        return Prediction(box_xyxy=box, score=score, state=state)

    def _study(self, tracker: Tracker, shown: Sequence[Shown], *, guessed: bool) -> None:
        """Learn from the drawn boxes what the target looks like, and how far it reaches.

        A square template crop does not tell the target's aspect, nor whether it is the whole of a
        thing; the network takes what is usual, and the difference shows on the drawn frames.
        """
        learns_extent = self._holds and self._online.extent_share > 0
        if self._holds:
            first, further = VIEWS, EXAMPLE_VIEWS
        else:
            first = further = tuple(view for view in VIEWS if view.upright and not view.flip)
        if learns_extent:
            first += zoomed(ZOOMS, mirrored=self._settings.mirrored)
            further += zoomed(EXAMPLE_ZOOMS, mirrored=self._settings.mirrored)
        sets = [
            first_views(
                frame,
                box,
                further if i else first,
                search_px=self._search_px,
                context=self._settings.context,
                fill=self._fill,
                seed=i,
            )
            for i, (frame, box) in enumerate(shown)
        ]
        pictures = [picture for of in sets for picture in of]
        crops = self._crops([picture.crop for picture in pictures])
        boxes_px = torch.from_numpy(np.stack([picture.box_px for picture in pictures]))
        upright = torch.tensor([picture.view.upright for picture in pictures])
        mirrored = torch.tensor([picture.view.flip for picture in pictures])
        usual = torch.tensor([picture.view.zoom == 1 for picture in pictures])  # of the usual size
        said = self._said(crops, mirrored)
        sides = self._looks.template.sides
        if learns_extent:
            telling = upright.clone()
            if guessed:
                telling[: len(sets[0])] = False
            ways = [telling & ~mirrored, telling & mirrored][: len(sides)]
            sides = torch.stack([self._own_sides(said, boxes_px, way) for way in ways])
            self._looks.set_sides(sides.to(self._device))
        if self._settings.aspect_share > 0:
            plain = upright & ~mirrored & usual
            self._stretch_wh = self._own_aspect(said, boxes_px, plain, sides[0])
        if self._holds and tracker.online is not None:
            self._update = OnlineUpdate(
                self._net,
                tracker.classifier,
                tracker.online,
                crops[usual],
                said.raw[usual],
                boxes_px[usual],
            )

    def _said(self, crops: Tensor, mirrored: Tensor) -> Answer:
        """What the network says of views of the target, of those in the mirror by that look."""
        template = self._looks.template.tensors()
        ways = mirrored.long().clamp(max=len(template[0]) - 1).to(self._device)
        # on a GPU nothing is recorded for batches as large and as rare as these
        search = self._search if self._device.type == "cpu" else ordinary(self._net)
        at_once = crops_at_once(self._device)
        answers = [
            search(few, TemplateState.of([own[way] for own in template]))
            for few, way in zip(crops.split(at_once), ways.split(at_once), strict=True)
        ]
        return Answer(*(torch.cat(parts) for parts in zip(*answers, strict=True)))

    def _own_sides(self, said: Answer, boxes_px: Tensor, which: Tensor) -> Tensor:
        """How far the target reaches, by some views."""
        return learn_sides(
            said.box_features[which],
            said.maps[which, :4],
            boxes_px[which].to(said.maps),
            ridge=self._online.extent_ridge,
            share=self._online.extent_share,
        )

    def _own_aspect(
        self, said: Answer, boxes_px: Tensor, which: Tensor, sides: Tensor
    ) -> FloatArray:
        """Factors on width and height that give the target its own aspect, by some views."""
        known = taught(said.maps[which, :4], said.box_features[which], sides)
        maps_each = _array(torch.cat([known, said.maps[which, 4:]], dim=1))
        logs = []
        for maps, box_px in zip(maps_each, boxes_px[which].numpy(), strict=True):
            found = siamese.at(*self._read(maps), boxes.center(box_px))
            logs.append(np.log(boxes.size(box_px) / boxes.size(found)))
        width, height = self._settings.aspect_share * np.median(logs, axis=0)
        return np.exp([(width - height) / 2, (height - width) / 2])

    # ------------------------------------------------------------------------------- judgement

    def _widening_steps(self) -> int:
        """How much further to look, after a while without the target."""
        lost_for = self._doubtful_frames - self._settings.patience
        if not self._holds or lost_for < 0:
            return 0
        return min(lost_for + 1, self._settings.widening_steps)

    def _judge(self, confidence: float) -> State:
        """State of this frame; *lost* comes after some doubtful frames and goes when sure."""
        settings = self._settings
        if self._holds:
            was_lost = self._doubtful_frames >= settings.patience
            enough = settings.found_score if was_lost else settings.lost_score
            self._doubtful_frames = 0 if confidence >= enough else self._doubtful_frames + 1
            is_lost = self._doubtful_frames >= settings.patience
        else:
            is_lost = confidence < settings.lost_score
        if is_lost:
            return State.LOST
        return State.FOUND if confidence >= settings.found_score else State.UNCERTAIN


def step_together(sessions: Sequence[Session], frame_rgb: Image) -> list[Prediction]:
    """Find several targets on one frame, their crops in one batch of the network.

    Parameters
    ----------
    sessions : sequence of Session
        Of one tracker.
    frame_rgb : ndarray of uint8, shape (H, W, 3)

    Returns
    -------
    list of Prediction
        In the order of the sessions.

    Raises
    ------
    VideoError
        If the frame is not an RGB uint8 image.
    """
    check_frame(frame_rgb)
    questions = [session._ask(frame_rgb) for session in sessions]
    by_size: dict[int, list[int]] = {}
    for i, question in enumerate(questions):
        by_size.setdefault(len(question.patch), []).append(i)
    found: dict[int, Prediction] = {}
    looks = 2 if any(session._settings.mirrored for session in sessions) else 1
    for alike in by_size.values():
        at_once = crops_at_once(sessions[0]._device) // looks
        for start in range(0, len(alike), at_once):
            batch = alike[start : start + at_once]
            answers = _answers([sessions[i] for i in batch], [questions[i] for i in batch])
            found.update(zip(batch, answers, strict=True))
    return [found[i] for i in range(len(sessions))]


def _answers(sessions: Sequence[Session], questions: Sequence[_Question]) -> list[Prediction]:
    """Answers to questions whose crops are of one size."""
    first = sessions[0]
    with inference(first._net):
        looks = [of._ways(question.patch) for of, question in zip(sessions, questions, strict=True)]
        crops = first._crops([way for ways in looks for way in ways])
        said = first._search(crops, stack([session._looks.template for session in sessions]))
        own = np.cumsum([0, *map(len, looks)])[:-1]  # where each session's answers begin
        # before the maps are waited for, so that a GPU has this to go on with
        learnt = [
            session._learnt(question, crops[i : i + 1], said.raw[i : i + 1])
            for session, question, i in zip(sessions, questions, own, strict=True)
        ]
        maps_each = [siamese.both_ways(ways) for ways in np.split(_array(said.maps), own[1:])]
        told = zip(sessions, questions, maps_each, learnt, strict=True)
        return [
            session._answer(question, own_maps, more) for session, question, own_maps, more in told
        ]


def check_frame(frame: Any) -> None:
    """Say what is wrong with a frame.

    Raises
    ------
    VideoError
        If it is not an RGB uint8 image.
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape[2:] != (3,):
        kind = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame)
        raise VideoError(
            f"A frame is an RGB uint8 array (H, W, 3), not {kind}; "
            "napari_ocean.video.to_rgb_uint8 converts it."
        )


def _array(batch: Tensor) -> FloatArray:
    return np.asarray(batch.cpu().double().numpy())  # in this order: MPS has no float64
