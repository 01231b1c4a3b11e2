"""Training pairs: a template crop and a search crop that does or does not hold the target.

What is drawn depends on ``(seed, index)`` alone, so a training that goes on after a stop, or on
another number of processes, sees the same pairs. The matching has to be learnt, not the category:
look-alikes and strangers are pasted beside the target, things in front of it, and some search
crops do not hold it at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_ocean import boxes
from napari_ocean.boxes import FloatArray
from napari_ocean.errors import DataError
from napari_ocean.network.presets import TEMPLATE_PX
from napari_ocean.tracking.crop import context_side
from napari_ocean.training.images import LabelledImage, TrainingImages

Image = NDArray[np.uint8]

MIN_TARGET_PX = 8.0
"""Shorter side under which a box of the data holds too little to learn from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairSettings:
    """Shares and strengths of everything that happens to a pair."""

    search_px: int = 255
    """Side of the search crop."""
    video_share: float = 0.35
    """Pairs from two frames of one video."""
    video_reach: float = 0.4
    """Largest distance of the two frames, as a share of the video."""
    mosaic_share: float = 0.08
    """Pairs from a mosaic of 64 px images: many small objects side by side."""
    negative_share: float = 0.12
    """Pairs whose search crop does not hold the target."""
    paste_share: float = 0.35
    """Search crops with another object pasted beside the target."""
    background_share: float = 0.7
    """Search crops reaching past the photo that show another photo there, not a flat colour."""
    occlusion_share: float = 0.15
    """Search crops with something pasted over part of the target."""
    template_shift_px: float = 4.0
    """Shift of the target in the template crop, uniform (released code)."""
    template_scale: float = 0.05
    """Change of its size, uniform (released code)."""
    search_shift_px: float = 64.0
    """Shift of the target in the search crop, uniform (released code)."""
    search_scale: float = 0.25
    """Logarithmic change of its size, uniform (released code: 0.18, linear)."""
    search_aspect: float = 0.15
    """Logarithmic change of its aspect, uniform."""
    color: float = 0.25
    """Strength of brightness, contrast and colour changes (released code: 0.05)."""
    gray_share: float = 0.05
    """Pairs without colour."""
    blur_share: float = 0.2
    """Crops blurred, by defocus or motion."""
    coarse_share: float = 0.15
    """Pairs of both crops as a small, distant target gives them: few pixels, blown up."""
    noise_share: float = 0.15
    """Crops with sensor noise or compression."""


class Pair(NamedTuple):
    """One training example; crops are BGR uint8."""

    template: Image
    """Shape (127, 127, 3)."""
    search: Image
    """Shape (S, S, 3)."""
    box: FloatArray
    """Target in the search crop, counted from the centre of the first pixel, shape (4,)."""
    present: bool
    """Whether the search crop holds the target."""


class PairSource:
    """Draws pairs by index.

    Parameters
    ----------
    images : TrainingImages
    settings : PairSettings
    seed : int

    Raises
    ------
    DataError
        If no photo has an object of at least ``MIN_TARGET_PX``: every training draws from them.
    """

    def __init__(self, images: TrainingImages, settings: PairSettings, seed: int) -> None:
        if not any(_large(photo).any() for photo in images.photos):
            raise DataError(
                f"No photo has an object of {MIN_TARGET_PX:g} px or more; lay a shard of photos "
                "with boxes beside those of videos."
            )
        self.images = images
        self.settings = settings
        self.seed = seed

    def __getitem__(self, index: int) -> Pair:
        rng = np.random.default_rng([self.seed, index])
        (first, first_box), (second, second_box) = self._views(rng)
        settings = self.settings
        present = bool(rng.random() >= settings.negative_share)
        if not present:
            (first, first_box), _ = self._views(rng)
        if rng.random() < 0.5:
            first, first_box = _flip(first, first_box)
            second, second_box = _flip(second, second_box)
        template, _ = _crop(
            first,
            first_box,
            TEMPLATE_PX,
            rng.uniform(-1, 1, 2) * settings.template_shift_px,
            1 + rng.uniform(-1, 1, 2) * settings.template_scale,
        )
        search, box = _crop(
            second,
            second_box,
            settings.search_px,
            rng.uniform(-1, 1, 2) * settings.search_shift_px,
            self._search_scale(rng),
            self._background(rng),
        )
        if rng.random() < settings.paste_share:
            search = self._paste_beside(rng, search, box)
        if rng.random() < settings.occlusion_share:
            search = self._paste_over(rng, search, box)
        template, search = self._photometry(rng, template, search)
        return Pair(template, search, box - 0.5, present)

    def _views(
        self, rng: np.random.Generator
    ) -> tuple[tuple[Image, FloatArray], tuple[Image, FloatArray]]:
        """Two looks at one object."""
        images, settings = self.images, self.settings
        draw = rng.random()
        if images.videos and draw < settings.video_share:
            video = images.videos[rng.integers(len(images.videos))]
            reach = max(int(len(video) * settings.video_reach), 1)
            i = int(rng.integers(len(video)))
            j = int(np.clip(i + rng.integers(-reach, reach + 1), 0, len(video) - 1))
            first, second = video[i], video[j]
            return (first.pixels, first.boxes[0]), (second.pixels, second.boxes[0])
        if images.tiny and draw < settings.video_share + settings.mosaic_share:
            view = self._mosaic(rng)
        else:
            view = self._object(rng)
        return view, view

    def _object(self, rng: np.random.Generator) -> tuple[Image, FloatArray]:
        """A photo and one of its boxes that is large enough."""
        while True:
            image = self.images.photos[
                rng.choice(len(self.images.photos), p=self.images.photo_weights)
            ]
            large = np.flatnonzero(_large(image))
            if large.size:
                return image.pixels, image.boxes[rng.choice(large)]

    def _mosaic(self, rng: np.random.Generator, side: int = 5) -> tuple[Image, FloatArray]:
        """The middle one of ``side x side`` small images, the others around it."""
        chosen = rng.choice(len(self.images.tiny), side * side)
        tiles = [self.images.tiny[i] for i in chosen]
        rows = [
            np.hstack([tile.pixels for tile in tiles[r * side : (r + 1) * side]])
            for r in range(side)
        ]
        canvas = np.vstack(rows)
        tile_px = canvas.shape[0] // side
        offset = np.tile([float(side // 2 * tile_px)] * 2, 2)
        return canvas, tiles[side * side // 2].boxes[0] + offset

    def _background(self, rng: np.random.Generator) -> Image | None:
        if rng.random() >= self.settings.background_share:
            return None
        return self.images.photos[rng.integers(len(self.images.photos))].pixels

    def _search_scale(self, rng: np.random.Generator) -> FloatArray:
        scale = rng.uniform(-1, 1) * self.settings.search_scale
        aspect = rng.uniform(-1, 1) * self.settings.search_aspect
        return np.exp([scale + aspect / 2, scale - aspect / 2])

    def _cutout(self, rng: np.random.Generator, longest_px: float) -> Image:
        """Some object's pixels, scaled to a longest side."""
        image, box = self._object(rng)
        x0, y0, x1, y1 = np.round(boxes.clip(box, image.shape[:2])).astype(int)
        pixels = image[y0 : max(y1, y0 + 2), x0 : max(x1, x0 + 2)]
        factor = longest_px / max(pixels.shape[:2])
        width, height = (max(round(n * factor), 2) for n in pixels.shape[1::-1])
        return cv2.resize(pixels, (width, height)).astype(np.uint8, copy=False)

    def _paste_beside(self, rng: np.random.Generator, search: Image, box: FloatArray) -> Image:
        longest = boxes.size(box).max()
        cutout = self._cutout(rng, float(np.clip(longest * rng.uniform(0.6, 1.4), 8, 140)))
        half = np.array(cutout.shape[1::-1]) / 2
        for _ in range(8):
            center = rng.uniform(0, search.shape[0], 2)
            if boxes.iou(boxes.from_center(center, 2 * half), box) < 0.02:
                return _blend(search, cutout, center)
        return search

    def _paste_over(self, rng: np.random.Generator, search: Image, box: FloatArray) -> Image:
        size = boxes.size(box)
        cutout = self._cutout(rng, float(np.clip(size.max() * rng.uniform(0.3, 0.7), 6, 120)))
        # from the middle half to just past an edge, so that something stays to be seen
        direction = rng.choice([-1, 1], 2) * rng.uniform(0.2, 0.6, 2)
        return _blend(search, cutout, boxes.center(box) + direction * size)

    def _photometry(
        self, rng: np.random.Generator, template: Image, search: Image
    ) -> tuple[Image, Image]:
        settings = self.settings
        if rng.random() < settings.gray_share:
            template, search = _gray(template), _gray(search)
        if rng.random() < settings.coarse_share:
            factor = rng.uniform(1.5, 4.5)
            template, search = _coarsen(template, factor), _coarsen(search, factor)
        common = _ColorChange(rng, settings.color)
        crops = []
        for crop in (template, search):
            own = _ColorChange(rng, settings.color / 2)
            levels = np.clip(own(common(np.arange(256.0)[:, None] * np.ones(3))), 0, 255)
            changed = cv2.LUT(crop, levels.astype(np.uint8)[None]).astype(np.uint8, copy=False)
            if rng.random() < settings.blur_share:
                changed = _blur(rng, changed)
            if rng.random() < settings.noise_share:
                changed = _degrade(rng, changed)
            crops.append(np.ascontiguousarray(changed, dtype=np.uint8))
        return crops[0], crops[1]


def _large(image: LabelledImage) -> NDArray[np.bool_]:
    """Which boxes of an image can be targets, shape (K,)."""
    return np.asarray(boxes.size(image.boxes).min(axis=1) >= MIN_TARGET_PX)


def _flip(image: Image, box: FloatArray) -> tuple[Image, FloatArray]:
    width = image.shape[1]
    return image[:, ::-1], np.array([width - box[2], box[1], width - box[0], box[3]])


def _crop(
    image: Image,
    box: FloatArray,
    out_px: int,
    shift_px: FloatArray,
    scale_xy: FloatArray,
    background: Image | None = None,
) -> tuple[Image, FloatArray]:
    """Crop around a box so that, unshifted and unscaled, its context fills 127 px.

    Outside the image is the background, or the image's mean colour. Returns the crop and the
    box in it (edge coordinates).
    """
    scale = scale_xy * TEMPLATE_PX / context_side(boxes.size(box))
    origin = out_px / 2 + shift_px - boxes.center(box) * scale
    # warpAffine counts from pixel centres: p' + 0.5 = scale (p + 0.5) + origin
    offset = origin + 0.5 * scale - 0.5
    matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
    if background is None:
        mean = image[::4, ::4].mean(axis=(0, 1)).astype(np.uint8)
        canvas = np.broadcast_to(mean, (out_px, out_px, 3)).copy()
    else:
        canvas = cv2.resize(background, (out_px, out_px))
    crop = cv2.warpAffine(
        np.ascontiguousarray(image),
        matrix,
        (out_px, out_px),
        dst=canvas,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    return crop.astype(np.uint8, copy=False), box * np.tile(scale, 2) + np.tile(origin, 2)


def _blend(canvas: Image, cutout: Image, center_xy: FloatArray) -> Image:
    """Lay an object's pixels over a crop with an elliptic soft edge, cut off at the border."""
    height, width = cutout.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    alpha = np.clip((1.15 - np.sqrt(x**2 + y**2)) * 5, 0, 1)[..., None]
    x0, y0 = np.round(center_xy - np.array([width, height]) / 2).astype(int)
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x0 + width, canvas.shape[1]), min(y0 + height, canvas.shape[0])
    if right <= left or bottom <= top:
        return canvas
    inner = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
    out = canvas.copy()
    under = out[top:bottom, left:right]
    out[top:bottom, left:right] = under + alpha[inner] * (cutout[inner].astype(float) - under)
    return out


def _gray(crop: Image) -> Image:
    gray = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[..., None].astype(np.uint8, copy=False)
    return np.repeat(gray, 3, axis=2)


class _ColorChange:
    """A drawn change of brightness, contrast, gamma and colour balance, as a function of levels."""

    def __init__(self, rng: np.random.Generator, strength: float) -> None:
        self.gain = np.exp(rng.uniform(-1, 1) * strength + rng.uniform(-1, 1, 3) * strength / 3)
        self.offset = rng.uniform(-1, 1) * strength * 100
        self.gamma = np.exp(rng.uniform(-1, 1) * strength)

    def __call__(self, levels: FloatArray) -> FloatArray:
        curved = 255 * (np.clip(levels, 0, 255) / 255) ** self.gamma
        return np.asarray((curved - 128) * self.gain + 128 + self.offset)


def _coarsen(crop: Image, factor: float) -> Image:
    side_px = crop.shape[0]
    few = round(side_px / factor)
    small = cv2.resize(crop, (few, few), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side_px, side_px)).astype(np.uint8, copy=False)


def _blur(rng: np.random.Generator, crop: Image) -> Image:
    if rng.random() < 0.5:
        return cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.5, 2.0)).astype(np.uint8, copy=False)
    length = int(rng.integers(3, 12))
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    reach = (length - 1) / 2
    end = np.array([np.cos(angle), np.sin(angle)]) * reach
    a, b = np.round(reach - end).astype(int), np.round(reach + end).astype(int)
    cv2.line(kernel, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 1.0)
    return cv2.filter2D(crop, -1, kernel / kernel.sum()).astype(np.uint8, copy=False)


def _degrade(rng: np.random.Generator, crop: Image) -> Image:
    if rng.random() < 0.5:
        noise = rng.standard_normal(crop.shape, dtype=np.float32) * rng.uniform(2, 12)
        return np.clip(crop + noise, 0, 255).astype(np.uint8)
    quality = int(rng.integers(15, 60))
    _, encoded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
